"""The coverage report of a set of samples on a universe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from scipy.stats import beta, norm

from scidiff.errors import ConfigError, DataError

from .counts import Estimate, PlugIn
from .entropy import kl_from_uniform
from .floor import uniform_law
from .variation import chi2_from_uniform, tv_bounds, tv_plug_in

__all__ = ["CoverageReport", "coverage"]

_FEWEST = 4


@dataclass(frozen=True)
class CoverageReport:
    """How a sampler spreads over a universe of `size` keys, from `count` samples.

    Parameters
    ----------
    count
        Samples n, all in the universe.
    size
        Keys K.
    level
        Confidence level of the intervals.
    kl, kl_plug_in
        KL(q || u) in nats: corrected for bias, and as the frequencies give it.
    chi2
        Value of chi2(q || u), without bias.
    tv, tv_plug_in
        TV(q, u): bounds (the value estimates a lower bound), and as the frequencies give it.
    unseen_mass
        Probability of molecules outside the training set.
    unseen_target
        Share of such molecules in the universe: the mass a uniform sampler puts there.
    coverage
        Share of all keys that were sampled.
    unseen_coverage
        Share of the keys outside the training set that were sampled.
    """

    count: int
    size: int
    level: float
    kl: Estimate
    kl_plug_in: PlugIn
    chi2: Estimate
    tv: Estimate
    tv_plug_in: PlugIn
    unseen_mass: Estimate
    unseen_target: float
    coverage: PlugIn
    unseen_coverage: PlugIn


def coverage(counts: np.ndarray, train: np.ndarray, *, level: float = 0.95, seed: int = 0) -> CoverageReport:
    """Compare samples with the uniform law on a universe.

    Parameters
    ----------
    counts
        Samples on each key, integers of shape ``(K,)``, as of `count_keys`.
    train
        True for keys of the training set, shape ``(K,)``.
    level
        Confidence level of each interval, in (0, 1).
    seed
        Seed of the sample split behind the lower bound of the total variation.

    Returns
    -------
    report
        All statistics; floors are exact, intervals are described in `entropy` and `variation`. The interval of the
        unseen mass is that of Clopper and Pearson (doi:10.1093/biomet/26.4.404).

    Raises
    ------
    DataError
        If the counts are no counts, are fewer than four in all, or do not match `train`.
    ConfigError
        If `level` is out of range.
    """
    counts, train = _checked(np.asarray(counts), np.asarray(train), level)
    count, size = int(counts.sum()), len(counts)
    z = float(norm.isf((1 - level) / 2))
    unseen = size - int(train.sum())
    return CoverageReport(
        count=count,
        size=size,
        level=level,
        kl=kl_from_uniform(counts, z),
        kl_plug_in=PlugIn(
            _kl_plug_in(counts), *uniform_law(count, size, lambda n: xlogy(n, n * (size / count)) / count)
        ),
        chi2=chi2_from_uniform(counts, z),
        tv=tv_bounds(counts, level, seed),
        tv_plug_in=PlugIn(tv_plug_in(counts), *uniform_law(count, size, lambda n: np.abs(n / count - 1 / size) / 2)),
        unseen_mass=_proportion(int(counts[~train].sum()), count, level),
        unseen_target=unseen / size,
        coverage=_share(counts, count, size),
        unseen_coverage=_share(counts[~train], count, size),
    )


def _checked(counts: np.ndarray, train: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Check the arguments at the door."""
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; expected a number between 0 and 1, e.g. 0.95")
    if counts.ndim != 1 or len(counts) < 2 or counts.dtype.kind not in "iu" or counts.min() < 0:
        raise DataError(
            f"counts have shape {counts.shape} and type {counts.dtype}; expected non-negative integers, one for each "
            "of two or more keys"
        )
    if train.shape != counts.shape or train.dtype != bool or train.all():
        raise DataError(
            f"train has shape {train.shape} and type {train.dtype}; expected booleans of shape {counts.shape}, "
            "not all True"
        )
    if counts.sum() < _FEWEST:
        raise DataError(f"there are {counts.sum()} samples in the universe; expected at least {_FEWEST}: draw more")
    return counts.astype(np.int64), train


def _kl_plug_in(counts: np.ndarray) -> float:
    """Return KL between the frequencies and uniform."""
    frequencies = counts / counts.sum()
    return float(xlogy(frequencies, frequencies * len(counts)).sum())


def _proportion(hits: int, count: int, level: float) -> Estimate:
    """Return a proportion with its Clopper-Pearson interval."""
    alpha = (1 - level) / 2
    low = float(beta.ppf(alpha, hits, count - hits + 1)) if hits else 0.0
    high = float(beta.isf(alpha, hits + 1, count - hits)) if hits < count else 1.0
    return Estimate(hits / count, low, high)


def _share(counts: np.ndarray, count: int, size: int) -> PlugIn:
    """Return the share of some keys that were sampled; the deviation is that of k keys out of K.

    With p = (1 - 1/K)^n and p_2 = (1 - 2/K)^n, the number of missed ones among k keys has the variance
    k p (1 - p) + k (k - 1) (p_2 - p^2).
    """
    keys = len(counts)
    missed = (1 - 1 / size) ** count
    both = (1 - 2 / size) ** count
    variance = keys * missed * (1 - missed) + keys * (keys - 1) * (both - missed**2)
    return PlugIn(float((counts > 0).mean()), 1 - missed, float(np.sqrt(max(variance, 0.0))) / keys)
