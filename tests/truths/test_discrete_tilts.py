"""Tilts and particles on finite sets against enumeration of all states of a Markov chain."""

from __future__ import annotations

import math

import pytest
import torch

from scidiff.denoise import Enumerated
from scidiff.errors import ConfigError, ShapeError
from scidiff.guidance import (
    Differences,
    DiscreteTilt,
    EnumeratedDraws,
    Enumeration,
    Factorised,
    FactorisedDraws,
    Particles,
    Relaxation,
    Rollouts,
    SiteMoves,
    WeightedDraws,
)
from scidiff.guidance.discrete_draws import all_states
from scidiff.process import mask, uniform
from scidiff.random import Noise
from scidiff.sample import Ancestral, Grid, Model, RunState, run, uniform_grid
from scidiff.testing_targets.enumeration import Chain, pearson

LENGTH = 4
WORTH = torch.tensor([0.0, 1.2, -0.8], dtype=torch.float64)


def additive(x0):
    return WORTH[x0].sum(-1)


def pairs(x0):
    """Rewards neighbours that differ, which the chain makes rare."""
    return 1.5 * (x0[:, 1:] != x0[:, :-1]).sum(-1).double()


def relaxed_pairs(p):
    return 1.5 * (1 - (p[:, 1:] * p[:, :-1]).sum(-1)).sum(-1)


def relaxed_additive(p):
    return (p @ WORTH).sum(-1)


CHAINS = {"mask": Chain(mask(3), LENGTH), "uniform": Chain(uniform(3), LENGTH)}


def tilted_oracle(chain, reward):
    """The oracle of the tilted law, and its evidence."""
    states = torch.cartesian_prod(*[torch.arange(3)] * LENGTH)
    weight = chain.law.flatten() * reward(states).exp()
    return Enumerated((weight / weight.sum()).reshape(chain.law.shape), chain.kernel), float(weight.sum().log())


def noisy(chain, t, batch=12):
    noise = Noise.range(3, batch)
    index = torch.searchsorted(chain.law.flatten().cumsum(0), noise.uniform((), step=0, stream="x0"))
    x0 = torch.cartesian_prod(*[torch.arange(3)] * LENGTH)[index]
    return RunState.at(chain.process.noise(x0, t, noise), t, noise)


def estimated(chain, estimator, reward, t=0.6, batch=12):
    state = noisy(chain, t, batch)
    tilt = DiscreteTilt(reward, estimator)
    m, after = Model(chain.oracle.denoiser(), chain.process, None, (tilt,)).estimate(state)
    return m.exp(), after, state


def gap(chain, estimator, reward, t=0.6, batch=12):
    """Root mean square over samples of the distance to the exact tilted prediction."""
    p, _, state = estimated(chain, estimator, reward, t, batch)
    exact = tilted_oracle(chain, reward)[0].posterior(state.x, state.t).exp()
    return float((p - exact).flatten(1).norm(dim=1).pow(2).mean().sqrt())


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("t", [0.2, 0.6, 1.0])
def test_enumeration_is_the_posterior_of_the_tilted_law(name, t):
    chain = CHAINS[name]
    p, after, state = estimated(chain, Enumeration(chain.oracle), pairs, t)
    oracle, evidence = tilted_oracle(chain, pairs)
    # sums of 81 terms
    assert torch.allclose(p, oracle.posterior(state.x, state.t).exp(), atol=1e-12)
    if t == 1.0:
        assert torch.allclose(after.records["tilt/log_h"], torch.full((12,), evidence, dtype=torch.float64), atol=1e-12)
    assert float(after.records["tilt/shift"].max()) > 0.01


@pytest.mark.parametrize("name", CHAINS)
def test_draws_of_the_joint_law_are_consistent_and_factorised_ones_are_not(name):
    chain = CHAINS[name]
    errors = [gap(chain, WeightedDraws(EnumeratedDraws(chain.oracle), count), pairs) for count in (50, 3200)]
    # sqrt(64) = 8; a root mean square over twelve samples scatters by a fifth
    assert 4 < errors[0] / errors[1] < 14
    floor = gap(chain, Factorised(), pairs)
    wrong = gap(chain, WeightedDraws(FactorisedDraws(), 3200), pairs)
    assert abs(wrong - floor) < 0.2 * floor + 0.01 and floor > 3 * errors[1]
    assert Factorised().label == WeightedDraws(FactorisedDraws()).label == "biased"
    assert WeightedDraws(EnumeratedDraws(chain.oracle)).label == "consistent(0.5)"


def test_rollouts_have_the_joint_law():
    chain = CHAINS["mask"]
    state = noisy(chain, 1.0, 2)
    evaluation, state = Model(chain.oracle.denoiser(), chain.process).evaluate(state)
    x0, after = Rollouts(24)(evaluation.raw, state, evaluation, 1500)
    # 80 degrees of freedom: five standard deviations, and the first-order error of 24 steps
    assert pearson(x0.flatten(0, 1), chain.target) < 80 + 5 * math.sqrt(160) + 40
    assert after.calls.tolist() == [1 + 1500 * 24] * 2
    assert gap(chain, WeightedDraws(Rollouts(16), 400), pairs) < 0.5 * gap(chain, Factorised(), pairs) + 0.05


def test_first_order_tilts_are_right_for_one_hidden_site_and_biased_otherwise():
    chain = CHAINS["mask"]
    state = RunState.at(
        torch.tensor([[0, 3, 1, 2], [3, 0, 0, 1]]), torch.tensor([[0, 0.5, 0, 0], [0.5, 0, 0, 0]]), Noise.range(0, 2)
    )
    exact = tilted_oracle(chain, pairs)[0].posterior(state.x, state.t).exp()
    for estimator in (Differences(), Relaxation(relaxed_pairs), Factorised()):
        tilt = DiscreteTilt(pairs, estimator)
        m, after = Model(chain.oracle.denoiser(), chain.process, None, (tilt,)).estimate(state)
        assert torch.allclose(m.exp(), exact, atol=1e-12)
        assert bool(after.records["tilt/log_h"].isfinite().all())
        assert gap(chain, estimator, pairs, 1.0) > 0.05 and estimator.label == "biased"


def test_first_order_tilts_are_the_factorised_sum_for_additive_rewards():
    chain = CHAINS["uniform"]
    wanted, after, _ = estimated(chain, Factorised(), additive)
    for estimator in (Differences(), Relaxation(relaxed_additive)):
        p, mine, _ = estimated(chain, estimator, additive)
        assert torch.allclose(p, wanted, atol=1e-12)
        assert torch.allclose(mine.records["tilt/log_h"], after.records["tilt/log_h"], atol=1e-10)


@pytest.mark.parametrize("name", CHAINS)
def test_samples_of_the_exact_tilt_follow_the_tilted_law(name):
    chain, count, steps = CHAINS[name], 3000, 48
    tilt = DiscreteTilt(pairs, Enumeration(chain.oracle))
    options = {"noise": Noise.range(1, count), "shape": (LENGTH,), "transforms": (tilt,)}
    state = run(chain.oracle.denoiser(), chain.process, Ancestral(), Grid(uniform_grid(steps)), **options)
    oracle, _ = tilted_oracle(chain, pairs)
    exact = Chain(chain.kernel, LENGTH)
    exact.law, exact.oracle = oracle.law, oracle
    law = exact.grid(Ancestral().probs, steps)
    # the law of the sampler itself, by enumeration: 80 degrees of freedom, five standard deviations
    assert pearson(state.x, law) < 80 + 5 * math.sqrt(160)
    assert torch.equal(state.records["reward/pairs"], pairs(state.x))


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize(
    ("estimator", "guide"),
    [(Factorised(), True), (WeightedDraws(FactorisedDraws(), 8), True), (Differences(0.5), False)],
    ids=["factorised", "draws", "Feynman-Kac"],
)
def test_particles_repair_the_bias_exactly(name, estimator, guide):
    """Evidence and mean of a statistic under ``p_sampler exp r``, where the law of the sampler is enumerated."""
    chain, steps, groups, size = CHAINS[name], 6, 150, 16
    plan = Grid(uniform_grid(steps))
    tilt = DiscreteTilt(pairs, estimator, guide)
    filter_ = Particles(tilt, SiteMoves(Ancestral(), plan), size)
    options = {"noise": Noise.range(4, groups * size), "shape": (LENGTH,), "transforms": (tilt, filter_)}
    state = run(chain.oracle.denoiser(), chain.process, Ancestral(), plan, **options)
    law = chain.grid(Ancestral().probs, steps)
    possible = law > 0
    states = chain.states[possible]
    weight = law[possible] * pairs(states).exp()
    ratio = (filter_.log_normaliser(state) - weight.sum().log()).exp()
    # five standard errors: the estimate of the evidence is unbiased
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / math.sqrt(groups)
    w = torch.softmax(state.log_w.reshape(groups, size), 1)
    first = (w * (state.x[:, 0] == 1).double().reshape(groups, size)).sum(1) * ratio
    wanted = float((weight / weight.sum())[states[:, 0] == 1].sum())
    assert abs(float(first.mean()) - wanted) < 5 * float(first.std()) / math.sqrt(groups)
    assert bool((state.calls == steps).all())


def test_particles_of_finite_sets_can_be_cut_stored_and_resumed():
    chain, plan = CHAINS["uniform"], Grid(uniform_grid(6))
    tilt = DiscreteTilt(pairs, WeightedDraws(FactorisedDraws(), 4))
    parts = (chain.oracle.denoiser(), chain.process, Ancestral(), plan)
    transforms = (tilt, Particles(tilt, SiteMoves(Ancestral(), plan), 5, 1.0))
    options = {"noise": Noise.range(0, 10), "shape": (LENGTH,), "transforms": transforms}
    whole = run(*parts, **options)
    assert bool((whole.records["particles/resampled"] > 1).all())
    half = RunState.from_bytes(run(*parts, **options, until=3).to_bytes()).take([5, 6, 7, 8, 9])
    rest = run(*parts, state=half, transforms=transforms)
    assert torch.equal(rest.x, whole.x[5:]) and torch.allclose(rest.log_w, whole.log_w[5:], atol=1e-12)


def test_failures_mark_their_samples_and_impossible_states_weigh_nothing():
    chain = CHAINS["uniform"]

    def odd(x0):
        return torch.where((x0[:, 0] == 2) & (x0[:, 1] == 2), torch.nan, pairs(x0))

    for estimator in (WeightedDraws(FactorisedDraws(), 64), Differences(), Factorised()):
        p, after, state = estimated(chain, estimator, odd, 0.3)
        failed = after.records["failed/odd"]
        raw = chain.oracle.posterior(state.x, state.t).exp()
        assert bool(failed.any()) and torch.allclose(p[failed], raw[failed], atol=1e-12) and bool(p.isfinite().all())

    def never_one(x0):
        return torch.where((x0 == 1).any(-1), -torch.inf, pairs(x0))

    for estimator in (Enumeration(chain.oracle), Factorised(), Differences()):
        p, after, _ = estimated(chain, estimator, never_one)
        fine = ~after.records["failed/never_one"]
        assert bool(fine.any()) and bool(p.isfinite().all())
        if not isinstance(estimator, Differences):
            assert float(p[fine][..., 1].max()) == 0
    plan = Grid(uniform_grid(5))
    tilt = DiscreteTilt(never_one, Factorised())
    filter_ = Particles(tilt, SiteMoves(Ancestral(), plan), 8)
    options = {"noise": Noise.range(0, 64), "shape": (LENGTH,), "transforms": (tilt, filter_)}
    state = run(chain.oracle.denoiser(), chain.process, Ancestral(), plan, **options)
    assert not bool((state.x == 1).any())


def test_what_discrete_tilts_refuse():
    chain = CHAINS["mask"]

    def flat(x0):
        return x0

    def frozen(p):
        return p.detach()[:, 0, 0]

    with pytest.raises(ShapeError, match=r"reward 'flat' returned \(81, 4\)"):
        estimated(chain, Factorised(), flat)
    with pytest.raises(ConfigError, match="'frozen' has no gradient"):
        estimated(chain, Relaxation(frozen), pairs)
    for make in (lambda: Differences(math.nan), lambda: Relaxation(relaxed_pairs, math.inf)):
        with pytest.raises(ConfigError, match="expected a finite number"):
            make()
    with pytest.raises(ConfigError, match="count is 1"):
        WeightedDraws(FactorisedDraws(), 1)
    with pytest.raises(ConfigError, match="531441 states"):
        all_states(3, 12)
    with pytest.raises(ConfigError, match="does not draw each site once"):
        SiteMoves(object(), Grid(uniform_grid(3)))
    with pytest.raises(ConfigError, match="expected a TableRule, or Moves"):
        Particles(DiscreteTilt(pairs, Factorised()), Ancestral(), 4)


def test_a_reward_that_fails_at_the_end_marks_its_samples_on_finite_sets_too():
    chain = CHAINS["mask"]

    def odd(x0):
        return torch.where(torch.arange(len(x0)) % 2 == 0, 0.0, torch.nan)

    state = RunState.at(torch.zeros(4, 4, dtype=torch.int64), 0.0, Noise.range(0, 4))
    after = DiscreteTilt(odd, Enumeration(chain.oracle)).close(chain.process, state)
    assert after.records["failed/odd"].tolist() == [False, True, False, True]
    assert after.records["reward/odd"].isnan().tolist() == [False, True, False, True]
