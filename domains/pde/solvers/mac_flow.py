"""Incompressible Navier-Stokes flow around obstacles on a staggered grid, second order in space and time.

    d_t w + div(w w) = -grad p + nu lap w + f,      div w = 0,      w = 0 on solid bodies

Momentum fluxes are products of averages in cells and at corners [1]_, which conserve kinetic energy where the flow has
no divergence. Tangential velocities vanish at the wall, half a cell away from their face, through a mirrored ghost
value. Time steps are Adams-Bashforth of second order; each ends with the projection, so that every state is without
divergence to round-off. The mean flow along each axis that the obstacles leave open is held at its first value by a
uniform force, which enters as the harmonic flow of that axis.

References
----------
.. [1] F. Harlow and J. Welch, "Numerical calculation of time-dependent viscous incompressible flow of fluid with free
   surface", Physics of Fluids 8, 2182 (1965), doi:10.1063/1.1761178
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scidiff.errors import ConfigError, NumericalError

from ..grids import MacGrid, shift
from ..leray import MacLeray, leray

__all__ = ["MacFlow"]

_COURANT = 0.6
_DIFFUSION = 0.2


@dataclass(frozen=True, eq=False)
class MacFlow:
    """Time stepping of one geometry; states are arrays ``w`` of shape ``(batch, 2, nx, ny)``.

    Parameters
    ----------
    grid
        Staggered grid.
    viscosity
        Kinematic viscosity, positive, unit length^2 / time.
    """

    grid: MacGrid
    viscosity: float

    def __post_init__(self) -> None:
        if not self.viscosity > 0:
            raise ConfigError(f"viscosity is {self.viscosity}; expected a positive number")

    @cached_property
    def _leray(self) -> MacLeray:
        return leray(self.grid)

    @cached_property
    def _once(self) -> MacLeray:
        """The projection with one solve, enough inside a step; it shares the factor."""
        once = MacLeray(self.grid, rounds=1)
        for name in ("_unknown", "_free", "_divergence", "_gradient", "_factor"):
            once.__dict__[name] = getattr(self._leray, name)
        return once

    @cached_property
    def _mirrors(self) -> np.ndarray:
        """Weight of the ghost term: for each face and tangential side beyond which both cells are solid, 1 / h^2."""
        out = np.zeros((2, *self.grid.shape))
        for axis in (0, 1):
            solid, across = self.grid.obstacles, 1 - axis
            inside = solid & shift(solid, -1, axis)
            for side in (-1, 1):
                out[axis] += shift(inside, side, across) / self.grid.spacing[across] ** 2
        return out * self.grid.free

    def force(self, w: np.ndarray) -> np.ndarray:
        """``nu lap w - div(w w)`` on free faces, 0 on the others."""
        hx, hy = self.grid.spacing
        around = np.pad(w, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")
        centre, size = slice(1, -1), w.shape[-2:]

        def at(i: int, j: int) -> np.ndarray:
            return around[..., 1 + i : 1 + i + size[0], 1 + j : 1 + j + size[1]]

        out = self.viscosity * (
            (at(1, 0) + at(-1, 0)) / hx**2
            + (at(0, 1) + at(0, -1)) / hy**2
            - (2 / hx**2 + 2 / hy**2 + self._mirrors) * w
        )
        u, v = around[:, 0], around[:, 1]
        uu = (0.5 * (u[:, :-1, centre] + u[:, 1:, centre])) ** 2
        vv = (0.5 * (v[:, centre, :-1] + v[:, centre, 1:])) ** 2
        uv = 0.25 * (u[:, 1:, 1:] + u[:, 1:, :-1]) * (v[:, 1:, 1:] + v[:, :-1, 1:])
        out[:, 0] -= (uu[:, 1:] - uu[:, :-1]) / hx + (uv[:, :-1, 1:] - uv[:, :-1, :-1]) / hy
        out[:, 1] -= (uv[:, 1:, :-1] - uv[:, :-1, :-1]) / hx + (vv[..., 1:] - vv[..., :-1]) / hy
        return out * self.grid.free

    @cached_property
    def _drive(self) -> np.ndarray:
        """Harmonic flow of unit mean along each open axis, shape ``(axes, 2, nx, ny)``, and their axes."""
        uniform = np.zeros((2, 2, *self.grid.shape))
        uniform[0, 0], uniform[1, 1] = 1.0, 1.0
        flows = self._leray._apply(uniform, None)
        open_axes = [axis for axis in (0, 1) if flows[axis, axis].mean() > 1e-9]
        if not open_axes:
            return np.zeros((0, 2, *self.grid.shape))
        gram = np.array([[flows[a, b].mean() for b in open_axes] for a in open_axes])
        return np.einsum("ab,bcij->acij", np.linalg.inv(gram), flows[open_axes])

    @cached_property
    def _open(self) -> list[int]:
        means = self._drive.mean((-2, -1))
        return [int(row.argmax()) for row in means]

    def project(self, w: np.ndarray, mean: np.ndarray, exact: bool = True) -> np.ndarray:
        """Nearest flow without divergence whose mean along open axes is `mean`, shape ``(batch, 2)``."""
        w = (self._leray if exact else self._once)._apply(w, None)
        lack = (mean - w.mean((-2, -1)))[:, self._open]
        return w + np.einsum("ba,acij->bcij", lack, self._drive)

    def time_step(self, w: np.ndarray) -> float:
        """Stable step for the speeds of a state, unit time."""
        h = np.array(self.grid.spacing)
        speed = float((abs(w) / h[:, None, None]).sum(1).max())
        return min(_COURANT / max(speed, 1e-300), _DIFFUSION / (self.viscosity * float((1 / h**2).sum())))

    def run(self, w: np.ndarray, duration: float, steps: int | None = None) -> np.ndarray:
        """State after `duration`.

        Parameters
        ----------
        w
            Flow without divergence, shape ``(batch, 2, nx, ny)``.
        duration
            Time, positive.
        steps
            Number of steps; by default what is stable, chosen anew every 8 steps.

        Returns
        -------
        ndarray
            The flow, without divergence to round-off.

        Raises
        ------
        NumericalError
            If the flow left the range of numbers: the steps were too large.
        """
        mean, left, before, last = w.mean((-2, -1)), duration, None, 0.0
        dt, count = (duration / steps if steps else self.time_step(w)), 0
        while left > 1e-12 * duration:
            if steps is None and count % 8 == 0:
                dt = self.time_step(w)
            dt = left / np.ceil(left / dt - 1e-9)
            now = self.force(w)
            ratio = 0.0 if before is None else 0.5 * dt / last
            change = now if before is None else (1 + ratio) * now - ratio * before
            left, count = left - dt, count + 1
            w = self.project(w + dt * change, mean, exact=left <= 1e-12 * duration)
            before, last = now, dt
            if not np.isfinite(w[:, 0, 0, 0]).all():
                raise NumericalError(f"the flow diverged at step {count} of length {dt:.3g}; take more steps")
        return w
