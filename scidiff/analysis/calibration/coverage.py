"""Coverage: how often intervals, and balls around reference points, hold the truth.

*Intervals.* Among `m` draws the Weibull position ``p (m + 1)`` is a quantile whose central intervals hold an
exchangeable truth with just the nominal probability (at whole positions, and to ``O(1 / m^2)`` between them). The
range of all draws holds it with ``(m - 1) / (m + 1)`` only; a level above that cannot be measured with `m` draws and
is refused.

*TARP* [1]_. Take a reference point ``c`` that knows nothing of the truth but what the data say, and rank the distance
of the truth to it among those of the draws. The ranks are uniform for every law of ``c`` if the posterior is right,
and, taken over all ``c``, only then: balls see wrong correlations behind right marginals. References must depend on
the data, otherwise draws of the *prior* pass: `neighbour_references` takes the parameter of the nearest of other
simulations.

References
----------
.. [1] P. Lemos et al., "Sampling-based accuracy testing of posterior estimators for general inference",
   arXiv:2302.03026
.. [2] E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
   doi:10.1080/01621459.1927.10502953
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import norm

from scidiff.analysis.calibration.pairs import Array, as_array, as_pairs, check_confidence
from scidiff.analysis.calibration.ranks import RankTest, pit, rank_test, ranks
from scidiff.errors import ConfigError, ShapeError

__all__ = ["Coverage", "Tarp", "interval_coverage", "neighbour_references", "tarp", "wilson"]

_LEVELS = (0.5, 0.8, 0.9, 0.95)
_REPEATS = 500


def wilson(hits: Array, trials: int, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a proportion [1]_.

    Parameters
    ----------
    hits
        Number of successes, any shape.
    trials
        Number of independent trials.
    confidence
        Coverage of the interval.

    Returns
    -------
    tuple of np.ndarray
        Lower and upper ends, shape of `hits`.

    References
    ----------
    .. [1] Wilson, doi:10.1080/01621459.1927.10502953
    """
    check_confidence(confidence)
    p, z = as_array(hits) / trials, float(norm.isf(0.5 * (1 - confidence)))
    if trials < 1 or (p < 0).any() or (p > 1).any():
        raise ConfigError(f"hits {hits} of {trials} trials; expected 0 <= hits <= trials and a trial")
    shrink = 1 + z**2 / trials
    centre, half = (
        (p + z**2 / (2 * trials)) / shrink,
        z / shrink * np.sqrt((p * (1 - p) + z**2 / (4 * trials)) / trials),
    )
    return np.clip(centre - half, 0, p), np.clip(centre + half, p, 1)


@dataclass(frozen=True, eq=False)
class Coverage:
    """Part of the truths inside central intervals.

    Parameters
    ----------
    levels
        Nominal coverage, shape ``(levels,)``.
    found, low, high
        Measured coverage of each coordinate and its Wilson interval, shape ``(levels, dim)``.
    pooled, pooled_low, pooled_high
        Coverage over all coordinates and its bootstrap interval, shape ``(levels,)``; rows are drawn whole, since the
        coordinates of a row depend on each other.
    draws
        Number of draws behind the intervals.
    """

    levels: np.ndarray
    found: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pooled: np.ndarray
    pooled_low: np.ndarray
    pooled_high: np.ndarray
    draws: int


def interval_coverage(
    truth: Array, samples: Array, levels: Sequence[float] = _LEVELS, *, confidence: float = 0.95, seed: int = 0
) -> Coverage:
    """Measure the coverage of central intervals.

    Parameters
    ----------
    truth, samples
        Shapes ``(count, dim)`` and ``(count, draws, dim)``.
    levels
        Nominal coverage, each at most ``(draws - 1) / (draws + 1)``.
    confidence
        Coverage of the intervals of the measured numbers.
    seed
        Seed of the bootstrap.

    Raises
    ------
    ConfigError
        If a level is out of reach of so few draws.
    """
    y, x = as_pairs(truth, samples)
    nominal, m = np.asarray(levels, dtype=np.float64), x.shape[1]
    if not nominal.size or nominal.min() <= 0 or nominal.max() > (m - 1) / (m + 1) + 1e-12:
        raise ConfigError(
            f"levels are {list(levels)} with {m} draws, whose range covers {(m - 1) / (m + 1):.3f}; expected levels in "
            "(0, that]: draw more, or ask for less"
        )
    tails = 0.5 * (1 - nominal)
    low_end, high_end = (np.quantile(x, p, axis=1, method="weibull") for p in (tails, 1 - tails))
    inside = (low_end <= y) & (y <= high_end)
    found = inside.mean(1)
    low, high = wilson(inside.sum(1), len(y), confidence)
    again = _bootstrap(inside.mean(2).T, np.random.default_rng(seed))
    ends = np.quantile(again, [0.5 * (1 - confidence), 0.5 * (1 + confidence)], axis=0)
    return Coverage(nominal, found, low, high, inside.mean((1, 2)), ends[0], ends[1], m)


def _bootstrap(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of resampled rows, shape ``(repeats, columns)``."""
    count = len(rows)
    return rng.multinomial(count, np.full(count, 1 / count), _REPEATS) @ rows / count


@dataclass(frozen=True, eq=False)
class Tarp:
    """Expected coverage of balls around random points.

    Parameters
    ----------
    levels
        Credibility, shape ``(levels,)``.
    coverage, low, high
        Coverage found there, and its pointwise bootstrap band, same shape.
    test
        Test of the ranks for uniformity; `agrees` is its verdict.
    """

    levels: np.ndarray
    coverage: np.ndarray
    low: np.ndarray
    high: np.ndarray
    test: RankTest

    @property
    def agrees(self) -> bool:
        """Whether the ranks are as uniform as those of a right posterior."""
        return self.test.agrees


def tarp(truth: Array, samples: Array, references: Array | None = None, *, confidence: float = 0.95, seed: int) -> Tarp:
    """Test a posterior by the coverage of balls around reference points [1]_.

    Parameters
    ----------
    truth, samples
        Shapes ``(count, dim)`` and ``(count, draws, dim)``. Distances are measured in units of the spread of
        all rows.
    references
        One point for each truth, shape ``(count, dim)``, independent of the truth given its data. By default uniform in
        the box of all rows: these do not depend on the data, and draws of the prior would pass.
    confidence
        Probability that a right posterior agrees, and coverage of the band.
    seed
        Seed of the references, the ties and the bootstrap.

    References
    ----------
    .. [1] Lemos et al., arXiv:2302.03026
    """
    check_confidence(confidence)
    y, x = as_pairs(truth, samples)
    rng = np.random.default_rng([seed, 2])
    every = np.concatenate([x, y[:, None]], axis=1)
    c = rng.uniform(every.min((0, 1)), every.max((0, 1)), y.shape) if references is None else as_array(references)
    if c.shape != y.shape:
        raise ShapeError(f"references have shape {c.shape}; expected {y.shape}, a point for each truth")
    scale = every.std((0, 1))
    scale = np.where(scale > 0, scale, 1.0)
    far = np.linalg.norm((y - c) / scale, axis=1)[:, None]
    others = np.linalg.norm((x - c[:, None]) / scale, axis=2)[..., None]
    levels = np.linspace(0, 1, 51)
    inside = (pit(far, others, seed=seed) <= levels).astype(np.float64)
    again = _bootstrap(inside, rng)
    ends = np.quantile(again, [0.5 * (1 - confidence), 0.5 * (1 + confidence)], axis=0)
    test = rank_test(ranks(far, others, seed=seed), x.shape[1], confidence=confidence, seed=seed)
    return Tarp(levels, inside.mean(0), ends[0], ends[1], test)


def neighbour_references(data: Array, other_data: Array, others: Array) -> np.ndarray:
    """Take as reference the parameter of the simulation whose data are nearest: it depends on the data, as it must.

    Parameters
    ----------
    data
        Data of the truths, shape ``(count, size)``.
    other_data, others
        Data and parameters of *other* simulations, shapes ``(others, size)`` and ``(others, dim)``.
    """
    own, far, theta = as_array(data), as_array(other_data), as_array(others)
    if own.ndim != 2 or far.ndim != 2 or own.shape[1] != far.shape[1] or len(far) != len(theta) or not len(far):
        raise ShapeError(
            f"data {own.shape}, other data {far.shape}, others {theta.shape}; expected (count, size), (others, size) "
            "and (others, dim)"
        )
    scale = far.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    return theta[cKDTree(far / scale).query(own / scale)[1]]
