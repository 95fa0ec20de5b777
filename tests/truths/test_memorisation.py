"""Memorisation: a model that knows its data by heart is found, the population is not accused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from scidiff.analysis.membership import auc, denoising_loss, membership_auc, sima
from scidiff.analysis.memorisation import nearest_ratio, noise_regimes
from scidiff.denoise import DatasetDenoiser, Denoiser, GaussianMixture
from scidiff.errors import ConfigError
from scidiff.process import GaussianProcess, Kind, VPSchedule
from scidiff.random import Noise
from scidiff.spaces import Euclidean

DIM, COUNT = 8, 400
SCHEDULE = VPSchedule()
PROCESS = GaussianProcess(Euclidean((DIM,)), SCHEDULE)
TIMES = (0.05, 0.1, 0.15)


def population(dim: int = DIM) -> GaussianMixture:
    means = 2 * torch.from_numpy(np.random.default_rng(0).standard_normal((5, dim)))
    return GaussianMixture(SCHEDULE, torch.full((5,), 0.2), means, torch.full((5,), 0.5))


DATA = population().draw(Noise.range(0, 3 * COUNT))
TRAIN, HOLDOUT, NEW = DATA.split(COUNT)


def test_membership_of_the_two_extremes():
    """The denoiser of the data set scores 1, that of the population 1/2, and the intervals say so."""
    heart = membership_auc(DatasetDenoiser(SCHEDULE, TRAIN).denoiser, PROCESS, TRAIN, HOLDOUT, TIMES, seed=0)
    assert heart.value > 0.99
    assert heart.leaks and heart.high <= 1
    fair = membership_auc(population().denoiser, PROCESS, TRAIN, HOLDOUT, TIMES, seed=0)
    assert fair.low < 0.5 < fair.high
    # 0.02 is the standard error of 400 against 400 ties-free scores: sqrt(801 / 12) / 400
    assert abs(fair.value - 0.5) < 3 * math.sqrt(801 / 12) / 400


def test_sima_of_the_two_extremes():
    """At the smallest noise the nearest datum is the answer: the norm is 0 for members up to the shrinkage by alpha."""
    heart = DatasetDenoiser(SCHEDULE, TRAIN).denoiser
    assert auc(sima(heart, PROCESS, TRAIN, 0.02), sima(heart, PROCESS, HOLDOUT, 0.02)).value > 0.999
    fair = population().denoiser
    area = auc(sima(fair, PROCESS, TRAIN, 0.02), sima(fair, PROCESS, HOLDOUT, 0.02))
    assert area.low < 0.5 < area.high


def test_between_the_extremes_the_score_is_monotone():
    """A mean of both predictions leaks more, the more of the data set is in it."""

    def blend(part: float):
        heart, fair = DatasetDenoiser(SCHEDULE, TRAIN), population()
        return Denoiser(lambda x, t, c: part * heart(x, t) + (1 - part) * fair(x, t), Kind.MEAN)

    found = [membership_auc(blend(part), PROCESS, TRAIN, HOLDOUT, TIMES, seed=0).value for part in (0.0, 0.1, 0.3, 1.0)]
    assert found == sorted(found)
    assert found[1] > 0.55


def test_the_loss_is_that_of_the_noise():
    """For data N(0, v): E|eps - eps_hat|^2 = dim alpha^2 v / (alpha^2 v + sigma^2), within five standard errors."""
    v, t = 2.0, 0.4
    model = GaussianMixture.gaussian(SCHEDULE, torch.zeros(DIM), torch.tensor(v))
    x = model.draw(Noise.range(7, 4000))
    losses = denoising_loss(model.denoiser, PROCESS, x, [t], seed=1, draws=2)
    alpha, sigma = float(SCHEDULE.alpha(t)), float(SCHEDULE.sigma(t))
    exact = DIM * alpha**2 * v / (alpha**2 * v + sigma**2)
    assert abs(float(losses.mean()) - exact) < 5 * float(losses.std()) / math.sqrt(len(losses))


@pytest.mark.parametrize("shift", [0.0, 0.8, 2.0])
def test_area_and_interval_of_two_normals(shift):
    """AUC = Phi(shift / sqrt 2). Of 300 intervals of 90 % at least 254 hold it: 270 minus three deviations of 5.2."""
    truth, rng = norm.cdf(shift / math.sqrt(2)), np.random.default_rng(3)
    areas = [auc(rng.standard_normal(60), shift + rng.standard_normal(90), 0.9) for _ in range(300)]
    assert sum(one.low <= truth <= one.high for one in areas) >= 254
    values = np.array([one.value for one in areas])
    assert abs(values.mean() - truth) < 5 * values.std() / math.sqrt(300)


def test_ties_and_full_separation():
    assert auc(np.zeros(5), np.zeros(7)).value == 0.5
    pairs = auc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert pairs.value == (1 + 1 + 0.5 + 1) / 4
    apart = auc(np.arange(20.0), 100 + np.arange(30.0))
    # Wilson for 20 of 20: 20 / (20 + z^2)
    assert (apart.value, apart.high) == (1.0, 1.0)
    assert apart.low == pytest.approx(20 / (20 + norm.isf(0.025) ** 2))
    assert auc(100 + np.arange(20.0), np.arange(30.0)).high == pytest.approx(1 - apart.low)
    with pytest.raises(ConfigError, match="at least two"):
        auc(np.zeros(1), np.zeros(5))


def test_nearest_ratio_of_copies_and_of_the_population():
    copies = nearest_ratio(TRAIN[:200].clone(), TRAIN, HOLDOUT, seed=0)
    assert copies.value == 0.0
    assert copies.nearer.value == 1.0
    assert copies.memorised and copies.copies == 1.0
    fair = nearest_ratio(NEW, TRAIN, HOLDOUT, seed=0)
    assert fair.low < 1 < fair.high
    assert fair.nearer.low < 0.5 < fair.nearer.high
    assert not fair.memorised


def test_calibration_does_not_depend_on_the_sizes_of_the_sets():
    """Ten times as many training data bring every point nearer to them; the calibrated ratio stays at 1."""
    many = population().draw(Noise.range(5, 4000))
    found = nearest_ratio(NEW, many, HOLDOUT, seed=0)
    assert found.low < 1 < found.high
    assert float(torch.cdist(NEW, many).amin(1).median()) < 0.85 * float(torch.cdist(NEW, TRAIN).amin(1).median())


def test_the_population_is_accused_as_rarely_as_promised():
    """One-sided errors of intervals of 90 %: 5 % of 100 seeds, at most 13 with a chance of 1 in 1000."""
    accused = 0
    for seed in range(100):
        x = Noise.range(seed, 180).normal((4,), step=0, stream="x")
        accused += nearest_ratio(x[:60], x[60:120], x[120:], seed=seed, repeats=200, confidence=0.9).memorised
    assert accused <= 13


def test_blurred_copies_lie_between():
    ratios = []
    for blur in (0.01, 0.2, 0.6):
        noise = Noise.range(9, COUNT).normal((DIM,), step=0, stream="blur")
        ratios.append(nearest_ratio(TRAIN + blur * noise, TRAIN, HOLDOUT, seed=0).value)
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.02 < ratios[1] < 0.6


@pytest.mark.parametrize(("dim", "count", "peak"), [(10, 1000, 0.45), (50, 1000, 0.44), (50, 200, 0.46)])
def test_three_regimes_of_normal_data(dim, count, peak):
    """Measured for N(0, 1) and shells of two deviations: calm at both ends, a peak between; 400 queries err by 0.02."""
    x = Noise.range(0, count + 400).normal((dim,), step=0, stream="x")
    found = noise_regimes(x[:count], x[count:], (0.05, 0.1, 0.2, 0.4, 0.55, 0.7, 1.0, 1.5, 2.5, 5.0, 20.0), seed=0)
    assert found.risk.max() == pytest.approx(peak, abs=0.06)
    assert (0.3 < found.peak < 0.8) if dim == 10 else (found.peak == 1.5)
    assert found.coverage[0] == 0 and found.concentration[0] > 0.9
    assert found.coverage[-1] > 0.95 and found.concentration[-1] < 0.05
    low, high = found.band()
    assert low <= found.peak <= high
    assert found.risk[0] < 0.01 and found.risk[-1] < 0.05


def test_one_training_point_is_always_the_posterior():
    x = Noise.range(0, 3).normal((2,), step=0, stream="x")
    assert np.array_equal(noise_regimes(x[:1], x[1:], [0.1, 1.0], seed=0).concentration, np.ones(2))


def test_small_noise_far_from_the_origin_is_as_near_it():
    """Coverage and concentration depend on differences alone.

    At an offset of 1024 and a noise of 1e-6 differences lose 2e-7 of it, and squares of lengths all of it. Three
    standard errors of a coverage of 0.954 of 400 queries are 0.03.
    """
    data = 1024 + torch.from_numpy(np.random.default_rng(0).standard_normal((400, 64)))
    found = noise_regimes(data, data, [1e-6], seed=0)
    assert abs(float(found.coverage[0]) - 0.954) < 0.03
    assert float(found.concentration[0]) == 1.0
