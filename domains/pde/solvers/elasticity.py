"""Linear elasticity on triangles: quadratic elements by scikit-fem, and linear ones assembled here.

    -div sigma = f,      sigma = 2 mu eps(u) + lambda tr eps(u),      eps(u) = (grad u + grad u^T) / 2

in plane strain. The two do not share an element, an assembly or a line of code: `StrainTriangles` writes the constant
strain of a triangle with corners ``x_i`` as ``eps = sum_i sym(u_i grad phi_i)``, where ``grad phi_i`` is the opposite
side turned by a right angle over twice the area, and adds ``area eps_i : C : eps_j``.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import skfem
from scipy import sparse
from scipy.sparse.linalg import splu
from skfem.helpers import ddot, div, sym_grad

__all__ = ["QuadraticElastic", "StrainTriangles"]


class QuadraticElastic:
    """Quadratic elements on one mesh; the displacement is given on the whole boundary.

    Parameters
    ----------
    mesh
        Triangles.
    lame
        ``lambda`` and ``mu``, unit of pressure.
    """

    def __init__(self, mesh: skfem.MeshTri, lame: tuple[float, float]) -> None:
        first, shear = lame
        self.mesh = mesh
        self.basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP2()), intorder=4)
        self.force = self.basis.with_element(skfem.ElementVector(skfem.ElementTriP1()))

        @skfem.BilinearForm
        def stiffness(u, v, w):
            return 2 * shear * ddot(sym_grad(u), sym_grad(v)) + first * div(u) * div(v)

        @skfem.BilinearForm
        def product(f, v, w):
            return f[0] * v[0] + f[1] * v[1]

        self.stiffness: Any = stiffness.assemble(self.basis).tocsr()
        self.load: Any = product.assemble(self.force, self.basis).tocsr()[:, self.force_numbers.ravel()]
        self.rim = np.unique(self.basis.get_dofs().all())

    @property
    def corners(self) -> np.ndarray:
        """Numbers of the displacement at the vertices, shape ``(2, V)``."""
        dofs: Any = self.basis.dofs
        return np.asarray(dofs.nodal_dofs)

    @property
    def force_numbers(self) -> np.ndarray:
        """Numbers of the force at the vertices, shape ``(2, V)``."""
        dofs: Any = self.force.dofs
        return np.asarray(dofs.nodal_dofs)

    @cached_property
    def inner(self) -> np.ndarray:
        """Numbers that are solved for."""
        return np.setdiff1d(np.arange(self.basis.N), self.rim)

    @cached_property
    def component(self) -> np.ndarray:
        """0 or 1 for each number."""
        out = np.zeros(self.basis.N, dtype=int)
        dofs: Any = self.basis.dofs
        for table in (dofs.nodal_dofs, dofs.facet_dofs):
            out[table[1]] = 1
        return out

    @cached_property
    def _factor(self) -> Any:
        return splu(self.stiffness[self.inner][:, self.inner].tocsc())

    def solve(self, load: np.ndarray, g: np.ndarray | None = None) -> np.ndarray:
        """Displacement, from a load vector and given numbers on `rim`, 0 by default."""
        u = np.zeros(self.basis.N)
        if g is not None:
            u[self.rim] = g
        u[self.inner] = self._factor.solve((load - self.stiffness @ u)[self.inner])
        return u


class StrainTriangles:
    """Linear elements, assembled from constant strains; displacement 0 on the boundary.

    Parameters
    ----------
    points
        Vertices, shape ``(V, 2)``.
    triangles
        Corners, shape ``(F, 3)``.
    lame
        ``lambda`` and ``mu``.
    rim
        Numbers of the vertices on the boundary.
    """

    def __init__(self, points: np.ndarray, triangles: np.ndarray, lame: tuple[float, float], rim: np.ndarray) -> None:
        first, shear = lame
        corners, size = points[triangles], len(points)
        side = np.roll(corners, -2, 1) - np.roll(corners, -1, 1)
        twice = (corners[:, 1, 0] - corners[:, 0, 0]) * (corners[:, 2, 1] - corners[:, 0, 1])
        twice -= (corners[:, 1, 1] - corners[:, 0, 1]) * (corners[:, 2, 0] - corners[:, 0, 0])
        gradient = np.stack([-side[..., 1], side[..., 0]], -1) / twice[:, None, None]
        area = abs(twice) / 2
        dots = np.einsum("fia,fja->fij", gradient, gradient)
        cross = np.einsum("fia,fjb->fiajb", gradient, gradient)
        local = first * cross + shear * np.swapaxes(cross, 2, 4)
        for axis in (0, 1):
            local[:, :, axis, :, axis] += shear * dots
        numbers = triangles[:, :, None] + size * np.arange(2)
        rows = np.broadcast_to(numbers[:, :, :, None, None], local.shape)
        columns = np.broadcast_to(numbers[:, None, None], local.shape)
        entries = (local * area[:, None, None, None, None]).ravel(), (rows.ravel(), columns.ravel())
        self.stiffness = sparse.coo_array(entries, shape=(2 * size, 2 * size)).tocsr()
        pairs = np.broadcast_to((1 + np.eye(3)) / 12, (len(area), 3, 3)) * area[:, None, None]
        ends = [np.broadcast_to(part, pairs.shape).ravel() for part in (triangles[:, :, None], triangles[:, None])]
        mass = sparse.coo_array((pairs.ravel(), tuple(ends)), shape=(size, size)).tocsr()
        self.mass = sparse.block_diag([mass, mass]).tocsr()
        self.inner = np.setdiff1d(np.arange(2 * size), np.concatenate([rim, rim + size]))

    @cached_property
    def _factor(self) -> Any:
        return splu(self.stiffness[self.inner][:, self.inner].tocsc())

    def solve(self, force: np.ndarray) -> np.ndarray:
        """Displacement at vertices under a force at vertices, both ``(2, V)``."""
        u = np.zeros(force.size)
        u[self.inner] = self._factor.solve((self.mass @ force.ravel())[self.inner])
        return u.reshape(force.shape)
