"""Learned grids and tables: the loop does what was fitted, gradients agree, labels are earned, teachers agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.errors import ConfigError, NumericalError
from scidiff.process import GaussianProcess, Kind, LinearFlowSchedule, VESchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Table, TableRule, exponential_adams, heun, log_snr_grid, unipc
from scidiff.sample.continuous.adams import adams_rows, scaled_moments
from scidiff.sample.continuous.moments import exponential_moments
from scidiff.sample.learned import (
    Settings,
    fit_grid,
    fit_grid_dp,
    fit_jointly,
    fit_table,
    learn,
    row_sums,
    teach,
    teach_flow,
)
from scidiff.sample.learned.descent import AUTOGRAD, DIFFERENCES, descend
from scidiff.sample.learned.dynamic import _cheapest
from scidiff.sample.learned.recursion import follow_rows, predictor
from scidiff.sample.learned.result import table_error
from scidiff.sample.learned.spacing import LogSnrSpacing
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import follow

SCHEDULE = VESchedule(0.05, 20.0)
PROCESS = GaussianProcess(Euclidean((2,)), SCHEDULE)
MEANS = torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-1.0, -2.0]])
MIXTURE = GaussianMixture(SCHEDULE, torch.full((3,), 1 / 3), MEANS, torch.tensor([0.1, 0.2, 0.05]))
LAST = float(SCHEDULE.t(torch.tensor(3.0, dtype=torch.float64)))
START = PROCESS.prior(Noise.range(3, 120), (2,))
PAIRS, HELD = teach_flow(MIXTURE.denoiser, PROCESS, START, last=LAST, steps=60).split(60)
QUICK = Settings(iterations=15)


def grid(steps: int) -> Tensor:
    spacing = LogSnrSpacing(SCHEDULE, 1.0, LAST, steps)
    return spacing.nodes(spacing.start)


@pytest.mark.parametrize("schedule", [SCHEDULE, VPSchedule(), LinearFlowSchedule()], ids=["ve", "vp", "linear"])
@pytest.mark.parametrize("to_zero", [True, False], ids=["zero", "floor"])
def test_differentiable_rows_are_those_of_exponential_adams(schedule, to_zero):
    nodes = log_snr_grid(schedule, 7, to_zero=to_zero)
    for order in (1, 2):
        table = exponential_adams(schedule, nodes, order=order)
        a, w = adams_rows(schedule, nodes, order, order)
        assert np.allclose(a.numpy(), table.a[:, 0], rtol=0, atol=1e-14)
        assert np.allclose((schedule.alpha(nodes)[1:, None] * w).numpy(), table.b, rtol=0, atol=1e-13)


def test_moments_agree_on_both_sides_of_the_series():
    """Round-off of the recurrence near h = 1 is a few units; of mu_k, which is at most 1."""
    for h in (-0.99, 1e-6, 0.3, 0.999, 1.001, 8.0):
        exact = exponential_moments(h, 4) / h ** np.arange(4)
        assert np.allclose(
            scaled_moments(torch.tensor(h, dtype=torch.float64), 4).numpy(), exact, rtol=1e-12, atol=1e-14
        )


def test_the_loop_reproduces_what_was_fitted():
    """Same sums in another order: 1e-12 of states of size 20."""
    table = fit_table(MIXTURE.denoiser, PROCESS, PAIRS, HELD, exponential_adams(SCHEDULE, grid(4), order=2)).table
    w = torch.from_numpy(table.b / table.alpha[1:, None])
    a, alpha = torch.from_numpy(table.a[:, 0].copy()), torch.from_numpy(table.alpha.copy())
    with torch.no_grad():
        fitted = follow_rows(predictor(MIXTURE.denoiser, PROCESS), START, table.grid, alpha, a, w)
    looped = follow(table, MIXTURE.denoiser, SCHEDULE, START).x
    assert torch.allclose(fitted, looped, rtol=0, atol=1e-11)


def test_grid_then_table_then_both_improve_on_starts_they_did_not_see():
    fit = fit_grid(MIXTURE.denoiser, PROCESS, PAIRS, HELD, steps=4)
    assert fit.gradient == AUTOGRAD
    assert fit.after < 0.8 * fit.before
    assert fit.table.label == "consistent(2)"
    assert fit.calls >= 4 * len(fit.history)
    more = fit_table(MIXTURE.denoiser, PROCESS, PAIRS, HELD, fit.table)
    assert more.before == fit.after and more.after < 0.8 * more.before
    both = fit_jointly(MIXTURE.denoiser, PROCESS, PAIRS, HELD, more.table)
    assert both.history[-1] < more.history[-1]
    assert all(later <= earlier for earlier, later in itertools.pairwise(both.history))
    assert float(both.grid[0]) == 1.0 and float(both.grid[-1]) == LAST


def test_a_joint_fit_starts_where_the_table_fit_ended():
    """The penalty is on the changes from exponential Adams in both, so that the losses are one function."""
    start = exponential_adams(SCHEDULE, grid(4), order=2)
    table = fit_table(MIXTURE.denoiser, PROCESS, PAIRS, HELD, start, settings=Settings(iterations=5, pull=0.0))
    both = fit_jointly(MIXTURE.denoiser, PROCESS, PAIRS, HELD, table.table, settings=Settings(iterations=1, pull=0.0))
    assert both.history[0] == pytest.approx(table.history[-1], rel=1e-9)


def test_labels_are_earned():
    start = exponential_adams(SCHEDULE, grid(4), order=2)
    free = fit_table(MIXTURE.denoiser, PROCESS, PAIRS, HELD, start, settings=QUICK)
    assert free.table.label == "biased" and np.abs(free.row_sums - 1).max() > 1e-3
    bound = fit_table(MIXTURE.denoiser, PROCESS, PAIRS, HELD, start, settings=Settings(iterations=15, consistent=True))
    assert bound.table.label == "consistent(1)" and np.abs(bound.row_sums - 1).max() < 1e-12
    assert bound.after < bound.before
    with pytest.raises(ConfigError, match="label it biased"):
        Table(**free.table.as_dict() | {"label": "consistent(1)"})


def test_row_sums_of_published_tables_are_one():
    for table in (unipc(SCHEDULE, grid(6)), heun(SCHEDULE, grid(6))):
        assert np.allclose(row_sums(table), 1, rtol=0, atol=1e-12)


def test_a_strong_pull_keeps_the_coefficients():
    start = exponential_adams(SCHEDULE, grid(4), order=2)
    held = fit_table(MIXTURE.denoiser, PROCESS, PAIRS, HELD, start, settings=Settings(iterations=15, pull=1e6))
    assert np.abs(held.table.b[:, :2] - start.b).max() < 1e-4


class Detached:
    """The mixture without gradients: as a network behind another runtime."""

    def __call__(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        with torch.no_grad():
            return MIXTURE(x, t)


def test_without_gradients_differences_are_used_and_lead_to_the_same():
    """Autograd alone would see the coefficients but not the network, which the comparison at the start finds out."""
    blind = Denoiser(Detached(), Kind.MEAN)
    fits = [fit_grid(each, PROCESS, PAIRS, HELD, steps=3, settings=QUICK) for each in (MIXTURE.denoiser, blind)]
    assert [fit.gradient for fit in fits] == [AUTOGRAD, DIFFERENCES]
    assert fits[0].history[-1] == pytest.approx(fits[1].history[-1], rel=1e-3)
    assert fits[1].calls > 2 * fits[0].calls


def test_a_network_in_single_precision_is_fitted_by_autograd():
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))

    def function(x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        scale = (1 + SCHEDULE.sigma(t[:, :1]) ** 2).sqrt()
        return 2 * network(torch.cat([x / scale, t[:, :1]], 1).float())

    denoiser = Denoiser(function, Kind.MEAN)
    pairs, held = teach_flow(denoiser, PROCESS, START, last=LAST, steps=60).split(60)
    assert not pairs.end.requires_grad
    fit = fit_table(denoiser, PROCESS, pairs, held, exponential_adams(SCHEDULE, grid(3), order=2), settings=QUICK)
    assert fit.gradient == AUTOGRAD and fit.after < fit.before
    assert all(part.grad is None for part in network.parameters())


def test_teachers_agree():
    """UniPC-3 with 300 steps against Runge-Kutta: both err by less than 1e-5 here; a run to zero ends at m."""
    rule = TableRule(unipc(SCHEDULE, grid(300)))
    fine = teach(MIXTURE.denoiser, PROCESS, rule, rule.table.grid, START)
    assert torch.allclose(fine.end[:60], PAIRS.end, rtol=0, atol=1e-4)
    assert fine.calls == 300 and "UniPC" in fine.teacher
    with pytest.raises(ConfigError, match="use teach"):
        teach_flow(MIXTURE.denoiser, PROCESS, START, last=0.0)


def test_a_teacher_that_ends_at_zero_has_a_fixed_floor():
    nodes = torch.cat([grid(80), torch.zeros(1, dtype=torch.float64)])
    rule = TableRule(exponential_adams(SCHEDULE, nodes, order=2))
    pairs, held = teach(MIXTURE.denoiser, PROCESS, rule, nodes, START).split(60)
    fit = learn(MIXTURE.denoiser, PROCESS, pairs, held, steps=5, settings=Settings(iterations=15, floor=0.05))
    assert fit.after < fit.before and float(fit.grid[-1]) == 0.0
    assert float(SCHEDULE.lam(fit.grid[-2])) == pytest.approx(-np.log(0.05), abs=1e-9)


def test_conditions_follow_their_pairs():
    shift = torch.arange(120, dtype=torch.float64).unsqueeze(1)

    def function(x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return MIXTURE(x, t) + 0.01 * condition

    pairs = teach_flow(Denoiser(function, Kind.MEAN), PROCESS, START, last=LAST, steps=40, condition=shift)
    first, rest = pairs.split(50)
    assert torch.equal(first.condition, shift[:50]) and torch.equal(rest.condition, shift[50:])
    fit = fit_grid(Denoiser(function, Kind.MEAN), PROCESS, first, rest, steps=3, settings=QUICK)
    assert fit.after < fit.before


def test_the_programme_finds_the_cheapest_path():
    """Against all paths of random costs, which depend on the node before."""
    cost = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(0)).double().numpy()
    index = np.arange(8)
    cost[~((index[:, None, None] <= index[None, :, None]) & (index[None, :, None] < index[None, None, :]))] = np.inf
    for steps in (1, 2, 4, 7):
        best = np.inf
        for inner in itertools.combinations(range(1, 7), steps - 1):
            path = [0, *inner, 7]
            before = [0, *path]
            best = min(best, sum(cost[before[k], path[k], path[k + 1]] for k in range(steps)))
        path, found = _cheapest(cost, steps)
        assert found == pytest.approx(best, rel=1e-12)
        assert path[0] == 0 and path[-1] == 7 and len(path) == steps + 1


@pytest.mark.parametrize("order", [1, 2])
def test_a_programmed_grid_beats_equal_intervals(order):
    fit = fit_grid_dp(MIXTURE.denoiser, PROCESS, START[:60], grid(30), steps=4, order=order)
    assert set(fit.grid.tolist()) <= set(grid(30).tolist()) and fit.calls == 30
    errors = [
        table_error(MIXTURE.denoiser, PROCESS, exponential_adams(SCHEDULE, nodes, order=order), HELD)
        for nodes in (grid(4), fit.grid)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_what_cannot_be_fitted_is_refused():
    problem = (MIXTURE.denoiser, PROCESS, PAIRS, HELD)
    with pytest.raises(ConfigError, match="combines past states"):
        fit_table(*problem, heun(SCHEDULE, grid(3)))
    with pytest.raises(ConfigError, match="order is 3"):
        fit_grid(*problem, steps=4, order=3)
    with pytest.raises(ConfigError, match="of 120 pairs"):
        teach_flow(MIXTURE.denoiser, PROCESS, START, last=LAST, steps=4).split(120)
    with pytest.raises(NumericalError, match="loss is nan"):
        descend(lambda theta: theta.sum() * torch.nan, torch.zeros(2), iterations=3)


def test_a_fit_is_drawn():
    fit = fit_grid(MIXTURE.denoiser, PROCESS, PAIRS, HELD, steps=3, settings=QUICK)
    left, right = fit.plot().axes[:2]
    assert len(left.lines[0].get_xdata()) == len(fit.history)
    assert len(right.lines[0].get_xdata()) == 4
