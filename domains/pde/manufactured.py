"""Manufactured solutions: smooth fields whose source is known in closed form, and the errors of the solvers on them.

For a chosen u the source follows by differentiation; the solver then has to give u back with an error that shrinks at
its order. On the unit square, with ``s(x, y) = sin(pi x) sin(pi y)``:

    Poisson    u = s                  f = -lap u = 2 pi^2 s
    Darcy      u = s, a = e^{x + y/2}   f = -div(a grad u) = a (2 pi^2 s - d_x s - d_y s / 2)
    Stokes     u = curl of (sin(pi x) sin(pi y))^2, p = cos(pi x) cos(pi y), nu = 1, f = -lap u + grad p
    elastic    u = (s, 2 x y (1 - x) (1 - y)), f = -mu lap u - (lambda + mu) grad div u
"""

from __future__ import annotations

import numpy as np
import skfem
import torch
from skfem.helpers import dot

from .problems.darcy import Darcy
from .solvers.elasticity import QuadraticElastic
from .solvers.fem import QuadraticElliptic, grid_mesh
from .solvers.stokes import taylor_hood

__all__ = ["darcy_error", "darcy_state", "elasticity_error", "poisson_fem_error", "stokes_error"]

_PI = np.pi


def darcy_state(size: int) -> dict[str, torch.Tensor]:
    """Coefficient, source and exact solution in the middles of cells, a batch of one."""
    x, y = ((np.indices((size, size)) + 0.5) / size).reshape(2, size, size)
    a, u = np.exp(x + y / 2), np.sin(_PI * x) * np.sin(_PI * y)
    ux, uy = _PI * np.cos(_PI * x) * np.sin(_PI * y), _PI * np.sin(_PI * x) * np.cos(_PI * y)
    fields = {"a": a, "f": a * (2 * _PI**2 * u - ux - uy / 2), "u": u}
    return {name: torch.from_numpy(values)[None] for name, values in fields.items()}


def darcy_error(size: int) -> float:
    """Root mean square error of the finite volumes, of order 2."""
    exact = darcy_state(size)
    found = Darcy(size).solve({"a": exact["a"], "f": exact["f"]})["u"]
    return float((found - exact["u"]).square().mean().sqrt())


def poisson_fem_error(size: int) -> float:
    """L2 error of quadratic elements on a square cut into triangles, of order 3; the source is integrated exactly."""
    elements = QuadraticElliptic(grid_mesh((size + 1, size + 1)))

    @skfem.LinearForm
    def load(v, w):
        return 2 * _PI**2 * np.sin(_PI * w.x[0]) * np.sin(_PI * w.x[1]) * v

    basis = skfem.Basis(elements.mesh, skfem.ElementTriP2(), intorder=6)
    u = skfem.solve(*skfem.condense(elements.stiffness, load.assemble(basis), D=elements.basis.get_dofs()))

    @skfem.Functional
    def error(w):
        return (w["u"] - np.sin(_PI * w.x[0]) * np.sin(_PI * w.x[1])) ** 2

    return float(np.sqrt(error.assemble(basis, u=basis.interpolate(u))))


def _stokes_velocity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``(d_y psi, -d_x psi)`` of ``psi = sin^2(pi x) sin^2(pi y)``."""
    u = _PI * np.sin(_PI * x) ** 2 * np.sin(2 * _PI * y)
    v = -_PI * np.sin(2 * _PI * x) * np.sin(_PI * y) ** 2
    return np.stack([u, v])


def _stokes_force(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``-lap u + grad p``."""
    lap_u = 2 * _PI**3 * np.sin(2 * _PI * y) * (np.cos(2 * _PI * x) - 2 * np.sin(_PI * x) ** 2)
    lap_v = -2 * _PI**3 * np.sin(2 * _PI * x) * (np.cos(2 * _PI * y) - 2 * np.sin(_PI * y) ** 2)
    px, py = -_PI * np.sin(_PI * x) * np.cos(_PI * y), -_PI * np.cos(_PI * x) * np.sin(_PI * y)
    return np.stack([px - lap_u, py - lap_v])


def stokes_error(size: int) -> float:
    """L2 error of the velocity of Taylor-Hood elements, of order 3."""
    elements = taylor_hood(grid_mesh((size + 1, size + 1)), 1.0)

    @skfem.LinearForm
    def load(v, w):
        return dot(_stokes_force(*w.x), v)

    u, _ = elements.solve(load.assemble(elements.velocity))

    @skfem.Functional
    def error(w):
        return ((w["u"] - _stokes_velocity(*w.x)) ** 2).sum(0)

    return float(np.sqrt(error.assemble(elements.velocity, u=elements.velocity.interpolate(u))))


def _elastic_displacement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(_PI * x) * np.sin(_PI * y), 2 * x * y * (1 - x) * (1 - y)])


def _elastic_force(x: np.ndarray, y: np.ndarray, lame: tuple[float, float]) -> np.ndarray:
    """``-mu lap u - (lambda + mu) grad div u``."""
    first, shear = lame
    s, c = np.sin(_PI * x) * np.sin(_PI * y), np.cos(_PI * x) * np.cos(_PI * y)
    lap = np.stack([-2 * _PI**2 * s, -4 * (y * (1 - y) + x * (1 - x))])
    # div u = pi cos(pi x) sin(pi y) + 2 x (1 - x) (1 - 2 y)
    slope = np.stack([-(_PI**2) * s + 2 * (1 - 2 * x) * (1 - 2 * y), _PI**2 * c - 4 * x * (1 - x)])
    return -shear * lap - (first + shear) * slope


def elasticity_error(size: int, lame: tuple[float, float] = (2.0, 0.7)) -> float:
    """L2 error of the displacement of quadratic elements, of order 3."""
    elements = QuadraticElastic(grid_mesh((size + 1, size + 1)), lame)
    basis = skfem.Basis(elements.mesh, skfem.ElementVector(skfem.ElementTriP2()), intorder=6)

    @skfem.LinearForm
    def load(v, w):
        return dot(_elastic_force(*w.x, lame), v)

    u = elements.solve(load.assemble(basis))

    @skfem.Functional
    def error(w):
        return ((w["u"] - _elastic_displacement(*w.x)) ** 2).sum(0)

    return float(np.sqrt(error.assemble(basis, u=basis.interpolate(u))))
