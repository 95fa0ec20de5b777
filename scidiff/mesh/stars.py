"""Hodge stars: the inner products ``<u, v> = u^T M_k v`` of ``k``-cochains.

Three choices of ``(M_0, M_1, M_2)``:

* `whitney_stars`: mass matrices of the finite elements that interpolate cochains (piecewise linear, Whitney-Nédélec,
  piecewise constant) [1]_, assembled by scikit-fem. Always positive definite, consistent on every mesh; ``M_0`` and
  ``M_1`` are not diagonal. Each triangle is laid into the plane first: lengths and angles are all that counts, so that
  surfaces in space need no other elements.
* `cotangent_stars`: thirds of the areas around a vertex, ``(cot a + cot b) / 2`` at an edge with the opposite angles
  ``a`` and ``b``, inverse areas [2]_. Diagonal. ``d0^T M_1 d0`` is the stiffness matrix of linear elements; but the
  weight of an edge is 0 where ``a + b = 180`` degrees and negative beyond (the mesh is then not Delaunay), and then
  ``M_1`` is no inner product.
* `barycentric_stars`: as before, with the length of the dual edge through the two barycentres over that of the edge.
  Diagonal and always positive; consistent only where dual edges are normal to edges, see the comparison in [3]_.

No weight is changed in silence: `Stars.report` counts those that are negative or zero, and what needs an inner product
refuses them.

References
----------
.. [1] D. Arnold, R. Falk, R. Winther, "Finite element exterior calculus", Acta Numerica 2006,
   doi:10.1017/S0962492906210018
.. [2] M. Desbrun et al., "Discrete Exterior Calculus", arXiv:math/0508341
.. [3] M. Mohamed, A. Hirani, R. Samtaney, "Comparison of discrete Hodge star operators for surfaces",
   doi:10.1016/j.cad.2016.05.002
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scidiff.errors import ConfigError
from scidiff.mesh.complex import SimplicialComplex

__all__ = ["StarReport", "Stars", "barycentric_stars", "cotangent_stars", "whitney_stars"]

_ZERO = 1e-12


@dataclass(frozen=True)
class StarReport:
    """What is known of a set of stars.

    Parameters
    ----------
    diagonal
        Whether all three are diagonal.
    obtuse_triangles
        Number of triangles with an angle above 90 degrees.
    negative, zero
        Numbers of negative and of vanishing diagonal entries (below 1e-12 of the median) of ``M_0, M_1, M_2``.
    least
        Least diagonal entry of each, over the median.
    """

    diagonal: bool
    obtuse_triangles: int
    negative: tuple[int, int, int]
    zero: tuple[int, int, int]
    least: tuple[float, float, float]

    @property
    def positive(self) -> tuple[bool, bool, bool]:
        """Whether each star is an inner product."""
        n, z = self.negative, self.zero
        return n[0] + z[0] == 0, n[1] + z[1] == 0, n[2] + z[2] == 0


@dataclass(frozen=True, eq=False)
class Stars:
    """Mass matrices of the cochains of a complex.

    Parameters
    ----------
    complex
        The surface.
    name
        Name of the choice.
    matrices
        ``M_0, M_1, M_2``, symmetric, float64; in the units ``L^2``, 1, ``L^-2`` where coordinates are in ``L``.
    report
        Signs of the weights.
    """

    complex: SimplicialComplex
    name: str
    matrices: tuple[sparse.csr_array, sparse.csr_array, sparse.csr_array]
    report: StarReport

    def __getitem__(self, degree: int) -> sparse.csr_array:
        """Return ``M_k``, whatever its signs."""
        if degree not in (0, 1, 2):
            raise ConfigError(f"degree is {degree}; a surface has cochains of degree 0, 1 and 2")
        return self.matrices[degree]

    def mass(self, degree: int) -> sparse.csr_array:
        """Return ``M_k`` where it is an inner product.

        Raises
        ------
        ConfigError
            If it has weights that are not positive.
        """
        matrix, report = self[degree], self.report
        if not report.positive[degree]:
            raise ConfigError(
                f"the {self.name} star of degree {degree} has {report.negative[degree]} negative and "
                f"{report.zero[degree]} zero weights and is no inner product; use whitney_stars or barycentric_stars, "
                "or a Delaunay mesh without pairs of right angles"
            )
        return matrix

    def require_diagonal(self) -> None:
        """Raise `ConfigError` unless the stars are diagonal."""
        if not self.report.diagonal:
            raise ConfigError(
                f"{self.name} stars are not diagonal, their inverses are full; use cotangent_stars or barycentric_stars"
            )


def whitney_stars(complex: SimplicialComplex) -> Stars:
    """Mass matrices of linear, Whitney-Nédélec and constant elements, by scikit-fem.

    Parameters
    ----------
    complex
        The surface.

    Returns
    -------
    Stars
        Positive definite; `Stars.report` still counts obtuse triangles.
    """
    from skfem import Basis, BilinearForm, ElementTriN1, ElementTriP0, ElementTriP1, MeshTri

    v, e, f = complex.sizes
    corners = np.ascontiguousarray(np.arange(3 * f).reshape(f, 3).T)
    soup = MeshTri(np.ascontiguousarray(_flattened(complex)), corners)
    scalar = BilinearForm(lambda u, w, _: u * w)
    vector = BilinearForm(lambda u, w, _: u[0] * w[0] + u[1] * w[1])
    local = [
        form.elemental(Basis(soup, element, intorder=2)).tolocal().reshape(f, width, width)
        for form, element, width in ((scalar, ElementTriP1(), 3), (vector, ElementTriN1(), 3))
    ]
    constant = scalar.elemental(Basis(soup, ElementTriP0(), intorder=2)).tolocal().reshape(f)
    signs = complex.face_signs
    first = _gather(local[0], complex.triangles, v)
    second = _gather(local[1] * signs[:, :, None] * signs[:, None, :], complex.face_edges, e)
    # a cochain of degree 2 holds integrals: its density is the value over the area
    third = sparse.diags_array(constant / complex.areas**2).tocsr()
    return _stars(complex, "Whitney", first, second, third)


def _flattened(complex: SimplicialComplex) -> np.ndarray:
    """Corners of each triangle in the plane of its own, congruent to those in space, shape ``(2, 3 F)``."""
    a, b, c = np.moveaxis(complex.vertices[complex.triangles], 1, 0)
    base = np.linalg.norm(b - a, axis=1)
    flat = np.zeros((len(a), 3, 2))
    flat[:, 1, 0] = base
    flat[:, 2, 0] = np.einsum("fi,fi->f", c - a, b - a) / base
    flat[:, 2, 1] = 2 * complex.areas / base
    return flat.reshape(-1, 2).T


def _gather(local: np.ndarray, numbers: np.ndarray, size: int) -> sparse.csr_array:
    """Sum the matrices ``(F, 3, 3)`` of the triangles into one."""
    rows, columns = np.broadcast_arrays(numbers[:, :, None], numbers[:, None, :])
    total = sparse.coo_array((local.ravel(), (rows.ravel(), columns.ravel())), shape=(size, size)).tocsr()
    return ((total + total.T) / 2).tocsr()


def cotangent_stars(complex: SimplicialComplex) -> Stars:
    """Diagonal stars of discrete exterior calculus: thirds of areas, cotangents, inverse areas.

    Parameters
    ----------
    complex
        The surface.

    Returns
    -------
    Stars
        Diagonal; edge weights may be zero or negative, see `Stars.report`.
    """
    weights = np.bincount(complex.face_edges.ravel(), complex.cotangents.ravel() / 2, minlength=len(complex.edges))
    return _diagonal(complex, "cotangent", weights)


def barycentric_stars(complex: SimplicialComplex) -> Stars:
    """Diagonal stars of the barycentric dual: thirds of areas, ratios of dual to primal length, inverse areas.

    Parameters
    ----------
    complex
        The surface.

    Returns
    -------
    Stars
        Diagonal and positive.
    """
    corners = complex.vertices[complex.triangles]
    middles = (corners + corners[:, [1, 2, 0]]) / 2
    halves = np.linalg.norm(corners.mean(axis=1, keepdims=True) - middles, axis=2)
    # the sides are (a b, b c, c a), the edges (a b, b c, a c)
    dual = np.bincount(complex.face_edges.ravel(), halves.ravel(), minlength=len(complex.edges))
    return _diagonal(complex, "barycentric", dual / complex.lengths)


def _diagonal(complex: SimplicialComplex, name: str, edge_weights: np.ndarray) -> Stars:
    thirds = np.repeat(complex.areas / 3, 3)
    vertex_areas = np.bincount(complex.triangles.ravel(), thirds, minlength=len(complex.vertices))
    diagonals = (vertex_areas, edge_weights, 1 / complex.areas)
    return _stars(complex, name, *(sparse.diags_array(values).tocsr() for values in diagonals))


def _stars(complex: SimplicialComplex, name: str, *matrices: sparse.csr_array) -> Stars:
    """Count the signs and close the set."""
    relative = [matrix.diagonal() / np.median(np.abs(matrix.diagonal())) for matrix in matrices]
    report = StarReport(
        diagonal=all(matrix.nnz <= size for matrix, size in zip(matrices, complex.sizes, strict=True)),
        obtuse_triangles=int((complex.cotangents < -_ZERO).any(axis=1).sum()),
        negative=tuple(int((values < -_ZERO).sum()) for values in relative),
        zero=tuple(int((np.abs(values) <= _ZERO).sum()) for values in relative),
        least=tuple(float(values.min()) for values in relative),
    )
    return Stars(complex, name, matrices, report)
