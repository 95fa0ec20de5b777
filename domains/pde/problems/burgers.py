"""Viscous Burgers equation on a periodic line: ``d_t u + d_x (u^2 / 2) = nu d_xx u`` on ``[0, 1)``.

Fourier modes below two thirds of the Nyquist one, so that the square has no aliases, and ETDRK4 in time. The Cole-Hopf
transform turns the equation into the heat equation,

    u = -2 nu d_x theta / theta,      theta(x, 0) = exp(-(1 / (2 nu)) int_0^x u(s, 0) ds),

which is solved mode by mode: the independent check. It needs initial values without mean, as the law draws them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source

from ..contract import Field, State
from ..evolution import Evolution
from ..solvers.etdrk4 import Etdrk4
from ..units import Term, Unit

__all__ = ["Burgers", "cole_hopf"]

_SPEED = Unit(length=1, time=-1)


def cole_hopf(u0: Tensor, nu: float, times: Tensor) -> Tensor:
    """Exact solution for periodic initial values without mean.

    Parameters
    ----------
    u0
        Initial values at equidistant points of the unit interval, shape ``(batch, size)``.
    nu
        Viscosity.
    times
        Times, shape ``(frames,)``.

    Returns
    -------
    Tensor
        Shape ``(batch, frames, size)``; exact up to the interpolation of ``u0`` and of theta by trigonometric
        polynomials.
    """
    size = u0.shape[-1]
    k = 2 * math.pi * torch.arange(size // 2 + 1, dtype=torch.float64)
    odd = torch.where(torch.arange(size // 2 + 1) * 2 == size, 0.0, k)
    primitive = torch.fft.irfft(torch.where(odd == 0, 0, torch.fft.rfft(u0) / (1j * k.clamp_min(1.0))), n=size)
    theta = torch.fft.rfft(torch.exp(-(primitive - primitive.amin(-1, keepdim=True)) / (2 * nu)))
    theta = theta[:, None] * torch.exp(-nu * k**2 * times[:, None])
    return -2 * nu * torch.fft.irfft(1j * odd * theta, n=size) / torch.fft.irfft(theta, n=size)


@dataclass(frozen=True)
class Burgers(Evolution):
    """Viscous Burgers equation with Gaussian initial values.

    The initial value is ``sum_k s_k (xi_k sqrt2 cos + eta_k sqrt2 sin)(2 pi k x)``, ``k >= 1``, with
    ``s_k = 49 ((2 pi k)^2 + 49)^(-5/4)``.

    Parameters
    ----------
    size
        Number of points.
    frames, duration
        Frames, the first included, and time of the last.
    viscosity
        ``nu``.
    substeps
        Steps between two frames.
    """

    size: int = 128
    frames: int = 128
    duration: float = 1.0
    viscosity: float = 0.01
    substeps: int = 2

    name = "burgers"
    title = "Viscous Burgers equation, periodic line"
    fields = (Field("u0", "initial velocity", _SPEED, given=True), Field("u", "velocity", _SPEED))
    parameters = {"nu": Unit(length=2, time=-1)}  # noqa: RUF012
    terms = (
        Term("d_t u", {"u": 1}, time=1),
        Term("d_x (u^2 / 2)", {"u": 2}, space=1),
        Term("nu d_xx u", {"nu": 1, "u": 1}, space=2),
    )
    order = math.inf
    truth_error = 2e-6

    def __post_init__(self) -> None:
        if not self.viscosity > 0:
            raise ConfigError(f"viscosity is {self.viscosity}; expected a positive number, or take BurgersInviscid")

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames and points."""
        return (self.frames, self.size)

    @property
    def cell(self) -> float:
        """Interval of x times interval of t."""
        return self.interval / self.size

    @property
    def x(self) -> Tensor:
        """Points."""
        return torch.arange(self.size, dtype=torch.float64) / self.size

    def draw(self, noise: Source) -> State:
        """Draw initial values: the same waves on every grid."""
        most = (self.size - 1) // 3
        k = torch.arange(1, most + 1, dtype=torch.float64)
        size = 49 * ((2 * math.pi * k) ** 2 + 49) ** -1.25
        xi, eta = (noise.normal((most,), step=0, stream=name) for name in ("cos", "sin"))
        modes = torch.zeros(len(noise), self.size // 2 + 1, dtype=torch.complex128)
        modes[:, 1 : most + 1] = size * torch.complex(xi, -eta) / math.sqrt(2)
        return {"u0": torch.fft.irfft(modes, n=self.size, norm="forward")}

    @cached_property
    def _step(self) -> Etdrk4:
        number = torch.arange(self.size // 2 + 1, dtype=torch.float64)
        k, kept = 2 * math.pi * number, number <= (self.size - 1) // 3

        def flux(c: Tensor) -> Tensor:
            u = torch.fft.irfft(c * kept, n=self.size)
            return -0.5j * k * kept * torch.fft.rfft(u**2)

        return Etdrk4(-self.viscosity * k**2, flux, self.interval / self.substeps)

    def initial(self, inputs: State) -> Tensor:
        """The drawn one."""
        return inputs["u0"]

    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """ETDRK4."""
        return torch.fft.irfft(self._step.run(torch.fft.rfft(u), self.substeps), n=self.size)

    def reference(self, inputs: State) -> State:
        """Cole-Hopf."""
        return {**inputs, "u": cole_hopf(inputs["u0"], self.viscosity, self.times)}

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Mean velocity."""
        return {"momentum": self.drift(state["u"].mean(-1), self.scale(state))}
