"""Evaluation policies: what they skip, what they predict, that nothing shifts them, the best keys."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError
from scidiff.guidance import ClassifierFree
from scidiff.process import GaussianProcess, Kind
from scidiff.random import Noise
from scidiff.sample import Model, RunState, TableRule, ddim, heun, log_snr_grid, run
from scidiff.sample.continuous.keys import Recorder, dp_keys, sensitivities
from scidiff.sample.policy import DPKeys, Sensitivity, Stride
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, target_a

PROCESS = GaussianProcess(Euclidean((4,)), VE)
EXACT = target_a()
GRID = log_snr_grid(VE, 24, floor=0.02, to_zero=False)
RULE = TableRule(ddim(VE, GRID))
STEP = float(VE.lam(GRID)[1] - VE.lam(GRID)[0])


def sample(policy=None, *, rule=RULE, denoiser=EXACT.denoiser, count=6, **options):
    options = {"noise": Noise.range(0, count), "shape": (4,), **options}
    return run(denoiser, PROCESS, rule, rule.plan, policy=policy, **options)


def linear(x, t, condition):
    """A prediction linear in lam and independent of the state."""
    return VE.lam(t).expand(x.shape) * torch.arange(1.0, 5.0, dtype=torch.float64) + 1


def test_a_stride_evaluates_by_lam_and_not_by_count():
    assert sample(Stride(VE, 3 * STEP)).calls.tolist() == [8] * 6
    # Heun looks at every node but the first twice, and at the last one too
    assert sample(Stride(VE, 3 * STEP), rule=TableRule(heun(VE, GRID))).calls.tolist() == [9] * 6
    every = sample(Stride(VE, 0.5 * STEP))
    assert torch.equal(every.x, sample().x) and every.calls.tolist() == [24] * 6


@pytest.mark.parametrize("order", [0, 1])
def test_the_stand_in_has_its_order(order):
    seen = Recorder()
    sample(Stride(VE, 4 * STEP, order), denoiser=Denoiser(linear, Kind.MEAN), transforms=(seen,))
    gap = torch.stack([m - linear(x, t, None) for m, x, t in zip(seen.m, seen.x, seen.t, strict=True)])
    defect = gap.abs().amax((1, 2))
    assert bool((defect[::4] < 1e-12).all())
    if order == 1:
        # two evaluations are needed before a line can be drawn
        assert bool((defect[4:] < 1e-9).all()) and float(defect[1]) > 0.1
    else:
        assert bool((defect[[1, 2, 3, 5, 6, 7]] > 0.1).all())


def test_caching_is_a_low_order_method_in_disguise():
    """At the same number of calls an extrapolating policy over dense DDIM beats plain DDIM, as second order does."""
    from scidiff.sample import dpmpp_2m

    start = 40.0 * Noise.range(3, 300).normal((4,), step=0, stream="x")

    def endpoint(table, policy=None):
        rule = TableRule(table)
        state = RunState.at(start, 1.0, Noise.range(0, 300))
        return run(EXACT.denoiser, PROCESS, rule, rule.plan, state=state, policy=policy)

    grids = {n: log_snr_grid(VE, n, floor=0.01) for n in (12, 48, 400)}
    truth = endpoint(dpmpp_2m(VE, grids[400])).x
    length = 4 * float(VE.lam(grids[48])[1] - VE.lam(grids[48])[0])
    cached = endpoint(ddim(VE, grids[48]), Stride(VE, length, 1))
    assert 12 <= float(cached.calls.double().mean()) <= 13
    error = {
        "cached": (cached.x - truth).norm(dim=1).median(),
        "ddim": (endpoint(ddim(VE, grids[12])).x - truth).norm(dim=1).median(),
        "2m": (endpoint(dpmpp_2m(VE, grids[12])).x - truth).norm(dim=1).median(),
    }
    assert error["cached"] < 0.6 * error["ddim"] and error["2m"] < 0.6 * error["ddim"]


def test_every_sample_decides_for_itself():
    model = Model(EXACT.denoiser, PROCESS)
    start = RunState.start(PROCESS, Noise.range(0, 64), (4,))
    nodes, to_state, to_level = sensitivities(model, RULE, start)
    policy = Sensitivity(VE, nodes, to_state, to_level, eps=0.3)
    state = sample(policy, count=64)
    assert int(state.calls.min()) < int(state.calls.max()) < 24
    finer = sample(Sensitivity(VE, nodes, to_state, to_level, eps=0.05), count=64)
    exact = sample(count=64)
    errors = [(one.x - exact.x).norm(dim=1).mean() for one in (finer, state)]
    assert errors[0] < errors[1] and bool((finer.calls >= state.calls).all())
    assert torch.equal(sample(Sensitivity(VE, nodes, to_state, to_level, eps=0.0), count=64).x, exact.x)


def test_sensitivities_of_a_linear_denoiser():
    """``m = c(lam) x`` has ``J_x = c`` and ``J_lam = |c'| rms(x)``."""

    def shrunk(x, t, condition):
        return x / (1 + VE.sigma(t) ** 2)

    start = RunState.start(PROCESS, Noise.range(0, 500), (4,))
    nodes, to_state, to_level = sensitivities(Model(Denoiser(shrunk, Kind.MEAN), PROCESS), RULE, start)
    variance = (-2 * nodes).exp()
    assert torch.allclose(to_state, 1 / (1 + variance), rtol=1e-6)
    seen = Recorder()
    run(Denoiser(shrunk, Kind.MEAN), PROCESS, RULE, RULE.plan, state=start, transforms=(seen,))
    spread = torch.stack([x.pow(2).mean().sqrt() for x in seen.x])
    # forward difference of length 1e-3
    assert torch.allclose(to_level, 2 * variance / (1 + variance) ** 2 * spread, rtol=5e-3)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_keys_are_the_best_of_all_choices(order, count):
    steps = 7
    lam = Noise.range(0, 1).uniform((steps,), step=0, stream="lam")[0].cumsum(0)
    m = Noise.range(1, steps).normal((3, 2), step=0, stream="m").cumsum(0)
    weight = torch.cat([1 - (lam[:-1] - lam[1:]).exp(), torch.ones(1)])

    def cost(keys):
        total = 0.0
        for k in range(steps):
            past = [key for key in keys if key <= k]
            i = past[-1]
            guess = m[i]
            if order == 1 and len(past) > 1:
                guess = guess + (lam[k] - lam[i]) / (lam[i] - lam[past[-2]]) * (m[i] - m[past[-2]])
            total += float(weight[k] * (m[k] - guess).pow(2).mean(1).sqrt().mean())
        return total

    best = min(cost((0, *rest)) for rest in itertools.combinations(range(1, steps), count - 1))
    keys, found = dp_keys(lam, m, count, order)
    assert len(keys) == count and found == pytest.approx(best, rel=1e-12)
    assert cost(tuple(torch.searchsorted(lam, keys).tolist())) == pytest.approx(best, rel=1e-12)


def test_a_policy_with_keys_evaluates_at_them():
    seen = Recorder()
    sample(count=40, transforms=(seen,))
    lam = VE.lam(torch.stack([t[0, 0] for t in seen.t]))
    keys, _ = dp_keys(lam, torch.stack(seen.m), 8, 1)
    assert sample(DPKeys(VE, keys, 1), count=40).calls.tolist() == [8] * 40


def test_policies_move_with_their_samples():
    model = Model(EXACT.denoiser, PROCESS)
    tables = sensitivities(model, RULE, RunState.start(PROCESS, Noise.range(0, 16), (4,)))
    for policy in (Stride(VE, 2.5 * STEP, 1), Sensitivity(VE, *tables, eps=0.1)):
        whole = sample(policy)
        half = RunState.from_bytes(sample(policy, until=9).to_bytes()).take([4, 0, 5])
        rest = run(EXACT.denoiser, PROCESS, RULE, RULE.plan, state=half, policy=policy)
        assert torch.allclose(rest.x, whole.x[[4, 0, 5]], atol=1e-12)
        assert torch.equal(rest.calls, whole.calls[[4, 0, 5]])


def test_branches_are_cached_apart_and_the_interval_keeps_its_meaning():
    def network(x, t, condition):
        return (x + VE.sigma(t) ** 2 * condition.reshape(-1, 1)) / (1 + VE.sigma(t) ** 2)

    guide = ClassifierFree(torch.zeros(6, dtype=torch.float64), 2.0, (0.2, 0.7))
    options = {"condition": torch.ones(6, dtype=torch.float64), "transforms": (guide,)}
    plain = sample(denoiser=Denoiser(network, Kind.MEAN), **options)
    always = sample(Stride(VE, 0.5 * STEP), denoiser=Denoiser(network, Kind.MEAN), **options)
    assert torch.allclose(plain.x, always.x, atol=1e-12) and torch.equal(plain.calls, always.calls)
    seldom = sample(Stride(VE, 2 * STEP), denoiser=Denoiser(network, Kind.MEAN), **options)
    inside = int(((GRID[:-1] >= 0.2) & (GRID[:-1] <= 0.7)).sum())
    assert seldom.calls.tolist() == [12 + math.ceil(inside / 2)] * 6


def test_a_branch_that_begins_later_is_evaluated_when_it_begins():
    """Rows that were not due hold the main prediction, which must not pass for one of the branch."""
    asked = []

    def network(x, t, condition):
        asked.extend(round(float(t.max()), 6) for each in condition.unique() if float(each) == 0)
        return (x + VE.sigma(t) ** 2 * condition.reshape(-1, 1)) / (1 + VE.sigma(t) ** 2)

    first = float(GRID[1]) + 1e-9
    guide = ClassifierFree(torch.zeros(6, dtype=torch.float64), 2.0, (0.0, first))
    options = {"condition": torch.ones(6, dtype=torch.float64), "transforms": (guide,)}
    sample(Stride(VE, 5 * STEP), denoiser=Denoiser(network, Kind.MEAN), **options)
    assert asked[0] == round(float(GRID[1]), 6)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Stride(VE, 0.0),
        lambda: Stride(VE, 1.0, 2),
        lambda: DPKeys(VE, torch.tensor([1.0, 0.0])),
        lambda: Sensitivity(VE, torch.zeros(2), torch.zeros(2), torch.zeros(2), 0.1),
        lambda: Sensitivity(VE, torch.zeros(1), torch.zeros(1), torch.zeros(1), -0.1),
        lambda: dp_keys(torch.arange(3.0), torch.zeros(3, 1, 1), 4),
    ],
    ids=["length", "order", "keys", "nodes", "eps", "count"],
)
def test_bad_policies(bad):
    with pytest.raises(ConfigError):
        bad()
