"""Gaussian targets with closed forms: unit-impulse noise, exact propagation of a variance, Target A for orders.

A run with a linear denoiser is a linear map of the first state and of every noise draw. Its coefficients are read off
by running a batch in which sample 0 starts from 1 without noise and sample k + 1 from 0 with one unit draw, in step k;
the variance of the result is then a sum of squares, without any Monte-Carlo error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.errors import ConfigError
from scidiff.process import GaussianProcess, Schedule, VESchedule
from scidiff.random import Noise, Source
from scidiff.sample import RunState, Table, TableRule, log_snr_grid, run
from scidiff.spaces import Euclidean

__all__ = [
    "VE",
    "Impulse",
    "final_variance",
    "flow",
    "follow",
    "posterior_variance",
    "sample_variance",
    "scalar_variances",
    "standard_normal",
    "target_a",
]

VE = VESchedule(sigma_min=0.01, sigma_max=40.0)


@dataclass(frozen=True)
class Impulse:
    """Noise that is 1 in sample `at` of every draw; without `at`, 1 in sample ``step + 1`` of the draw of a step.

    ``at = None`` with a single sample is silence.

    Parameters
    ----------
    count
        Number of samples.
    at
        Sample that receives the impulse.
    """

    count: int
    at: int | None = None

    def __len__(self) -> int:
        return self.count

    def uniform(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Refuse: an impulse has no uniform draws.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(f"uniform draws '{stream}' were asked of an impulse; it serves rules with normal noise only")

    def normal(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Draw the impulse, float64, shape ``(count, *shape)``."""
        z = torch.zeros(self.count, *shape, dtype=torch.float64)
        row = step + 1 if self.at is None else self.at
        if row < self.count:
            z[row] = 1.0
        return z

    def take(self, index: object) -> Impulse:
        """Refuse: an impulse is not a sample.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(f"rows {index} of an impulse were asked for; an impulse cannot be cut: run the whole batch")


def follow(table: Table, denoiser: Denoiser, schedule: Schedule, x: Tensor, noise: Source | None = None) -> RunState:
    """Run a table from its first node, through the rule and the loop.

    Parameters
    ----------
    table
        Solver.
    denoiser
        Denoiser.
    schedule
        Schedule of the table.
    x
        First states, shape ``(batch, *event)``.
    noise
        Source of the noise; by default that of seed 0.

    Returns
    -------
    RunState
        The last state.
    """
    rule = TableRule(table)
    process = GaussianProcess(Euclidean(x.shape[1:]), schedule)
    state = RunState.at(x, float(table.nodes[0]), Noise.range(0, len(x)) if noise is None else noise)
    return run(denoiser, process, rule, rule.plan, state=state)


def final_variance(table: Table, denoiser: Denoiser, schedule: Schedule, variance: float) -> float:
    """Variance of the result, exact, for a linear denoiser of one coordinate.

    Parameters
    ----------
    table, denoiser, schedule
        As for `follow`.
    variance
        Variance of the first state.

    Returns
    -------
    float
        Sum of the squared responses to the first state and to every draw.
    """
    x = torch.zeros(table.steps + 1, 1, dtype=torch.float64)
    x[0] = 1.0
    response = follow(table, denoiser, schedule, x, Impulse(len(x))).x[:, 0]
    return float(variance * response[0] ** 2 + response[1:].square().sum())


def standard_normal(schedule: Schedule) -> GaussianMixture:
    """Data N(0, 1) in one dimension."""
    return GaussianMixture.gaussian(schedule, torch.zeros(1), torch.tensor(1.0))


def posterior_variance(lam: float) -> float:
    """Variance ``Var[x_0 | x_t]`` of standard normal data at a log signal-to-noise ratio."""
    return 1 / (1 + math.exp(2 * lam))


def target_a(schedule: Schedule = VE) -> GaussianMixture:
    """Target A: six isotropic Gaussians in four dimensions, well separated and narrow."""
    rng = np.random.default_rng(1)
    means, std = 2 * rng.standard_normal((6, 4)), rng.uniform(0.15, 0.5, 6)
    weights = torch.full((6,), 1 / 6, dtype=torch.float64)
    return GaussianMixture(schedule, weights, torch.from_numpy(means), torch.from_numpy(std**2))


def flow(mixture: GaussianMixture, x: Tensor, first: float, last: float, steps: int) -> Tensor:
    """Follow the probability flow ``dx/dlam = m - x`` of ``alpha = 1`` by the classical Runge-Kutta method.

    Parameters
    ----------
    mixture
        Data, on a schedule with ``alpha = 1``.
    x
        States at ``lam = first``, shape ``(batch, *event)``.
    first, last
        Log signal-to-noise ratios.
    steps
        Number of steps, of four evaluations each.

    Returns
    -------
    Tensor
        States at ``lam = last``.
    """

    def slope(y: Tensor, lam: float) -> Tensor:
        return mixture(y, mixture.schedule.t(lam)) - y

    h = (last - first) / steps
    for i in range(steps):
        lam = first + i * h
        k1 = slope(x, lam)
        k2 = slope(x + h / 2 * k1, lam + h / 2)
        k3 = slope(x + h / 2 * k2, lam + h / 2)
        k4 = slope(x + h * k3, lam + h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def scalar_variances(steps: int) -> tuple[float, float]:
    """Final variances of DDIM and of the ancestral sampler on N(0, 1) data, by their scalar recursions.

    With ``g = 1 / (1 + s^2)`` a step from noise ``s`` to ``t`` multiplies by ``t/s + (1 - t/s) g`` (DDIM), or by
    ``r + (1 - r) g`` with ``r = (t/s)^2``, and adds the variance ``t^2 (1 - r)`` (ancestral).

    Parameters
    ----------
    steps
        Intervals of the logarithmic grid from a noise-to-signal ratio of 40 to 0.01, for ``alpha = 1``.

    Returns
    -------
    tuple of float
        DDIM, ancestral.
    """
    sigma = np.geomspace(40, 0.01, steps + 1)
    first = second = 1 + 40.0**2
    for s, t in pairwise(sigma.tolist()):
        g, r = 1 / (1 + s**2), (t / s) ** 2
        first *= (t / s + (1 - t / s) * g) ** 2
        second = (r + (1 - r) * g) ** 2 * second + t**2 * (1 - r)
    return first, second


def sample_variance(solver: Callable[[Schedule, Tensor], Table], steps: int) -> float:
    """Final variance of a solver on N(0, 1) data, exact, on the grid of `scalar_variances`; the truth is 1.0001."""
    table = solver(VE, log_snr_grid(VE, steps, floor=0.01, to_zero=False))
    return final_variance(table, standard_normal(VE).denoiser, VE, 1 + 40.0**2)
