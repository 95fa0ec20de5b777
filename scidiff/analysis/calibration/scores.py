"""Proper scores of ensembles, and the spread that should match the error.

With `m` draws ``x_j`` and the truth ``y``,

    CRPS = mean |x_j - y| - c / 2 sum_jk |x_j - x_k|        energy score: the same with Euclidean norms

The empirical form, ``c = 1 / m^2``, prefers ensembles that are too narrow by ``O(1 / m)``; the fair one [2]_, ``c = 1
/ (m (m - 1))``, is unbiased for the score of the law that the draws come from. Both scores are least on average for
the right law, so that a wrong sampler shows in comparison with another one on the *same* truths; the score of a
single sampler has no scale of its own.

If truth and draws are exchangeable, ``E (y - mean x)^2 = (1 + 1/m) E var x``: the spread is corrected by
``(m + 1) / m`` [3]_ before it is compared with the error of the mean.

References
----------
.. [1] T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation",
   doi:10.1198/016214506000001437
.. [2] C. A. T. Ferro, "Fair scores for ensemble forecasts", doi:10.1002/qj.2270
.. [3] V. Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?",
   doi:10.1175/JHM-D-14-0008.1
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from scidiff.analysis.calibration.pairs import Array, as_array, as_pairs, check_confidence
from scidiff.errors import ConfigError, ShapeError

__all__ = [
    "ScoreGap",
    "SpreadSkill",
    "crps_ensemble",
    "crps_gaussian",
    "energy_score",
    "score_gap",
    "spread_skill",
]

_CHUNK = 2**22
_REPEATS = 500


def crps_ensemble(truth: Array, samples: Array, *, fair: bool = True) -> np.ndarray:
    """Continuous ranked probability score of every coordinate.

    Parameters
    ----------
    truth
        True values, shape ``(count, dim)``.
    samples
        Draws, shape ``(count, draws, dim)``.
    fair
        Whether the score is that of the law behind the draws, or of the draws as they are.

    Returns
    -------
    np.ndarray
        Scores in the unit of the values, shape ``(count, dim)``; smaller is better, and fair ones may be negative.

    References
    ----------
    .. [1] Ferro, doi:10.1002/qj.2270
    """
    y, x = as_pairs(truth, samples)
    m = x.shape[1]
    # sum_jk |x_j - x_k| = 2 sum_j (2 j - m - 1) x_(j) for sorted draws
    weight = (2 * np.arange(1, m + 1) - m - 1)[None, :, None]
    pairs = 2 * (weight * np.sort(x, 1)).sum(1)
    return np.abs(x - y[:, None]).mean(1) - 0.5 * pairs * _share(m, fair)


def crps_gaussian(truth: Array, mean: Array, sd: Array) -> np.ndarray:
    """Continuous ranked probability score of ``N(mean, sd^2)`` in closed form.

    ``sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))`` with ``z = (truth - mean) / sd``; shapes broadcast.

    References
    ----------
    .. [1] Gneiting, Raftery, doi:10.1198/016214506000001437
    """
    y, centre, spread = as_array(truth), as_array(mean), as_array(sd)
    if not (spread > 0).all():
        raise ConfigError(f"the least sd is {spread.min()}; expected positive numbers")
    z = (y - centre) / spread
    return spread * (z * (2 * ndtr(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))


def energy_score(truth: Array, samples: Array, *, fair: bool = True) -> np.ndarray:
    """Energy score, which sees dependence between the coordinates, shape ``(count,)``; parameters as `crps_ensemble`.

    References
    ----------
    .. [1] Gneiting, Raftery, doi:10.1198/016214506000001437
    """
    y, x = as_pairs(truth, samples)
    m = x.shape[1]
    rows = max(1, _CHUNK // (m * m * x.shape[2]))
    pairs = np.concatenate([_pairs(x[i : i + rows]) for i in range(0, len(x), rows)])
    return np.linalg.norm(x - y[:, None], axis=2).mean(1) - 0.5 * pairs * _share(m, fair)


def _pairs(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, :, None] - x[:, None], axis=3).sum((1, 2))


def _share(draws: int, fair: bool) -> float:
    if fair and draws < 2:
        raise ShapeError("one draw came; a fair score needs two or more: draw more, or take fair=False")
    return 1 / (draws * (draws - 1)) if fair else 1 / draws**2


@dataclass(frozen=True)
class ScoreGap:
    """Mean difference of two scores on the same truths.

    Parameters
    ----------
    value, error
        Mean of the differences and its standard error.
    low, high
        Interval.
    chance
        Probability of a difference at least as large, on either side, where both are equally good.
    """

    value: float
    error: float
    low: float
    high: float
    chance: float


def score_gap(scores: Array, others: Array, confidence: float = 0.95) -> ScoreGap:
    """Compare the scores of two samplers row by row: positive where the first is worse.

    Parameters
    ----------
    scores, others
        Scores of the same truths, one number per row, shape ``(count,)``; average coordinates first, which are not
        independent.
    confidence
        Coverage of the interval.
    """
    check_confidence(confidence)
    first, second = as_array(scores), as_array(others)
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise ShapeError(f"scores have shapes {first.shape} and {second.shape}; expected (count,) for both, count >= 2")
    gap = first - second
    value, error = float(gap.mean()), float(gap.std(ddof=1) / math.sqrt(len(gap)))
    half = float(norm.isf(0.5 * (1 - confidence))) * error
    chance = 2 * float(norm.sf(abs(value) / error)) if error > 0 else float(value == 0)
    return ScoreGap(value, error, value - half, value + half, chance)


@dataclass(frozen=True, eq=False)
class SpreadSkill:
    """Spread of the draws against the error of their mean, in bins of the spread.

    Parameters
    ----------
    spread
        Corrected spread of each bin, root mean square, shape ``(bins,)``.
    skill
        Error of the mean of the draws, root mean square, same shape.
    ratio, low, high
        ``spread / skill`` over all, and its interval by a bootstrap of rows; 1 for a right posterior.
    count
        Entries in each bin.
    """

    spread: np.ndarray
    skill: np.ndarray
    ratio: float
    low: float
    high: float
    count: np.ndarray

    @property
    def agrees(self) -> bool:
        """Whether the interval of the ratio holds 1."""
        return self.low <= 1 <= self.high


def spread_skill(
    truth: Array, samples: Array, *, bins: int = 10, confidence: float = 0.95, seed: int = 0
) -> SpreadSkill:
    """Compare spread and error.

    Parameters
    ----------
    truth, samples
        Shapes ``(count, dim)`` and ``(count, draws, dim)``, at least two draws; all coordinates in one unit.
    bins
        Number of bins of equally many entries.
    confidence
        Coverage of the interval of the ratio.
    seed
        Seed of the bootstrap.

    References
    ----------
    .. [1] Fortin et al., doi:10.1175/JHM-D-14-0008.1
    """
    check_confidence(confidence)
    y, x = as_pairs(truth, samples)
    m = x.shape[1]
    if m < 2 or not 1 <= bins <= y.size:
        raise ConfigError(f"{m} draws, {bins} bins, {y.size} entries; expected two draws, and an entry in each bin")
    variance, error = x.var(1, ddof=1) * (m + 1) / m, (y - x.mean(1)) ** 2
    order = np.array_split(np.argsort(variance, axis=None), bins)
    spread, skill = (np.sqrt([v.reshape(-1)[each].mean() for each in order]) for v in (variance, error))
    index = np.random.default_rng(seed).integers(0, len(y), (_REPEATS, len(y)))
    rows = variance.mean(1), error.mean(1)
    ratios = np.sqrt(rows[0][index].mean(1) / rows[1][index].mean(1))
    low, high = np.quantile(ratios, [0.5 * (1 - confidence), 0.5 * (1 + confidence)])
    ratio = math.sqrt(rows[0].mean() / rows[1].mean())
    return SpreadSkill(spread, skill, ratio, float(low), float(high), np.array([len(each) for each in order]))
