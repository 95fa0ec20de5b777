"""Toys with closed forms: unit-impulse noise, exact propagation of a variance, the mixture that orders are measured on.

A run with a linear denoiser is a linear map of the first state and of every noise draw. Its coefficients are read off
by running a batch in which sample 0 starts from 1 without noise and sample k + 1 from 0 with one unit draw, in step k;
the variance of the result is then a sum of squares, without any Monte-Carlo error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.process import GaussianProcess, Schedule, VESchedule
from scidiff.random import Noise
from scidiff.sample import RunState, Table, TableRule, run
from scidiff.spaces import Euclidean

VE = VESchedule(sigma_min=0.01, sigma_max=40.0)


@dataclass(frozen=True)
class Impulse:
    """Noise that is 1 in sample `at` of every draw; without `at`, 1 in sample ``step + 1`` of the draw of a step.

    ``at = None`` with a single sample is silence.
    """

    count: int
    at: int | None = None

    def __len__(self) -> int:
        return self.count

    def normal(self, shape=(), *, step: int, stream: str) -> Tensor:
        """Draw the impulse."""
        z = torch.zeros(self.count, *shape, dtype=torch.float64)
        row = step + 1 if self.at is None else self.at
        if row < self.count:
            z[row] = 1.0
        return z

    def take(self, index):
        """Refuse: an impulse is not a sample."""
        raise AssertionError("an impulse cannot be cut")


def follow(table: Table, denoiser: Denoiser, schedule: Schedule, x: Tensor, noise=None) -> RunState:
    """Run a table from its first node."""
    rule = TableRule(table)
    process = GaussianProcess(Euclidean(x.shape[1:]), schedule)
    state = RunState.at(x, float(table.nodes[0]), Noise.range(0, len(x)) if noise is None else noise)
    return run(denoiser, process, rule, rule.plan, state=state)


def final_variance(table: Table, denoiser: Denoiser, schedule: Schedule, variance: float) -> float:
    """Variance of the result, given that of the first state, for a linear denoiser of one coordinate."""
    x = torch.zeros(table.steps + 1, 1, dtype=torch.float64)
    x[0] = 1.0
    response = follow(table, denoiser, schedule, x, Impulse(len(x))).x[:, 0]
    return float(variance * response[0] ** 2 + response[1:].square().sum())


def standard_normal(schedule: Schedule) -> GaussianMixture:
    """Data N(0, 1) in one dimension."""
    return GaussianMixture.gaussian(schedule, torch.zeros(1), torch.tensor(1.0))


def target_a(schedule: Schedule = VE) -> GaussianMixture:
    """Mixture of six isotropic Gaussians in four dimensions, with well separated narrow modes."""
    rng = np.random.default_rng(1)
    means, std = 2 * rng.standard_normal((6, 4)), rng.uniform(0.15, 0.5, 6)
    weights = torch.full((6,), 1 / 6, dtype=torch.float64)
    return GaussianMixture(schedule, weights, torch.from_numpy(means), torch.from_numpy(std**2))


def flow(mixture: GaussianMixture, x: Tensor, first: float, last: float, steps: int) -> Tensor:
    """Probability flow from ``lam = first`` to `last` for ``alpha = 1``: ``dx/dlam = m - x``, by Runge-Kutta."""
    slope: Callable[[Tensor, float], Tensor] = lambda y, lam: mixture(y, mixture.schedule.t(lam)) - y  # noqa: E731
    h = (last - first) / steps
    for i in range(steps):
        lam = first + i * h
        k1 = slope(x, lam)
        k2 = slope(x + h / 2 * k1, lam + h / 2)
        k3 = slope(x + h / 2 * k2, lam + h / 2)
        k4 = slope(x + h * k3, lam + h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x
