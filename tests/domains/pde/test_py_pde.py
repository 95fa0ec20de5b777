"""Solvers against py-pde, an independent package of finite differences: heat, Burgers, diffusion in the plane, Darcy.

py-pde differs from ours by its error in the mesh width, of second order on smooth fields; its steps in time are taken
so short that they do not show. Its cells are half a width away from our points: all laws here are periodic, so the same
numbers are the same field.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scidiff.domains.pde.problems.burgers import Burgers
from scidiff.domains.pde.problems.darcy import Darcy
from scidiff.domains.pde.problems.heat import Heat
from scidiff.domains.pde.problems.navier_stokes import NavierStokes
from scidiff.domains.pde.refinement import observed_orders
from scipy.integrate import solve_ivp

pde = pytest.importorskip("pde", reason="py-pde is a test dependency: pip install py-pde")


def evolve(equation, values: np.ndarray, lengths: list[float], duration: float) -> np.ndarray:
    """Values at the end, by the right-hand side of py-pde on a periodic box and LSODA."""
    grid = pde.CartesianGrid([(0, length) for length in lengths], values.shape, periodic=True)

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        return equation.evolution_rate(pde.ScalarField(grid, y.reshape(values.shape)), t).data.ravel()

    found = solve_ivp(rate, (0, duration), values.ravel(), method="LSODA", rtol=1e-7, atol=1e-9)
    return found.y[:, -1].reshape(values.shape)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_heat():
    def error(size: int) -> float:
        one = Heat(size=size, frames=3, duration=0.1)
        state = one.truth(0, 1)
        equation = pde.DiffusionPDE(diffusivity=float(state["nu"][0]), bc="periodic")
        u = state["u"][0].numpy()
        return distance(evolve(equation, u[0], [2 * math.pi], 0.1), u[-1])

    assert error(32) < 5e-3
    assert observed_orders(error, (16, 32))[0] == pytest.approx(2, abs=0.15)


def burgers_equation(nu: float):
    class Equation(pde.PDEBase):
        def evolution_rate(self, state, t=0):
            return nu * state.laplace("periodic") - state * state.gradient("periodic")[0]

    return Equation()


def test_burgers():
    def error(size: int) -> float:
        one = Burgers(size=size, frames=2, duration=0.1, viscosity=0.02, substeps=100)
        x = np.arange(size) / size
        start = torch.from_numpy(0.5 * np.sin(2 * np.pi * x) + 0.2 * np.cos(4 * np.pi * x))[None]
        equation = burgers_equation(0.02)
        return distance(evolve(equation, start[0].numpy(), [1.0], 0.1), one.solve({"u0": start})["u"][0, -1].numpy())

    assert error(64) < 5e-3
    assert observed_orders(error, (32, 64))[0] == pytest.approx(2, abs=0.2)


def test_vorticity_of_one_mode_diffuses_in_the_plane():
    """``sin sin`` has no convection with itself, so that Navier-Stokes is diffusion; a wrong nu or 2 pi would show."""

    def error(size: int) -> float:
        one = NavierStokes(size=size, frames=2, duration=0.2, viscosity=0.01, amplitude=0.0, substeps=4)
        x = 2 * np.pi * np.indices((size, size)) / size
        start = torch.from_numpy(np.sin(x[0]) * np.sin(2 * x[1]) + 0.3 * np.cos(x[0]) * np.cos(2 * x[1]))[None]
        end = one.solve({"w0": start})["u"][0, -1].numpy()
        equation = pde.DiffusionPDE(diffusivity=0.01, bc="periodic")
        return distance(evolve(equation, start[0].numpy(), [1.0, 1.0], 0.2), end)

    assert error(24) < 2e-2
    assert observed_orders(error, (12, 24))[0] == pytest.approx(2, abs=0.15)


def test_darcy_with_a_uniform_medium_is_its_poisson_equation():
    """Both take half a cell at the boundary, so the two solutions are one up to round-off of the linear solver."""
    size = 16
    one = Darcy(size)
    f = np.random.default_rng(0).normal(size=(size, size))
    grid = pde.CartesianGrid([(0, 1), (0, 1)], size)
    other = pde.solve_poisson_equation(pde.ScalarField(grid, -f / 3.0), bc={"value": 0})
    u = one.solve({"a": torch.full((1, size, size), 3.0).double(), "f": torch.from_numpy(f)[None]})["u"][0].numpy()
    assert distance(u, np.asarray(other.data)) < 1e-10
