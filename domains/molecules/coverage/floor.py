"""The law of a statistic sum_i g(n_i) when n samples fall uniformly on K keys, exactly.

One count is binomial, n_i ~ B(n, 1/K), and given n_i = a another is n_j ~ B(n - a, 1/(K - 1)). So

    mean     = K E[g(n_1)],
    variance = K Var[g(n_1)] + K (K - 1) Cov[g(n_1), g(n_2)].

Sums run over the counts whose probability is above the round-off of float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binom

__all__ = ["uniform_law"]

_DEVIATIONS = 9.0
_MARGIN = 25


def uniform_law(count: int, size: int, g: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """Return mean and standard deviation of ``sum_i g(n_i)`` for uniform samples.

    Parameters
    ----------
    count
        Number of samples n.
    size
        Number of keys K, at least 2.
    g
        Function of an array of counts.

    Returns
    -------
    mean, deviation
        Both exact up to round-off.
    """
    values, weight = _binomial(count, 1 / size)
    g_first = g(values)
    mean = float(weight @ g_first)
    centred = g_first - mean
    joint = 0.0
    for value, probability, deviation in zip(values, weight, centred, strict=True):
        others, other_weight = _binomial(count - int(value), 1 / (size - 1))
        joint += probability * deviation * float(other_weight @ (g(others) - mean))
    variance = size * float(weight @ centred**2) + size * (size - 1) * joint
    return size * mean, float(np.sqrt(max(variance, 0.0)))


def _binomial(count: int, probability: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts that matter and their probabilities, which sum to 1."""
    centre = count * probability
    reach = _DEVIATIONS * np.sqrt(centre) + _MARGIN
    values = np.arange(max(0, int(centre - reach)), min(count, int(centre + reach)) + 1)
    weight = binom.pmf(values, count, probability)
    return values, weight / weight.sum()
