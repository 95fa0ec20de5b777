"""The guided run and its report: records, warnings, calibration on the oracle, effective scale, pictures, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.guidance import (
    CBG,
    DOIT,
    TMPD,
    AutoGuidance,
    ClassifierFree,
    DiscreteTilt,
    EffectiveScale,
    ExactDraws,
    Factorised,
    GaussianLikelihood,
    Glass,
    LinearConstraint,
    Particles,
    PiGDM,
    PlugIn,
    SiteMoves,
    Tilt,
    White,
    calibrate_estimator,
    guided,
    plot_effective_scale,
    summarise_effective_scale,
    table_spread,
)
from scidiff.guidance.oracle import oracle_mixture, posterior_of
from scidiff.process import GaussianProcess, Kind, mask
from scidiff.random import Noise
from scidiff.sample import Ancestral, Grid, TableRule, ancestral, ddim, heun, log_snr_grid, run, uniform_grid, unipc
from scidiff.spaces import Euclidean
from scidiff.spaces.linear import MatrixOperator
from scidiff.testing_targets.enumeration import Chain
from scidiff.testing_targets.gaussian import VE, sample_variance
from scidiff.testing_targets.posteriors import linear_posterior, random_mixture

MATRIX = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
PRIOR = random_mixture(2, 5, seed=3)
LIKELIHOOD = GaussianLikelihood(MatrixOperator(MATRIX), torch.tensor([0.5]), 0.5)
PROCESS = GaussianProcess(Euclidean((2,)), VE)
RULE = TableRule(ancestral(VE, log_snr_grid(VE, 12, floor=0.01)))
PARTS = (PRIOR.denoiser, PROCESS, RULE, RULE.plan)


def test_the_report_holds_what_the_particles_say():
    tilt = Tilt(LIKELIHOOD, TMPD())
    filter_ = Particles(tilt, RULE, 8)
    found = guided(*PARTS, tilt, particles=filter_, noise=Noise.range(0, 40), shape=(2,), calibrate=False)
    state = run(*PARTS, noise=Noise.range(0, 40), shape=(2,), transforms=(tilt, filter_))
    assert torch.equal(found.state.x, state.x) and torch.equal(found.log_normaliser, filter_.log_normaliser(state))
    assert torch.equal(found.ancestors, filter_.ancestors(state))
    assert found.weights.shape == (5, 8) and torch.allclose(found.weights.sum(1), torch.ones(5).double())
    assert torch.allclose(found.ess, 1 / (found.weights**2).sum(1))
    assert torch.equal(found.draws().x, filter_.pick(state).x)
    assert found.label == "consistent(0.5)" and "arXiv:2310.06721" in found.citation and found.calibration is None
    assert "40 samples in 5 groups, 12 calls each" in str(found) and set(found.status) <= {"ok", "weight 0"}
    assert len(found.plot().axes) == 2


def test_without_particles_all_weights_are_equal():
    found = guided(*PARTS, Tilt(LIKELIHOOD, PlugIn()), noise=Noise.range(0, 6), shape=(2,), calibrate=False)
    assert torch.allclose(found.weights, torch.full((1, 6), 1 / 6).double()) and float(found.ess) == pytest.approx(6)
    assert found.ancestors is None and found.log_normaliser is None and found.draws() is found.state
    assert found.label == "biased" and found.status == ["ok"] * 6


def test_noisy_tilts_and_high_orders_do_not_go_together():
    tilt, grid = Tilt(LIKELIHOOD, CBG(ExactDraws(PRIOR), 4)), log_snr_grid(VE, 6, floor=0.05)
    told = {}
    for order in (2, 3):
        rule = TableRule(unipc(VE, grid, order=order))
        parts = (PRIOR.denoiser, PROCESS, rule, rule.plan)
        found = guided(*parts, tilt, noise=Noise.range(0, 3), shape=(2,), calibrate=False)
        told[rule.table.order] = any("draws noise" in text for text in found.warnings)
    assert told == {order: order > 2 for order in told} and max(told) > 2


def test_the_spread_of_a_table_is_the_exact_recursion_and_warns():
    grid = log_snr_grid(VE, 20, floor=0.01, to_zero=False)
    for solver in (ancestral, ddim, unipc, heun):
        assert table_spread(solver(VE, grid)) == pytest.approx(sample_variance(solver, 20) / (1 + 0.01**2), rel=1e-9)
    found = guided(*PARTS, Tilt(LIKELIHOOD, PlugIn()), noise=Noise.range(0, 4), shape=(2,), calibrate=False)
    assert found.spread < 0.7 and any("under-dispersed" in text for text in found.warnings)
    rule = TableRule(unipc(VE, log_snr_grid(VE, 20, floor=0.01)))
    parts = (PRIOR.denoiser, PROCESS, rule, rule.plan)
    good = guided(*parts, Tilt(LIKELIHOOD, PlugIn()), noise=Noise.range(0, 4), shape=(2,), calibrate=False)
    assert abs(good.spread - 1) < 0.02 and not any("dispersed" in text for text in good.warnings)


def test_the_posterior_of_the_oracle_is_the_general_formula():
    prior = oracle_mixture(VE, 3)
    assert float(prior.means.mean(0).abs().max()) < 1e-12
    assert float((prior.means**2).mean() + prior.covariances[0]) == pytest.approx(1, abs=1e-12)
    a, y = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    mine, (exact, _) = posterior_of(prior, a, y, 0.3), linear_posterior(prior, a.unsqueeze(0), y.reshape(1), 0.3)
    assert torch.allclose(mine.weights, exact.weights) and torch.allclose(mine.means, exact.means)
    assert torch.allclose(mine.covariances, exact.covariances)


class Answer:
    """Estimator that knows the posterior of the oracle: what a right method scores."""

    gradient, stochastic, label, citation = False, False, "exact", "none"

    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, reward, m, state, evaluation):
        from scidiff.guidance import Estimate

        prior = oracle_mixture(VE, m.shape[1])
        a = reward.operator.matrix[0].double()
        shift = torch.zeros_like(m)
        for y in torch.unique(reward.y):
            rows = (reward.y == y).flatten()
            posterior = posterior_of(prior, a, y, float(reward.sd))
            shift[rows] = self.factor * (posterior(state.x[rows], state.t[rows]) - m[rows])
        return Estimate(shift, None, torch.zeros(len(m), dtype=torch.bool)), state


def test_the_oracle_passes_what_is_right_and_finds_what_is_wrong():
    rule = TableRule(unipc(VE, log_snr_grid(VE, 20, floor=0.01)))
    right = calibrate_estimator(Answer(), VE, rule, rule.plan, dim=2, seconds=600)
    assert right.truths == 60 and right.complete
    # sixty posteriors of 39 draws: distances scatter by a tenth, mean and spread by a few per cent
    assert 0.8 < right.ratio < 1.2 and right.mean_error < 1.3 * right.mean_floor and 0.85 < right.spread < 1.15
    assert right.interval[0] <= 0.9 <= right.interval[1]
    wrong = calibrate_estimator(Answer(0.0), VE, rule, rule.plan, dim=2, seconds=600)
    assert wrong.ratio > 3 and wrong.mean_error > 5 * wrong.mean_floor
    heuristic = calibrate_estimator(PlugIn(), VE, rule, rule.plan, dim=2, seconds=600)
    assert heuristic.ratio > 1.5 and "of the floor" in str(heuristic)


def test_calibration_comes_by_default_once_and_within_its_time():
    tilt = Tilt(LIKELIHOOD, CBG(ExactDraws(PRIOR), 8))
    options = {"noise": Noise.range(0, 4), "shape": (2,), "seconds": 0.0}
    found = guided(*PARTS, tilt, **options)
    first = found.calibration
    assert first.truths == 4 and not first.complete and first.dim == 2 and "cut off" in str(found)
    again = guided(*PARTS, Tilt(LIKELIHOOD, CBG(ExactDraws(PRIOR), 8)), **options)
    assert again.calibration is first
    other = guided(*PARTS, Tilt(LIKELIHOOD, CBG(ExactDraws(PRIOR), 9)), **options)
    assert other.calibration is not first
    particles = Particles(tilt, RULE, 4)
    filtered = guided(*PARTS, tilt, particles=particles, **options)
    assert filtered.calibration is not first and len(filtered.plot().axes) == 3


def test_a_reward_that_fails_is_named_with_its_samples():
    def odd(x0):
        return torch.where(torch.arange(len(x0)) % 5 == 3, torch.nan, x0[:, 0])

    found = guided(*PARTS, Tilt(odd, PlugIn()), noise=Noise.range(0, 10), shape=(2,), calibrate=False)
    assert found.failed["odd"].tolist() == [k % 5 == 3 for k in range(10)]
    assert found.status[3] == "odd was not finite" and found.status[4] == "ok"
    assert any("'odd' was not finite for 2 samples" in text for text in found.warnings)

    def steep(x0):
        return (x0[:, 0] - x0[:, 0].detach()).clamp_min(0).sqrt()

    assert bool(
        guided(*PARTS, Tilt(steep, PlugIn()), noise=Noise.range(0, 2), shape=(2,), calibrate=False)
        .failed["steep"]
        .all()
    )
    tilt = Tilt(odd, PlugIn())
    weighed = guided(
        *PARTS, tilt, particles=Particles(tilt, RULE, 5), noise=Noise.range(0, 10), shape=(2,), calibrate=False
    )
    assert bool((weighed.weights[:, 3] == 0).all()) and weighed.status[8] == "odd was not finite"


def test_poor_groups_are_told():
    def needle(x0):
        return -50 * (x0[:, 0] - 40) ** 2

    tilt = Tilt(needle, PlugIn(), guide=False)
    found = guided(
        *PARTS, tilt, particles=Particles(tilt, RULE, 30, 0.0), noise=Noise.range(0, 30), shape=(2,), calibrate=False
    )
    assert any("effective size below 10%" in text for text in found.warnings)
    gone = guided(
        *PARTS, tilt, particles=Particles(tilt, RULE, 30, 1.0), noise=Noise.range(0, 30), shape=(2,), calibrate=False
    )
    assert any("one or two ancestors" in text for text in gone.warnings)


def test_finite_sets_and_constraints_are_reported_too():
    chain, plan = Chain(mask(3), 3), Grid(uniform_grid(4))
    tilt = DiscreteTilt(lambda x: (x[:, 0] == 1).double(), Factorised())
    parts = (chain.oracle.denoiser(), chain.process, Ancestral(), plan)
    filter_ = Particles(tilt, SiteMoves(Ancestral(), plan), 4)
    found = guided(*parts, tilt, particles=filter_, noise=Noise.range(0, 8), shape=(3,))
    assert found.spread is None and found.calibration is None and found.weights.shape == (2, 4)
    hard = LinearConstraint(MatrixOperator(torch.tensor([[0.0, 1.0]])), torch.tensor([1.0]), White())
    kept = guided(
        *PARTS, Tilt(LIKELIHOOD, PlugIn()), after=(hard,), noise=Noise.range(0, 4), shape=(2,), calibrate=False
    )
    assert float((kept.state.x[:, 1] - 1).abs().max()) < 1e-14 and not bool(kept.failed["constraint"].any())


def conditional(x, t, condition):
    return PRIOR(x - condition[:, None], t) + condition[:, None]


def effective(*transforms, unconditional=None):
    count = 6
    condition = torch.ones(count, dtype=torch.float64)
    state = run(
        Denoiser(conditional, Kind.MEAN),
        PROCESS,
        RULE,
        RULE.plan,
        noise=Noise.range(0, count),
        shape=(2,),
        condition=condition,
        transforms=(*transforms, EffectiveScale(unconditional)),
    )
    return state, summarise_effective_scale(state)


@pytest.mark.parametrize("w", [0.5, 1.0, 3.0])
def test_classifier_free_guidance_has_its_own_scale_and_nothing_orthogonal(w):
    zero = torch.zeros(6, dtype=torch.float64)
    state, summary = effective(ClassifierFree(zero, w))
    # the difference of two predictions near 40 eps cancels digits
    assert np.allclose(summary.scale, w, atol=1e-6) and float(np.nanmax(summary.orthogonal)) < 1e-12
    assert summary.scale.shape == (12, 3) and summary.t[0] == 1.0
    assert state.calls.tolist() == [24] * 6 and f"effective scale {w:g}" in str(summary)
    assert len(plot_effective_scale(summary).axes) == 2


def test_other_guidance_has_a_scale_and_an_orthogonal_share():
    zero = torch.zeros(6, dtype=torch.float64)
    _, nothing = effective(unconditional=zero)
    assert np.allclose(nothing.scale, 1.0, atol=1e-6)
    worse = Denoiser(lambda x, t, c: 0.9 * conditional(x, t, c), Kind.MEAN)
    _, summary = effective(AutoGuidance(worse, 2.0), unconditional=zero)
    assert float(np.nanmedian(summary.orthogonal[:, 1])) > 0.01
    with pytest.raises(ConfigError, match="there is no branch 'unconditional'"):
        effective()
    with pytest.raises(ConfigError, match="no record of the effective scale"):
        summarise_effective_scale(run(*PARTS, noise=Noise.range(0, 2), shape=(2,)))


def test_bad_input_names_itself():
    for make, text in (
        (lambda: PlugIn(math.nan), "scale is nan"),
        (lambda: PiGDM(math.nan), "variance is nan"),
        (lambda: DOIT(temperature=0.0), "temperature is 0"),
        (lambda: Glass(1), "steps is 1"),
        (lambda: calibrate_estimator(PlugIn(), VE, RULE, RULE.plan, dim=0), "dim is 0"),
        (lambda: calibrate_estimator(PlugIn(), VE, RULE, RULE.plan, seconds=math.nan), "seconds nan"),
    ):
        with pytest.raises(ConfigError, match=text):
            make()
    tilt = Tilt(LIKELIHOOD, TMPD())
    filter_ = Particles(tilt, RULE, 4)
    with pytest.raises(ConfigError, match="made for another tilt"):
        guided(*PARTS, Tilt(LIKELIHOOD, TMPD()), particles=filter_, noise=Noise.range(0, 4), shape=(2,))
    with pytest.raises(ConfigError, match="7 samples came for groups of 4"):
        guided(*PARTS, tilt, particles=filter_, noise=Noise.range(0, 7), shape=(2,))
    wide = Tilt(GaussianLikelihood(MatrixOperator(torch.ones(1, 3)), torch.zeros(1), 1.0), PlugIn())
    with pytest.raises(ShapeError, match=r"expected \(batch, 3\)"):
        guided(*PARTS, wide, noise=Noise.range(0, 2), shape=(2,), calibrate=False)
