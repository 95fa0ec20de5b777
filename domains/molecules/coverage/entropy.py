"""Kullback-Leibler divergence from uniform, KL(q || u) = log K - H(q), from fewer samples than keys.

For every law q on K keys the entropy is a series [1]_, the first n - 1 terms of which n samples estimate without bias::

    H(q) = sum_{j=1}^{n-1} B_j / j + R,     B_j = sum_i q_i (1 - q_i)^j,     R = sum_{j>=n} B_j / j
    H_psi = sum_i (n_i / n) (psi(n) - psi(n_i)),     E[H_psi] = H(q) - R

The rest is R = m E[h(q)] over the missing keys, where m = B_n is the missing mass, the mean weighs a key by its share
of m, and h(q) = sum_{j>=0} (1 - q)^j / (n + j). h is convex in q and concave in 1/q, so Jensen's inequality brackets
R from both sides::

    m h(E[q]) <= R <= m h(1 / E[1/q]),     m E[1/q] = number of missing keys <= K - number of keys seen

The lower one with E[q] = 2 f_2 / ((n - 1) f_1 + 2 f_2) and m = (f_1 / n)(1 - E[q]), where f_r keys were seen r times,
is the estimator of Chao, Wang and Jost [2]_. The upper one needs K, which a universe knows. Both are equalities where
the missing keys are equally likely. Hence the divergence has an estimate from above (the published one) and one from
below, and the interval runs from the lower one less z standard errors to the upper one plus z standard errors, so
that it also holds the bias that remains. Standard errors are delete-one jackknife ones, which are too large rather
than too small near uniform, where the first-order term vanishes (Efron and Stein, doi:10.1214/aos/1176345462). With
fewer than ten pairs of equal samples the brackets are guesses; then the interval is [0, log K - H_psi + z standard
errors], which needs R >= 0 only.

References
----------
.. [1] Z. Zhang, "Entropy estimation in Turing's perspective", Neural Computation 24 (2012), doi:10.1162/NECO_a_00266
.. [2] A. Chao, Y. T. Wang and L. Jost, "Entropy and the species accumulation curve", Methods in Ecology and Evolution 4
   (2013), doi:10.1111/2041-210X.12108
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import digamma

from .counts import Estimate

__all__ = ["delete_one", "entropy_brackets", "kl_from_uniform"]

_FEW_PAIRS = 10
_NODES = np.linspace(-46.0, 5.5, 600)


def kl_from_uniform(counts: np.ndarray, z: float) -> Estimate:
    """Estimate KL(q || u) in nats.

    Parameters
    ----------
    counts
        Samples on each key, shape ``(K,)``, at least two samples in all.
    z
        Half-width of the interval in standard errors.

    Returns
    -------
    estimate
        The value is that of Chao, Wang and Jost and is not cut at 0; the interval is.
    """
    size = len(counts)
    values, keys = np.unique(counts[counts > 0], return_counts=True)
    plain, above, below = np.log(size) - entropy_brackets(values, keys, size)
    errors = delete_one(values, keys, lambda left, times: entropy_brackets(left, times, size))
    low, high = below - z * errors[2], above + z * errors[1]
    if keys @ (values * (values - 1) // 2) < _FEW_PAIRS:
        low, high = 0.0, plain + z * errors[0]
    return Estimate(float(above), float(max(low, 0.0)), float(min(max(high, 0.0), np.log(size))))


def entropy_brackets(values: np.ndarray, keys: np.ndarray, size: int) -> np.ndarray:
    """Return H_psi and the estimates of H(q) from below and from above.

    Parameters
    ----------
    values
        The distinct positive counts, increasing.
    keys
        How many keys have each of them.
    size
        Number of keys K.

    Returns
    -------
    brackets
        ``(H_psi, lower, upper)`` in nats.
    """
    count = int(values @ keys)
    known = float((keys * values) @ (digamma(count) - digamma(values))) / count
    once, twice = (float(keys[values == times].sum()) for times in (1, 2))
    if once == 0:
        return np.array([known, known, known])
    typical = 2 * twice / ((count - 1) * once + 2 * twice) if twice else 2 / ((count - 1) * (once - 1) + 2)
    missing = once / count * (1 - typical)
    unseen = size - keys.sum()
    upper = missing * _rest(min(missing / unseen, 1.0), count) if unseen > 0 else 0.0
    return known + np.array([0.0, missing * _rest(typical, count), upper])


def _rest(q: float, count: int) -> float:
    """Return h(q) = (1/n) int_0^inf exp(-s) / (1 - (1 - q) exp(-s/n)) ds, by the trapezoidal rule in log s."""
    s = np.exp(_NODES)
    decay = np.exp(-s / count)
    integrand = np.exp(-s) * s / (-np.expm1(-s / count) + q * decay)
    return float(integrand.sum() * (_NODES[1] - _NODES[0]) / count)


def delete_one(
    values: np.ndarray, keys: np.ndarray, statistic: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return delete-one jackknife standard errors of a symmetric statistic of the counts.

    Parameters
    ----------
    values
        The distinct positive counts, increasing.
    keys
        How many keys have each of them.
    statistic
        Function of such `values` and `keys` that returns a vector.

    Returns
    -------
    errors
        One standard error per component. Samples on keys with equal counts leave equal values, so that few are
        computed.
    """
    count = int(values @ keys)
    histogram = np.bincount(values, weights=keys).astype(np.int64)
    left = []
    for value in values:
        reduced = histogram.copy()
        reduced[value] -= 1
        reduced[value - 1] += 1
        reduced[0] = 0
        rest = np.flatnonzero(reduced)
        left.append(statistic(rest, reduced[rest]))
    weight = values * keys / count
    spread = np.stack(left) - weight @ np.stack(left)
    return np.sqrt((count - 1) * (weight @ spread**2))
