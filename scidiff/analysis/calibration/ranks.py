"""Ranks of truths among draws: simulation-based calibration and the probability integral transform.

Where ``theta_i`` comes from the prior and ``y_i`` from the simulator, the truth and `m` draws of the right posterior
are exchangeable given ``y_i``. The rank ``r = #{j: x_ij < theta_i}`` is then uniform on ``0, ..., m`` [1]_, exactly,
for every `m`; ties are broken at random. ``u = (r + U) / (m + 1)`` with a uniform ``U`` is uniform on (0, 1).

Two tests of it: Pearson's chi-square of the histogram, and the distance of the empirical distribution ``F`` from the
diagonal. At a boundary of cells where the right distribution is ``z``, ``n F(z)`` is binomial; let ``gamma`` be twice
the least of all tail probabilities. Its law under uniform ranks is simulated, and the band
``[Bin^-1(gamma / 2), Bin^-1(1 - gamma / 2)] / n`` at the quantile of ``gamma`` is left by chance with just the
probability that the confidence leaves [2]_.

Draws of the *prior* have uniform ranks as well: a rank of ``theta`` alone cannot see that the data were not used.
Rank a quantity of ``theta`` and ``y``, such as the likelihood [3]_, or use `tarp` with references that depend on
``y``.

References
----------
.. [1] S. Talts et al., "Validating Bayesian inference algorithms with simulation-based calibration", arXiv:1804.06788
.. [2] T. Säilynoja, P.-C. Bürkner, A. Vehtari, "Graphical test for discrete uniformity and its applications in
   goodness-of-fit evaluation and multiple sample comparison", arXiv:2103.10522
.. [3] M. Modrák et al., "Simulation-based calibration checking for Bayesian computation: the choice of test quantities
   shapes sensitivity", arXiv:2211.02383
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, chi2

from scidiff.analysis.calibration.pairs import Array, as_pairs, check_confidence
from scidiff.errors import ConfigError, ShapeError

__all__ = ["RankTest", "pit", "rank_test", "ranks"]

_EXPECTED, _CELLS = 10, 50
_TRIALS = 2000


@dataclass(frozen=True, eq=False)
class RankTest:
    """Histograms of ranks, and how far they are from uniform ones.

    Parameters
    ----------
    counts
        Ranks in each cell, shape ``(cells, dim)``.
    probability
        Probability of each cell under uniform ranks, shape ``(cells,)``.
    difference
        Empirical less uniform distribution at the inner boundaries of the cells, shape ``(cells - 1, dim)``.
    low, high
        Simultaneous band of the difference for one coordinate, shape ``(cells - 1,)``.
    chi_square, chance_chi_square
        Pearson's statistic of each coordinate, and the probability of at least as much, shape ``(dim,)``.
    chance_ecdf
        Probability that uniform ranks leave a band that these just touch, shape ``(dim,)``.
    confidence
        Confidence of the band and of the verdict.
    """

    counts: np.ndarray
    probability: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chi_square: np.ndarray
    chance_chi_square: np.ndarray
    chance_ecdf: np.ndarray
    confidence: float

    @property
    def chance(self) -> float:
        """Probability that a right posterior shows at least as much anywhere, by Bonferroni's bound."""
        least = min(self.chance_chi_square.min(), self.chance_ecdf.min())
        return float(min(1.0, 2 * len(self.chance_ecdf) * least))

    @property
    def agrees(self) -> bool:
        """Whether the ranks are as uniform as those of a right posterior."""
        return self.chance > 1 - self.confidence


def ranks(truth: Array, samples: Array, *, seed: int) -> np.ndarray:
    """Rank of each truth among its draws, ties broken at random.

    Parameters
    ----------
    truth
        True values, or a test quantity of them, shape ``(count, dim)``.
    samples
        Draws, or the same quantity of them, shape ``(count, draws, dim)``.
    seed
        Seed of the ties.

    Returns
    -------
    np.ndarray
        Integers in ``0, ..., draws``, shape ``(count, dim)``.

    References
    ----------
    .. [1] Talts et al., arXiv:1804.06788
    """
    y, x = as_pairs(truth, samples)
    below, ties = (x < y[:, None]).sum(1), (x == y[:, None]).sum(1)
    return below + np.random.default_rng(seed).integers(0, ties + 1)


def pit(truth: Array, samples: Array, *, seed: int) -> np.ndarray:
    """Randomised probability integral transform ``(rank + U) / (draws + 1)``, shape ``(count, dim)``.

    Uniform on (0, 1) for a right posterior, for any number of draws; parameters as in `ranks`.
    """
    rank = ranks(truth, samples, seed=seed)
    rng = np.random.default_rng([seed, 1])
    return (rank + rng.uniform(size=rank.shape)) / (samples.shape[1] + 1)


def rank_test(
    rank: np.ndarray, draws: int, *, cells: int | None = None, confidence: float = 0.95, seed: int = 0
) -> RankTest:
    """Test whether ranks are uniform.

    Parameters
    ----------
    rank
        Integers in ``0, ..., draws``, shape ``(count, dim)``.
    draws
        Number of draws that each truth was ranked among.
    cells
        Number of cells of the histogram; by default at most 50, each with ten ranks or more on average.
    confidence
        Probability that the ranks of a right posterior agree.
    seed
        Seed of the simulated law of ``gamma``.

    References
    ----------
    .. [1] Säilynoja et al., arXiv:2103.10522
    """
    check_confidence(confidence)
    if rank.ndim != 2 or not len(rank) or rank.min() < 0 or rank.max() > draws:
        raise ShapeError(f"ranks have shape {rank.shape}; expected (count, dim) with values in 0, ..., {draws}")
    count = len(rank)
    wanted = min(draws + 1, max(2, count // _EXPECTED), _CELLS) if cells is None else cells
    if not 2 <= wanted <= draws + 1:
        raise ConfigError(f"{wanted} cells for {draws} draws; expected 2 to draws + 1")
    edges = np.round(np.linspace(0, draws + 1, wanted + 1)).astype(np.int64)
    p = np.diff(edges) / (draws + 1)
    cell = np.searchsorted(edges, rank, side="right") - 1
    counts = np.stack([np.bincount(column, minlength=wanted) for column in cell.T], axis=1)
    expected = count * p[:, None]
    statistic = ((counts - expected) ** 2 / expected).sum(0)
    z = edges[1:-1] / (draws + 1)
    null = _gamma(np.random.default_rng(seed).multinomial(count, p, _TRIALS), z)
    chance = _chance(_gamma(counts.T, z), null, len(z))
    gamma = float(np.quantile(null, 1 - confidence))
    low, high = (binom.ppf(tail, count, z) / count - z for tail in (gamma / 2, 1 - gamma / 2))
    difference = counts.cumsum(0)[:-1] / count - z[:, None]
    by_chance = chi2.sf(statistic, wanted - 1)
    return RankTest(counts, p, difference, low, high, statistic, by_chance, chance, confidence)


def _chance(gamma: np.ndarray, null: np.ndarray, boundaries: int) -> np.ndarray:
    """Part of the simulated values that are as small; the union bound over the boundaries below what was simulated."""
    below = np.searchsorted(np.sort(null), gamma * (1 + 1e-9), side="right")
    simulated = (1 + below) / (1 + len(null))
    return np.where(below == 0, np.minimum(simulated, boundaries * gamma), simulated)


def _gamma(counts: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Twice the least tail probability of the binomial counts below each boundary, shape ``(rows,)``."""
    below, count = counts.cumsum(1)[:, :-1], int(counts[0].sum())
    table = binom.cdf(np.arange(-1, count + 1)[:, None], count, z[None, :])
    columns = np.arange(len(z))
    tails = np.minimum(table[below + 1, columns], 1 - table[below, columns])
    return 2 * tails.min(1)
