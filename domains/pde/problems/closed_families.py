"""Diffusion on ``[0, 1]`` with solutions in closed form: porous medium, Stefan, and Stokes' second problem.

All are ``d_t u = d_xx Phi(u)`` with a value given at the left end, solved by implicit finite volumes
(`scidiff.domains.pde.solvers.diffusion_line`) and checked against the closed form, averaged over the cells:

    porous medium   Phi = u^(m+1) / (m+1)      u = (m (t - x)_+)^(1/m): a front of speed 1              [1]_ [2]_
    Stefan          Phi = (u - u*)_+           u = 1 - (1 - u*) erf(x / (2 sqrt t)) / erf(alpha) up to the front at
                                               2 alpha sqrt t, 0 beyond it
    Stokes          Phi = nu u                 u = U e^(-k x) cos(k x - omega t),  nu = omega / (2 k^2)

with ``alpha e^(alpha^2) erf alpha = (1 - u*) / (u* sqrt pi)``. In the first two the diffusivity vanishes at and ahead
of a front that moves at finite speed; u is enthalpy in the second, and ``u*`` the latent heat. Their scheme is implicit
Euler, positive and of first order; that of the third is of second order. The residual is the balance of every cell over
every step, and what flows through the ends makes up for the change of the content to round-off.

References
----------
.. [1] G. Barenblatt, Prikl. Mat. Mekh. 16, 67 (1952)
.. [2] J. L. Vazquez, "The Porous Medium Equation", Oxford 2007, section 4.3
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source

from ..contract import Field, State
from ..evolution import Evolution
from ..solvers.diffusion_line import DiffusionLine
from ..units import ONE, Term, Unit

__all__ = ["ClosedFamily", "PorousMedium", "Stefan", "StokesSecond", "front_number"]

_NEWTON = 30


@dataclass(frozen=True)
class ClosedFamily(Evolution):
    """One-dimensional diffusion with a closed form; the base of the three.

    Parameters
    ----------
    size
        Number of cells.
    frames
        Frames, the first included, one step between two of them.
    """

    size: int = 100
    frames: int = 101

    start = 0.0
    duration = 1.0

    def __post_init__(self) -> None:
        if self.size < 4 or self.frames < 3:
            raise ConfigError(f"size = {self.size}, frames = {self.frames}; expected at least 4 cells and 3 frames")

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames and cells."""
        return (self.frames, self.size)

    @property
    def cell(self) -> float:
        """Width of a cell times a step."""
        return self.interval / self.size

    @property
    def interval(self) -> float:
        """Time between two frames."""
        return (self.duration - self.start) / (self.frames - 1)

    @property
    def times(self) -> Tensor:
        """Times of the frames."""
        return torch.linspace(self.start, self.duration, self.frames, dtype=torch.float64)

    @property
    def x(self) -> Tensor:
        """Middles of the cells."""
        return (torch.arange(self.size, dtype=torch.float64) + 0.5) / self.size

    @property
    def faces(self) -> Tensor:
        """Ends of the cells."""
        return torch.arange(self.size + 1, dtype=torch.float64) / self.size

    @abstractmethod
    def scheme(self, inputs: State) -> DiffusionLine:
        """Finite volumes of a batch."""

    @abstractmethod
    def primitive(self, inputs: State, x: Tensor, t: Tensor) -> Tensor:
        """``int_0^x u`` of the closed form, shape ``(batch, times, points)``."""

    def averages(self, inputs: State, times: Tensor) -> Tensor:
        """Closed form averaged over cells, shape ``(batch, times, cells)``."""
        return torch.diff(self.primitive(inputs, self.faces, times), dim=-1) * self.size

    def initial(self, inputs: State) -> Tensor:
        """Closed form at the first time."""
        return self.averages(inputs, self.times[:1])[:, 0]

    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """Take one step from each of the first frames."""
        scheme, frames = self.scheme(inputs), []
        for k in range(u.shape[1]):
            frames.append(scheme.step(u[:, k], self.times[k : k + 2]))
        return torch.stack(frames, 1)

    def solve(self, inputs: State) -> State:
        """Step from frame to frame."""
        scheme, frames = self.scheme(inputs), [self.initial(inputs)]
        for k in range(self.frames - 1):
            frames.append(scheme.step(frames[-1], self.times[k : k + 2]))
        return {**inputs, "u": torch.stack(frames, 1)}

    def residual(self, state: State) -> Tensor:
        """Defect of the first frame, and of the balance of each cell over each step."""
        u = state["u"]
        first = (u[:, 0] - self.initial(state))[:, None]
        return torch.cat([first, self.scheme(state).defect(u, self.times)], 1)

    def reference(self, inputs: State) -> State:
        """Closed form, averaged over cells."""
        return {**inputs, "u": self.averages(inputs, self.times)}

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Content against what flowed through the ends, over the largest content."""
        u, flux = state["u"], self.scheme(state).mean_fluxes(state["u"], self.times)
        through = torch.cumsum((flux[..., 0] - flux[..., -1]) * self.interval, 1)
        content = u.mean(-1)
        gap = (content[:, 1:] - content[:, :1] - through).abs().amax(1)
        return {"mass": gap / u.abs().mean(-1).amax(1)}


def positivity(u: Tensor) -> Tensor:
    """How far values lie below 0, over the largest one, shape ``(batch,)``."""
    flat = u.flatten(1)
    return (-flat.amin(1)).clamp_min(0).abs() / flat.abs().amax(1)


@dataclass(frozen=True)
class PorousMedium(ClosedFamily):
    """Porous medium equation ``d_t u = d_x (u^m d_x u)``, ``m ~ U(1, 6)``, on times 0 to 1.

    Parameters
    ----------
    size, frames
        As for `ClosedFamily`.
    """

    name = "porous_medium"
    title = "Porous medium equation, advancing front"
    fields = (Field("m", "exponent", ONE, given=True), Field("u", "density", ONE))
    parameters = {"kappa": Unit(length=2, time=-1)}  # noqa: RUF012
    terms = (Term("d_t u", {"u": 1}, time=1), Term("d_x (u^m d_x u)", {"kappa": 1, "u": 1}, space=2))
    order = 1.0
    truth_error = 6e-2
    boundary = "given value on the left, no flow on the right"

    def draw(self, noise: Source) -> State:
        """Draw exponents."""
        return {"m": 1 + 5 * noise.uniform((), step=0, stream="m")}

    def scheme(self, inputs: State) -> DiffusionLine:
        """A closed right end: the front arrives there at the last time."""
        m = inputs["m"][:, None]
        power = lambda u, p: u.clamp_min(0) ** p.reshape(-1, *(1,) * (u.ndim - 1))  # noqa: E731
        return DiffusionLine(
            lambda u: power(u, m + 1) / (m + 1).reshape(-1, *(1,) * (u.ndim - 1)),
            lambda u: power(u, m),
            lambda t: (m * t) ** (1 + 1 / m) / (m + 1),
            None,
            1 / self.size,
        )

    def primitive(self, inputs: State, x: Tensor, t: Tensor) -> Tensor:
        """``u = (m y)^(1/m)`` with ``y = (t - x)_+`` has the integral ``(m y)^(1 + 1/m) / (m + 1)`` in y."""
        m = inputs["m"][:, None, None]
        whole = lambda y: (m * y.clamp_min(0)) ** (1 + 1 / m) / (m + 1)  # noqa: E731
        return whole(t[:, None]) - whole(t[:, None] - x)

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Content, and positivity."""
        return {**super().conserved(state), "positivity": positivity(state["u"])}


def front_number(latent: Tensor) -> Tensor:
    """``alpha`` of the front ``2 alpha sqrt t``, for latent heats in (0, 1), by Newton's method from above."""
    value, alpha = (1 - latent) / (latent * math.pi**0.5), torch.ones_like(latent) * 2
    for _ in range(_NEWTON):
        grown = torch.exp(alpha**2) * torch.erf(alpha)
        slope = (1 + 2 * alpha**2) * grown + 2 * alpha / math.pi**0.5
        alpha = alpha - (alpha * grown - value) / slope
    return alpha


@dataclass(frozen=True)
class Stefan(ClosedFamily):
    """Melting of a half-line from its end, latent heat ``U(0.55, 0.7)``, on times 0.01 to 0.1.

    Parameters
    ----------
    size, frames
        As for `ClosedFamily`.
    """

    name = "stefan"
    title = "Stefan problem, melting front"
    fields = (Field("latent", "latent heat", ONE, given=True), Field("u", "enthalpy", ONE))
    parameters = {"kappa": Unit(length=2, time=-1)}  # noqa: RUF012
    terms = (Term("d_t u", {"u": 1}, time=1), Term("d_xx (u - u*)_+", {"kappa": 1, "u": 1}, space=2))
    order = 1.0
    truth_error = 8e-3
    boundary = "given value on the left, no flow on the right"
    start, duration = 0.01, 0.1

    def draw(self, noise: Source) -> State:
        """Draw latent heats."""
        return {"latent": 0.55 + 0.15 * noise.uniform((), step=0, stream="latent")}

    def scheme(self, inputs: State) -> DiffusionLine:
        """A closed right end, far from the front."""
        latent = inputs["latent"]
        above = lambda u: u - latent.reshape(-1, *(1,) * (u.ndim - 1))  # noqa: E731
        return DiffusionLine(
            lambda u: above(u).clamp_min(0),
            lambda u: (above(u) > 0).double(),
            lambda t: (1 - latent)[:, None].expand(len(latent), len(t)),
            None,
            1 / self.size,
        )

    def primitive(self, inputs: State, x: Tensor, t: Tensor) -> Tensor:
        """With ``int_0^x erf(y / s) dy = x erf(x / s) + s (e^(-x^2/s^2) - 1) / sqrt(pi)``, s = 2 sqrt t."""
        latent = inputs["latent"][:, None, None]
        alpha = front_number(inputs["latent"])[:, None, None]
        s = 2 * t.sqrt()[:, None]
        y = torch.minimum(x.expand(len(t), len(x)), alpha * s)
        inner = y * torch.erf(y / s) + s * torch.expm1(-((y / s) ** 2)) / math.pi**0.5
        return y - (1 - latent) * inner / torch.erf(alpha)

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Content, and positivity."""
        return {**super().conserved(state), "positivity": positivity(state["u"])}


@dataclass(frozen=True)
class StokesSecond(ClosedFamily):
    """Fluid above an oscillating plate, ``k ~ U(2, 20)``, ``omega ~ U(2, 8)``, amplitude 2, on times 0 to 1.

    Parameters
    ----------
    size, frames
        As for `ClosedFamily`.
    """

    name = "stokes_second"
    title = "Stokes' second problem, oscillating plate"
    fields = (
        Field("k", "inverse depth of the layer", Unit(length=-1), given=True),
        Field("omega", "angular frequency", Unit(time=-1), given=True),
        Field("u", "velocity", Unit(length=1, time=-1)),
    )
    terms = (Term("d_t u", {"u": 1}, time=1), Term("nu d_xx u", {"omega": 1, "k": -2, "u": 1}, space=2))
    order = 2.0
    truth_error = 1.5e-2
    boundary = "given values at both ends"
    amplitude = 2.0

    def draw(self, noise: Source) -> State:
        """Draw wave number and frequency."""
        k, omega = (noise.uniform((), step=0, stream=name) for name in ("k", "omega"))
        return {"k": 2 + 18 * k, "omega": 2 + 6 * omega}

    def scheme(self, inputs: State) -> DiffusionLine:
        """Closed form at both ends, trapezoidal rule."""
        k, omega = inputs["k"][:, None], inputs["omega"][:, None]
        nu = inputs["omega"] / (2 * inputs["k"] ** 2)
        spread = lambda u: nu.reshape(-1, *(1,) * (u.ndim - 1))  # noqa: E731
        end = lambda x: lambda t: nu[:, None] * self.amplitude * torch.exp(-k * x) * torch.cos(k * x - omega * t)  # noqa: E731
        return DiffusionLine(
            lambda u: spread(u) * u, lambda u: spread(u).expand_as(u), end(0.0), end(1.0), 1 / self.size, 0.5
        )

    def primitive(self, inputs: State, x: Tensor, t: Tensor) -> Tensor:
        """``int e^(-k x) cos(k x - w) = e^(-k x) (sin(k x - w) - cos(k x - w)) / (2 k)``."""
        k, omega = inputs["k"][:, None, None], inputs["omega"][:, None, None]
        phase = k * x - omega * t[:, None]
        return self.amplitude * torch.exp(-k * x) * (torch.sin(phase) - torch.cos(phase)) / (2 * k)
