"""Finite elements on triangles by scikit-fem: the independent check of grid problems, and the solver on meshes.

    -div(a grad u) + c u = f,      u = 0 on the boundary

with quadratic elements; the error of the solution is of third order in the mean and, for smooth data on uniform meshes,
of fourth order at the nodes. Coefficients are constant on elements, sources linear (given at vertices) or constant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import skfem
from scipy import sparse
from scipy.sparse.linalg import splu
from skfem.helpers import dot, grad

from scidiff.errors import DataError, ShapeError

from ..errors import CellError

__all__ = ["QuadraticElliptic", "grid_mesh", "matern_root", "triangle_mesh"]


def grid_mesh(nodes: tuple[int, int], lengths: tuple[float, float] = (1.0, 1.0)) -> skfem.MeshTri:
    """Rectangle of ``nodes`` points, each cell cut in two triangles by a diagonal."""
    return skfem.MeshTri.init_tensor(*(np.linspace(0, length, n) for n, length in zip(nodes, lengths, strict=True)))


def triangle_mesh(vertices: np.ndarray, cells: np.ndarray) -> skfem.MeshTri:
    """Mesh of a plane region.

    Parameters
    ----------
    vertices
        Points, shape ``(V, 2)`` or ``(V, 3)`` with third coordinate 0.
    cells
        Corners, shape ``(F, 3)``.

    Raises
    ------
    CellError
        If cells do not have three corners; it says how many they have.
    DataError
        If the mesh does not lie in the plane.
    """
    if cells.ndim != 2 or cells.shape[1] != 3:
        raise CellError(
            f"cells have shape {cells.shape}; expected (F, 3), triangles: cut quadrilaterals, extract the surface of "
            "tetrahedra",
            cells.shape,
        )
    if vertices.shape[1] == 3 and np.ptp(vertices[:, 2]) > 0:
        raise DataError("the mesh is not plane: z varies; expected a region of the plane, z = 0")
    return skfem.MeshTri(np.ascontiguousarray(vertices[:, :2].T), np.ascontiguousarray(cells.T))


class QuadraticElliptic:
    """The equation on one mesh.

    Parameters
    ----------
    mesh
        Triangles.
    reaction
        ``c``.
    natural
        No flux through the boundary instead of the value 0; the solution is then 0 at the first node, and the sources
        have to add up to 0.
    """

    def __init__(self, mesh: skfem.MeshTri, reaction: float = 0.0, natural: bool = False) -> None:
        self.mesh, self.reaction, self.natural = mesh, reaction, natural
        self.basis = skfem.Basis(mesh, skfem.ElementTriP2())
        self.linear = self.basis.with_element(skfem.ElementTriP1())
        self.constant = self.basis.with_element(skfem.ElementTriP0())

    @cached_property
    def inner(self) -> np.ndarray:
        """Degrees of freedom that are solved for: those not on the boundary, or all but the first."""
        if self.natural:
            return np.arange(1, self.basis.N)
        return np.setdiff1d(np.arange(self.basis.N), self.basis.get_dofs().all())

    def nodes(self, points: np.ndarray) -> np.ndarray:
        """Degrees of freedom at the given points, shape ``(2, count)``: vertices or middles of edges."""
        from scipy.spatial import cKDTree

        distance, index = cKDTree(self.basis.doflocs.T).query(points.T)
        if distance.max() > 1e-8:
            raise ShapeError(f"point {points[:, distance.argmax()]} is no node of the mesh")
        return index

    def _matrix(self, a: np.ndarray | None) -> object:
        constant = self.constant.interpolate(np.ones(self.constant.N) if a is None else a)

        @skfem.BilinearForm
        def form(u, v, w):
            return w["a"] * dot(grad(u), grad(v)) + self.reaction * u * v

        return form.assemble(self.basis, a=constant)

    @cached_property
    def stiffness(self) -> object:
        """Matrix of ``-lap + c`` on all nodes."""
        return self._matrix(None)

    @cached_property
    def linear_load(self) -> object:
        """Matrix from values of a source at vertices to the load vector."""

        @skfem.BilinearForm
        def form(u, v, w):
            return u * v

        return form.assemble(self.linear, self.basis)

    @cached_property
    def linear_to_nodes(self) -> sparse.csr_array:
        """Matrix from values at vertices to those of the linear interpolant at all nodes."""
        vertices, facets = self.mesh.nvertices, np.asarray(self.mesh.facets)
        nodes = self.nodes(np.concatenate([self.mesh.p, self.mesh.p[:, facets].mean(1)], 1))
        first, middles = nodes[:vertices], nodes[vertices:]
        rows = np.concatenate([first, middles, middles])
        columns = np.concatenate([np.arange(vertices), *facets])
        values = np.concatenate([np.ones(vertices), np.full(2 * facets.shape[1], 0.5)])
        return sparse.csr_array((values, (rows, columns)), shape=(self.basis.N, vertices))

    @cached_property
    def _plain(self) -> object:
        return splu(self.stiffness.tocsc()[self.inner][:, self.inner])

    def load(self, f: np.ndarray) -> np.ndarray:
        """Load vector of a source given at vertices (``V`` numbers) or on elements (``F`` numbers)."""
        basis = self.linear if len(f) == self.linear.N else self.constant

        @skfem.LinearForm
        def form(v, w):
            return w["f"] * v

        return form.assemble(self.basis, f=basis.interpolate(f))

    def solve(self, f: np.ndarray, a: np.ndarray | None = None) -> np.ndarray:
        """Solution at all nodes.

        Parameters
        ----------
        f
            Source at vertices or on elements.
        a
            Positive coefficient on elements; 1 by default, and then the factor is kept.
        """
        factor = self._plain if a is None else splu(self._matrix(a).tocsc()[self.inner][:, self.inner])
        out = np.zeros(self.basis.N)
        out[self.inner] = factor.solve(self.load(f)[self.inner])
        return out


def matern_root(elements: QuadraticElliptic, kappa: float) -> Callable[[np.ndarray], np.ndarray]:
    """Map white numbers at vertices, shape ``(batch, V)``, to solutions of ``(kappa^2 - lap) f = 2 kappa sqrt(pi) W``.

    Linear elements with lumped mass and natural boundary; far from the boundary of a plane region f has variance 1.
    """

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return dot(grad(u), grad(v))

    @skfem.LinearForm
    def one(v, w):
        return 1.0 * v

    basis = elements.basis.with_element(skfem.ElementTriP1())
    mass = one.assemble(basis)
    factor = splu((stiffness.assemble(basis) + kappa**2 * sparse.diags_array(mass)).tocsc())
    return lambda xi: 2 * kappa * np.sqrt(np.pi) * factor.solve((np.sqrt(mass) * xi).T).T
