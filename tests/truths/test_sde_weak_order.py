"""Weak order of the noisy multistep solvers on data that are not Gaussian, without Monte-Carlo noise.

The law of ``(x_(i+1), x_i)`` is propagated on a grid: given the pair before, the next state is Gaussian with a mean
that is linear in the predictions at both points. The trapezoidal rule converges faster than any power for such kernels;
the cut tails hold less than 1e-6 of the mass.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scidiff.denoise import GaussianMixture
from scidiff.process import VESchedule
from scidiff.sample import Table, ancestral, dpmpp_2m_sde, exponential_adams

SCHEDULE = VESchedule(0.01, 50.0)
MIXTURE = GaussianMixture(SCHEDULE, torch.tensor([0.3, 0.7]), torch.tensor([[-1.5], [1.0]]), torch.tensor([0.25, 0.16]))
POINTS = np.linspace(-8.5, 8.5, 201)
WIDTH = POINTS[1] - POINTS[0]
TOP, LOW = 1.5, 0.6


def at_points(function, t: float) -> np.ndarray:
    return function(torch.from_numpy(POINTS).unsqueeze(1), t).flatten().numpy()


def kernel(mean: np.ndarray, std: float) -> np.ndarray:
    """Probability of each point given each mean, shape ``(points, means)``."""
    return np.exp(-0.5 * ((POINTS[:, None] - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi)) * WIDTH


def final_law(table: Table) -> np.ndarray:
    """Masses at the points after the last step, from the exact law at the first node."""
    law = np.exp(at_points(MIXTURE.log_density, float(table.nodes[0]))) * WIDTH
    joint, before = law[:, None], np.zeros(1)
    for i in range(table.steps):
        m = at_points(MIXTURE, float(table.nodes[i]))
        drift = table.a[i, 0] * POINTS + table.b[i, 0] * m
        if table.depth == 1 or table.b[i, 1] == 0:
            joint = kernel(drift, table.c[i]) * joint.sum(1)
        else:
            rows = [kernel(drift[k] + table.b[i, 1] * before, table.c[i]) @ joint[k] for k in range(len(POINTS))]
            joint = np.stack(rows, axis=1)
        before = m
    return joint.sum(1)


def errors(solver, steps: int) -> np.ndarray:
    """Errors of the mean, the second moment and a bounded observable."""
    grid = SCHEDULE.t(torch.linspace(-math.log(TOP), -math.log(LOW), steps + 1, dtype=torch.float64))
    exact = np.exp(at_points(MIXTURE.log_density, float(grid[-1]))) * WIDTH
    gap = final_law(solver(SCHEDULE, grid)) - exact
    return np.array([gap @ POINTS, gap @ POINTS**2, gap @ np.cos(2 * POINTS)])


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (ancestral, 1),
        (dpmpp_2m_sde, 2),
        (lambda s, g: exponential_adams(s, g, order=2, eta=1.0), 2),
        (lambda s, g: exponential_adams(s, g, order=1, eta=1.0, corrector=True), 2),
        (lambda s, g: exponential_adams(s, g, order=2, eta=0.5), 2),
    ],
    ids=["ancestral", "2M SDE", "q2, eta 1", "q1 + c, eta 1", "q2, eta 0.5"],
)
def test_weak_order_on_bimodal_data(solver, order):
    """Every observable converges with the declared order between 6 and 12 steps; 0.4 allows for so few of them."""
    coarse, fine = errors(solver, 6), errors(solver, 12)
    slopes = np.log2(np.abs(coarse / fine))
    assert np.all(slopes > order - 0.4)
    assert np.all(np.abs(fine) > 1e-6)
    assert solver(SCHEDULE, SCHEDULE.t(torch.tensor([-1.0, 0.0], dtype=torch.float64))).order == order
