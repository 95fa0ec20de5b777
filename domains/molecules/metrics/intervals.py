"""Intervals: one method for each kind of statistic, all reproducible from a seed.

* A proportion of independent trials: Wilson [1]_.
* A mean: the bias-corrected and accelerated bootstrap (BCa) [2]_. With ``B`` resampled means, ``z0`` the normal
  quantile of the share below the mean, ``a`` the sixth of the skewness of the mean, the ends are the resampled
  quantiles at ``Phi(z0 + (z0 + z) / (1 - a (z0 + z)))`` for ``z = -1.96, 1.96``.
* A count of *distinct* things (unique, quality, scaffolds) or a cosine of counts. Drawing with replacement repeats
  molecules and so biases the statistic itself; the bootstrap does not bear it. Half-sampling draws ``m = n/2`` of ``n``
  *without* replacement: the spread of a linear statistic over such draws is ``(1/m - 1/n)^(1/2)`` of one molecule's,
  which for ``m = n/2`` is the spread at size ``n`` [3]_. The interval is the value plus and minus the normal quantile
  times it. Uniqueness falls with ``n`` by definition: its interval is for this ``n``, and values at different ``n`` do
  not compare.
* A statistic over all pairs or over a covariance: the jackknife over ``g`` random groups, with Student's quantile on
  ``g - 1`` degrees of freedom; ``s^2 = (g - 1)/g sum_j (T_(j) - mean T)^2`` with group ``j`` left out of ``T_(j)``.

References
----------
.. [1] E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209, doi:10.1080/01621459.1927.10502953
.. [2] B. Efron, J. Am. Stat. Assoc. 82 (1987) 171, doi:10.1080/01621459.1987.10478410
.. [3] D. N. Politis, J. P. Romano, Ann. Stat. 22 (1994) 2031, doi:10.1214/aos/1176325770
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from scidiff.errors import ConfigError

__all__ = ["Interval", "bootstrap_mean", "group_jackknife", "group_labels", "half_sampling", "wilson"]


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float

    def clip(self, least: float = 0.0, most: float = 1.0) -> Interval:
        """Cut the interval to the range that the quantity can take.

        Parameters
        ----------
        least, most
            The range.

        Returns
        -------
        interval
            The part of the interval inside the range.
        """
        return Interval(min(max(self.low, least), most), min(max(self.high, least), most))


def wilson(successes: int, count: int, confidence: float = 0.95) -> Interval:
    """Interval of a proportion.

    Parameters
    ----------
    successes
        Trials that succeeded.
    count
        Trials, at least one.
    confidence
        Nominal coverage.

    Returns
    -------
    interval
        Wilson's score interval.

    Raises
    ------
    ConfigError
        If ``0 <= successes <= count``, ``count >= 1`` or ``0 < confidence < 1`` does not hold.
    """
    if count < 1 or not 0 <= successes <= count:
        raise ConfigError(
            f"{successes} successes of {count} trials; expected 0 <= successes <= trials and a trial at least"
        )
    z = _normal_quantile(confidence)
    rate = successes / count
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return Interval(float(min(centre - half, rate)), float(max(centre + half, rate))).clip()


def bootstrap_mean(values: np.ndarray, *, seed: int, repeats: int = 200, confidence: float = 0.95) -> Interval:
    """BCa bootstrap interval of a mean.

    Parameters
    ----------
    values
        One number for each molecule, shape ``(n,)``.
    seed
        Seed of the resampling.
    repeats
        Number of resampled means.
    confidence
        Nominal coverage.

    Returns
    -------
    interval
        The interval; of width zero where all values agree.
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean()
    power = float(np.sum(centred**2))
    if power == 0.0:
        return Interval(float(values[0]), float(values[0]))
    z = _normal_quantile(confidence)
    rng = np.random.default_rng(seed)
    means = np.array([centred[rng.integers(0, len(values), len(values))].mean() for _ in range(repeats)])
    below = (np.sum(means < 0) + 0.5 * np.sum(means == 0)) / repeats
    z0 = ndtri(np.clip(below, 1 / (repeats + 1), repeats / (repeats + 1)))
    a = np.sum(centred**3) / (6 * power**1.5)
    shifted = z0 + np.array([-z, z])
    low, high = np.quantile(means, ndtr(z0 + shifted / (1 - a * shifted))) + values.mean()
    return Interval(float(low), float(high))


def half_sampling(
    statistic: Callable[[np.ndarray], float],
    value: float,
    count: int,
    *,
    seed: int,
    repeats: int = 200,
    confidence: float = 0.95,
) -> Interval:
    """Interval from the spread of a statistic over random halves of the sample.

    Parameters
    ----------
    statistic
        Maps the indices of a part of the sample to the statistic on that part.
    value
        The statistic on the whole sample.
    count
        Size of the whole sample, at least 2.
    seed
        Seed of the halves.
    repeats
        Number of halves.
    confidence
        Nominal coverage.

    Returns
    -------
    interval
        ``value`` plus and minus the normal quantile times the spread.
    """
    rng = np.random.default_rng(seed)
    part = count // 2
    draws = np.array([statistic(rng.permutation(count)[:part]) for _ in range(repeats)])
    spread = float(np.std(draws, ddof=1)) * np.sqrt(part / (count - part))
    half = _normal_quantile(confidence) * spread
    return Interval(value - half, value + half)


def group_labels(count: int, groups: int, seed: int) -> np.ndarray:
    """Assign items at random to groups of equal size (within one).

    Parameters
    ----------
    count
        Number of items.
    groups
        Number of groups.
    seed
        Seed of the assignment.

    Returns
    -------
    labels
        Shape ``(count,)``, integers from 0 to ``groups - 1``.
    """
    return np.random.default_rng(seed).permutation(np.arange(count) % groups)


def group_jackknife(value: float, left_out: Sequence[float], confidence: float = 0.95) -> Interval:
    """Interval from the values with one group left out.

    Parameters
    ----------
    value
        The statistic on the whole sample.
    left_out
        The statistic without group ``j``, for each ``j``; at least two.
    confidence
        Nominal coverage.

    Returns
    -------
    interval
        ``value`` plus and minus Student's quantile times the jackknife's standard error.
    """
    values = np.asarray(left_out, dtype=np.float64)
    groups = len(values)
    error = np.sqrt((groups - 1) / groups * np.sum((values - values.mean()) ** 2))
    half = float(student.ppf((1 + confidence) / 2, groups - 1) * error)
    return Interval(value - half, value + half)


def _normal_quantile(confidence: float) -> float:
    """Two-sided normal quantile."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence}; expected a number between 0 and 1, e.g. 0.95")
    return float(ndtri((1 + confidence) / 2))
