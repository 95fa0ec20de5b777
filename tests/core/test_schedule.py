"""Schedules: exact inverse, published curves, ends of the clock."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from scidiff.errors import ConfigError
from scidiff.process import (
    CosineSchedule,
    EDMSchedule,
    EDMWeight,
    LinearFlowSchedule,
    MinSNR,
    VESchedule,
    VPSchedule,
    eps_weight,
    mean_weight,
    velocity_weight,
)

SCHEDULES = [VPSchedule(), VPSchedule(2.0, 2.0), CosineSchedule(), EDMSchedule(), VESchedule(), LinearFlowSchedule()]
T = torch.cat([torch.logspace(-9, -3, 60, dtype=torch.float64), torch.linspace(0, 1, 501, dtype=torch.float64)[1:-1]])
every = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


@every
def test_the_inverse_is_exact(schedule):
    """An error of 16 ulp of `lam` (and of 1, for cancellation in it) moves `t` by that times ``|dt/dlam|``."""
    lam = schedule.lam(T)
    slope = (T[1:] - T[:-1]) / (lam[1:] - lam[:-1])
    allowed = 16 * 2.0**-52 * ((1 + lam.abs()) * torch.cat([slope[:1], slope]).abs() + T)
    error = (schedule.t(lam) - T).abs()
    assert bool((error <= allowed).all())
    assert float((error / T).max()) < 1e-10


@every
def test_lam_falls_and_the_members_agree(schedule):
    lam = schedule.lam(T)
    order = T.argsort()
    assert bool((lam[order].diff()[T[order].diff() > 0] < 0).all())
    assert torch.allclose((2 * lam).exp(), schedule.snr(T), rtol=1e-12)
    assert torch.allclose(lam, (schedule.alpha(T) / schedule.sigma(T)).log(), atol=1e-12)


@every
def test_the_ends_of_the_clock(schedule):
    zero, one = torch.zeros(1), torch.ones(1)
    assert float(schedule.alpha(zero)) == 1 and float(schedule.sigma(zero)) == 0
    assert float(schedule.lam(zero)) == math.inf and float(schedule.t(math.inf)) == 0
    assert float(schedule.t(-math.inf)) == pytest.approx(1, abs=1e-15)
    assert float(schedule.t(schedule.lam(one))) == pytest.approx(1, abs=1e-14)


@every
def test_times_of_any_dtype_and_shape(schedule):
    t = torch.rand(2, 3, 1, generator=torch.Generator().manual_seed(0))
    for method in (schedule.alpha, schedule.sigma, schedule.lam, schedule.snr, schedule.t):
        assert method(t).dtype == torch.float64 and method(t).shape == t.shape
        assert method(0.3).dtype == torch.float64
    # a Python float is not rounded to single precision
    assert float(schedule.sigma(0.3)) == float(schedule.sigma(torch.tensor(0.3, dtype=torch.float64)))


@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule()], ids=["vp", "cosine"])
def test_variance_is_preserved(schedule):
    assert torch.allclose(schedule.alpha(T) ** 2 + schedule.sigma(T) ** 2, torch.ones_like(T), atol=1e-15)


@pytest.mark.parametrize("t", [1e-3, 0.2, 1.0])
def test_vp_is_the_solution_of_its_rate(t):
    """``log alpha = -1/2 int_0^t beta``, by quadrature."""
    area, _ = quad(lambda s: 0.1 + s * 19.9, 0, t)
    assert math.log(float(VPSchedule(0.1, 20).alpha(t))) == pytest.approx(-0.5 * area, rel=1e-12)


def test_cosine_is_the_published_curve():
    """``alpha^2 = f(u) / f(0)`` with ``f = cos^2``, and the clock ends where it is said to end."""
    schedule = CosineSchedule(lam_min=-8)
    f = lambda u: np.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
    end = float(schedule._range) / (math.pi / 2) * 1.008
    t = np.linspace(0, 1, 11)
    assert np.allclose(schedule.alpha(torch.from_numpy(t)).numpy() ** 2, f(t * end) / f(0), atol=1e-14)
    assert float(schedule.lam(1.0)) == pytest.approx(-8, abs=1e-10)
    assert end < 1


def test_edm_clock_is_the_published_grid():
    """Karras et al., eq. 5, from 80 to 0.002 with rho 7."""
    steps, rho = 18, 7
    low, high = 0.002 ** (1 / rho), 80 ** (1 / rho)
    published = (high + np.arange(steps) / (steps - 1) * (low - high)) ** rho
    times = torch.linspace(1, (0.002 / 80) ** (1 / rho), steps, dtype=torch.float64)
    assert np.allclose(EDMSchedule(80, rho).sigma(times).numpy(), published, rtol=1e-12)


def test_ve_solves_its_equation():
    """``d sigma^2 / dt = sigma_min^2 k^t log k``, and log-linear well above `sigma_min`."""
    schedule = VESchedule(0.01, 50)
    k = 1 + 5000.0**2
    area, _ = quad(lambda t: 1e-4 * k**t * math.log(k), 0, 0.7)
    assert float(schedule.sigma(0.7)) ** 2 == pytest.approx(area, rel=1e-10)
    assert float(schedule.sigma(1.0)) == pytest.approx(50, rel=1e-14)
    ratios = schedule.sigma(torch.tensor([0.7, 0.8, 0.9])).log().diff()
    assert float(ratios[0]) == pytest.approx(float(ratios[1]), rel=1e-5)


def test_velocity_is_the_derivative_of_the_path():
    """On the circle with respect to its angle, on the straight line with respect to time; by central differences."""
    x0, eps, d = 0.7, -1.3, 1e-6
    path = lambda s, t: float(s.alpha(t)) * x0 + float(s.sigma(t)) * eps  # noqa: E731
    angle = lambda s, t: math.atan2(float(s.sigma(t)), float(s.alpha(t)))  # noqa: E731
    for schedule, clock in ((VPSchedule(), angle), (CosineSchedule(), angle), (LinearFlowSchedule(), lambda s, t: t)):
        a, b = (float(part) for part in schedule.velocity(0.4))
        span = clock(schedule, 0.4 + d) - clock(schedule, 0.4 - d)
        numeric = (path(schedule, 0.4 + d) - path(schedule, 0.4 - d)) / span
        assert a * x0 + b * eps == pytest.approx(numeric, rel=1e-7)


def test_weights():
    schedule, t = VPSchedule(), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    ratio = sigma / alpha
    assert torch.equal(mean_weight(schedule, t), torch.ones_like(t))
    assert torch.allclose(eps_weight(schedule, t), 1 / ratio**2)
    assert torch.allclose(velocity_weight(schedule, t), 1 / sigma**2)
    assert torch.allclose(velocity_weight(LinearFlowSchedule(), t), 1 / t**2)
    assert torch.allclose(MinSNR(5)(schedule, t), torch.minimum(1 / ratio**2, torch.tensor(5.0)))
    assert torch.allclose(EDMWeight(0.5)(schedule, t), (ratio**2 + 0.25) / (0.5 * ratio) ** 2)
    for bad in (MinSNR, EDMWeight):
        with pytest.raises(ConfigError, match="positive"):
            bad(0.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VPSchedule(0, 1),
        lambda: VPSchedule(2, 1),
        lambda: CosineSchedule(offset=0),
        lambda: CosineSchedule(lam_min=1),
        lambda: EDMSchedule(-1),
        lambda: VESchedule(1, 1),
    ],
)
def test_senseless_parameters_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
