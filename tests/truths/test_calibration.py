"""Calibration: the right posterior of a linear Gaussian model passes, wrong ones fail where they must.

Rates are those of repeated experiments. A right posterior is rejected with probability 5 %: of 12 experiments at most
4, which binomially fails 2 times in 10 000. "Fails" means that at least 11 of 12 experiments reject; what is known to
be blind (ranks of single coordinates to a wrong correlation, and to the prior) has to pass as a right one does.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, norm

from scidiff.analysis.calibration import (
    calibrate,
    interval_coverage,
    neighbour_references,
    pit,
    plot_ranks,
    plot_reliability,
    plot_spread_skill,
    rank_test,
    ranks,
    spread_skill,
    tarp,
    wilson,
)
from scidiff.errors import ConfigError, ShapeError
from scidiff.testing_targets.calibration import WRONG, LinearGaussian

COUNT, DRAWS, REPEATS = 300, 59, 12
RIGHT = LinearGaussian()
BLIND = {"uncorrelated", "prior"}


def rejected(verdicts) -> int:
    return sum(not agrees for agrees in verdicts)


def sbc(model: LinearGaussian, seed: int):
    theta, _, x = model.pairs(COUNT, DRAWS, seed)
    return rank_test(ranks(theta, x, seed=seed), DRAWS, seed=seed)


def balls(model: LinearGaussian, seed: int):
    theta, y, x = model.pairs(COUNT, DRAWS, seed)
    others = model.prior(COUNT, 10_000 + seed)
    return tarp(theta, x, neighbour_references(y, model.simulate(others, 20_000 + seed), others), seed=seed)


def likelihood(model: LinearGaussian, seed: int):
    theta, y, x = model.pairs(COUNT, DRAWS, seed)
    own = model.log_likelihood(theta, y)[:, None]
    others = model.log_likelihood(x.reshape(-1, 2), np.repeat(y, DRAWS, 0)).reshape(COUNT, DRAWS, 1)
    return rank_test(ranks(own, others, seed=seed), DRAWS, seed=seed)


@pytest.mark.parametrize("test", [sbc, balls, likelihood])
def test_the_right_posterior_passes(test):
    assert rejected(test(RIGHT, seed).agrees for seed in range(REPEATS)) <= 4


@pytest.mark.parametrize("name", [*WRONG])
def test_ranks_find_wrong_marginals_and_nothing_else(name):
    found = rejected(sbc(WRONG[name], seed).agrees for seed in range(REPEATS))
    assert found <= 4 if name in BLIND else found >= 11


@pytest.mark.parametrize("name", [*WRONG])
def test_ranks_of_the_likelihood_find_everything(name):
    assert rejected(likelihood(WRONG[name], seed).agrees for seed in range(REPEATS)) >= 11


@pytest.mark.parametrize(("name", "least"), [("narrow", 11), ("wide", 11), ("prior", 11), ("shifted", 5)])
def test_balls_find_what_ranks_find_and_the_prior(name, least):
    """A shift moves a ball around a random point as often inwards as outwards: the power is a half, not one."""
    assert rejected(balls(WRONG[name], seed).agrees for seed in range(REPEATS)) >= least


def test_balls_find_a_wrong_correlation_behind_right_marginals():
    """Around the origin the draws are compared with the truth by their norm alone, which depends on the correlation."""
    rng = np.random.default_rng(0)
    line = rng.standard_normal((COUNT, DRAWS + 1, 1)) * np.ones(2)
    independent = rng.standard_normal((COUNT, DRAWS + 1, 2))
    origin = np.zeros((COUNT, 2))
    assert tarp(line[:, 0], line[:, 1:], origin, seed=0).agrees
    assert not tarp(line[:, 0], independent[:, 1:], origin, seed=0).agrees
    assert rank_test(ranks(line[:, 0], independent[:, 1:], seed=0), DRAWS).agrees


def test_references_that_ignore_the_data_let_the_prior_pass():
    verdicts = []
    for seed in range(REPEATS):
        theta, _, x = WRONG["prior"].pairs(COUNT, DRAWS, seed)
        verdicts.append(tarp(theta, x, seed=seed).agrees)
    assert rejected(verdicts) <= 4


def test_the_band_is_left_as_often_as_promised():
    """1000 sets of uniform ranks leave the band of 90 % 100 times, give or take four deviations of 9.5."""
    rng = np.random.default_rng(1)
    draws = rng.integers(0, 20, (200, 1000))
    found = rank_test(draws, 19, confidence=0.9)
    outside = (found.difference < found.low[:, None] - 1e-12) | (found.difference > found.high[:, None] + 1e-12)
    left = int(outside.any(0).sum())
    # the quantile of 2000 simulated gammas adds a deviation of 6.7; the band is discrete, and may be a little too wide
    assert 40 <= left <= 100 + 4 * math.hypot(9.5, 6.7)


def test_chi_square_of_a_known_histogram():
    counts = np.array([10, 30, 20, 40])
    found = rank_test(np.repeat(np.arange(4), counts)[:, None], 3, cells=4)
    assert found.chi_square[0] == pytest.approx(((counts - 25) ** 2 / 25).sum())
    assert found.chance_chi_square[0] == pytest.approx(chi2.sf(20, 3))
    assert np.allclose(found.difference[:, 0], [0.1 - 0.25, 0.4 - 0.5, 0.6 - 0.75])
    # the least tail of all boundaries decides, here that of 10 of 100 below 1/4
    assert found.chance_ecdf[0] < 0.05 and not found.agrees
    assert found.chance_ecdf[0] == pytest.approx(min(1 / 2001, 3 * 2 * binom.cdf(10, 100, 0.25)))


def test_unequal_cells_have_their_own_probabilities():
    found = rank_test(np.random.default_rng(0).integers(0, 11, (500, 1)), 10, cells=4)
    assert found.probability.sum() == pytest.approx(1)
    assert {round(float(p) * 11) for p in found.probability} == {2, 3}
    assert found.agrees


def test_ranks_break_ties_evenly_and_pit_is_uniform():
    """All equal: the rank is uniform on 0, ..., 3 by the ties alone; four deviations of a multinomial count."""
    same = ranks(np.zeros((4000, 1)), np.zeros((4000, 3, 1)), seed=0)
    assert np.abs(np.bincount(same[:, 0]) - 1000).max() < 4 * math.sqrt(4000 * 0.25 * 0.75)
    u = pit(np.zeros((4000, 1)), np.zeros((4000, 3, 1)), seed=0)
    # Kolmogorov's distance of 4000 uniform numbers exceeds 1.95 / sqrt(4000) once in 1000
    assert np.abs(np.sort(u[:, 0]) - (np.arange(4000) + 0.5) / 4000).max() < 1.95 / math.sqrt(4000)
    assert ranks(torch.tensor([[0.5]]), torch.tensor([[[0.0], [1.0], [0.2]]]), seed=0).tolist() == [[2]]


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_coverage_follows_its_closed_form(scale):
    """Central intervals of N(m, (f s)^2) hold N(m, s^2) with 2 Phi(f z) - 1; four binomial errors and O(1 / draws)."""
    count, draws, levels = 1500, 199, (0.5, 0.8, 0.9, 0.95)
    theta, _, x = LinearGaussian(scale=scale).pairs(count, draws, 7)
    found = interval_coverage(theta, x, levels, confidence=0.999)
    exact = 2 * norm.cdf(scale * norm.isf(0.5 * (1 - np.array(levels)))) - 1
    error = 4 * np.sqrt(exact * (1 - exact) / count) + (0.0 if scale == 1 else 1 / draws)
    assert (np.abs(found.found - exact[:, None]) < error[:, None]).all()
    within = (found.pooled_low <= found.levels) & (found.levels <= found.pooled_high)
    assert within.all() if scale == 1 else not within.any()
    assert ((found.low <= found.found) & (found.found <= found.high)).all()


def test_few_draws_cover_what_their_order_says():
    """The range of 8 exact draws holds the truth with 7/9; a level of 0.9 cannot be had."""
    rng = np.random.default_rng(0)
    y, x = rng.standard_normal((4000, 1)), rng.standard_normal((4000, 8, 1))
    found = interval_coverage(y, x, [7 / 9])
    assert abs(float(found.found[0, 0]) - 7 / 9) < 4 * math.sqrt(7 / 9 * 2 / 9 / 4000)
    with pytest.raises(ConfigError, match=r"covers 0\.778"):
        interval_coverage(y, x, [0.9])


def test_wilson_of_known_numbers():
    """0 of 10: the upper end is z^2 / (10 + z^2); 5 of 10 is symmetric."""
    z2 = norm.isf(0.025) ** 2
    low, high = wilson(np.array([0, 5, 10]), 10)
    assert low[0] == 0 and high[0] == pytest.approx(z2 / (10 + z2))
    assert low[1] + high[1] == pytest.approx(1)
    assert high[2] == 1 and low[2] == pytest.approx(1 - high[0])


@pytest.mark.parametrize(("draws", "scale"), [(2, 1.0), (5, 1.0), (50, 1.0), (5, 0.7), (5, 1.4)])
def test_spread_over_skill(draws, scale):
    """E spread^2 / E error^2 = f^2 (m + 1) / (m + f^2): 1 for a right posterior, for any number of draws."""
    theta, _, x = LinearGaussian(scale=scale).pairs(4000, draws, 3)
    found = spread_skill(theta, x, bins=4)
    exact = scale * math.sqrt((draws + 1) / (draws + scale**2))
    assert found.low <= exact <= found.high
    assert found.agrees is (scale == 1.0)
    # the bootstrap interval is four standard errors wide; a naive ratio is off by sqrt(m / (m + 1))
    assert draws > 5 or abs(1 - math.sqrt(draws / (draws + 1))) > found.high - found.low
    assert found.count.sum() == 8000


def test_spread_follows_the_error_from_bin_to_bin():
    """Rows of known, unequal spread: every bin of the diagram lies on the diagonal, five errors of 1000 squares."""
    rng = np.random.default_rng(2)
    sd = np.repeat([0.5, 1.0, 2.0, 4.0], 1000)[:, None]
    found = spread_skill(
        sd * rng.standard_normal((4000, 1)), sd[..., None] * rng.standard_normal((4000, 100, 1)), bins=4
    )
    assert np.allclose(found.skill / found.spread, 1, atol=5 * math.sqrt(1 / 2000))
    assert np.allclose(found.spread, np.unique(sd) * math.sqrt(101 / 100), rtol=0.02)


def run(model: LinearGaussian, **options):
    return calibrate(
        lambda y, draws, seed: torch.from_numpy(model.sample(y, draws, seed)),
        model.prior,
        model.simulate,
        seed=5,
        count=COUNT,
        draws=DRAWS,
        **options,
    )


def test_calibrate_passes_the_right_and_finds_the_wrong():
    report = run(RIGHT, quantities={"log-likelihood": RIGHT.log_likelihood})
    assert report.agrees and set(report.chances) == {"sbc", "log-likelihood", "tarp"}
    assert report.as_json()["agrees"] is True
    for model in WRONG.values():
        assert not run(model, quantities={"log-likelihood": model.log_likelihood}).agrees
    assert not run(WRONG["prior"]).agrees


def test_a_report_is_the_same_again_and_has_pictures():
    report = run(WRONG["narrow"])
    assert report.as_json() == run(WRONG["narrow"]).as_json()
    assert len(report.plot().axes) == 3
    assert len(plot_ranks(report.sbc).axes) == 2
    assert len(plot_reliability(report.coverage).axes) == 1
    theta, _, x = RIGHT.pairs(100, 10, 0)
    assert len(plot_spread_skill(spread_skill(theta, x)).axes) == 1


def test_wrong_inputs_are_refused():
    with pytest.raises(ShapeError, match="draws on axis 1"):
        ranks(np.zeros((3, 2)), np.zeros((4, 3, 2)), seed=0)
    with pytest.raises(ShapeError, match="not finite"):
        ranks(np.full((3, 2), np.nan), np.zeros((3, 4, 2)), seed=0)
    with pytest.raises(ShapeError, match=r"0, \.\.\., 5"):
        rank_test(np.full((3, 1), 6), 5)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        rank_test(np.zeros((30, 1), dtype=int), 5, confidence=1.0)
    with pytest.raises(ConfigError, match="at least 20"):
        calibrate(RIGHT.sample, RIGHT.prior, RIGHT.simulate, seed=0, count=5)
