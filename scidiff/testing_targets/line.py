"""Law of a noisy two-step solver on the line, by quadrature: weak orders without Monte-Carlo noise.

Given the pair before, the next state of a table of depth two is Gaussian with a mean that is linear in the predictions
at both points. The law of ``(x_(i+1), x_i)`` is propagated on a grid of points; the trapezoidal rule converges faster
than any power for such kernels, and the cut tails hold less than 1e-6 of the mass.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise import GaussianMixture
from scidiff.process import Schedule, VESchedule
from scidiff.sample import Table

__all__ = ["BIMODAL", "SCHEDULE", "final_law", "observable_errors"]

SCHEDULE = VESchedule(0.01, 50.0)
BIMODAL = GaussianMixture(SCHEDULE, torch.tensor([0.3, 0.7]), torch.tensor([[-1.5], [1.0]]), torch.tensor([0.25, 0.16]))
POINTS = np.linspace(-8.5, 8.5, 201)
WIDTH = POINTS[1] - POINTS[0]
TOP, LOW = 1.5, 0.6


def _at_points(function: Callable[[Tensor, float], Tensor], t: float) -> np.ndarray:
    return function(torch.from_numpy(POINTS).unsqueeze(1), t).flatten().numpy()


def _kernel(mean: np.ndarray, std: float) -> np.ndarray:
    """Probability of each point given each mean, shape ``(points, means)``."""
    return np.exp(-0.5 * ((POINTS[:, None] - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi)) * WIDTH


def final_law(table: Table) -> np.ndarray:
    """Propagate the law of the bimodal data through a table.

    Parameters
    ----------
    table
        Noisy solver of depth one or two on the schedule `SCHEDULE`.

    Returns
    -------
    numpy.ndarray
        Masses at the points after the last step, from the exact law at the first node.
    """
    law = np.exp(_at_points(BIMODAL.log_density, float(table.nodes[0]))) * WIDTH
    joint, before = law[:, None], np.zeros(1)
    for i in range(table.steps):
        m = _at_points(BIMODAL, float(table.nodes[i]))
        drift = table.a[i, 0] * POINTS + table.b[i, 0] * m
        if table.depth == 1 or table.b[i, 1] == 0:
            joint = _kernel(drift, table.c[i]) * joint.sum(1)
        else:
            rows = [_kernel(drift[k] + table.b[i, 1] * before, table.c[i]) @ joint[k] for k in range(len(POINTS))]
            joint = np.stack(rows, axis=1)
        before = m
    return joint.sum(1)


def observable_errors(solver: Callable[[Schedule, Tensor], Table], steps: int) -> np.ndarray:
    """Errors of the mean, of the second moment and of the mean of ``cos 2x`` after a run from 1.5 to 0.6.

    Parameters
    ----------
    solver
        Makes the table.
    steps
        Number of steps, equal in the log signal-to-noise ratio.

    Returns
    -------
    numpy.ndarray
        Shape ``(3,)``.
    """
    grid = SCHEDULE.t(torch.linspace(-math.log(TOP), -math.log(LOW), steps + 1, dtype=torch.float64))
    exact = np.exp(_at_points(BIMODAL.log_density, float(grid[-1]))) * WIDTH
    gap = final_law(solver(SCHEDULE, grid)) - exact
    return np.array([gap @ POINTS, gap @ POINTS**2, gap @ np.cos(2 * POINTS)])
