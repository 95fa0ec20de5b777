"""Families of solutions with a conditioned law in closed form, or by quadrature: heat and inviscid Burgers.

Fields are ``(1, x, t)`` on ``N x N`` points. What is fixed leaves one number of the family open:

    heat       u = sin(x + phi) exp(-nu t),  x in [0, 2 pi),  nu ~ U(1, 5),  phi ~ U(0, pi)
               fixed: the initial slice, hence phi, and the mass 0 of every frame; open: nu
    Burgers    u_t + (u^2 / 2)_x = 0 by Godunov's method at CFL 1 on [0, 1], u(x, 0) = 1 / (1 + exp((x - p) / 0.02)),
               p ~ U(0.2, 0.8), left value g ~ U(0, 1) for t > 0, outflow on the right
               fixed: the initial slice, hence p, and the mass balance of the scheme; open: g

The balance of Burgers is the scheme's own telescoped flux: with ``M_n = dx sum_(i >= 1) u_i^n``,

    M_(n+1) - M_n = dt (F(u_0^n, u_1^n) - F(u_(N-1)^n, u_(N-1)^n)),    F(a, b) = max(max(a, 0)^2, min(b, 0)^2) / 2

holds for every solution to round-off, and is no affine function of the field. The settings are those of PCFM [1]_ on a
subsampled grid.

References
----------
.. [1] U. Utkarsh et al., "Physics-constrained flow matching", arXiv:2506.04171, sections on heat and Burgers
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.random import Noise

from .base import Affine, Constraint, Joint, Nonlinear
from .operators import Stack, initial_slice, means

__all__ = ["BurgersFamily", "Family", "HeatFamily", "godunov_flux"]

_NODES = 512


@dataclass(frozen=True)
class Family(ABC):
    """A family of space-time fields.

    Parameters
    ----------
    size
        Points in space and in time, ``N``.
    """

    size: int = 50
    name: ClassVar[str]
    periodic: ClassVar[bool]

    @property
    def event(self) -> tuple[int, int, int]:
        """Shape of a field."""
        return 1, self.size, self.size

    @abstractmethod
    def solve(self, fixed: Tensor, open_: Tensor) -> Tensor:
        """Solutions for the fixed and the open number, both ``(count,)`` in (0, 1); shape ``(count, *event)``."""

    @abstractmethod
    def constraint(self, fixed: Tensor) -> Constraint:
        """What is fixed, for a batch of numbers ``(count,)``."""

    @abstractmethod
    def initial(self, fixed: Tensor) -> Constraint:
        """The initial slice alone."""

    @abstractmethod
    def inner(self, v: Tensor) -> Tensor:
        """Metric of the polish: the sites that the last small change may touch."""

    def draw(self, count: int, seed: int) -> Tensor:
        """Draw solutions.

        Parameters
        ----------
        count
            Number of fields.
        seed
            Seed of the draw.
        """
        u = Noise.range(seed, count).uniform((2,), step=0, stream=self.name)
        return self.solve(u[:, 0], u[:, 1])

    def truth(self, fixed: float) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the conditioned law, by midpoints of the open number; shapes ``event``."""
        middles = (torch.arange(_NODES, dtype=torch.float64) + 0.5) / _NODES
        fields = self.solve(torch.full_like(middles, fixed), middles)
        return fields.mean(0), fields.std(0, correction=0)


@dataclass(frozen=True)
class HeatFamily(Family):
    """Decaying waves, in closed form."""

    name: ClassVar[str] = "heat"
    periodic: ClassVar[bool] = True

    def solve(self, fixed: Tensor, open_: Tensor) -> Tensor:
        """Evaluate the closed form."""
        x = 2 * math.pi * torch.arange(self.size, dtype=torch.float64) / self.size
        t = torch.linspace(0, 1, self.size, dtype=torch.float64)
        phi, nu = (part.double().reshape(-1, 1, 1, 1) for part in (math.pi * fixed, 1 + 4 * open_))
        return (x.unsqueeze(1) + phi).sin() * (-nu * t).exp()

    def constraint(self, fixed: Tensor) -> Constraint:
        """Initial slice, and the mean of every frame."""
        operator = Stack([initial_slice(self.event), means(self.event, (0, 1))])
        slices = self.solve(fixed, torch.zeros_like(fixed))[..., 0].flatten(1)
        return Affine(operator, torch.cat([slices, torch.zeros(len(slices), self.size)], 1))

    def inner(self, v: Tensor) -> Tensor:
        """All sites: the least change."""
        return v

    def initial(self, fixed: Tensor) -> Constraint:
        """Initial slice."""
        return Affine(initial_slice(self.event), self.solve(fixed, torch.zeros_like(fixed))[..., 0].flatten(1))


@dataclass(frozen=True)
class BurgersFamily(Family):
    """Fronts that a wave from the left may catch, by Godunov's method."""

    name: ClassVar[str] = "burgers"
    periodic: ClassVar[bool] = False

    def solve(self, fixed: Tensor, open_: Tensor) -> Tensor:
        """Advance cell means; the first one holds the left value."""
        start, value = self._start(fixed), open_.double().unsqueeze(1)
        frames = [start]
        for _ in range(self.size - 1):
            u = frames[-1]
            flux = godunov_flux(u, torch.cat([u[:, 1:], u[:, -1:]], 1))
            frames.append(torch.cat([value, u[:, 1:] - flux.diff(dim=1)], 1))
        return torch.stack(frames, -1).unsqueeze(1)

    def constraint(self, fixed: Tensor) -> Constraint:
        """Initial slice, and the mass balance of every step."""
        return Joint([self.initial(fixed), Nonlinear(self.balance, self.event, self.size - 1)])

    def initial(self, fixed: Tensor) -> Constraint:
        """Initial slice."""
        return Affine(initial_slice(self.event), self._start(fixed))

    def inner(self, v: Tensor) -> Tensor:
        """All sites but those at the ends after the start: their fluxes are constants then, and one step is exact."""
        kept = torch.ones(self.size, self.size, dtype=v.dtype, device=v.device)
        kept[[0, 1, -1], 1:] = 0.0
        return v * kept

    def balance(self, u: Tensor) -> Tensor:
        """Defect of the mass balance of every step, in units of one cell's mass, shape ``(batch, N - 1)``."""
        u = u[:, 0]
        gained = u[:, 1:].sum(1).diff(dim=1)
        inflow, outflow = godunov_flux(u[:, 0], u[:, 1]), godunov_flux(u[:, -1], u[:, -1])
        return gained - (inflow - outflow)[:, :-1]

    def _start(self, fixed: Tensor) -> Tensor:
        x = torch.linspace(0, 1, self.size, dtype=torch.float64)
        return torch.sigmoid(-(x - (0.2 + 0.6 * fixed.double().unsqueeze(1))) / 0.02)


def godunov_flux(left: Tensor, right: Tensor) -> Tensor:
    """Flux of ``u^2 / 2`` between two states, by the exact solution of their Riemann problem."""
    return 0.5 * torch.maximum(left.clamp_min(0) ** 2, right.clamp_max(0) ** 2)
