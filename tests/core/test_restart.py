"""Chained tables: restarts and churn keep the law, cost what they say, and only resting rows go back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError
from scidiff.process import GaussianProcess, Kind, LinearFlowSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import TableRule, ddim, dpmpp_2m, heun, log_snr_grid, run
from scidiff.sample.continuous.restart import chain, edm_churn, restart
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, final_variance, standard_normal, target_a

GRID = log_snr_grid(VE, 12, floor=0.02)
PROCESS = GaussianProcess(Euclidean((4,)), VE)


def variance(table):
    return final_variance(table, standard_normal(VE).denoiser, VE, 1 + 40.0**2)


def test_a_restart_costs_its_repetitions_and_the_noise_is_free():
    table = restart(dpmpp_2m, VE, GRID, low=float(GRID[9]), high=float(GRID[5]), times=3)
    assert table.calls == 12 + 3 * 4 and table.steps == table.calls + 3
    counter = []

    def counting(x, t, condition):
        counter.append(len(x))
        return target_a()(x, t)

    rule = TableRule(table)
    state = run(Denoiser(counting, Kind.MEAN), PROCESS, rule, rule.plan, noise=Noise.range(0, 3), shape=(4,))
    assert counter == [3] * table.calls and state.calls.tolist() == [table.calls] * 3


def test_a_restart_is_the_runs_one_after_the_other():
    """The chained table against tables run by hand with the same draws between them."""
    table = restart(dpmpp_2m, VE, GRID, low=float(GRID[9]), high=float(GRID[5]))
    rule = TableRule(table)
    whole = run(target_a().denoiser, PROCESS, rule, rule.plan, noise=Noise.range(0, 3), shape=(4,))
    first = TableRule(dpmpp_2m(VE, GRID[:10]))
    state = run(target_a().denoiser, PROCESS, first, first.plan, noise=Noise.range(0, 3), shape=(4,))
    up = PROCESS.renoise(state.x, GRID[9], GRID[5], state.noise, step=state.i, stream="table")
    state = replace(state, x=up, t=torch.full_like(up, float(GRID[5])), i=state.i + 1, history=())
    for grid in (GRID[5:10], GRID[9:]):
        part = TableRule(dpmpp_2m(VE, grid), offset=state.i)
        state = replace(run(target_a().denoiser, PROCESS, part, part.plan, state=state), history=())
    assert torch.allclose(state.x, whole.x, atol=1e-12) and torch.equal(state.calls, whole.calls)


@pytest.mark.parametrize("steps", [40, 160])
def test_the_variance_of_a_gaussian_is_kept(steps):
    grid = log_snr_grid(VE, steps, floor=0.01)
    again = restart(dpmpp_2m, VE, grid, low=0.3, high=0.5, times=2)
    # second order: the plain solver errs by 1.006 at 50 steps
    assert abs(variance(again) - 1) < 0.01 * (40 / steps) ** 2 + 1e-3
    assert abs(variance(edm_churn(VE, grid)) - 1) < 0.05 * (40 / steps)


def test_churn_without_churn_is_heun():
    table, plain = edm_churn(VE, GRID, churn=0.0), heun(VE, GRID)
    assert table.calls == plain.calls == 23 and np.array_equal(table.nodes, plain.nodes)
    assert np.allclose(table.a, plain.a) and np.allclose(table.b, plain.b) and not table.c.any()


def test_churn_goes_up_by_its_factor_and_never_beyond_the_prior():
    table = edm_churn(VE, GRID, churn=6.0, least=0.05, most=30.0)
    up = np.flatnonzero(table.rests)
    ratio = table.sigma / table.alpha
    inside = [r for r in ratio[up]]
    assert len(up) and np.allclose(ratio[up + 1] / ratio[up], min(1.5, math.sqrt(2)))
    assert all(0.05 <= r <= 30 for r in inside)
    assert table.nodes.max() <= 1.0
    assert edm_churn(VE, GRID, churn=6.0).rests[0] == np.False_


@pytest.mark.parametrize("schedule", [VPSchedule(), LinearFlowSchedule()], ids=["VP", "linear"])
def test_other_schedules_chain_as_well(schedule):
    grid = log_snr_grid(schedule, 8, floor=0.02)
    table = restart(ddim, schedule, grid, low=float(grid[6]), high=float(grid[3]))
    # the table has checked that a constant prediction is carried with its noise
    assert table.label == "consistent(1)" and table.rests.sum() == 1


def test_what_cannot_be_chained():
    with pytest.raises(ConfigError, match="begins at t"):
        chain(VE, [ddim(VE, GRID[:5]), ddim(VE, GRID[6:])], "gap")
    for low, high, times in ((0.5, 0.3, 1), (0.2, 0.4, 0), (0.0, 0.4, 1)):
        with pytest.raises(ConfigError, match="a restart from"):
            restart(ddim, VE, GRID, low=low, high=high, times=times)
    with pytest.raises(ConfigError, match="churn is"):
        edm_churn(VE, GRID, churn=-1.0)
    table = restart(ddim, VE, GRID, low=0.2, high=0.4)
    b = table.b.copy()
    b[table.rests, 0] = 1e-3
    with pytest.raises(ConfigError, match="goes both ways"):
        replace(table, b=b, label="biased")
