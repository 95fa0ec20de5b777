"""A table under construction: the levels of a schedule on a grid, and empty rows to fill.

With ``h_i = lam_(i+1) - lam_i`` the factor ``decay_i = exp(-h_i) = sigma_(i+1) alpha_i / (sigma_i alpha_(i+1))`` is 0,
and not undefined, where a step leads into ``sigma = 0`` or out of ``alpha = 0``.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.table import Table
from scidiff.sample.grids import check_grid

__all__ = ["Draft"]


class Draft:
    """Levels at the nodes, and rows of zeros.

    Parameters
    ----------
    schedule
        Noise schedule.
    grid
        Times that only fall, or only rise.
    depth
        Number of evaluations that a row may combine.

    Raises
    ------
    ConfigError
        If a time is repeated, or if the grid begins without noise: the state at ``t = 0`` holds no noise to follow.
    """

    def __init__(self, schedule: Schedule, grid: Tensor, depth: int) -> None:
        check_grid(grid)
        if bool((grid.diff() == 0).any()):
            raise ConfigError(
                f"grid {grid.tolist()} repeats a time; a solver adds the repeated times of its stages itself"
            )
        if grid[0] == 0:
            raise ConfigError(
                "the grid begins at t = 0, where a state holds no noise to follow; begin at a small t > 0"
            )
        self.nodes = grid.numpy()
        self.alpha, self.sigma = schedule.alpha(grid).numpy(), schedule.sigma(grid).numpy()
        self.lam = schedule.lam(grid).numpy()
        self.steps = len(self.nodes) - 1
        self.a, self.b = np.zeros((2, self.steps, depth))
        self.c, self.spread = np.zeros((2, self.steps))

    @property
    def falls(self) -> bool:
        """Whether time falls: noise is removed."""
        return bool(self.nodes[-1] < self.nodes[0])

    def require_falling(self, method: str) -> None:
        """Raise `ConfigError` if time rises."""
        if not self.falls:
            raise ConfigError(
                f"{method} draws noise and needs a grid that falls; use eta = 0 forward, or process.renoise"
            )

    def h(self, i: int) -> float:
        """Step ``lam_(i+1) - lam_i``; infinite at the ends of a clock."""
        return float(self.lam[i + 1] - self.lam[i])

    def decay(self, i: int) -> float:
        """Factor ``exp(-h_i)``."""
        if self.alpha[i] == 0 or self.sigma[i + 1] == 0:
            return 0.0
        return float(np.exp(-self.h(i)))

    def damp(self, i: int, eta: float) -> None:
        """Write the state coefficient and the noise of the reverse equation of strength `eta` into row `i`.

        ``a = (sigma_(i+1) / sigma_i) exp(-eta h)`` and ``c = sigma_(i+1) sqrt(1 - exp(-2 eta h))``.
        """
        keep = self.decay(i) ** eta
        self.a[i, 0] = self.sigma[i + 1] / self.sigma[i] * keep
        self.c[i] = self.sigma[i + 1] * np.sqrt(max(0.0, 1 - keep**2))

    def table(self, name: str, order: int, citation: str) -> Table:
        """Close the draft; the table checks itself."""
        return Table(
            name=name,
            nodes=self.nodes,
            alpha=self.alpha,
            sigma=self.sigma,
            a=self.a,
            b=self.b,
            c=self.c,
            spread=self.spread,
            order=order,
            label=f"consistent({order})",
            citation=citation,
        )
