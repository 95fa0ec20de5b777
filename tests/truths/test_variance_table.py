"""The spread of samples of N(0, 1) with an exact denoiser, without Monte-Carlo noise, through the rule and the loop.

The final variance of a table is a sum of squares of exactly computed responses. Published solvers make too little
spread at few steps; the posterior covariance makes it exact at every number of steps.
"""

from __future__ import annotations

import math

import pytest

from scidiff.process import CosineSchedule, VPSchedule
from scidiff.sample import (
    analytic_dpm,
    ancestral,
    ddim,
    dpmpp_2m,
    dpmpp_2m_sde,
    exponential_adams,
    heun,
    log_snr_grid,
    sa_solver,
)
from scidiff.testing_targets.gaussian import (
    VE,
    final_variance,
    posterior_variance,
    sample_variance,
    scalar_variances,
    standard_normal,
)

EXACT = 1 + 0.01**2


def adams(order: int, eta: float = 0.0, corrector: bool = False):
    return lambda schedule, grid: exponential_adams(schedule, grid, order=order, eta=eta, corrector=corrector)


def analytic(schedule, grid):
    return analytic_dpm(schedule, grid, posterior_variance=posterior_variance)


TABLE = [
    (ancestral, (0.488, 0.731, 0.851)),
    (ddim, (0.661, 0.847, 0.921)),
    (adams(2), (1.152, 1.024, 1.006)),
    (analytic, (1.0001, 1.0001, 1.0001)),
]


@pytest.mark.parametrize(("solver", "printed"), TABLE, ids=["ancestral", "ddim", "q2", "covariance"])
def test_the_variance_table(solver, printed):
    """10, 25 and 50 steps, ratio 40 to 0.01, to the digits of the printed table."""
    for steps, value in zip((10, 25, 50), printed, strict=True):
        digits = 4 if solver is analytic else 3
        assert round(sample_variance(solver, steps), digits) == value


@pytest.mark.parametrize("steps", [2, 7, 40])
def test_recursions_in_closed_form(steps):
    """DDIM and the ancestral sampler against their scalar recursions, to round-off."""
    first, second = scalar_variances(steps)
    assert sample_variance(ddim, steps) == pytest.approx(first, rel=1e-11)
    assert sample_variance(ancestral, steps) == pytest.approx(second, rel=1e-11)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule()], ids=["vp", "cosine"])
def test_the_posterior_covariance_is_exact_at_every_number_of_steps(schedule, eta):
    """Also where all marginals of N(0, 1) data have variance 1, and into ``t = 0``."""
    for steps in (2, 3, 10):
        grid = log_snr_grid(schedule, steps)
        table = analytic_dpm(schedule, grid, posterior_variance=posterior_variance, eta=eta)
        assert final_variance(table, standard_normal(schedule).denoiser, schedule, 1.0) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("eta", "printed"), [(0.5, (1.012, 1.003, 1.0008)), (1.0, (1.020, 1.005, 1.0013))], ids=["eta 0.5", "eta 1"]
)
def test_the_noisy_table(eta, printed):
    """Second order with noise at 50, 100 and 200 steps, to half a unit of the last printed digit."""
    for steps, value in zip((50, 100, 200), printed, strict=True):
        half = 0.5e-3 if value > 1.002 else 0.5e-4
        assert abs(sample_variance(adams(2, eta), steps) - value) < 1.01 * half


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (ddim, 1),
        (lambda s, g: ddim(s, g, eta=0.5), 1),
        (ancestral, 1),
        (adams(1, 0.5), 1),
        (heun, 2),
        (dpmpp_2m, 2),
        (dpmpp_2m_sde, 2),
        (lambda s, g: dpmpp_2m_sde(s, g, eta=0.5), 2),
        (adams(2, 0.5), 2),
        (adams(2, 1.0), 2),
        (adams(3, 1.0), 2),
        (adams(1, 1.0, True), 2),
        (lambda s, g: sa_solver(s, g, order=1), 2),
    ],
)
def test_weak_order_of_the_variance(solver, order):
    """Slope between 100 and 300 steps; the tolerance 0.25 is what separates orders from each other."""
    errors = [abs(sample_variance(solver, steps) - EXACT) for steps in (100, 300)]
    assert abs(math.log(errors[0] / errors[1], 3) - order) < 0.25
    assert solver(VE, log_snr_grid(VE, 4, floor=0.01, to_zero=False)).order == order


def test_a_correction_helps_the_noisy_solver():
    """At 50 calls the corrected solver is nearer to the truth by a factor of two, with and without noise."""
    for eta in (0.0, 1.0):
        plain, corrected = (abs(sample_variance(adams(2, eta, corrector), 50) - EXACT) for corrector in (False, True))
        assert corrected < 0.5 * plain
