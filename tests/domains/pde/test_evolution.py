"""Solvers in time against closed forms: ETDRK4 and Cole-Hopf, Godunov and Riemann, Taylor-Green, orders, mutations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scidiff.domains.pde.problems.advection import Advection
from scidiff.domains.pde.problems.burgers import Burgers, cole_hopf
from scidiff.domains.pde.problems.burgers_inviscid import BurgersInviscid, godunov_flux
from scidiff.domains.pde.problems.heat import Heat
from scidiff.domains.pde.problems.navier_stokes import Kolmogorov, NavierStokes
from scidiff.domains.pde.refinement import observed_orders
from scidiff.domains.pde.solvers.etdrk4 import Etdrk4

from scidiff.errors import ConfigError


def test_etdrk4_against_cole_hopf_at_1024_points():
    """The bar is 1e-10; the error in time is of fourth order and 2e-11 at 1000 steps."""
    one = Burgers(size=1024, frames=3, duration=0.5, substeps=250)
    assert float(one.deviation(one.truth(0, 1)).max()) < 1e-10


def test_etdrk4_has_fourth_order():
    """``c' = -2 c + c^2`` has the solution ``2 / (1 + e^(2 t))`` from 1."""
    start = torch.ones(1, dtype=torch.float64)

    def error(steps: int) -> float:
        end = Etdrk4(torch.tensor([-2.0]), lambda c: c**2, 1 / steps).run(start, steps)
        return float((end - 2 / (1 + math.exp(2))).abs())

    assert observed_orders(error, (8, 16, 32))[-1] == pytest.approx(4, abs=0.2)


def test_etdrk4_is_exact_for_linear_equations_of_any_stiffness():
    rates = -torch.logspace(-8, 6, 15, dtype=torch.float64)
    end = Etdrk4(rates, torch.zeros_like, 0.3)(torch.ones(15, dtype=torch.float64))
    torch.testing.assert_close(end, torch.exp(0.3 * rates), rtol=1e-14, atol=0)
    with pytest.raises(ConfigError):
        Etdrk4(rates, torch.zeros_like, 0.0)


def test_cole_hopf_satisfies_the_equation():
    """Central differences in time of the closed form, spectral ones in space: error of second order in the step."""
    one, dt = Burgers(size=128), 1e-4
    u = cole_hopf(one.truth(1, 1)["u0"], 0.01, torch.tensor([0.5 - dt, 0.5, 0.5 + dt], dtype=torch.float64))[0]
    k = 2j * math.pi * torch.arange(65, dtype=torch.float64)
    derivative = lambda w: torch.fft.irfft(k * torch.fft.rfft(w), n=128)  # noqa: E731
    rest = (u[2] - u[0]) / (2 * dt) + derivative(u[1] ** 2 / 2) - 0.01 * derivative(derivative(u[1]))
    assert float(rest.abs().max() / derivative(u[1] ** 2 / 2).abs().max()) < 1e-5


class UnitSpacing(Burgers):
    """Derivatives as if the points were 1 / (2 pi) apart, in the propagator."""

    @property
    def interval(self) -> float:
        return super().interval / (2 * math.pi)


def test_a_wrong_spacing_is_seen_by_the_independent_solution():
    """The residual of a wrong propagator is 0 on its own solution; the closed form and its residual are not."""
    settings = {"frames": 9, "duration": 0.5, "substeps": 8}
    right, wrong = Burgers(**settings), UnitSpacing(**settings)
    truth = right.reference(right.truth(0, 1))
    assert float(right.residual(truth).abs().max()) < 1e-5
    assert float(wrong.residual(truth).abs().max()) > 1e-2
    assert float(wrong.deviation(wrong.truth(0, 1)).max()) > 1e-2


@pytest.mark.parametrize(
    ("a", "b", "flux"),
    [(1.0, 0.0, 0.5), (0.0, 1.0, 0.0), (-1.0, 1.0, 0.0), (1.0, -0.5, 0.5), (0.5, -1.0, 0.5), (-1.0, -0.5, 0.125)],
    ids=["shock", "fan", "sonic", "right", "left", "outgoing"],
)
def test_godunov_flux_is_that_of_the_riemann_problem(a, b, flux):
    one = torch.tensor([a, b], dtype=torch.float64)
    assert float(godunov_flux(one[0], one[1])) == flux


def test_a_shock_moves_at_the_mean_speed():
    """From 1 to 0 the shock has speed 1/2; mass balance places it to a cell."""
    one = BurgersInviscid(101)
    inputs = {"front": torch.tensor([0.3], dtype=torch.float64), "inflow": torch.ones(1, dtype=torch.float64)}
    end = one.solve(inputs)["u"][0, 100]
    assert float(end.sum()) / 100 == pytest.approx(0.8, abs=0.01)
    assert int(((end > 0.1) & (end < 0.9)).sum()) <= 3
    other = one.reference(inputs)["u"][0, 100]
    assert float((end - other).abs().sum()) / 100 < 0.01


def test_refinement_of_godunov():
    error = lambda size: float(BurgersInviscid(size).deviation(BurgersInviscid(size).truth(1, 1)))  # noqa: E731
    # one half in L2 at a shock, less than one elsewhere
    assert 0.3 < observed_orders(error, (41, 161))[0] < 1.1


def test_taylor_green_vortices():
    """Vorticity ``2 sin sin`` of one mode is an exact solution that decays; without forcing."""
    one = NavierStokes(size=16, amplitude=0.0, viscosity=0.01, frames=3)
    x = 2 * np.pi * np.indices((16, 16)) / 16
    start = torch.from_numpy(np.sin(x[0]) * np.sin(x[1]))[None]
    end = one.solve({"w0": start})["u"][0, -1]
    assert float((end - math.exp(-8 * math.pi**2 * 0.01) * start[0]).abs().max()) < 1e-13
    u, v = one.velocity(start)
    k = torch.fft.fftfreq(16, 1 / 16, dtype=torch.float64)
    divergence = torch.fft.ifft2(1j * (k[:, None] * torch.fft.fft2(u) + k * torch.fft.fft2(v)))
    assert float(divergence.abs().max()) < 1e-13
    assert float((u - torch.from_numpy(np.sin(x[0]) * np.cos(x[1])) / (4 * math.pi)).abs().max()) < 1e-14


def test_laminar_kolmogorov_flow_stays():
    """``u = Re sin(4 y) / 16``, hence ``w = -Re cos(4 y) / 4``, balances force and friction."""
    one = Kolmogorov(size=20, frames=3)
    y = 2 * math.pi * torch.arange(20, dtype=torch.float64) / 20
    laminar = (-100 / 4 * torch.cos(4 * y)).expand(1, 20, 20)
    end = one.solve({"w0": laminar})["u"][:, -1]
    assert float((end - laminar).abs().max()) < 1e-12 * 25 * 20
    speed, across = one.velocity(laminar)
    torch.testing.assert_close(speed, (100 / 16 * torch.sin(4 * y)).expand(1, 20, 20), atol=1e-13, rtol=0)
    assert float(across.abs().max()) < 1e-13


def test_both_forms_of_convection_agree_below_two_thirds():
    one = NavierStokes(size=24)
    c = torch.fft.rfft2(one.truth(0, 1)["w0"])
    a, b = one._convective(c), one._conservative(c)
    assert float((a - b).abs().max() / a.abs().max()) < 1e-13


def test_waves_that_the_grid_cannot_carry_are_refused():
    with pytest.raises(ConfigError, match="more than 16"):
        Advection(size=16)
    with pytest.raises(ConfigError, match="BurgersInviscid"):
        Burgers(viscosity=0.0)


def test_a_wrong_diffusivity_is_seen():
    """A factor pi in the coefficient leaves the family of closed forms."""
    one = Heat(size=24, frames=8)
    state = one.truth(0, 2)
    assert float(one.deviation({**state, "nu": state["nu"] / math.pi}).min()) > 0.1
