"""Oracle audit on Gaussian data: the variance that a sampler gives to them.

For data of variance ``v`` the exact denoiser is ``m = alpha v x / (alpha^2 v + sigma^2)``, so every linear sampler is a
linear map of its first state and its draws, whose output variance follows from its coefficients without sampling.
Samples of any implementation are compared with that, and with ``v``, by ``z = log(v_hat / v) sqrt((n - 1) / 2)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from torch import Tensor

from scidiff.analysis.audit import Audit, Distance, budgets, judge, unfold
from scidiff.errors import ConfigError, ShapeError
from scidiff.sample import Table

__all__ = ["GaussianAudit", "audit_gaussian", "audit_variance", "table_variance"]

# solvers spend half of the digits where sigma goes to zero
_ROUND_OFF = 1e-7


@dataclass(frozen=True, eq=False)
class GaussianAudit:
    """Mean and variance of samples against what they should be, axis by axis.

    Parameters
    ----------
    variance
        Variance of the samples, shape ``(dim,)``.
    z_mean, z_variance
        Deviations in standard errors, shape ``(dim,)``.
    limit
        Deviation that one of all ``2 dim`` exceeds by chance with the probability left by the confidence.
    """

    variance: np.ndarray
    z_mean: np.ndarray
    z_variance: np.ndarray
    limit: float

    @property
    def agrees(self) -> bool:
        """Whether no deviation exceeds the limit."""
        return bool(max(np.abs(self.z_mean).max(), np.abs(self.z_variance).max()) <= self.limit)


def audit_gaussian(
    samples: Tensor, variance: np.ndarray | Tensor | float, *, mean: float = 0.0, confidence: float = 0.99
) -> GaussianAudit:
    """Compare samples of a sampler with the Gaussian that they should follow.

    Parameters
    ----------
    samples
        Samples, one axis per eigen-direction of the data, shape ``(count, dim)``.
    variance
        Expected variance: that of the data, or that which `table_variance` predicts; one for all axes or ``(dim,)``.
    mean
        Expected mean.
    confidence
        Probability that an exact sampler agrees.
    """
    x = samples.double().numpy()
    if x.ndim != 2 or len(x) < 3:
        raise ShapeError(f"samples have shape {x.shape}; expected (count, dim) with count >= 3")
    expected = np.broadcast_to(np.asarray(variance, dtype=np.float64), x.shape[1:])
    if not (expected > 0).all():
        raise ConfigError(f"variance is {expected.tolist()}; expected positive numbers")
    found = x.var(0, ddof=1)
    z_mean = (x.mean(0) - mean) / np.sqrt(expected / len(x))
    z_variance = np.log(found / expected) * math.sqrt((len(x) - 1) / 2)
    limit = float(norm.isf(0.5 * (1 - confidence ** (1 / (2 * x.shape[1])))))
    return GaussianAudit(found, z_mean, z_variance, limit)


def audit_variance(
    runs: Mapping[int, Tensor | float],
    variance: np.ndarray | Tensor | float,
    *,
    seed: int = 0,
    confidence: float = 0.95,
) -> Audit:
    """Audit a sampler by the variance it gives to Gaussian data, over the number of network calls.

    The distance is ``|log(v_hat / v)|``, averaged with its sign over the axes.

    Parameters
    ----------
    runs
        By the number of calls: samples ``(count, dim)``, or the exact variance of the result, a number. At least three
        numbers of calls that span a factor of four.
    variance
        Variance of the data; one for all axes or ``(dim,)``.
    seed
        Seed of the bootstrap.
    confidence
        Coverage of the intervals.
    """
    calls = budgets(runs)
    z = float(norm.isf(0.5 * (1 - confidence)))
    distances = tuple(_log_variance(runs[count], variance, z) for count in calls.tolist())
    return judge(calls, distances, seed, confidence)


def _log_variance(result: Tensor | float, variance: np.ndarray | Tensor | float, z: float) -> Distance:
    if isinstance(result, float):
        raw = abs(math.log(result / float(variance)))
        return Distance(raw, raw, raw, 0.0, raw, 0.0, float(raw <= _ROUND_OFF))
    one, single = audit_gaussian(result, variance), math.sqrt(2 / (len(result) - 1))
    error = single / math.sqrt(len(one.variance))
    raw, floor = single * abs(float(one.z_variance.mean())), math.sqrt(2 / math.pi) * error
    low, value, high = (unfold(each, floor) for each in (raw - z * error, raw, raw + z * error))
    return Distance(value, low, high, error, raw, floor, 2 * float(norm.sf(raw / error)))


def table_variance(table: Table, variance: float, start: float | None = None) -> float:
    """Variance of the result of a table for data N(0, v) and its exact denoiser.

    The run is a linear map of the first state and of every draw; its coefficients are followed, nothing is sampled.

    Parameters
    ----------
    table
        The sampler.
    variance
        Variance ``v`` of the data.
    start
        Variance of the first state; that of pure noise by default.
    """
    response = np.zeros((table.steps + 1, table.steps + 1))
    response[0, 0] = table.sigma[0] if start is None else math.sqrt(start)
    gain = table.alpha * variance / (table.alpha**2 * variance + table.sigma**2)
    for i in range(table.steps):
        past = [i - j for j in range(min(table.depth, i + 1))]
        a, b = table.a[i, : len(past)], table.b[i, : len(past)]
        response[i + 1] = (a + b * gain[past]) @ response[past]
        response[i + 1, i + 1] += math.hypot(table.c[i], table.spread[i])
    return float((response[-1] ** 2).sum())
