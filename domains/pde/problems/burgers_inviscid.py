"""Inviscid Burgers equation: ``d_t u + d_x (u^2 / 2) = 0`` on ``[0, 1]`` with inflow on the left, outflow on the right.

Godunov's scheme [1]_ with cells of width h around the points ``i h`` and steps ``dt = h``, which is the limit of
stability for speeds up to 1:

    u_i' = u_i - (dt / h) (F(u_i, u_{i+1}) - F(u_{i-1}, u_i)),      F(a, b) = max(max(a, 0)^2, min(b, 0)^2) / 2

It is conservative: the content of the interval changes by what flows through its ends, which the scheme keeps to
round-off. It is of first order, and a shock is one or two cells wide. The independent check is the entropy solution by
the formula of Lax and Oleinik [2]_: ``u = (x - y*) / t`` where ``y*`` minimises ``int_0^y u_0 + (x - y)^2 / (2 t)``;
the inflow enters as the constant ``u_0`` on the left of the interval.

References
----------
.. [1] S. Godunov, Matematicheskii Sbornik 47, 271 (1959)
.. [2] L. Evans, "Partial Differential Equations", AMS 2010, section 3.4.2
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.random import Source

from ..contract import Field, State
from ..evolution import Evolution
from ..units import ONE, Term, Unit

__all__ = ["BurgersInviscid", "godunov_flux"]

_SPEED = Unit(length=1, time=-1)
_WIDTH = 0.02
_FINE = 16


def godunov_flux(a: Tensor, b: Tensor) -> Tensor:
    """Flux at the origin of the Riemann problem between `a` on the left and `b` on the right."""
    return 0.5 * torch.maximum(a.clamp_min(0) ** 2, b.clamp_max(0) ** 2)


@dataclass(frozen=True)
class BurgersInviscid(Evolution):
    """A front ``1 / (1 + exp((x - p) / 0.02))``, ``p ~ U(0.2, 0.8)``, with inflow value ``U(0, 1)``.

    Parameters
    ----------
    size
        Number of points; there are as many frames, up to time 1.
    """

    size: int = 101

    name = "burgers_inviscid"
    title = "Inviscid Burgers equation, inflow and outflow"
    fields = (
        Field("front", "place of the front", ONE, given=True),
        Field("inflow", "inflow velocity", _SPEED, given=True),
        Field("u", "velocity", _SPEED),
    )
    terms = (Term("d_t u", {"u": 1}, time=1), Term("d_x (u^2 / 2)", {"u": 2}, space=1))
    order = 1.0
    truth_error = 0.08
    boundary = "given inflow on the left, free outflow on the right"
    duration = 1.0

    @property
    def frames(self) -> int:
        """As many as points."""
        return self.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames and points."""
        return (self.size, self.size)

    @property
    def cell(self) -> float:
        """Interval of x times interval of t."""
        return self.interval**2

    def draw(self, noise: Source) -> State:
        """Draw front and inflow."""
        front, inflow = (noise.uniform((), step=0, stream=name) for name in ("front", "inflow"))
        return {"front": 0.2 + 0.6 * front, "inflow": inflow}

    @property
    def x(self) -> Tensor:
        """Points."""
        return torch.linspace(0, 1, self.size, dtype=torch.float64)

    def initial(self, inputs: State) -> Tensor:
        """The front."""
        return torch.sigmoid((inputs["front"][:, None] - self.x) / _WIDTH)

    def _fluxes(self, u: Tensor, inputs: State) -> Tensor:
        left = inputs["inflow"][:, None, None].expand(*u.shape[:2], 1)
        padded = torch.cat([left, u, u[..., -1:]], -1)
        return godunov_flux(padded[..., :-1], padded[..., 1:])

    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """One step."""
        return u - torch.diff(self._fluxes(u, inputs), dim=-1)

    def reference(self, inputs: State) -> State:
        """Lax-Oleinik on a grid 16 times finer."""
        h = self.interval / _FINE
        edge = -self.interval / 2
        left = edge - h * torch.arange(int(1.2 / h), 0, -1, dtype=torch.float64)
        y = torch.cat([left, edge + h * torch.arange(int(1.2 / h), dtype=torch.float64)])
        start = torch.sigmoid((inputs["front"][:, None] - y) / _WIDTH)
        u0 = torch.where(y < edge, inputs["inflow"][:, None], start)
        potential = torch.cumsum(u0, 1) * h - 0.5 * h * u0
        frames = [self.initial(inputs)]
        for t in self.times[1:]:
            cost = potential[:, None] + (self.x[:, None] - y) ** 2 / (2 * t)
            best = cost.argmin(-1)
            slope = (self.x - y[best]) / t
            near = torch.stack([u0.gather(1, (best + by).clamp(0, len(y) - 1)) for by in (-1, 0, 1)])
            frames.append(slope.clamp(near.amin(0), near.amax(0)))
        return {**inputs, "u": torch.stack(frames, 1)}

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Content of the interval against what flowed through its ends."""
        u = state["u"]
        flux = self._fluxes(u, state)[:, :-1]
        through = torch.cumsum(flux[..., 0] - flux[..., -1], 1)
        content = u.sum(-1)
        gap = (content[:, 1:] - content[:, :1] - through).abs().max(1).values
        return {"mass": gap / content.abs().max(1).values}
