"""Grids: ends, spacing, directions, and the plan that follows them."""

from __future__ import annotations

import math

import pytest
import torch

from scidiff.errors import ConfigError
from scidiff.process import CosineSchedule, EDMSchedule, LinearFlowSchedule, VESchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Grid, RunState, edm_grid, log_snr_grid, uniform_grid

SCHEDULES = [VPSchedule(), CosineSchedule(), EDMSchedule(), VESchedule(), LinearFlowSchedule()]
every = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def state(x: torch.Tensor, t: float, free=None) -> RunState:
    return RunState.at(x, t, Noise.range(0, len(x)), free=free)


@every
@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize("make", [log_snr_grid, edm_grid])
def test_ends_and_spacing(schedule, to_zero, make):
    times = make(schedule, 20, floor=0.01, to_zero=to_zero)
    assert times.shape == (21,) and times.dtype == torch.float64
    assert float(times[0]) == 1 and bool((times.diff() < 0).all())
    noisy = times[:-1] if to_zero else times
    assert (float(times[-1]) == 0) is to_zero
    ratios = (-schedule.lam(noisy)).exp()
    assert float(ratios[-1]) == pytest.approx(0.01, rel=1e-9)
    blind = math.isinf(float(ratios[0]))
    spaced = ratios[1:] if blind else ratios
    assert not blind or float(spaced[0]) == pytest.approx(80, rel=1e-9)
    gaps = (spaced.log() if make is log_snr_grid else spaced ** (1 / 7)).diff()
    assert float(gaps.max() - gaps.min()) < 1e-8 * abs(float(gaps[0]))


def test_edm_grid_is_the_published_one():
    """Karras et al., table 1: 18 levels from 80 to 0.002, then zero."""
    published = torch.tensor([(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)])
    times = edm_grid(EDMSchedule(80, 7), 18)
    assert torch.allclose(EDMSchedule(80, 7).sigma(times[:-1]), published.double(), rtol=1e-6)
    assert torch.allclose(times[:-1].diff(), times[:-1].diff()[:1], rtol=1e-9)


def test_a_part_of_the_clock():
    schedule = VPSchedule()
    times = log_snr_grid(schedule, 8, start=0.5, floor=0.05, to_zero=False)
    assert float(times[0]) == 0.5 and float(schedule.lam(times[-1])) == pytest.approx(-math.log(0.05))
    assert uniform_grid(4, start=0.2, end=0.6).tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6])
    assert uniform_grid(4).tolist() == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: log_snr_grid(VPSchedule(), 0),
        lambda: log_snr_grid(VPSchedule(), 1, to_zero=True),
        lambda: log_snr_grid(LinearFlowSchedule(), 2),
        lambda: log_snr_grid(VPSchedule(), 5, floor=1e6),
        lambda: log_snr_grid(VPSchedule(), 5, floor=0.0),
        lambda: edm_grid(VPSchedule(), 5, rho=0),
        lambda: uniform_grid(0),
        lambda: Grid(torch.tensor([1.0, 0.0])),
        lambda: Grid(torch.tensor([1.0], dtype=torch.float64)),
        lambda: Grid(torch.tensor([1.0, 0.5, 0.7], dtype=torch.float64)),
        lambda: Grid(torch.tensor([1.5, 0.0], dtype=torch.float64)),
        lambda: Grid({"a": uniform_grid(2), "b": uniform_grid(3)}),
    ],
)
def test_senseless_grids_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()


def test_the_plan_moves_free_sites_only():
    free = torch.tensor([[True, False, True]])
    plan = Grid(torch.tensor([1.0, 0.4, 0.4, 0.0], dtype=torch.float64))
    now = plan.start(state(torch.zeros(1, 3), 1.0, free))
    assert now.t.tolist() == [[1, 0, 1]] and plan.steps == 3
    for expected in (0.4, 0.4, 0.0):
        assert not plan.done(now)
        s = plan.next(now, now.x)
        assert s.tolist() == [[expected, 0, expected]]
        now = now.advance(now.x, s, now.x, 0)
    assert plan.done(now)


def test_factors_have_their_own_clocks():
    plan = Grid({"a": uniform_grid(2), "b": torch.tensor([1.0, 0.9, 0.0], dtype=torch.float64)})
    x = {"a": torch.zeros(2, 1), "b": torch.zeros(2, 4)}
    now = RunState.at(x, 1.0, Noise.range(0, 2))
    s = plan.next(plan.start(now), x)
    assert s["a"].tolist() == [[0.5]] * 2 and s["b"].tolist() == [[0.9] * 4] * 2
    # one grid for both
    assert Grid(uniform_grid(2)).next(now, x)["b"].tolist() == [[0.5] * 4] * 2


def test_a_second_grid_goes_on_after_the_first():
    first, second = Grid(uniform_grid(2, end=0.5)), Grid(uniform_grid(1, start=0.5), offset=2)
    now = state(torch.zeros(1, 1), 1.0)
    for plan in (first, second):
        while not plan.done(now):
            now = now.advance(now.x, plan.next(now, now.x), now.x, 0)
    assert float(now.t) == 0 and now.i == 3


def test_a_new_run_begins_at_the_prior():
    with pytest.raises(ConfigError, match="begins with the prior"):
        Grid(uniform_grid(3, start=0.7)).start(state(torch.zeros(1, 1), 1.0))
