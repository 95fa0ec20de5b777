"""Orders of convergence on Target A, against a fine solution of its probability flow.

The order is the slope of the error between two step counts, ``log(e_1 / e_2) / log(n_2 / n_1)``. Medians over starting
points are compared, since means are ruled by the few that pass near a separatrix. On the logarithmic grid from a ratio
of 40 down to 0.01, 500 Runge-Kutta steps are exact to 1e-8, far below the errors measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from torch import Tensor

from scidiff.process import Schedule
from scidiff.random import Noise
from scidiff.sample import Table, ddim, deis, dpmpp_2m, dpmpp_3m, exponential_adams, heun, log_snr_grid, unipc
from scidiff.testing_targets.gaussian import VE, flow, follow, target_a

__all__ = ["SOLVERS", "Solver", "copied_3m", "log_grid", "median_error", "reference", "slope", "starts"]

Solver = Callable[[Schedule, Tensor], Table]

SOLVERS: dict[str, tuple[Solver, int]] = {
    "ddim": (ddim, 1),
    "q1": (lambda s, g: exponential_adams(s, g, order=1), 1),
    "q2": (lambda s, g: exponential_adams(s, g, order=2), 2),
    "q3": (lambda s, g: exponential_adams(s, g, order=3), 3),
    "q1 + c": (lambda s, g: unipc(s, g, order=1), 2),
    "q2 + c": (lambda s, g: unipc(s, g, order=2), 3),
    "2M": (dpmpp_2m, 2),
    "3M": (dpmpp_3m, 3),
    "DEIS q2": (lambda s, g: deis(s, g, order=2), 2),
    "DEIS q3": (deis, 3),
    "Heun": (heun, 2),
}
"""Deterministic solvers and the orders that they declare; qk has k history terms, + c a corrector."""


@cache
def starts() -> Tensor:
    """Sixty states at a noise-to-signal ratio of 40, shape ``(60, 4)``."""
    return 40 * Noise.range(1, 60).normal((4,), step=0, stream="x")


@cache
def reference() -> Tensor:
    """Ends of the flow of `starts` at a ratio of 0.01."""
    return flow(target_a(), starts(), -math.log(40), -math.log(0.01), 500)


def log_grid(steps: int) -> Tensor:
    """Grid from a ratio of 40 to 0.01 with equal intervals of the log signal-to-noise ratio."""
    return log_snr_grid(VE, steps, floor=0.01, to_zero=False)


def median_error(solver: Solver, grid: Tensor) -> float:
    """Median distance to `reference` after a run of a solver on a grid of the schedule `VE`."""
    end = follow(solver(VE, grid), target_a().denoiser, VE, starts()).x
    return float((end - reference()).norm(dim=1).median())


def slope(coarse: float, fine: float, factor: float) -> float:
    """Order that two errors show, where the second one was made with `factor` times as many steps."""
    return math.log(coarse / fine) / math.log(factor)


def copied_3m(schedule: Schedule, grid: Tensor) -> Table:
    """DPM-Solver++(3M) as widely copied code has it: half the second difference, ``-phi_3`` for ``-2 phi_3``.

    Its order is 2. The grid must have equal intervals of `lam`, where that difference is
    ``(m_i - 2 m_(i-1) + m_(i-2)) / 2``.

    Parameters
    ----------
    schedule, grid
        As for `scidiff.sample.dpmpp_3m`.

    Returns
    -------
    Table
        ``consistent(2)``.
    """
    table = dpmpp_3m(schedule, grid)
    lam = schedule.lam(grid[:2])
    h = float(lam[1] - lam[0])
    phi_3 = (1 - (1 - math.exp(-h)) / h) / h - 0.5
    b = table.b.copy()
    b[2:] += table.alpha[3:, None] * phi_3 / 2 * np.array([1.0, -2.0, 1.0])
    return replace(table, name="3M with half its second difference", b=b, order=2, label="consistent(2)")
