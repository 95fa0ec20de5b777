"""Particles against evidence and posterior in closed form; resampling, weights, and what moves with a row."""

from __future__ import annotations

import math

import pytest
import torch

from scidiff.errors import ConfigError
from scidiff.guidance import MMPS, TMPD, GaussianLikelihood, Particles, PlugIn, Tilt, effective_size, systematic
from scidiff.process import GaussianProcess
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, ancestral, ddim, dpmpp_2m, log_snr_grid, run
from scidiff.spaces import Euclidean
from scidiff.spaces.linear import MatrixOperator
from scidiff.testing_targets.gaussian import VE
from scidiff.testing_targets.posteriors import linear_posterior, random_mixture, sliced_wasserstein

MATRIX = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
Y = torch.tensor([0.5], dtype=torch.float64)
PRIOR = random_mixture(2, 5, seed=3)
POSTERIOR, EVIDENCE = linear_posterior(PRIOR, MATRIX, Y, 0.5)
LIKELIHOOD = GaussianLikelihood(MatrixOperator(MATRIX), Y, 0.5)
PROCESS = GaussianProcess(Euclidean((2,)), VE)


def particles(groups, size, steps=40, *, estimator=None, guide=True, seed=1, threshold=0.5):
    rule = TableRule(ancestral(VE, log_snr_grid(VE, steps, floor=0.01)))
    tilt = Tilt(LIKELIHOOD, estimator or TMPD(), guide)
    filter_ = Particles(tilt, rule, size, threshold)
    options = {"noise": Noise.range(seed, groups * size), "shape": (2,), "transforms": (tilt, filter_)}
    return filter_, options, (PRIOR.denoiser, PROCESS, rule, rule.plan)


@pytest.mark.parametrize(("estimator", "guide"), [(TMPD(), True), (PlugIn(), False)], ids=["twisted", "Feynman-Kac"])
def test_the_normaliser_is_unbiased(estimator, guide):
    """Mean of the estimates of ``Z`` over groups; the sampler's own discretisation moves the law a little."""
    filter_, options, parts = particles(150, 16, steps=60, estimator=estimator, guide=guide)
    state = run(*parts, **options)
    ratio = (filter_.log_normaliser(state) - EVIDENCE).exp()
    # five standard errors, and 5 % for sixty ancestral steps
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / math.sqrt(150) + 0.05
    assert bool((state.calls == 60).all())
    if not guide:
        assert bool((filter_.ancestors(state) < 16).any()) and bool((state.records["particles/resampled"] > 0).any())


def test_a_group_spread_by_weight_is_even_and_keeps_its_normaliser():
    """Each particle comes ``floor`` or ``ceil`` of ``size w`` times, within its group, and brings its records along."""
    filter_, options, parts = particles(20, 8, steps=10)
    end = run(*parts, **options)
    even = filter_.spread(end)
    weights = torch.softmax(end.log_w.reshape(20, 8), 1)
    came = (even.x.reshape(20, 8, 1, 2) == end.x.reshape(20, 1, 8, 2)).all(-1).double().sum(1)
    assert bool(((came - 8 * weights).abs() < 1 + 1e-9).all()) and bool((came.sum(1) == 8).all())
    assert bool((even.log_w == 0).all())
    torch.testing.assert_close(filter_.log_normaliser(even), filter_.log_normaliser(end))
    torch.testing.assert_close(even.records["particles/log_z"].reshape(20, 8)[:, 3], filter_.log_normaliser(end))


def test_one_particle_of_each_group_follows_the_posterior():
    filter_, options, parts = particles(400, 8)
    state = filter_.pick(run(*parts, **options))
    alone = run(*parts, **{**options, "noise": Noise.range(1, 400), "transforms": options["transforms"][:1]})
    exact = POSTERIOR.draw(Noise.range(7, 20000))
    assert sliced_wasserstein(state.x, exact) < 0.5 * sliced_wasserstein(alone.x, exact)
    # posterior weight of every mode within five binomial standard errors and 3 % of bias of the sampler
    t = torch.zeros(len(state))
    found = POSTERIOR.responsibilities(state.x, t).mean(0)
    sd = (POSTERIOR.weights * (1 - POSTERIOR.weights) / 400).sqrt()
    assert bool(((found - POSTERIOR.weights).abs() < 5 * sd + 0.03).all())


def test_cutting_the_batch_at_groups_and_resuming_change_nothing():
    _, options, parts = particles(3, 6, steps=8, guide=False, threshold=1.0)
    whole = run(*parts, **options)
    assert bool((whole.records["particles/resampled"] > 3).all())
    pieces = [run(*parts, **{**options, "noise": options["noise"].take(range(6 * k, 6 * k + 6))}) for k in range(3)]
    cut = RunState.cat(pieces)
    assert torch.equal(cut.x, whole.x) and torch.equal(cut.log_w, whole.log_w)
    half = RunState.from_bytes(run(*parts, **options, until=5).to_bytes())
    rest = run(*parts, state=half, transforms=options["transforms"])
    assert torch.equal(rest.x, whole.x) and torch.equal(rest.log_w, whole.log_w)
    assert all(torch.equal(rest.records[name], value) for name, value in whole.records.items())


def test_copies_part():
    _, options, parts = particles(1, 12, steps=6, guide=False, threshold=1.0)
    state = run(*parts, **options, until=4)
    assert len(set(state.noise.samples.tolist())) == 12
    assert len(torch.unique(state.x, dim=0)) == 12 and len(set(state.records["particles/ancestor"].tolist())) < 12


def test_guidance_and_weights_cancel_for_gaussian_data():
    """With the exact twist every weight of a Gaussian model stays near the evidence: nothing is resampled."""
    prior = random_mixture(2, 1, seed=0)
    _, evidence = linear_posterior(prior, MATRIX, Y, 0.5)
    rule = TableRule(ancestral(VE, log_snr_grid(VE, 200, floor=0.01)))
    tilt = Tilt(LIKELIHOOD, MMPS())
    filter_ = Particles(tilt, rule, 8)
    state = run(
        prior.denoiser, PROCESS, rule, rule.plan, noise=Noise.range(0, 32), shape=(2,), transforms=(tilt, filter_)
    )
    assert not bool(state.records["particles/resampled"].any())
    # ancestral steps are of first order: 200 of them leave a few per cent
    assert float((filter_.log_normaliser(state) - evidence).abs().max()) < 0.15


def test_systematic_resampling_gives_floor_or_ceil():
    log_w = Noise.range(0, 50).normal((9,), step=0, stream="w")
    u = Noise.range(1, 50).uniform((), step=0, stream="u")
    index = systematic(log_w, u)
    expected = 9 * torch.softmax(log_w, 1)
    counts = torch.zeros_like(expected).scatter_add(1, index, torch.ones_like(expected))
    assert bool((counts >= expected.floor() - 1e-9).all() and (counts <= expected.ceil() + 1e-9).all())
    assert systematic(torch.tensor([[-math.inf, 0.0, -math.inf]]), torch.tensor([0.5])).tolist() == [[1, 1, 1]]


def test_effective_size():
    assert effective_size(torch.zeros(2, 5)).tolist() == pytest.approx([5, 5])
    one = torch.tensor([[0.0, -math.inf, -math.inf], [-math.inf] * 3])
    assert effective_size(one).tolist() == pytest.approx([1, 0])


def test_what_particles_refuse():
    grid = log_snr_grid(VE, 5, floor=0.01)
    tilt = Tilt(LIKELIHOOD, TMPD())
    for table in (ddim(VE, grid), dpmpp_2m(VE, grid)):
        with pytest.raises(ConfigError, match="without memory that draws noise"):
            Particles(tilt, TableRule(table), 4)
    with pytest.raises(ConfigError, match="size is 1"):
        Particles(tilt, TableRule(ancestral(VE, grid)), 1)
    filter_, options, parts = particles(2, 4)
    with pytest.raises(ConfigError, match="7 rows came for groups of 4"):
        run(*parts, **{**options, "noise": Noise.range(0, 7)})
    with pytest.raises(ConfigError, match="no twist was recorded"):
        run(*parts, **{**options, "transforms": (filter_,)})
