"""Discrete rules, plans and correctors in the loop: laws, ledgers, clamps, products, batch independence.

Frequencies of 1000 samples over the 27 sequences are compared by Pearson's statistic: mean 26, standard deviation 7.2;
the limit is six of them above.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, NumericalError
from scidiff.process.base import Kind, ProductProcess
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import mask, tree, uniform
from scidiff.process.survival import Linear, Power
from scidiff.random import Noise
from scidiff.sample.discrete.correctors import LooGibbs
from scidiff.sample.discrete.ctmc import (
    Ancestral,
    ProjectAndNoise,
    Psi,
    TauLeaping,
    Unmask,
    remdm_capped,
    remdm_rescaled,
    site_uniforms,
)
from scidiff.sample.discrete.plans import (
    Confidence,
    EntropyBounded,
    FirstHitting,
    InfoGain,
    MinimumEntropy,
    RandomOrder,
)
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import Rule, run
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import Categorical
from scidiff.spaces.categorical import draw, one_hot_log
from scidiff.testing_targets.enumeration import Chain, gibbs, pearson
from scidiff.testing_targets.unmasking import unmask_confident

COUNT, LIMIT = 1000, 26 + 6 * 7.2
MASKED, MIXED = Chain(mask(3), 3), Chain(uniform(3), 3)


def sample(chain: Chain, rule: Rule, plan: object, seed: int = 0, **extra: object) -> RunState:
    """Run with the exact denoiser."""
    noise = Noise.range(seed, COUNT)
    return run(chain.oracle.denoiser(), chain.process, rule, plan, noise=noise, shape=(3,), **extra)


@pytest.mark.parametrize(
    "plan",
    [FirstHitting(Linear()), RandomOrder(), MinimumEntropy(), EntropyBounded(0.0)],
    ids=["first-hitting", "random", "entropy", "bounded"],
)
def test_exact_plans_sample_the_data(plan: object) -> None:
    state = sample(MASKED, Unmask(), plan)
    assert pearson(state.x, MASKED.target) < LIMIT
    assert bool((state.calls == 3).all()) and state.i == 3


def test_information_gain_samples_the_data_and_pays_for_its_look_ahead() -> None:
    plan = InfoGain()
    state = sample(MASKED, Unmask(), plan, transforms=(plan,))
    assert pearson(state.x, MASKED.target) < LIMIT
    assert bool((state.calls == 3 + 3 * (3 + 2 + 1)).all())
    with pytest.raises(ConfigError, match="as a transform"):
        sample(MASKED, Unmask(), plan)


def test_confidence_commits_what_it_has_seen() -> None:
    """Samples follow the enumerated biased law, hence the plan and the rule draw the same classes."""
    for rule in (Unmask(), Ancestral()):
        state = sample(MASKED, rule, Confidence())
        assert pearson(state.x, unmask_confident(MASKED, Confidence())) < LIMIT
        assert pearson(state.x, MASKED.target) > 4 * LIMIT


class Certain(Transform):
    """Draw the clean state and predict it, or the class `shift` beside it, with certainty.

    Rules linear in F keep their law.
    """

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        return one_hot_log(draw(m, site_uniforms(state, "clean")), m.shape[-1]).roll(self.shift, -1), state


@pytest.mark.parametrize("chain", [MASKED, MIXED], ids=["mask", "uniform"])
@pytest.mark.parametrize(
    "rule", [Ancestral(), TauLeaping(), ProjectAndNoise(), Psi(0.6)], ids=["ancestral", "leap", "project", "psi"]
)
def test_rules_sample_their_enumerated_law(chain: Chain, rule: Rule) -> None:
    steps = 4
    state = sample(chain, rule, Grid(uniform_grid(steps)))
    law = chain.grid(rule.probs, steps)
    assert pearson(state.x, law) < LIMIT
    through = sample(chain, rule, Grid(uniform_grid(steps)), seed=1, transforms=(Certain(),))
    if not isinstance(rule, TauLeaping):
        assert pearson(through.x, law) < LIMIT


def test_gibbs_samples_its_enumerated_law_and_books_its_calls() -> None:
    steps = 4
    state = sample(MIXED, Ancestral(), Grid(uniform_grid(steps)), correctors=(LooGibbs(3),))
    assert bool((state.calls == steps + 3 * (steps - 1)).all())
    law = MIXED.grid(Ancestral().probs, steps, after=lambda law, t: law @ torch.linalg.matrix_power(gibbs(MIXED, t), 3))
    assert pearson(state.x, law) < LIMIT


@pytest.mark.parametrize("make", [remdm_capped, remdm_rescaled])
def test_remdm_runs_to_the_end(make: object) -> None:
    """Nothing is left masked, and the error is that of few steps, not more than twice that of the ancestral run."""
    rule = Psi(make(Linear(), 0.3))
    law = MASKED.grid(rule.probs, 16)
    state = sample(MASKED, rule, Grid(uniform_grid(16)))
    assert bool((state.x < 3).all())
    assert pearson(state.x, law) < LIMIT


@pytest.mark.parametrize(
    "plan",
    [FirstHitting(Power(2)), RandomOrder(), MinimumEntropy(), EntropyBounded(0.5), Confidence()],
    ids=["first-hitting", "random", "entropy", "bounded", "confidence"],
)
def test_clamped_sites_stay_and_finished_samples_idle(plan: object) -> None:
    chain = Chain(mask(3, Power(2)), 3)
    free = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    clean = torch.tensor([[0, 2, 0], [1, 0, 2], [0, 0, 0]])
    times = []
    state = run(
        chain.oracle.denoiser(),
        chain.process,
        Unmask(),
        plan,
        noise=Noise.range(1, 3),
        shape=(3,),
        free=free,
        clean=clean,
        progress=lambda s: times.append(s.t.clone()),
    )
    assert torch.equal(state.x[~free], clean[~free])
    assert bool((state.x < 3).all()) and float(state.t.abs().max()) == 0
    assert bool((torch.stack(times).diff(dim=0) <= 0).all())
    assert all(float(t[1].abs().max()) == 0 for t in times)


def test_conditioning_by_clamps_is_exact() -> None:
    """With the middle site clamped, first hitting samples the conditional law of the other two."""
    free = torch.tensor([True, False, True]).expand(COUNT, 3)
    state = sample(MASKED, Unmask(), FirstHitting(Linear()), free=free, clean=torch.full((COUNT, 3), 2))
    law = torch.zeros_like(MASKED.law)
    law[:, 2] = MASKED.law[:, 2] / MASKED.law[:, 2].sum()
    whole = torch.zeros(4, 4, 4, dtype=torch.float64)
    whole[:3, :3, :3] = law
    assert pearson(state.x, whole.flatten()) < LIMIT


def test_first_hitting_times_are_those_of_the_reference() -> None:
    """``1 - a(t')`` is ``u`` times to the power ``1/n``: the maximum of ``n`` uniforms, mean n/(n+1)."""
    chain = Chain(mask(3, Power(2)), 3)
    seen = []
    run(
        chain.oracle.denoiser(),
        chain.process,
        Unmask(),
        FirstHitting(Power(2)),
        noise=Noise.range(5, COUNT),
        shape=(3,),
        progress=lambda state: seen.append(state.t.amax(1)),
    )
    first, second = (Power(2).complement(t) for t in seen[:2])
    assert abs(float(first.mean()) - 3 / 4) < 5 * (3 / 80 / COUNT) ** 0.5
    assert abs(float((second / first).mean()) - 2 / 3) < 5 * (1 / 18 / COUNT) ** 0.5


def toy(x: dict[str, Tensor], t: dict[str, Tensor], condition: None) -> dict[str, Tensor]:
    """A smooth function of the state, coupled across factors."""
    hint = sum(part.flatten(1).sum(1) for part in x.values()).double()
    return {
        key: torch.cos(torch.arange(3.0).double() + part.unsqueeze(-1) + hint.reshape(-1, *(1,) * part.ndim))
        for key, part in x.items()
    }


def product() -> tuple[ProductProcess, Denoiser, dict[str, tuple[int, ...]]]:
    """Tree-noised atoms and uniformly noised bonds."""
    atoms, bonds = tree([0, 1, 1]), uniform(3)
    process = ProductProcess(
        {
            "atoms": DiscreteProcess(Categorical(atoms.states, (None,)), atoms),
            "bonds": DiscreteProcess(Categorical(bonds.states, (None, None)), bonds),
        }
    )
    return process, Denoiser(toy, {"atoms": Kind.LOGITS, "bonds": Kind.LOGITS}), {"atoms": (4,), "bonds": (4, 4)}


@pytest.mark.parametrize(
    "rule",
    [Ancestral(), TauLeaping(), ProjectAndNoise(), Psi(0.8)],
    ids=["ancestral", "leap", "project", "psi"],
)
def test_products_and_batch_splits(rule: Rule) -> None:
    process, denoiser, shape = product()
    plan = Grid({"atoms": uniform_grid(5), "bonds": uniform_grid(5)})

    def go(noise: Noise) -> RunState:
        return run(denoiser, process, rule, plan, noise=noise, shape=shape)

    whole = go(Noise.range(3, 6))
    assert bool((whole.x["atoms"] < 3).all()) and whole.x["bonds"].shape == (6, 4, 4)
    parts = [go(Noise.range(3, 2)), go(Noise.range(3, 4, first=2))]
    for key in shape:
        assert torch.equal(whole.x[key], torch.cat([part.x[key] for part in parts]))


def test_factors_draw_from_streams_of_their_own() -> None:
    factor = DiscreteProcess(Categorical(3, (None,)), uniform(3))
    process = ProductProcess({"a": factor, "b": factor})
    flat = Denoiser(lambda x, t, c: {key: torch.zeros(*part.shape, 3) for key, part in x.items()}, Kind.LOGITS)
    plan = Grid({"a": uniform_grid(3), "b": uniform_grid(3)})
    state = run(flat, process, ProjectAndNoise(), plan, noise=Noise.range(0, 4), shape={"a": (50,), "b": (50,)})
    equal = float((state.x["a"] == state.x["b"]).double().mean())
    assert abs(equal - 1 / 3) < 5 * (2 / 9 / 200) ** 0.5


def test_gibbs_redraws_one_site_over_all_factors() -> None:
    factor = DiscreteProcess(Categorical(5, (None,)), uniform(5))
    process = ProductProcess({"a": factor, "b": factor})
    flat = Denoiser(lambda x, t, c: {key: torch.zeros(*part.shape, 5) for key, part in x.items()}, Kind.LOGITS)
    x = process.prior(Noise.range(0, 400), {"a": (2,), "b": (3,)})
    state = RunState.at(x, {"a": 0.9, "b": 0.9}, Noise.range(0, 400))

    def estimate(state: RunState) -> tuple[dict[str, Tensor], RunState]:
        return process.convert(flat(state.x, state.t), Kind.LOGITS, state.x, state.t), state

    after = LooGibbs()(process, state, estimate)
    changed = torch.cat([after.x[key] != state.x[key] for key in ("a", "b")], dim=1)
    assert int(changed.sum(1).max()) == 1
    assert bool((changed.sum(0) > 20).all())


def test_longer_sequences_begin_like_shorter_ones() -> None:
    flat = Denoiser(lambda x, t, c: torch.zeros(*x.shape, 3), Kind.LOGITS)
    process = DiscreteProcess(Categorical(3, (None,)), uniform(3))
    runs = [
        run(flat, process, Ancestral(), Grid(uniform_grid(4)), noise=Noise.range(2, 3), shape=(length,))
        for length in (8, 5)
    ]
    assert torch.equal(runs[0].x[:, :5], runs[1].x)


def test_a_projected_clean_state_must_be_reachable_for_the_posterior() -> None:
    plan = Grid(uniform_grid(4))
    assert bool((sample(MASKED, ProjectAndNoise(), plan, transforms=(Certain(1),)).x < 3).all())
    with pytest.raises(NumericalError, match="cannot have led"):
        sample(MASKED, Ancestral(), plan, transforms=(Certain(1),))


def test_resuming_and_cutting_change_nothing() -> None:
    plan = InfoGain()
    noise = Noise.range(9, 6)
    args = (MASKED.oracle.denoiser(), MASKED.process, Unmask(), plan)
    whole = run(*args, noise=noise, shape=(3,), transforms=(plan,))
    half = run(*args, noise=noise, shape=(3,), transforms=(plan,), until=1)
    half = RunState.from_bytes(half.to_bytes()).take([3, 1, 0, 2, 5, 4])
    rest = run(*args, state=half, transforms=(plan,))
    assert torch.equal(rest.x, whole.x[[3, 1, 0, 2, 5, 4]])
    assert torch.equal(rest.calls, whole.calls[[3, 1, 0, 2, 5, 4]])


def test_plans_refuse_what_they_cannot_do() -> None:
    process, denoiser, shape = product()
    with pytest.raises(ConfigError, match="single masked factor"):
        run(denoiser, process, Ancestral(), RandomOrder(), noise=Noise.range(0, 2), shape=shape)
    with pytest.raises(ConfigError, match="gamma"):
        EntropyBounded(-1.0)
    with pytest.raises(ConfigError, match="kappa"):
        Psi(1.5)
    with pytest.raises(ConfigError, match="updates"):
        LooGibbs(0)
