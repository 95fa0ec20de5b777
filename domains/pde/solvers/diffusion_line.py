"""Implicit finite volumes for ``d_t u = d_xx Phi(u)`` on an interval, with Phi not decreasing.

Cells have width h, and the flux between two of them is ``(Phi(u_i) - Phi(u_{i+1})) / h``; at an end with the value g
only half a cell is left, ``2 (Phi(g) - Phi(u_0)) / h``, and a closed end lets nothing through. A step of length dt
solves

    u' - u = dt (theta D(u', t') + (1 - theta) D(u, t)),      D_i = (F_i - F_{i+1}) / h

which is conservative for every theta. With ``theta = 1`` the matrix ``1 - dt D'`` has no positive entry beside its
diagonal, so that u stays positive however strongly Phi degenerates; ``theta = 1/2`` is of second order in time. The
equation is solved by Newton's method, semismooth where Phi has kinks, one tridiagonal system for each iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_banded
from torch import Tensor

from scidiff.errors import NumericalError

__all__ = ["DiffusionLine"]

_ITERATIONS = 60
_ROUND = 1e-15


@dataclass(frozen=True, eq=False)
class DiffusionLine:
    """The scheme of one batch.

    Parameters
    ----------
    potential, slope
        Phi and its derivative, on tensors ``(batch, ..., cells)``.
    left, right
        Values of Phi at the ends as functions of times ``(frames,)``, shape ``(batch, frames)``; None is a closed end.
    width
        Width of a cell.
    theta
        1 for the implicit Euler method, 1/2 for the trapezoidal one.
    """

    potential: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    left: Callable[[Tensor], Tensor] | None
    right: Callable[[Tensor], Tensor] | None
    width: float
    theta: float = 1.0

    def fluxes(self, u: Tensor, times: Tensor) -> Tensor:
        """Flux towards larger x through all faces, ``(batch, frames, cells)`` to ``(batch, frames, cells + 1)``."""
        phi = self.potential(u)
        first, last = torch.zeros_like(phi[..., :1]), torch.zeros_like(phi[..., :1])
        if self.left is not None:
            first = 2 * (self.left(times)[..., None] - phi[..., :1])
        if self.right is not None:
            last = 2 * (phi[..., -1:] - self.right(times)[..., None])
        return torch.cat([first, -torch.diff(phi, dim=-1), last], -1) / self.width

    def mean_fluxes(self, u: Tensor, times: Tensor) -> Tensor:
        """Fluxes of each step, ``theta`` of the later frame and the rest of the earlier one."""
        flux = self.fluxes(u, times)
        return self.theta * flux[:, 1:] + (1 - self.theta) * flux[:, :-1]

    def defect(self, u: Tensor, times: Tensor) -> Tensor:
        """``u' - u`` less what flowed in, for each step, shape ``(batch, frames - 1, cells)``."""
        dt = torch.diff(times)[:, None]
        return torch.diff(u, dim=1) + dt * torch.diff(self.mean_fluxes(u, times), dim=-1) / self.width

    def step(self, u: Tensor, times: Tensor) -> Tensor:
        """Frame at ``times[1]`` from the frame ``(batch, cells)`` at ``times[0]``.

        Raises
        ------
        NumericalError
            If Newton's method does not converge.
        """
        dt, new, rest = float(times[1] - times[0]), u.clone(), u
        for _ in range(_ITERATIONS):
            rest = self.defect(torch.stack([u, new], 1), times)[:, 0]
            # round-off of the largest terms that the defect adds up
            terms = new.abs().amax(1) + 4 * dt / self.width**2 * self.potential(new).abs().amax(1)
            if bool((rest.abs().amax(1) <= _ROUND * terms).all()):
                return new
            new = new - self._newton(new, rest, dt)
        row = int(rest.abs().amax(1).argmax())
        raise NumericalError(
            f"Newton's method left a defect of {float(rest.abs().max()):.3g} in sample {row} at t = "
            f"{float(times[1]):.4g}; take more frames"
        )

    def _newton(self, u: Tensor, rest: Tensor, dt: float) -> Tensor:
        slope = self.slope(u).numpy() * self.theta * dt / self.width**2
        count = slope.shape[-1]
        weight = np.full(count, 2.0)
        weight[0] = 1.0 + 2.0 * (self.left is not None)
        weight[-1] = 1.0 + 2.0 * (self.right is not None)
        out = np.empty_like(slope)
        for row, (s, r) in enumerate(zip(slope, rest.numpy(), strict=True)):
            bands = np.zeros((3, count))
            bands[0, 1:], bands[1], bands[2, :-1] = -s[1:], 1 + weight * s, -s[:-1]
            out[row] = solve_banded((1, 1), bands, r)
        return torch.from_numpy(out)
