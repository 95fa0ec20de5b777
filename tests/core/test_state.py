"""The state of a run can be cut, joined, copied, stored and resumed at any step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scidiff.errors import ConfigError, ShapeError
from scidiff.process import GaussianProcess, ProductProcess
from scidiff.random import Noise
from scidiff.sample import FactorRule, RunState, TableRule, ancestral, ddim, dpmpp_2m_sde, log_snr_grid, run, unipc
from scidiff.spaces import Euclidean, state_map
from scidiff.testing_targets.gaussian import VE, target_a

GRID = log_snr_grid(VE, 12, floor=0.05)
RULES = {"ancestral": TableRule(ancestral(VE, GRID)), "unipc": TableRule(unipc(VE, GRID, order=2))}
RULES["sde"] = TableRule(dpmpp_2m_sde(VE, GRID))
every = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
PROCESS = GaussianProcess(Euclidean((4,)), VE)


def go(rule: TableRule, **options) -> RunState:
    return run(target_a().denoiser, PROCESS, rule, rule.plan, **options)


def same(a: RunState, b: RunState) -> bool:
    """Bitwise equality of everything that a state holds."""
    return a.to_bytes() == b.to_bytes()


@every
@pytest.mark.parametrize("stop", [0, 1, 5, 11, 12])
def test_a_stored_run_goes_on_bitwise(rule, stop):
    whole = go(rule, noise=Noise.range(3, 6), shape=(4,))
    part = go(rule, noise=Noise.range(3, 6), shape=(4,), until=stop)
    assert part.i == stop and same(RunState.from_bytes(part.to_bytes()), part)
    assert same(go(rule, state=RunState.from_bytes(part.to_bytes())), whole)
    assert same(go(rule, state=part.clone()), whole)


@every
@pytest.mark.parametrize("stop", [1, 6])
def test_order_and_cut_of_the_batch_change_nothing(rule, stop):
    """Noise bitwise; states to 1e-12 of their size, since matrix products may differ with the batch."""
    whole = go(rule, noise=Noise.range(3, 6), shape=(4,), until=stop)
    end = go(rule, state=whole)
    order = [4, 0, 5, 3, 1, 2]
    shuffled = go(rule, state=whole.take(order))
    halves = RunState.cat([go(rule, state=whole.take([0, 1])), go(rule, state=whole.take([2, 3, 4, 5]))])
    fresh = go(rule, noise=Noise.range(3, 4, first=2), shape=(4,))
    for x, rows in ((shuffled.x, order), (halves.x, range(6)), (fresh.x, [2, 3, 4, 5])):
        assert torch.allclose(x, end.x[list(rows)], rtol=1e-12, atol=1e-12)
    assert same(RunState.cat([whole.take([0, 1]), whole.take([2, 3, 4, 5])]), whole)
    assert same(whole.take(order).take(np.argsort(order)), whole)


def test_every_member_moves_along():
    state = go(RULES["unipc"], noise=Noise.range(3, 6), shape=(4,), until=4).record("kept", torch.arange(6.0))
    state = replace(state, log_w=torch.arange(6.0, dtype=torch.float64))
    taken = state.take([5, 5, 0])
    assert len(taken) == 3 and taken.records["kept"].tolist() == taken.log_w.tolist() == [5, 5, 0]
    assert taken.noise.samples.tolist() == [5, 5, 0] and taken.calls.tolist() == [4] * 3
    for old, new in zip(state.history, taken.history, strict=True):
        assert torch.equal(new.x, old.x[[5, 5, 0]]) and torch.equal(new.m, old.m[[5, 5, 0]])
    assert len(state.history) == 2
    masked = state.take(torch.arange(6) % 2 == 0)
    assert masked.noise.samples.tolist() == [0, 2, 4] and torch.equal(masked.x, state.x[::2])


def test_a_clone_shares_no_memory():
    state = go(RULES["unipc"], noise=Noise.range(3, 2).scoped("a"), shape=(4,), until=3)
    copy = state.clone()
    assert same(copy, state) and copy.noise.scope == "/a"
    copy.x.zero_(), copy.history[0].m.zero_(), copy.noise.samples.fill(9)
    assert bool(state.x.any()) and bool(state.history[0].m.any()) and state.noise.samples.tolist() == [0, 1]


def test_resampled_copies_part_ways():
    """Copies with folded identities draw different noise; unfolded ones stay equal."""
    state = go(RULES["ancestral"], noise=Noise.range(3, 3), shape=(4,), until=4).take([1, 1, 2])
    twins = go(RULES["ancestral"], state=state)
    assert torch.equal(twins.x[0], twins.x[1])
    parted = go(RULES["ancestral"], state=replace(state, noise=state.noise.fold(4)))
    assert not bool((parted.x[0] == parted.x[1]).any())


def test_parts_of_different_steps_are_not_joined():
    a, b = (go(RULES["sde"], noise=Noise.range(3, 2), shape=(4,), until=k) for k in (2, 3))
    with pytest.raises(ShapeError, match="differ"):
        RunState.cat([a, b])
    with pytest.raises(ConfigError, match="one run"):
        RunState.cat([a, replace(a, noise=Noise.range(4, 2))])


@pytest.mark.parametrize("seed", [0, 2**63 + 5, 2**64 - 1])
def test_seed_and_scope_are_stored(seed):
    state = RunState.at(torch.zeros(1, 1), 0.5, Noise(seed, np.array([2**64 - 1], dtype=np.uint64), "/ä"))
    back = RunState.from_bytes(state.to_bytes())
    assert (back.noise.seed, back.noise.scope, back.noise.samples.tolist()) == (seed, "/ä", [2**64 - 1])


def test_a_start_puts_clean_values_at_fixed_sites():
    free = torch.tensor([[True, False, True, False]]).expand(2, 4)
    clean = torch.arange(8.0).reshape(2, 4)
    noise = Noise.range(0, 2)
    state = RunState.start(PROCESS, noise, (4,), free=free, clean=clean)
    prior = PROCESS.prior(noise, (4,))
    assert torch.equal(state.x, torch.where(free, prior, clean.double())) and state.x.dtype == torch.float64
    assert torch.equal(state.t, free.double())
    with pytest.raises(ShapeError, match="clean"):
        RunState.start(PROCESS, noise, (4,), free=free)


def product_run(**options) -> RunState:
    process = ProductProcess({"a": GaussianProcess(Euclidean((4,)), VE), "b": GaussianProcess(Euclidean((4,)), VE)})
    rule = FactorRule({"a": TableRule(ancestral(VE, GRID)), "b": TableRule(ddim(VE, GRID))})
    from scidiff.denoise import Denoiser
    from scidiff.process import Kind

    exact = target_a()
    both = Denoiser(lambda x, t, condition: {name: exact(x[name], t[name]) for name in x}, Kind.MEAN)
    return run(both, process, rule, rule.plan, **options)


def test_a_product_is_stored_and_cut_like_a_tensor():
    options = {"noise": Noise.range(1, 4), "shape": {"a": (4,), "b": (4,)}}
    whole, part = product_run(**options), product_run(**options, until=5)
    assert same(product_run(state=RunState.from_bytes(part.to_bytes())), whole)
    assert same(RunState.cat([part.take([0]), part.take([1, 2, 3])]), part)
    assert set(whole.x) == {"a", "b"}


def test_factors_do_not_touch_each_other():
    """Each factor of independent data ends where it would have ended alone, drawing from the stream with its name."""
    options = {"noise": Noise.range(1, 4), "shape": {"a": (4,), "b": (4,)}}
    both = product_run(**options)
    for name, solver in (("a", ancestral), ("b", ddim)):
        rule = TableRule(solver(VE, GRID))
        alone = go(rule, noise=Noise.range(1, 4).scoped(name), shape=(4,))
        assert torch.allclose(both.x[name], alone.x, rtol=1e-13, atol=1e-13)
    part = product_run(**options, until=3)
    view = part.factor("a")
    assert view.noise.scope == "/a" and view.x is part.x["a"] and view.i == 3
    assert [h.m.shape for h in view.history] == [h.m["a"].shape for h in part.history]


def test_rules_and_factors_have_to_match():
    process = ProductProcess({"a": PROCESS, "b": PROCESS})
    rule = FactorRule({"a": TableRule(ddim(VE, GRID))})
    state = RunState.start(process, Noise.range(0, 1), {"a": (4,), "b": (4,)})
    with pytest.raises(ConfigError, match="each factor"):
        rule(process, state, state.x, state.t)
    with pytest.raises(ConfigError, match="grid of their own"):
        _ = FactorRule({"a": RULES["sde"], "b": lambda *_: None}).plan
    with pytest.raises(ConfigError, match="one length"):
        _ = FactorRule({"a": RULES["sde"], "b": TableRule(ddim(VE, GRID[:-1]))}).plan


def test_at_takes_times_of_every_shape():
    noise = Noise.range(0, 2)
    x = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 1)}
    state = RunState.at(x, {"a": torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), "b": 0.7}, noise)
    assert state.t["a"].tolist() == [[0.1, 0.2, 0.3]] * 2 and state.t["b"].tolist() == [[0.7]] * 2
    masks = state_map(lambda part: torch.zeros(part.shape, dtype=torch.bool), x)
    assert not any(bool(t.any()) for t in RunState.at(x, 0.5, noise, free=masks).t.values())
