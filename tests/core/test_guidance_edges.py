"""Guidance at its edges: no signal, samples that are lost, correctors, transforms around a tilt, labels, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.denoise.flow_map import FlowMap
from scidiff.errors import ConfigError, ShapeError
from scidiff.guidance import (
    CBG,
    DOIT,
    MMPS,
    TMPD,
    ClassifierFree,
    DiscreteTilt,
    Doob,
    EffectiveScale,
    Enumeration,
    ExactDraws,
    FactorisedDraws,
    GaussianLikelihood,
    Glass,
    LinearConstraint,
    LookAhead,
    Particles,
    PiGDM,
    PlugIn,
    Replace,
    SiteMoves,
    Tilt,
    Tweedie,
    WeightedDraws,
    White,
    calibrate_estimator,
    guided,
)
from scidiff.guidance.oracle import _name
from scidiff.process import GaussianProcess, Kind, LinearFlowSchedule, uniform
from scidiff.process.one_hot_flow import AccuracySchedule, OneHotFlow
from scidiff.random import Noise
from scidiff.sample import (
    Ancestral,
    Grid,
    Model,
    RunState,
    TableRule,
    Transform,
    ancestral,
    ddim,
    log_snr_grid,
    run,
    uniform_grid,
    unipc,
)
from scidiff.spaces import Euclidean
from scidiff.spaces.categorical import draw_probs
from scidiff.spaces.linear import MatrixOperator
from scidiff.testing_targets.enumeration import Chain
from scidiff.testing_targets.gaussian import VE
from scidiff.testing_targets.posteriors import random_mixture

FLOW = LinearFlowSchedule()
STRAIGHT = GaussianProcess(Euclidean((2,)), FLOW)
DATA = GaussianMixture(
    FLOW, torch.ones(1), torch.tensor([[0.7, -0.4]], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64)
)
SUM = MatrixOperator(torch.tensor([[1.0, 1.0]], dtype=torch.float64))
LIKELIHOOD = GaussianLikelihood(SUM, torch.tensor([0.5]), 0.3)
NOISY = TableRule(ddim(FLOW, uniform_grid(4), eta=1.0))
PRIOR = random_mixture(2, 5, seed=3)
PROCESS = GaussianProcess(Euclidean((2,)), VE)
RULE = TableRule(ancestral(VE, log_snr_grid(VE, 6, floor=0.05)))
PARTS = (PRIOR.denoiser, PROCESS, RULE, RULE.plan)


@pytest.mark.parametrize(
    "estimator",
    [PlugIn(), PiGDM(), TMPD(), MMPS(), Doob(4), LookAhead(FlowMap(lambda x, t, s, c: 0.1 * x, STRAIGHT))],
    ids=["PlugIn", "PiGDM", "TMPD", "MMPS", "Doob", "LookAhead"],
)
def test_where_there_is_no_signal_a_gradient_shifts_nothing_and_nothing_fails(estimator):
    tilt = Tilt(LIKELIHOOD, estimator)
    begin = RunState.start(STRAIGHT, Noise.range(0, 8), (2,))
    first = NOISY.plan.start(begin)
    with torch.no_grad():
        m, after = Model(DATA.denoiser, STRAIGHT, None, (tilt,)).estimate(first)
    assert torch.equal(m, DATA(first.x, first.t).double()) and after.records["tilt/log_h"].tolist() == [0.0] * 8
    filter_ = Particles(tilt, NOISY, 4)
    end = run(DATA.denoiser, STRAIGHT, NOISY, NOISY.plan, state=begin, transforms=(tilt, filter_))
    assert not bool(end.records["failed/GaussianLikelihood"].any()) and bool(end.log_w.isfinite().all())
    assert bool(end.x.isfinite().all())


def test_glass_without_signal_draws_from_the_data():
    count, batch = 64, 32
    state = NOISY.plan.start(RunState.start(STRAIGHT, Noise.range(0, batch), (2,)))
    model = Model(DATA.denoiser, STRAIGHT)
    with torch.no_grad():
        evaluation, state = model.evaluate(state)
        x0, _ = Glass(8, scale=0.5)(evaluation.raw, state, evaluation, count)
    flat = x0.flatten(0, 1)
    # five standard errors of 2048 draws; 5 % of the deviation for eight steps of the inner flow
    assert torch.allclose(flat.mean(0), DATA.means[0], atol=5 * 0.5 / math.sqrt(count * batch))
    assert torch.allclose(flat.std(0), torch.tensor(0.5).double(), rtol=5 / math.sqrt(2 * count * batch) + 0.05)


@pytest.mark.parametrize("sd", [0.0, 0.2])
def test_a_constraint_begins_without_signal(sd):
    constraint = LinearConstraint(SUM, torch.tensor([0.5]), Tweedie(), sd)
    rule = TableRule(ddim(FLOW, uniform_grid(4)))
    end = run(DATA.denoiser, STRAIGHT, rule, rule.plan, noise=Noise.range(0, 4), shape=(2,), transforms=(constraint,))
    assert not bool(end.records["failed/constraint"].any())
    assert sd > 0 or float(end.records["constraint/after"].max()) < 1e-14


class Asking:
    """Corrector that asks for predictions and leaves the state as it is."""

    def __init__(self, updates=1):
        self.updates = updates

    def __call__(self, process, state, estimate):
        for _ in range(self.updates):
            _, state = estimate(state)
        return state


class Resting:
    """Corrector without a network call."""

    def __call__(self, process, state, estimate):
        return state


def test_correctors_that_ask_are_refused_beside_particles():
    tilt = Tilt(LIKELIHOOD, PlugIn())
    options = {"noise": Noise.range(0, 8), "shape": (2,), "transforms": (tilt, Particles(tilt, RULE, 4))}
    with pytest.raises(ConfigError, match="beside Particles, which weighs the moves"):
        run(*PARTS, **options, correctors=(Asking(),))
    plain, rested = run(*PARTS, **options), run(*PARTS, **options, correctors=(Resting(),))
    assert torch.equal(plain.x, rested.x) and torch.equal(plain.log_w, rested.log_w)


class Noisy(Transform):
    """Keep what it draws."""

    def __init__(self):
        self.drawn = []

    def __call__(self, m, state, evaluation):
        self.drawn.append(float(state.noise.normal((), step=state.i, stream="draws")[0]))
        return m, state


def test_predictions_of_correctors_have_noise_of_their_own():
    alone, corrected = Noisy(), Noisy()
    options = {"noise": Noise.range(0, 1), "shape": (2,)}
    plain = run(*PARTS, **options, transforms=(alone,))
    end = run(*PARTS, **options, transforms=(corrected,), correctors=(Asking(2), Asking()))
    assert len(set(corrected.drawn)) == len(corrected.drawn) == 4 * RULE.table.steps
    assert corrected.drawn[::4] == alone.drawn and torch.equal(end.x, plain.x) and end.noise.scope == ""


@pytest.mark.parametrize("estimator", [MMPS(), PiGDM()], ids=["MMPS", "PiGDM"])
def test_a_network_that_fails_for_one_sample_fails_for_that_alone(estimator):
    """With three data or more the eigenvalues of a matrix of NaN are refused for the whole batch."""
    matrix = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    likelihood = GaussianLikelihood(MatrixOperator(matrix), torch.tensor([0.5, 0.1, 0.6]), 0.3)

    def broken(x, t, condition):
        return PRIOR(x, t) * torch.where(condition == 1, torch.nan, 1.0).unsqueeze(1)

    options = {"noise": Noise.range(0, 3), "shape": (2,), "transforms": (Tilt(likelihood, estimator),)}
    good = run(*PARTS, **options)
    mixed = run(Denoiser(broken, Kind.MEAN), *PARTS[1:], **options, condition=torch.arange(3))
    assert torch.allclose(mixed.x[[0, 2]], good.x[[0, 2]], atol=1e-9) and bool(mixed.x[1].isnan().all())
    assert mixed.records["failed/GaussianLikelihood"].tolist() == [False, True, False]


def test_tilts_on_finite_sets_do_not_see_a_prediction_that_is_no_law():
    chain = Chain(uniform(3), 3)
    exact = chain.oracle.denoiser()

    def broken(x, t, condition):
        return torch.where((condition == 1).reshape(-1, 1, 1), torch.nan, exact(x, t, None))

    plan = Grid(uniform_grid(4))
    tilt = DiscreteTilt(lambda x: (x == 1).double().sum(1), WeightedDraws(FactorisedDraws(), 8))
    options = {"noise": Noise.range(0, 3), "shape": (3,), "transforms": (tilt,)}
    good = run(exact, chain.process, Ancestral(), plan, **options)
    mixed = run(Denoiser(broken, Kind.LOGITS), chain.process, Ancestral(), plan, **options, condition=torch.arange(3))
    assert torch.equal(mixed.x[[0, 2]], good.x[[0, 2]]) and bool((mixed.x < 3).all())
    assert mixed.records["failed/network"].tolist() == [False, True, False]


def test_classes_without_a_law_are_drawn_alike_and_in_range():
    u = Noise.range(0, 1).uniform((4000,), step=0, stream="u")[0]
    for row in ([0.0, 0.0, 0.0, 0.0], [0.1, math.nan, 0.5, 0.4], [1.0, math.inf, 0.0, 0.0]):
        drawn = draw_probs(torch.tensor(row).expand(4000, 4), u)
        # five standard deviations of a binomial share
        assert torch.allclose(drawn.bincount() / 4000, torch.full((4,), 0.25), atol=5 * math.sqrt(0.1875 / 4000))
        assert drawn.bincount().shape == (4,)
    flow = OneHotFlow(Euclidean((3, 4)), AccuracySchedule(4))
    m = flow.encode(torch.tensor([[2, 0, 0]]))
    m[0, 1], m[0, 2] = -0.1, math.nan
    tokens = flow.decode(m, Noise.range(0, 1))
    assert int(tokens[0, 0]) == 2 and int(tokens.max()) < 4


@dataclass(frozen=True, eq=False)
class Shift(Transform):
    """Add a constant to the prediction."""

    label = "exact"

    def __call__(self, m, state, evaluation):
        return m + 0.5, state


@pytest.mark.parametrize("guide", [True, False])
def test_what_comes_before_a_tilt_belongs_to_the_target_of_its_particles(guide):
    """Estimators without a gradient of the network cannot tell the transform from a network that adds the same."""
    tilt = Tilt(LIKELIHOOD, CBG(ExactDraws(PRIOR), 8), guide)
    filter_ = Particles(tilt, RULE, 4)
    shifted = Denoiser(lambda x, t, c: PRIOR(x, t) + 0.5, Kind.MEAN)
    options = {"noise": Noise.range(0, 8), "shape": (2,)}
    inside = run(shifted, *PARTS[1:], **options, transforms=(tilt, filter_))
    before = run(*PARTS, **options, transforms=(Shift(), tilt, filter_))
    assert torch.equal(before.x, inside.x) and torch.equal(before.log_w, inside.log_w)


def test_the_reward_of_a_sample_is_that_of_the_sample_after_its_constraint():
    """The run ends at a noise of 0.5, so that the polish moves the samples far."""
    rule = TableRule(unipc(VE, log_snr_grid(VE, 4, floor=0.5, to_zero=False)))
    hard = LinearConstraint(SUM, torch.tensor([0.5]), White())
    end = run(
        *PARTS[:2], rule, rule.plan, noise=Noise.range(0, 6), shape=(2,), transforms=(Tilt(LIKELIHOOD, PlugIn()), hard)
    )
    assert float(end.records["constraint/before"].min()) > 1e-3
    assert torch.equal(end.records["reward/GaussianLikelihood"], LIKELIHOOD(end.x))


def test_impossible_draws_take_no_part_in_the_weights_of_doit():
    r = Noise.range(0, 5).normal((3,), step=0, stream="r")
    impossible = torch.full((2, 3), -math.inf, dtype=torch.float64)
    found = DOIT(7).weights(torch.cat([r, impossible]))
    assert torch.allclose(found[:5], DOIT(5).weights(r), rtol=1e-12) and bool((found[5:] == 0).all())
    standard = (r - r.mean(0)) / r.std(0, correction=0)
    assert torch.allclose(found[:5], torch.softmax(standard, 0), rtol=1e-12)
    alike = torch.tensor([[2.0], [2.0], [-math.inf]], dtype=torch.float64)
    assert DOIT(3).weights(alike).flatten().tolist() == [0.5, 0.5, 0.0]


def test_the_label_is_the_weakest_of_all_parts():
    chain, plan = Chain(uniform(3), 3), Grid(uniform_grid(3))
    tilt = DiscreteTilt(lambda x: (x == 1).double().sum(1), Enumeration(chain.oracle))
    free = ClassifierFree(None, 2.0)

    def label(tilt=tilt, **more):
        parts = (chain.oracle.denoiser(), chain.process, Ancestral(), plan, tilt)
        return guided(*parts, noise=Noise.range(0, 4), shape=(3,), **more).label

    assert label() == "consistent(1)" and label(before=(free, EffectiveScale())) == "biased"
    assert label(after=(Noisy(),)) == "biased"
    silent = replace(tilt, guide=False)
    weighed = Particles(silent, SiteMoves(Ancestral(), plan), 4)
    assert label(silent) == "biased" and label(silent, particles=weighed) == "consistent(0.5)"


def test_measurements_of_other_particles_are_other_measurements():
    def measured(**more):
        made = lambda tilt: Particles(tilt, RULE, 2, **more)  # noqa: E731
        return calibrate_estimator(PlugIn(), VE, RULE, RULE.plan, dim=1, particles=made, seconds=0.0)

    never, always = measured(threshold=0.0), measured(threshold=1.0)
    assert never is not always and never.w2 != always.w2 and measured(threshold=0.0) is never


def test_objects_without_a_text_of_their_own_are_told_apart():
    class Bare:
        pass

    assert len({_name(Bare()) for _ in range(40)}) == 40
    one = Bare()
    assert _name((one, 1, [2.0])) == _name((one, 1, [2.0])) != _name((one, True, [2.0]))
    assert _name(torch.ones(1)) != _name(torch.ones(1).double())


def test_a_group_without_a_weight_is_marked():
    tilt = Tilt(LIKELIHOOD, PlugIn(), guide=False)
    filter_ = Particles(tilt, RULE, 4)
    end = run(*PARTS, noise=Noise.range(0, 8), shape=(2,), transforms=(tilt, filter_))
    dead = replace(end, log_w=torch.where(torch.arange(8) < 4, -math.inf, end.log_w))
    assert filter_.pick(dead).records["failed/particles"].tolist() == [True, False]
    assert filter_.spread(dead).records["failed/particles"].tolist() == [True] * 4 + [False] * 4


def test_known_values_of_another_batch_are_refused():
    known = torch.tensor([True, False])
    with pytest.raises(ShapeError, match="3 sets of known values came for 2 samples"):
        run(*PARTS, noise=Noise.range(0, 2), shape=(2,), correctors=(Replace(known, torch.zeros(3, 2)),))
    one = run(*PARTS, noise=Noise.range(0, 2), shape=(2,), correctors=(Replace(known, torch.ones(1, 2)),))
    assert one.x[:, 0].tolist() == [1.0, 1.0]
