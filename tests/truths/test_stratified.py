"""The denoiser of a data set by parts: unbiased weights, by enumeration, and an error that stays below its target."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from scidiff.denoise import DatasetDenoiser, Means, StratifiedDenoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import EDMSchedule, GaussianProcess, LinearFlowSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Grid, TableRule, dpmpp_2m, log_snr_grid, run
from scidiff.spaces import Euclidean
from scidiff.testing_targets.features import feature_data

SCHEDULE = EDMSchedule(40.0, 7.0)
DATA = feature_data(4000, 16, 0, scale=0.5)
SMALL = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def queries(s: float, count: int = 24) -> tuple[torch.Tensor, float]:
    """Data plus noise ``s``, and its time."""
    noise = Noise.range(3, count).normal((16,), step=0, stream="x")
    return DATA[-count:] + s * noise, float(SCHEDULE.t(-math.log(s)))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_weights_are_unbiased(count):
    """All 35 samples of 4 of 7 data, each as likely: numerator and denominator over the exact sums have mean 1."""
    schedule = LinearFlowSchedule()
    denoiser = StratifiedDenoiser(schedule, SMALL, error=0.1, seed=0, first=2, queries=0)
    x = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    t = 0.5
    u = (x / schedule.alpha(t)).flatten(1)
    weights = torch.exp(-0.5 * torch.cdist(u, SMALL.flatten(1)) ** 2)
    totals, sums, sizes = [], [], []
    for members in itertools.combinations(range(7), 4):
        order = torch.tensor([*members, *(k for k in range(7) if k not in members)])
        denoiser.order = order
        mean = denoiser.stratified(x, t, count, 4).mean.flatten(1)
        top = weights.topk(count, 1).indices
        rest = torch.ones_like(weights).scatter(1, top, 0.0)
        taken = torch.zeros_like(weights).index_fill(1, order[:4], 1.0) * rest
        lifted = weights * (1 - rest) + weights * taken * (7 - count) / taken.sum(1, keepdim=True)
        # the class computes the ratio of these two
        assert torch.allclose(mean, lifted @ SMALL.flatten(1) / lifted.sum(1, keepdim=True), atol=1e-12)
        totals.append(lifted.sum(1))
        sums.append(lifted @ SMALL.flatten(1))
        sizes.append(taken.sum(1))
    # given its size the sample is uniform: the mean over samples of one size is the exact sum
    totals, sums, sizes = torch.stack(totals), torch.stack(sums), torch.stack(sizes)
    for row in range(3):
        for size in sizes[:, row].unique():
            same = sizes[:, row] == size
            assert float(totals[same, row].mean()) == pytest.approx(float(weights[row].sum()), rel=1e-12)
            assert torch.allclose(sums[same, row].mean(0), weights[row] @ SMALL.flatten(1), atol=1e-12)


def test_all_of_the_rest_is_the_exact_mean():
    """Top 3 and all others: every weight is 1, the error is 0; likewise the top alone with all data."""
    for schedule in (VPSchedule(), SCHEDULE):
        denoiser = StratifiedDenoiser(schedule, SMALL, error=0.1, seed=0, first=2, queries=0)
        exact = DatasetDenoiser(schedule, SMALL)
        for made in (denoiser.stratified(SMALL[:2] + 0.3, 0.4, 3, 7), denoiser.top(SMALL[:2] + 0.3, 0.4, 7)):
            assert torch.allclose(made.mean, exact(SMALL[:2] + 0.3, 0.4), atol=1e-12)
            assert torch.allclose(made.support, exact.effective_support(SMALL[:2] + 0.3, 0.4), rtol=1e-9)
            assert bool((made.error < 1e-9).all())


@pytest.mark.parametrize("error", [1.0, 0.2, 1e-3])
def test_the_target_is_met(error):
    """At every level the true error stays below what is said of it, and that below the target; 1e-9 is round-off."""
    denoiser = StratifiedDenoiser(SCHEDULE, DATA, error=error, seed=0, first=64)
    used = set()
    for s in (0.02, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 25.0):
        x, t = queries(s)
        made = denoiser.estimate(x, t)
        true = (made.mean - denoiser.exact(x, t)).norm(dim=1)
        assert bool((made.error <= error).all()) and bool((true <= made.error + 1e-9).all()), s
        used |= set(made.means.tolist())
        read = made.means != Means.WIENER.value
        # a dropped mass e changes the entropy by at most h(e) + e log(n)
        sure = (made.means == Means.EXACT.value) | (made.means == Means.TOP.value)
        scan = denoiser.exact.effective_support(x, t)
        e = (made.error[sure] / (2 * denoiser.index.radius)).clamp(1e-12, 0.5)
        most = -(e * e.log() + (1 - e) * (1 - e).log()) + e * math.log(len(DATA)) + 1e-9
        assert bool(((made.support[sure] / scan[sure]).log().abs() <= most).all())
        assert bool(made.support[~read].isnan().all())
    assert Means.TOP.value in used
    assert error < 1.0 or used >= {Means.TOP.value, Means.STRATIFIED.value, Means.WIENER.value}


def test_neither_stratum_is_enough_alone():
    """At low noise random data are wrong, at high noise the top is; the strata are right at both."""
    denoiser = StratifiedDenoiser(SCHEDULE, DATA, error=0.1, seed=0)
    for s, poor in ((0.1, (0, 200)), (8.0, (200, 0))):
        x, t = queries(s)
        exact = denoiser.exact(x, t)
        both = denoiser.stratified(x, t, 100, 100).mean
        alone = denoiser.stratified(x, t, *poor).mean if poor[1] else denoiser.top(x, t, poor[0]).mean
        good, bad = ((mean - exact).norm(dim=1).mean() for mean in (both, alone))
        assert float(bad) > 4 * float(good)


def test_the_standard_error_is_that_of_many_permutations():
    """Root mean square error over 60 seeds against the stated one (z = 1, no heavy datum): a ratio of 1 to 25 %."""
    x, t = queries(4.0, 4)
    made = [
        StratifiedDenoiser(SCHEDULE, DATA, error=0.1, seed=seed, queries=0, deviations=1e6).stratified(x, t, 50, 400)
        for seed in range(60)
    ]
    exact = DatasetDenoiser(SCHEDULE, DATA)(x, t)
    true = torch.stack([(one.mean - exact).square().sum(1) for one in made]).mean(0).sqrt()
    stated = torch.stack([(one.error / 1e6).square() for one in made]).mean(0).sqrt()
    assert bool(((true / stated - 1).abs() < 0.25).all())


def test_the_wiener_mean_of_gaussian_data():
    """For N(0, C) data the filter with the sample's own moments is the exact mean but for 1/sqrt(n) of its length."""
    base = torch.randn(20000, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    data = base * torch.tensor([2.0, 0.5])
    denoiser = StratifiedDenoiser(SCHEDULE, data, error=0.1, seed=0, queries=0)
    u = torch.tensor([[1.0, 0.5], [-2.0, 0.1]], dtype=torch.float64)
    mean = denoiser.wiener(u, torch.ones(2, dtype=torch.float64))
    truth = u * torch.tensor([4.0 / 5.0, 0.25 / 1.25], dtype=torch.float64)
    # sample moments are off by about sqrt(2 / 20000) = 0.01
    assert torch.allclose(mean, truth, atol=0.05)
    assert torch.allclose(mean, denoiser.exact(u, float(SCHEDULE.t(0.0))), atol=0.1)


def test_chunks_and_batches_do_not_matter():
    """Little memory, one row at a time, and a batch of mixed levels give what one batch gives."""
    denoiser = StratifiedDenoiser(SCHEDULE, DATA, error=0.2, seed=0, first=64)
    small = StratifiedDenoiser(SCHEDULE, DATA, error=0.2, seed=0, first=64, memory=20_000)
    parts = [queries(s, 3) for s in (0.1, 1.0, 4.0, 25.0)]
    x = torch.cat([part for part, _ in parts])
    t = torch.tensor([t for _, t in parts], dtype=torch.float64).repeat_interleave(3)
    whole = denoiser.estimate(x, t)
    assert torch.allclose(small.estimate(x, t).mean, whole.mean, atol=1e-9)
    single = torch.cat([denoiser(part, t) for part, t in parts])
    assert torch.allclose(single, whole.mean, atol=1e-9)
    assert len(set(whole.means.tolist())) >= 3


def test_a_run_through_the_loop():
    """DPM-Solver++ 2M with the exact and the stratified denoiser: the gap of the ends is within ten times the target.

    A solver step is a convex combination of states and means up to second-order weights of at most 2 in all.
    """
    target, process = 0.02, GaussianProcess(Euclidean((16,)), SCHEDULE)
    made = StratifiedDenoiser(SCHEDULE, DATA, error=target, seed=0, first=64)
    grid = log_snr_grid(SCHEDULE, 12, floor=0.05)
    rule = TableRule(dpmpp_2m(SCHEDULE, grid))
    ends = [
        run(each.denoiser, process, rule, Grid(grid), noise=Noise.range(0, 8), shape=(16,))
        for each in (made, made.exact)
    ]
    assert ends[0].calls.tolist() == [12] * 8
    assert float((ends[0].x - ends[1].x).norm(dim=1).median()) < 10 * target
    # as the noise goes to zero the end is a datum
    assert float(torch.cdist(ends[0].x, DATA).amin(1).median()) < 0.3


def test_senseless_requests_are_refused():
    for settings in ({"error": 0.0}, {"deviations": 0.0}, {"memory": 0}, {"first": 1}, {"queries": -1}):
        with pytest.raises(ConfigError):
            StratifiedDenoiser(SCHEDULE, SMALL, **{"error": 0.1, "seed": 0, **settings})
    denoiser = StratifiedDenoiser(SCHEDULE, SMALL, error=0.1, seed=0, queries=0, first=2)
    for count, sample in ((0, 0), (8, 0), (1, 9), (-1, 3)):
        with pytest.raises(ConfigError, match="expected numbers"):
            denoiser.stratified(SMALL, 0.5, count, sample)
    with pytest.raises(ShapeError, match="expected"):
        denoiser(SMALL[:, :1], 0.5)
    with pytest.raises(ShapeError, match="one time per sample"):
        denoiser(SMALL, torch.rand(7, 2, 3, generator=torch.Generator().manual_seed(0)))
