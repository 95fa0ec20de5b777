"""A bad sample does not stop, slow or change the others; empty batches pass. The network answers NaN for one sample."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.guidance import CBG, ExactDraws, GaussianLikelihood, Glass, PlugIn, Tilt
from scidiff.process import DiscreteProcess, GaussianProcess, Kind, ProductProcess, mask, tree, uniform
from scidiff.random import Noise
from scidiff.sample import (
    Adaptive,
    Ancestral,
    Confidence,
    EntropyBounded,
    FactorRule,
    Grid,
    MinimumEntropy,
    ProjectAndNoise,
    Psi,
    RandomOrder,
    RunState,
    TableRule,
    TauLeaping,
    Unmask,
    ddim,
    log_snr_grid,
    run,
    uniform_grid,
)
from scidiff.sample.continuous.parallel import parareal, picard
from scidiff.spaces import Categorical, Euclidean
from scidiff.spaces.linear import Selection
from scidiff.testing_targets.enumeration import Chain
from scidiff.testing_targets.gaussian import VE
from scidiff.testing_targets.posteriors import random_mixture

DIM, BATCH, BAD = 3, 5, 2
GOOD = [0, 1, 3, 4]
PROCESS = GaussianProcess(Euclidean((DIM,)), VE)
PRIOR = random_mixture(DIM, 4, seed=5)
ROWS = torch.arange(BATCH)
RULE = TableRule(ddim(VE, log_snr_grid(VE, 24, floor=0.05)))


def breaks(function):
    """Prediction that is NaN in the sample of condition `BAD`."""

    def broken(x, t, condition):
        m = function(x, t, None)
        return torch.where((condition == BAD).reshape(-1, *(1,) * (m.ndim - 1)), torch.nan, m)

    return broken


BROKEN = Denoiser(breaks(lambda x, t, _: PRIOR(x, t)), Kind.MEAN)


def begin(count=BATCH):
    return RunState.start(PROCESS, Noise.range(0, count), (DIM,))


@pytest.mark.parametrize("mode", [picard, parareal], ids=["picard", "parareal"])
def test_sweeps_go_on_until_the_good_samples_have_settled(mode):
    good = mode(PRIOR.denoiser, PROCESS, RULE, begin(), tolerance=1e-4)
    mixed = mode(BROKEN, PROCESS, RULE, begin(), tolerance=1e-4, condition=ROWS)
    assert torch.equal(mixed.state.x[GOOD], good.state.x[GOOD]) and bool(mixed.state.x[BAD].isnan().all())
    # one sweep at most until it is known that the sample is lost
    assert good.depth <= mixed.depth <= good.depth + 1


@pytest.mark.parametrize("mode", [picard, parareal], ids=["picard", "parareal"])
def test_sweeps_take_a_whole_table(mode):
    half = run(PRIOR.denoiser, PROCESS, RULE, RULE.plan, state=begin(), until=3)
    for state in (half, RunState.at(begin().x, 0.5, Noise.range(0, BATCH))):
        with pytest.raises(ConfigError, match="sweeps take the whole of table"):
            mode(PRIOR.denoiser, PROCESS, RULE, state)
    assert mode(PRIOR.denoiser, PROCESS, RULE, begin(0)).state.x.shape == (0, DIM)


@pytest.mark.parametrize("to_zero", [True, False])
def test_adaptive_steps_are_not_held_up(to_zero):
    plan = Adaptive(VE, 0.05, floor=0.02, to_zero=to_zero)
    options = {"state": begin(), "policy": plan.policy}
    good = run(PRIOR.denoiser, PROCESS, plan.rule, plan, **options)
    mixed = run(BROKEN, PROCESS, plan.rule, plan, condition=ROWS, **options)
    assert torch.allclose(mixed.x[GOOD], good.x[GOOD], atol=1e-9) and bool(mixed.x[BAD].isnan().all())
    assert torch.equal(mixed.calls[GOOD], good.calls[GOOD]) and int(mixed.calls[BAD]) <= 10


DISCRETE = {
    "ancestral": (Ancestral(), Grid(uniform_grid(4))),
    "tau-leaping": (TauLeaping(), Grid(uniform_grid(4))),
    "project-and-noise": (ProjectAndNoise(), Grid(uniform_grid(4))),
    "psi": (Psi(0.5), Grid(uniform_grid(4))),
    "unmask-random": (Unmask(), RandomOrder()),
    "unmask-entropy": (Unmask(), MinimumEntropy()),
    "unmask-bounded": (Unmask(), EntropyBounded(0.5)),
    "unmask-confident": (Unmask(), Confidence()),
}
CASES = [
    (kernel, name)
    for kernel in ("mask", "uniform", "tree")
    for name in DISCRETE
    if kernel == "mask" or "unmask" not in name
]


@pytest.mark.parametrize(("kernel", "name"), CASES, ids=["-".join(case) for case in CASES])
def test_classes_are_drawn_for_all_and_the_failed_sample_is_marked(kernel, name):
    """A class cannot be NaN: the sample goes on at equal weights, which its mark tells."""
    chain = Chain({"mask": mask(3), "uniform": uniform(3), "tree": tree([0, 1, 1])}[kernel], 3)
    exact = chain.oracle.denoiser()
    rule, plan = DISCRETE[name]
    go = partial(run, process=chain.process, rule=rule, plan=plan, noise=Noise.range(0, BATCH), shape=(3,))
    mixed = go(Denoiser(breaks(exact), Kind.LOGITS), condition=ROWS)
    assert torch.equal(mixed.x[GOOD], go(exact).x[GOOD])
    assert mixed.records["failed/network"].tolist() == [row == BAD for row in range(BATCH)]
    assert bool(((mixed.x >= 0) & (mixed.x < 3)).all())


def test_factors_share_one_mark():
    process = ProductProcess({"a": PROCESS, "b": DiscreteProcess(Categorical(3, (2,)), uniform(3))})

    def network(x, t, condition):
        return {
            "a": breaks(lambda x, t, _: PRIOR(x, t))(x["a"], t["a"], condition),
            "b": x["a"][:, None, :] * torch.ones(2, 1),
        }

    rule = FactorRule({"a": TableRule(ddim(VE, log_snr_grid(VE, 4, floor=0.05))), "b": Ancestral()})
    denoiser = Denoiser(network, {"a": Kind.MEAN, "b": Kind.LOGITS})
    plan = Grid(rule.rules["a"].plan.times)
    end = run(
        denoiser, process, rule, plan, noise=Noise.range(0, BATCH), shape={"a": (DIM,), "b": (2,)}, condition=ROWS
    )
    assert end.records["failed/network"].tolist() == [row == BAD for row in range(BATCH)]
    assert bool(end.x["a"][BAD].isnan().all()) and bool(end.x["a"][GOOD].isfinite().all())


LIKELIHOOD = GaussianLikelihood(Selection(torch.tensor([False, True, False])), torch.tensor([0.3]), 0.4)


@pytest.mark.parametrize("draws", [ExactDraws(PRIOR), Glass(4)], ids=["exact", "glass"])
def test_draws_of_a_state_that_is_lost_do_not_stop_the_others(draws):
    rule = TableRule(ddim(VE, log_snr_grid(VE, 6, floor=0.05)))
    go = partial(run, process=PROCESS, rule=rule, plan=rule.plan, transforms=(Tilt(LIKELIHOOD, CBG(draws, 4)),))
    good, mixed = go(PRIOR.denoiser, state=begin()), go(BROKEN, state=begin(), condition=ROWS)
    assert torch.allclose(mixed.x[GOOD], good.x[GOOD], atol=1e-9)
    assert mixed.records["failed/GaussianLikelihood"].tolist() == [row == BAD for row in range(BATCH)]
    empty = go(PRIOR.denoiser, state=begin(0))
    assert empty.x.shape == (0, DIM) and empty.records["failed/GaussianLikelihood"].shape == (0,)


def test_a_reward_that_fails_at_the_end_alone_marks_its_sample():
    calls = []

    def late(x0):
        calls.append(len(x0))
        values = -x0.square().sum(1)
        return torch.where(torch.arange(len(x0)) == 1, torch.nan, values) if len(calls) > RULE.table.steps else values

    go = partial(run, PRIOR.denoiser, PROCESS, RULE, RULE.plan, state=begin())
    end = go(transforms=(Tilt(late, PlugIn(0.1)),))
    assert end.records["failed/late"].tolist() == [False, True, False, False, False]
    assert bool(end.records["reward/late"].isnan().tolist() == [False, True, False, False, False])

    def column(x0):
        calls.append(len(x0))
        return x0[:, :1] if len(calls) > RULE.table.steps else x0[:, 0]

    calls.clear()
    with pytest.raises(ShapeError, match=r"reward 'column' returned \(5, 1\)"):
        go(transforms=(Tilt(column, PlugIn(0.1)),))


def test_data_of_another_batch_are_refused():
    """With two draws the data of four samples would fit two samples, wrongly."""
    y = torch.tensor([[-3.0], [3.0], [-3.0], [3.0]])
    likelihood = GaussianLikelihood(LIKELIHOOD.operator, y, 0.2)
    for count in (2, 8):
        with pytest.raises(ShapeError, match=f"4 sets of data, one for each sample, and {count} samples"):
            run(
                PRIOR.denoiser,
                PROCESS,
                RULE,
                RULE.plan,
                state=begin(count),
                transforms=(Tilt(likelihood, CBG(ExactDraws(PRIOR), 2)),),
            )
