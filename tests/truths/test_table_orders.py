"""Orders of convergence, measured against known flows.

On Gaussian data the probability flow is known in closed form: per eigen-direction of variance ``v`` and for
``alpha = 1``, ``x(s) = x(s_T) sqrt((v + s^2) / (v + s_T^2))``. On the mixture of `target_a` the reference is a fine
Runge-Kutta solution; medians over samples are compared, since means are ruled by the few that pass near a separatrix.
"""

from __future__ import annotations

import math

import pytest
import torch

from scidiff.denoise import GaussianMixture
from scidiff.process import EDMSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import ddim, deis, dpmpp_2m, dpmpp_3m, edm_grid, exponential_adams, heun, unipc
from scidiff.testing_targets.gaussian import VE, final_variance, follow, standard_normal
from scidiff.testing_targets.orders import SOLVERS, copied_3m, log_grid, median_error

HIGHER = {
    "q4": lambda s, g: exponential_adams(s, g, order=4),
    "q3 + c": lambda s, g: unipc(s, g, order=3),
    "DEIS q4": lambda s, g: deis(s, g, order=4),
}


@pytest.mark.parametrize(("solver", "order"), SOLVERS.values(), ids=SOLVERS)
def test_order_on_the_mixture(solver, order):
    """Slope between 80 and 320 steps within 0.25 of the declared order."""
    errors = [median_error(solver, log_grid(steps)) for steps in (80, 320)]
    assert abs(math.log2(errors[0] / errors[1]) / 2 - order) < 0.25
    assert solver(VE, log_grid(8)).order == order


@pytest.mark.parametrize("solver", HIGHER.values(), ids=HIGHER)
def test_what_is_claimed_as_third_order_may_do_better(solver):
    """The start holds these at order 3 in the end; on this target that end is not yet in sight."""
    errors = [median_error(solver, log_grid(steps)) for steps in (80, 320)]
    assert math.log2(errors[0] / errors[1]) / 2 > 3.1
    assert solver(VE, log_grid(8)).order == 3


def test_ranking_at_ten_calls():
    """Corrected before plain second order, before first order, before Heun; the log grid before Karras's."""
    errors = {name: median_error(SOLVERS[name][0], log_grid(10)) for name in ("q1", "2M")}
    errors["q3 + c"] = median_error(HIGHER["q3 + c"], log_grid(10))
    errors["Heun"] = median_error(heun, log_grid(5))
    assert errors["q3 + c"] < errors["2M"] < errors["q1"] < errors["Heun"]
    karras = median_error(SOLVERS["q2"][0], edm_grid(VE, 10, floor=0.01, to_zero=False))
    assert karras > 1.5 * median_error(SOLVERS["q2"][0], log_grid(10))


def covariance() -> torch.Tensor:
    """Covariance with eigenvalues 4, 1 and 0.04 in a rotated frame."""
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    return q @ torch.diag(torch.tensor([4.0, 1.0, 0.04], dtype=torch.float64)) @ q.T


def gaussian_flow(x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, top: float, low: float) -> torch.Tensor:
    """Exact flow of ``y = x / alpha`` between two noise-to-signal ratios."""
    values, vectors = torch.linalg.eigh(cov)
    scale = ((values + low**2) / (values + top**2)).sqrt()
    return mean + ((x - mean) @ vectors * scale) @ vectors.T


@pytest.mark.parametrize(("solver", "order"), SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("schedule", [VE, VPSchedule()], ids=["ve", "vp"])
def test_order_on_a_gaussian(solver, order, schedule):
    """From a ratio of 2, where the prediction changes fast from the first step on, so that a poor start shows."""
    mean, cov = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), covariance()
    gaussian = GaussianMixture.gaussian(schedule, mean, cov)
    y = 2 * Noise.range(0, 5).normal((3,), step=0, stream="y")
    exact = gaussian_flow(y, mean, cov, 2.0, 0.05)
    errors = []
    for steps in (80, 240):
        lam = torch.linspace(-math.log(2), -math.log(0.05), steps + 1, dtype=torch.float64)
        grid = schedule.t(lam)
        alpha = schedule.alpha(grid)
        end = follow(solver(schedule, grid), gaussian.denoiser, schedule, alpha[0] * y).x / alpha[-1]
        errors.append(float((end - exact).norm(dim=1).max()))
    assert abs(math.log(errors[0] / errors[1], 3) - order) < 0.25


def test_half_a_second_difference_costs_an_order():
    """DPM-Solver++(3M) with the weight -phi_3 of widely copied code, instead of -2 phi_3, converges with order 2."""
    gaussian = GaussianMixture.gaussian(VE, torch.zeros(1), torch.tensor(1.0))
    y, exact = torch.full((1, 1), 2.0, dtype=torch.float64), 2 * math.sqrt((1 + 0.05**2) / 5)
    errors = []
    for steps in (100, 400):
        lam = torch.linspace(-math.log(2), -math.log(0.05), steps + 1, dtype=torch.float64)
        table = dpmpp_3m(VE, VE.t(lam))
        copied = copied_3m(VE, table.grid)
        errors.append([abs(float(follow(t, gaussian.denoiser, VE, y).x) - exact) for t in (table, copied)])
    good, poor = (math.log2(errors[0][k] / errors[1][k]) / 2 for k in (0, 1))
    assert abs(good - 3) < 0.25 and abs(poor - 2) < 0.25


def test_forward_and_back():
    """A flow that is followed forward agrees with the closed form, and leads back to where it came from."""
    mean, cov = torch.zeros(3, dtype=torch.float64), covariance()
    gaussian = GaussianMixture.gaussian(VE, mean, cov)
    x = Noise.range(0, 4).normal((3,), step=0, stream="x")
    exact = gaussian_flow(x, mean, cov, 0.05, 5.0)
    for solver, order in ((ddim, 1), (dpmpp_2m, 2), (dpmpp_3m, 3), (unipc, 3), (deis, 3), (heun, 2)):
        errors, gaps = [], []
        for steps in (100, 200):
            up = VE.t(torch.linspace(-math.log(0.05), -math.log(5), steps + 1, dtype=torch.float64))
            top = follow(solver(VE, up), gaussian.denoiser, VE, x).x
            back = follow(solver(VE, up.flip(0)), gaussian.denoiser, VE, top).x
            errors.append(float((top - exact).norm(dim=1).max()))
            gaps.append(float((back - x).norm(dim=1).max()))
        for pair in (errors, gaps):
            assert math.log2(pair[0] / pair[1]) > order - 0.25
        assert errors[1] < 0.2


def test_heun_on_its_own_grid_ends_on_the_data_law():
    """EDM schedule, grid and Heun, into ``sigma = 0``: the variance of N(0, 1) data tends to 1 with order 2."""
    schedule = EDMSchedule(80, 7)
    errors = []
    for levels in (36, 72):
        table = heun(schedule, edm_grid(schedule, levels))
        assert table.steps == 2 * levels - 1
        errors.append(abs(final_variance(table, standard_normal(schedule).denoiser, schedule, 1 + 80.0**2) - 1))
    assert abs(math.log2(errors[0] / errors[1]) - 2) < 0.25
