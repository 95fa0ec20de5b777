"""The loop: one network call a step, booked; transforms and correctors in order; sites that do not move."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.process import GaussianProcess, Kind
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, Transform, ancestral, ddim, dpmpp_3m, heun, log_snr_grid, run, unipc
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, target_a

GRID = log_snr_grid(VE, 9, floor=0.05)
PROCESS = GaussianProcess(Euclidean((4,)), VE)
EXACT = target_a()


class Counter:
    """Exact denoiser that counts its calls and the samples in them."""

    def __init__(self) -> None:
        self.calls, self.samples = 0, 0

    def __call__(self, x, t, condition):
        self.calls += 1
        self.samples += len(x)
        return EXACT(x, t)


@pytest.mark.parametrize(("solver", "calls"), [(ddim, 9), (ancestral, 9), (dpmpp_3m, 9), (unipc, 9), (heun, 17)])
def test_the_ledger_counts_the_calls(solver, calls):
    counter, rule = Counter(), TableRule(solver(VE, GRID))
    state = run(Denoiser(counter, Kind.MEAN), PROCESS, rule, rule.plan, noise=Noise.range(0, 3), shape=(4,))
    assert counter.calls == calls == rule.table.steps
    assert state.calls.tolist() == [calls] * 3 and int(state.calls.sum()) == counter.samples


def test_calls_of_correctors_are_booked():
    def corrector(process, state, estimate):
        m, state = estimate(state)
        return replace(state, x=state.x + 0 * m)

    counter, rule = Counter(), TableRule(ddim(VE, GRID))
    state = run(
        Denoiser(counter, Kind.MEAN),
        PROCESS,
        rule,
        rule.plan,
        noise=Noise.range(0, 2),
        shape=(4,),
        correctors=[corrector],
    )
    assert state.calls.tolist() == [counter.calls] * 2 == [18, 18]


def test_transforms_act_in_order_and_are_remembered():
    seen = []

    class Shift(Transform):
        def __call__(self, m, state, evaluation):
            assert bool((evaluation.raw == 0.5).all())
            return m + 1, state.record("shifted", state.t[:, 0])

    class Double(Transform):
        def __call__(self, m, state, evaluation):
            seen.append(m)
            return 2 * m, state

    constant = Denoiser(lambda x, t, condition: torch.full_like(x, condition), Kind.MEAN)
    rule = TableRule(dpmpp_3m(VE, GRID))
    state = run(
        constant,
        PROCESS,
        rule,
        rule.plan,
        noise=Noise.range(0, 2),
        shape=(4,),
        condition=0.5,
        transforms=[Shift(), Double()],
    )
    assert all(bool((m == 1.5).all()) for m in seen) and len(seen) == 9
    assert [bool((h.m == 3).all()) for h in state.history] == [True, True]
    assert torch.equal(state.x, torch.full_like(state.x, 3.0))
    assert state.records["shifted"].tolist() == [float(GRID[-2])] * 2


def test_clean_sites_never_move():
    free = torch.tensor([[True, True, False, True]]).expand(5, 4)
    clean = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    times = []

    def watch(state):
        times.append(state.t)
        assert torch.equal(state.x[:, 2], clean[:, 2].double())

    for solver in (ancestral, heun, unipc):
        rule = TableRule(solver(VE, GRID))
        denoiser = EXACT.denoiser
        options = {"noise": Noise.range(0, 5), "shape": (4,), "free": free, "clean": clean}
        state = run(denoiser, PROCESS, rule, rule.plan, **options, progress=watch)
        assert torch.equal(state.x[:, 2], clean[:, 2].double())
        assert bool((state.x[:, [0, 1, 3]] != clean[:, [0, 1, 3]]).all())
    assert all(not bool(t[:, 2].any()) for t in times) and bool((times[0][:, :2] > 0).all())


def test_progress_and_until():
    steps = []
    rule = TableRule(ddim(VE, GRID))
    options = {"noise": Noise.range(0, 1), "shape": (4,)}
    part = run(
        EXACT.denoiser, PROCESS, rule, rule.plan, **options, until=4, progress=lambda state: steps.append(state.i)
    )
    assert steps == [1, 2, 3, 4] and part.i == 4 and float(part.t.max()) == float(GRID[4])


def test_a_run_is_a_function_of_its_seed():
    rule = TableRule(ancestral(VE, GRID))
    a, b, c = (
        run(EXACT.denoiser, PROCESS, rule, rule.plan, noise=Noise.range(seed, 3), shape=(4,)).x for seed in (1, 1, 2)
    )
    assert torch.equal(a, b) and not bool((a == c).any())


def test_a_restart_is_a_second_table():
    """Down to a level, up again by the exact forward noise, and down once more: one state, one ledger, fresh noise."""
    low = log_snr_grid(VE, 6, floor=0.2, to_zero=False)
    first = TableRule(ddim(VE, low))
    state = run(EXACT.denoiser, PROCESS, first, first.plan, noise=Noise.range(0, 3), shape=(4,))
    again = low[3:]
    up = PROCESS.renoise(state.x, again[-1], again[0], state.noise, step=state.i)
    state = replace(state, x=up, t=torch.full_like(up, float(again[0])), i=state.i + 1)
    second = TableRule(dpmpp_3m(VE, again), offset=state.i)
    end = run(EXACT.denoiser, PROCESS, second, second.plan, state=state)
    assert end.i == 10 and end.calls.tolist() == [9] * 3
    # the rows of the second table reach back to its own start only, so the old history has no effect
    clean = replace(state, history=())
    assert torch.equal(end.x, run(EXACT.denoiser, PROCESS, second, second.plan, state=clean).x)


def test_a_partial_run_starts_from_a_given_state():
    x = torch.full((2, 4), 0.3, dtype=torch.float64)
    grid = log_snr_grid(VE, 4, start=0.6, floor=0.1)
    rule = TableRule(ddim(VE, grid))
    state = run(EXACT.denoiser, PROCESS, rule, rule.plan, state=RunState.at(x, 0.6, Noise.range(0, 2)))
    assert state.i == 4 and not bool(state.t.any())
