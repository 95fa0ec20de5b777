"""BDIA: order, accuracy, and the way back."""

from __future__ import annotations

import warnings

import pytest
import torch

from scidiff.errors import ConfigError, NumericalWarning
from scidiff.process import GaussianProcess
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, ddim, log_snr_grid, run
from scidiff.sample.continuous.inversion import Bdia, amplification, invert_bdia
from scidiff.sample.grids import Grid
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, target_a
from scidiff.testing_targets.orders import reference, starts

PROCESS = GaussianProcess(Euclidean((4,)), VE)
EXACT = target_a().denoiser


def forward(gamma, steps, count=None, to_zero=False):
    x = starts()[:count]
    grid = log_snr_grid(VE, steps, floor=0.01, to_zero=to_zero)
    state = RunState.at(x, 1.0, Noise.range(0, len(x)))
    return run(EXACT, PROCESS, Bdia(gamma), Grid(grid), state=state), grid, x


def median_error(gamma, steps):
    return float((forward(gamma, steps)[0].x - reference()).norm(dim=1).median())


def test_gamma_one_is_of_second_order_and_gamma_below_of_first_with_a_small_constant():
    order = torch.tensor([median_error(1.0, 80) / median_error(1.0, 160)]).log2()
    assert 1.6 < float(order) < 2.4
    first = torch.tensor([median_error(0.5, 160) / median_error(0.5, 320)]).log2()
    assert 0.75 < float(first) < 1.25


def test_at_fifty_steps_the_published_setting_is_accurate():
    assert median_error(0.9, 50) <= 0.005


@pytest.mark.parametrize(("gamma", "steps", "bound"), [(1.0, 50, 1e-10), (0.9, 50, 1e-9), (0.5, 12, 1e-8)])
@pytest.mark.parametrize("to_zero", [False, True])
def test_the_way_back_leads_to_the_start(gamma, steps, bound, to_zero):
    end, grid, x = forward(gamma, steps, None, to_zero)
    assert not to_zero or not bool(end.t.any())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = invert_bdia(EXACT, PROCESS, grid, end, gamma=gamma)
    error = (back.x - x).norm(dim=1)
    # round-off of |x| ~ 80 enlarged by gamma^(1 - steps), and by the flow itself for the worst sample
    assert float(error.median()) < bound and float(error.max()) < 1e3 * bound
    assert torch.equal(back.t, torch.ones_like(back.t)) and back.calls.tolist() == [2 * steps - 1] * len(x)


def test_the_inverse_of_ddim_is_far_off():
    x = starts()
    grid = log_snr_grid(VE, 50, floor=0.01, to_zero=False)
    rules = TableRule(ddim(VE, grid)), TableRule(ddim(VE, grid.flip(0)))
    there = run(EXACT, PROCESS, rules[0], rules[0].plan, state=RunState.at(x, 1.0, Noise.range(0, len(x))))
    again = RunState.at(there.x, float(grid[-1]), Noise.range(0, len(x)))
    back = run(EXACT, PROCESS, rules[1], rules[1].plan, state=again)
    assert float((back.x - x).norm(dim=1).median()) > 1.0


def test_the_amplification_is_told():
    end, grid, _ = forward(0.5, 50, 5)
    assert amplification(0.5, 50) == 2.0**49
    with pytest.warns(NumericalWarning, match=r"gamma = 0.5 over 50 steps"):
        invert_bdia(EXACT, PROCESS, grid, end, gamma=0.5)


def test_an_inverse_needs_the_pair_and_the_grid():
    end, grid, x = forward(0.9, 8, 5)
    with pytest.raises(ConfigError, match="remembers 0 steps"):
        invert_bdia(EXACT, PROCESS, grid, RunState.at(x, 0.1, Noise.range(0, 5)))
    with pytest.raises(ConfigError, match="does not stand at the end"):
        invert_bdia(EXACT, PROCESS, log_snr_grid(VE, 9, floor=0.01, to_zero=False), end)
    with pytest.raises(ConfigError, match="gamma is 0"):
        Bdia(0.0)


def test_cutting_and_resuming_change_nothing():
    whole, grid, x = forward(0.9, 12, 6)
    half = run(EXACT, PROCESS, Bdia(0.9), Grid(grid), state=RunState.at(x, 1.0, Noise.range(0, 6)), until=5)
    half = RunState.from_bytes(half.to_bytes()).take([5, 2])
    assert torch.equal(run(EXACT, PROCESS, Bdia(0.9), Grid(grid), state=half).x, whole.x[[5, 2]])
