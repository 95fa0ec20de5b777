"""Scores, classifiers and conformal factors against closed forms; right laws pass, wrong ones fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from scidiff.analysis.calibration import (
    c2st,
    conformal_entries,
    conformal_map,
    conformal_whole,
    crps_ensemble,
    crps_gaussian,
    energy_score,
    mlp,
    score_gap,
)
from scidiff.errors import ConfigError, DataError, ShapeError
from scidiff.testing_targets.calibration import WRONG, LinearGaussian

RIGHT = LinearGaussian()


def test_crps_is_its_integral():
    """CRPS = int (F(z) - 1[z >= y])^2 dz, by the trapezoidal rule for the normal law and exactly for three draws."""
    z = np.linspace(-12, 12, 240_001)
    for y, mean, sd in ((0.3, 0.0, 1.0), (-2.0, 0.5, 0.7)):
        exact = np.trapezoid((ndtr((z - mean) / sd) - (z >= y)) ** 2, z)
        assert crps_gaussian(np.array(y), np.array(mean), np.array(sd)) == pytest.approx(exact, abs=1e-4)
    # draws 0, 1, 3 and truth 2: (1/3)^2 on (0, 1), (2/3)^2 on (1, 2), (1/3)^2 on (2, 3)
    found = crps_ensemble(np.array([[2.0]]), np.array([[[3.0], [0.0], [1.0]]]), fair=False)
    assert found[0, 0] == pytest.approx(1 / 9 + 4 / 9 + 1 / 9)
    # fair: mean |x - y| = 4/3 less half of the mean distance of pairs, 2
    assert crps_ensemble(np.array([[2.0]]), np.array([[[3.0], [0.0], [1.0]]]))[0, 0] == pytest.approx(4 / 3 - 1)


def test_the_fair_score_is_unbiased_and_the_plain_one_is_not():
    """E fair = the closed form for any number of draws; E plain exceeds it by E|x - x'| / (2 m) = 1 / (m sqrt(pi))."""
    rng, y, m = np.random.default_rng(0), 0.4, 3
    x = rng.standard_normal((40_000, m, 1))
    truth, exact = np.full((40_000, 1), y), float(crps_gaussian(np.array(y), np.array(0.0), np.array(1.0)))
    for fair, bias in ((True, 0.0), (False, 1 / (m * math.sqrt(math.pi)))):
        scores = crps_ensemble(truth, x, fair=fair)
        error = 4 * scores.std() / math.sqrt(len(scores))
        assert abs(scores.mean() - exact - bias) < error
    assert bias > 2 * error


def test_the_energy_score_is_crps_in_one_dimension_and_rotates():
    rng = np.random.default_rng(1)
    y, x = rng.standard_normal((50, 1)), rng.standard_normal((50, 7, 1))
    for fair in (True, False):
        assert np.allclose(energy_score(y, x, fair=fair), crps_ensemble(y, x, fair=fair)[:, 0], atol=1e-13)
    y, x, turn = rng.standard_normal((50, 3)), rng.standard_normal((50, 7, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert np.allclose(energy_score(y @ turn, x @ turn), energy_score(y, x), atol=1e-13)


@pytest.mark.parametrize("name", [*WRONG])
def test_proper_scores_prefer_the_right_posterior(name):
    """The mean gap of both scores to the right sampler is positive by five standard errors where they can see it."""
    theta, y, x = RIGHT.pairs(1500, 60, 1)
    wrong = WRONG[name].sample(y, 60, 77)
    energy = score_gap(energy_score(theta, wrong), energy_score(theta, x))
    crps = score_gap(crps_ensemble(theta, wrong).mean(1), crps_ensemble(theta, x).mean(1))
    assert energy.value > 5 * energy.error
    if name == "uncorrelated":
        assert abs(crps.value) < 4 * crps.error
    else:
        assert crps.value > 5 * crps.error


def test_equal_samplers_have_equal_scores():
    theta, y, x = RIGHT.pairs(1500, 60, 2)
    gap = score_gap(energy_score(theta, RIGHT.sample(y, 60, 78)), energy_score(theta, x), confidence=0.999)
    assert gap.low < 0 < gap.high and gap.chance > 0.001
    assert score_gap(np.arange(3.0), np.arange(3.0)).chance == 1.0
    assert score_gap(np.arange(3.0) + 1, np.arange(3.0)).chance == 0.0


def joint(model: LinearGaussian, seed: int, count: int = 300):
    theta, y, x = model.pairs(count, 1, seed)
    return np.concatenate([theta, y], 1), np.concatenate([x[:, 0], y], 1)


@pytest.mark.parametrize("name", [*WRONG])
def test_the_classifier_finds_every_wrong_posterior(name):
    found = c2st(*joint(WRONG[name], 3), seed=0, paired=True, permutations=39)
    assert not found.agrees and found.accuracy > found.high


def test_the_classifier_passes_the_right_posterior():
    """At 5 % at most 4 of 12 reject, but for 2 in 10 000; the level is exact by permutation."""
    found = [c2st(*joint(RIGHT, seed), seed=seed, paired=True, permutations=19) for seed in range(12)]
    assert sum(not each.agrees for each in found) <= 4
    assert all(each.low < 0.5 < each.high for each in found)


def test_the_accuracy_approaches_its_closed_form():
    """N(0, 1) against N(1, 1): Bayes' rule is right with Phi(1/2) = 0.691; four binomial errors of 4000 rows."""
    rng = np.random.default_rng(0)
    found = c2st(rng.standard_normal((2000, 1)), 1 + rng.standard_normal((2000, 1)), seed=0, permutations=19)
    p = norm.cdf(0.5)
    assert abs(found.accuracy - p) < 4 * math.sqrt(p * (1 - p) / 4000)
    assert not found.agrees
    # the null law has about the binomial width 1/2 / sqrt(4000); 19 values tell it within a factor of two
    assert 0.5 < found.null.std() / (0.5 / math.sqrt(4000)) < 2


def test_a_network_sees_what_second_moments_do_not():
    """A square of side 2 sqrt 3 and a normal law have equal moments up to the third: only the network finds it."""
    rng = np.random.default_rng(0)
    square, normal = rng.uniform(-(3**0.5), 3**0.5, (1000, 1)), rng.standard_normal((1000, 1))
    square -= square.mean()
    normal = (normal - normal.mean()) * square.std() / normal.std()
    assert c2st(square, normal, seed=0, permutations=19).agrees
    net = mlp(16, 100, 0.03)
    assert not c2st(square, normal, seed=0, permutations=9, folds=2, confidence=0.9, classifier=net).agrees


def maps(count: int, width: float, seed: int):
    """Residuals with a common factor in each map, Student-like, and a claimed sd that is off by `width` and uneven."""
    rng = np.random.default_rng(seed)
    sd = np.linspace(0.5, 2.0, 12)
    mean = rng.standard_normal((count, 12))
    truth = mean + sd * rng.standard_normal((count, 12)) * np.sqrt(5 / rng.chisquare(5, (count, 1)))
    return truth, mean, np.broadcast_to(width * sd, mean.shape)


@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_conformal_intervals_cover_whatever_the_claimed_spread(width):
    """Mean coverage over 400 held-out sets of 29 examples: level to level + 1/30, and four errors."""
    level, count = 0.9, 29
    rates = {maker: [] for maker in (conformal_entries, conformal_map, conformal_whole)}
    truth, mean, sd = maps(400 * 2 * count, width, 0)
    for i in range(400):
        held, new = (slice((2 * i + j) * count, (2 * i + j + 1) * count) for j in (0, 1))
        for maker, found in rates.items():
            low, high = maker(truth[held], mean[held], sd[held], level).interval(mean[new], sd[new])
            inside = (low <= truth[new]) & (truth[new] <= high)
            found.append(inside.all(1).mean() if maker is conformal_whole else inside.mean())
    for found in rates.values():
        error = 4 * np.std(found) / math.sqrt(400)
        assert level - error < np.mean(found) < level + 1 / (count + 1) + error
    naive = np.abs(truth - mean) < norm.isf(0.05) * sd
    assert abs(naive.mean() - level) > 0.04


def test_the_coverage_given_the_held_out_set_has_its_beta_law():
    """For N(0, 1) residuals the coverage 2 Phi(q) - 1 is known; 900 of 1000 lie in the interval, four deviations."""
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(1000):
        r = rng.standard_normal(49)
        found = conformal_entries(r, np.zeros(49), np.ones(49), 0.8)
        low, high = found.spread(0.9)
        inside += low <= 2 * norm.cdf(float(found.factor)) - 1 <= high
    assert abs(inside - 900) < 4 * 9.5


def test_a_calibrated_normal_posterior_needs_no_inflation():
    """The factor of N(0, 1) is Phi^-1(0.95); its error is sqrt(p (1 - p) / n) / (2 phi), taken four times."""
    rng = np.random.default_rng(5)
    y = rng.standard_normal((4000, 1))
    for width in (0.5, 1.0):
        found = conformal_map(y, np.zeros_like(y), np.full_like(y, width))
        error = math.sqrt(0.9 * 0.1 / 4000) / (2 * norm.pdf(norm.isf(0.05))) / norm.isf(0.05)
        assert abs(float(found.inflation) * width - 1) < 4 * error
        assert float(found.rescale(np.array(2.0))) == pytest.approx(2 * float(found.inflation))


def test_factors_of_a_worked_example():
    """Residuals 1, ..., 9 in both columns, level 0.8: k = 8; the map may miss (10 * 0.2 - 1) * 2 entries."""
    truth = np.stack([np.arange(1.0, 10), np.arange(9.0, 0, -1)], axis=1)
    flat = np.zeros_like(truth), np.ones_like(truth)
    assert conformal_entries(truth, *flat, 0.8).factor.tolist() == [8.0, 8.0]
    assert float(conformal_map(truth, *flat, 0.8).factor) == 8.0
    # row maxima are 9 8 7 6 5 6 7 8 9
    assert float(conformal_whole(truth, *flat, 0.8).factor) == 9.0


def test_wrong_inputs_are_refused():
    one = np.ones(8)
    with pytest.raises(ConfigError, match="9 or more"):
        conformal_entries(one, one, one, 0.9)
    with pytest.raises(ConfigError, match="floor"):
        conformal_map(one, one, 0 * one, 0.5)
    with pytest.raises(ShapeError, match="one shape"):
        conformal_map(one, one[:3], one, 0.5)
    with pytest.raises(ShapeError, match="two or more"):
        crps_ensemble(np.zeros((2, 1)), np.zeros((2, 1, 1)))
    with pytest.raises(ConfigError, match="positive"):
        crps_gaussian(one, one, 0 * one)
    with pytest.raises(ConfigError, match="cannot reject"):
        c2st(np.zeros((9, 1)), np.zeros((9, 1)), seed=0, permutations=5)
    with pytest.raises(ShapeError, match="two equal shapes"):
        c2st(np.zeros((9, 1)), np.zeros((8, 1)), seed=0)


def majority(x, label):
    """Guess the label that most training rows have."""
    return lambda rows: np.full(len(rows), label.mean() - 0.5)


@pytest.mark.parametrize("paired", [False, True], ids=["unpaired", "paired"])
def test_a_classifier_that_sees_nothing_rejects_no_more_often_than_it_may(paired):
    """Chance at most 1/10 in at most a tenth of 200 trials: 20, and five errors of a binomial count more."""
    rng = np.random.default_rng(0)
    use = {"permutations": 9, "confidence": 0.9, "classifier": majority, "paired": paired}
    chances = [c2st(*rng.standard_normal((2, 20, 1)), seed=seed, **use).chance for seed in range(200)]
    assert sum(chance < 0.1 + 1e-9 for chance in chances) <= 20 + 5 * math.sqrt(200 * 0.1 * 0.9)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("scores", [conformal_entries, conformal_whole, conformal_map])
def test_values_that_are_not_finite_are_refused(scores, value):
    good, bad = np.ones((20, 2)), np.ones((20, 2))
    bad[3, 1] = value
    for row in range(3):
        with pytest.raises(DataError, match="not finite"):
            scores(*(bad if row == each else good for each in range(3)))
    with pytest.raises(DataError, match="not finite"):
        c2st(bad, good, seed=0)
