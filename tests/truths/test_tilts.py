"""Estimators of a tilt against the posterior in closed form, at given states: no sampling error where none is due."""

from __future__ import annotations

import math

import pytest
import torch

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.errors import ConfigError, ShapeError
from scidiff.guidance import CBG, DOIT, MMPS, TMPD, Doob, ExactDraws, GaussianLikelihood, Glass, PiGDM, PlugIn, Tilt
from scidiff.process import GaussianProcess, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Model, RunState, TableRule, ancestral, log_snr_grid, run, unipc
from scidiff.spaces import Euclidean
from scidiff.spaces.linear import MatrixOperator, Selection
from scidiff.testing_targets.gaussian import VE
from scidiff.testing_targets.posteriors import linear_posterior, random_mixture

MATRIX = torch.tensor([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]], dtype=torch.float64)
Y = torch.tensor([0.4, -1.1], dtype=torch.float64)
SD = 0.5
LIKELIHOOD = GaussianLikelihood(MatrixOperator(MATRIX), Y, SD)
ROOT = torch.tensor([[1.0, 0.2, 0.0], [0.0, 0.7, -0.3], [0.0, 0.0, 0.4]], dtype=torch.float64)


def gaussian(schedule):
    mean = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64)
    return GaussianMixture.gaussian(schedule, mean, ROOT @ ROOT.T)


def tilted(prior, estimator, t, reward=LIKELIHOOD, batch=6):
    """Prediction, its estimate of ``log h`` and the state, at draws of ``x_t``."""
    noise = Noise.range(2, batch)
    process = GaussianProcess(Euclidean((3,)), prior.schedule)
    state = RunState.at(process.noise(prior.draw(noise), t, noise), t, noise)
    with torch.no_grad():
        m, after = Model(prior.denoiser, process, None, (Tilt(reward, estimator),)).estimate(state)
    return m, after, state


@pytest.mark.parametrize("schedule", [VE, VPSchedule()], ids=["VE", "VP"])
@pytest.mark.parametrize("t", [0.05, 0.5, 0.9])
def test_moment_matching_is_exact_for_gaussian_data(schedule, t):
    prior = gaussian(schedule)
    posterior, evidence = linear_posterior(prior, MATRIX, Y, SD)
    m, after, state = tilted(prior, MMPS(), t)
    # one solve with a matrix of condition below 1e3
    assert torch.allclose(m, posterior(state.x, t), rtol=1e-9, atol=1e-9)
    log_h = posterior.log_density(state.x, t) + evidence - prior.log_density(state.x, t)
    assert torch.allclose(after.records["tilt/log_h"], log_h, rtol=1e-8, atol=1e-8)
    assert after.calls.tolist() == [1] * 6


def test_conjugate_gradients_agree_with_the_dense_solve():
    """More than 64 data: 70 copies of a datum with noise ``sqrt(70) sd`` tell as much as one."""
    prior = gaussian(VE)
    many = MatrixOperator(MATRIX.repeat(35, 1))
    repeated = GaussianLikelihood(many, Y.repeat(35), SD * math.sqrt(35))
    wanted, after, _ = tilted(prior, MMPS(), 0.5)
    m, without, _ = tilted(prior, MMPS(iterations=3), 0.5, repeated)
    # two distinct eigenvalues beside the noise: exact after three iterations
    assert torch.allclose(m, wanted, atol=1e-8)
    assert "tilt/log_h" in after.records and "tilt/log_h" not in without.records


@pytest.mark.parametrize("estimator", [TMPD(), PiGDM(), PlugIn()], ids=["TMPD", "PiGDM", "plug-in"])
def test_cheaper_covariances_are_not_exact(estimator):
    prior = gaussian(VE)
    posterior, _ = linear_posterior(prior, MATRIX, Y, SD)
    m, _, state = tilted(prior, estimator, 0.7)
    assert float((m - posterior(state.x, 0.7)).norm(dim=1).median()) > 0.05
    assert estimator.label == "biased"


@pytest.mark.parametrize("t", [0.3, 0.6, 0.8])
def test_weighted_draws_are_consistent_for_mixtures(t):
    """The error of the tilted mean of a six-fold mixture falls like ``1 / sqrt(K)``, and ``h`` is unbiased."""
    prior, sd = random_mixture(3, 6, seed=4), 4.0
    weak = GaussianLikelihood(MatrixOperator(MATRIX), Y, sd)
    posterior, evidence = linear_posterior(prior, MATRIX, Y, sd)
    errors, defects = [], []
    for count in (100, 1600):
        m, after, state = tilted(prior, CBG(ExactDraws(prior), count), t, weak, batch=60)
        log_h = posterior.log_density(state.x, t) + evidence - prior.log_density(state.x, t)
        errors.append(float((m - posterior(state.x, t)).norm(dim=1).pow(2).mean().sqrt()))
        defects.append(float((after.records["tilt/log_h"] - log_h).pow(2).mean().sqrt()))
    # ratios of sqrt(16) = 4; a root mean square of sixty errors scatters by a tenth or two
    assert 2.5 < errors[0] / errors[1] < 6 and 2.5 < defects[0] / defects[1] < 6


@pytest.mark.parametrize("t", [0.45, 0.75])
def test_glass_flows_draw_from_the_posterior_of_the_denoiser(t):
    """First and second moments of 2000 draws against the closed form, at two states of a mixture."""
    prior = random_mixture(3, 6, seed=4)
    process = GaussianProcess(Euclidean((3,)), VE)
    noise = Noise.range(2, 2)
    state = RunState.at(process.noise(prior.draw(noise), t, noise), t, noise)
    evaluation, state = Model(prior.denoiser, process).evaluate(state)
    count, steps = 2000, 16
    x0, after = Glass(steps)(evaluation.raw, state, evaluation, count)
    covariance = prior.covariance(state.x, t)
    scale = covariance.diagonal(dim1=1, dim2=2).sum(1).sqrt()
    # five standard errors of the mean, and two per cent of the solver
    mean_error = (x0.mean(0) - evaluation.raw).norm(dim=1)
    assert bool((mean_error < (5 / math.sqrt(count) + 0.02) * scale).all())
    centred = x0 - x0.mean(0)
    found = torch.einsum("kbi,kbj->bij", centred, centred) / count
    assert bool(((found - covariance).norm(dim=(1, 2)) < (10 / math.sqrt(count) + 0.03) * scale**2).all())
    assert after.calls.tolist() == [1 + count * steps] * 2


def line(a):
    def linear(x0):
        return a * x0[:, 0]

    return linear


def mean_of(estimator, a, count=1000, steps=50):
    """Mean of samples of N(0, 1) tilted by ``r = a x``; the exact one is `a`."""
    prior = GaussianMixture.gaussian(VE, torch.zeros(1), torch.ones(()))
    rule = TableRule(ancestral(VE, log_snr_grid(VE, steps, floor=0.01)))
    process = GaussianProcess(Euclidean((1,)), VE)
    tilt = Tilt(line(a), estimator)
    state = run(prior.denoiser, process, rule, rule.plan, noise=Noise.range(0, count), shape=(1,), transforms=(tilt,))
    return float(state.x.mean())


@pytest.mark.parametrize("a", [0.5, 1.0])
def test_raw_weights_tilt_by_what_the_reward_says_and_standardised_ones_do_not(a):
    # one look-ahead of the mean: h is right up to a constant, for a linear reward and Gaussian data
    assert abs(mean_of(Doob(64, ahead=0.2), a) - a) < 5 / math.sqrt(1000) + 0.05 * a
    assert mean_of(DOIT(64, ahead=0.2), a, count=200) > 3


def test_a_posterior_of_gaussian_data_is_sampled_with_its_moments():
    prior = gaussian(VE)
    posterior, _ = linear_posterior(prior, MATRIX, Y, SD)
    rule = TableRule(unipc(VE, log_snr_grid(VE, 40, floor=0.01)))
    process, count = GaussianProcess(Euclidean((3,)), VE), 4000
    options = {"noise": Noise.range(0, count), "shape": (3,), "transforms": (Tilt(LIKELIHOOD, MMPS()),)}
    state = run(prior.denoiser, process, rule, rule.plan, **options)
    wanted = posterior.covariances[0]
    sd = wanted.diagonal().sqrt()
    assert bool(((state.x.mean(0) - posterior.means[0]).abs() < 5 * sd / math.sqrt(count) + 2e-3).all())
    assert float((state.x.T.cov() - wanted).norm() / wanted.norm()) < 5 * math.sqrt(2 / count) + 0.01
    recorded = state.records["reward/GaussianLikelihood"]
    assert torch.allclose(recorded, LIKELIHOOD(state.x))


def test_rewards_that_fail_mark_their_samples_and_nothing_is_clipped():
    prior = gaussian(VE)

    def odd(x0):
        return torch.where(torch.arange(len(x0)) % 6 == 2, torch.nan, x0[:, 0])

    for estimator in (PlugIn(), CBG(ExactDraws(prior), 4)):
        m, after, state = tilted(prior, estimator, 0.5, odd)
        assert after.records["failed/odd"].tolist() == [False, False, True, False, False, False]
        assert torch.equal(m[2], prior(state.x, 0.5)[2]) and bool(m.isfinite().all())
        assert float(after.records["tilt/log_h"][2]) == -math.inf

    def steep(x0):
        return (x0[:, 0] - x0[:, 0].detach()).clamp_min(0).sqrt()

    assert bool(tilted(prior, PlugIn(), 0.5, steep)[1].records["failed/steep"].all())


def test_impossible_states_weigh_nothing():
    prior = gaussian(VE)

    def positive(x0):
        return torch.where(x0[:, 0] > 0, 0.0, -torch.inf)

    m, after, _ = tilted(prior, CBG(ExactDraws(prior), 400), 0.3, positive)
    assert bool(m.isfinite().all()) and bool((m[~after.records["failed/positive"], 0] > 0).all())

    def never(x0):
        return torch.full((len(x0),), -torch.inf)

    assert bool(tilted(prior, CBG(ExactDraws(prior), 8), 0.3, never)[1].records["failed/never"].all())


def test_bad_rewards_name_themselves():
    prior = gaussian(VE)

    def flat(x0):
        return x0

    def frozen(x0):
        return x0[:, 0].detach()

    with pytest.raises(ShapeError, match=r"reward 'flat' returned \(6, 3\); expected \(6,\)"):
        tilted(prior, PlugIn(), 0.5, flat)
    with pytest.raises(ConfigError, match="'frozen' has no gradient"):
        tilted(prior, PlugIn(), 0.5, frozen)
    with pytest.raises(ConfigError, match="MMPS came with a function"):
        tilted(prior, MMPS(), 0.5, flat)
    with pytest.raises(ConfigError, match="count is 1"):
        CBG(ExactDraws(prior), 1)
    for y, sd, error in ((torch.zeros(3), 0.5, ShapeError), (Y, 0.0, ConfigError), (Y * torch.nan, 0.5, ConfigError)):
        with pytest.raises(error):
            GaussianLikelihood(MatrixOperator(MATRIX), y, sd)


def test_data_of_their_own_for_each_sample():
    prior = gaussian(VE)
    y = Noise.range(5, 6).normal((2,), step=0, stream="y")
    m, _, state = tilted(prior, MMPS(), 0.4, GaussianLikelihood(MatrixOperator(MATRIX), y, SD))
    for row in range(6):
        posterior, _ = linear_posterior(prior, MATRIX, y[row], SD)
        assert torch.allclose(m[row], posterior(state.x, 0.4)[row], atol=1e-9)
    likelihood = GaussianLikelihood(MatrixOperator(MATRIX), y, SD)
    x0 = Noise.range(6, 6).normal((4, 3), step=0, stream="x0").transpose(0, 1)
    rows = [GaussianLikelihood(MatrixOperator(MATRIX), y[k], SD)(x0[:, k]) for k in range(6)]
    assert torch.allclose(likelihood(x0.flatten(0, 1)).reshape(4, 6), torch.stack(rows, 1))


@pytest.mark.parametrize(
    "operator",
    [MatrixOperator(MATRIX), MatrixOperator(torch.eye(6)[:4], (2, 3)), Selection(torch.tensor([True, False, True]))],
    ids=["matrix", "fields", "selection"],
)
def test_operators_have_their_adjoint(operator):
    assert operator.adjoint_defect() < 1e-14
    dense = torch.stack(
        [
            operator.apply(e[None])[0]
            for e in torch.eye(6 if len(operator.domain) > 1 else 3).double().reshape(-1, *operator.domain)
        ]
    )
    assert abs(operator.norm(200) - float(torch.linalg.matrix_norm(dense, 2))) < 1e-6
    with pytest.raises(ShapeError, match="expected"):
        operator.apply(torch.zeros(1, 7))


def test_a_tilt_needs_gaussian_noise_of_a_real_state():
    from scidiff.process import mask
    from scidiff.testing_targets.enumeration import Chain

    chain = Chain(mask(3), 3)
    state = RunState.at(torch.full((2, 3), 3), 1.0, Noise.range(0, 2))
    model = Model(chain.oracle.denoiser(), chain.process, None, (Tilt(line(1.0), CBG(ExactDraws(gaussian(VE)), 4)),))
    with pytest.raises(ConfigError, match="for finite sets"):
        model.estimate(state)
    assert isinstance(model.denoiser, Denoiser)
