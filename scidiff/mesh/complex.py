"""Simplicial complexes of surfaces: vertices, edges, triangles, and the coboundary maps between their cochains.

A ``k``-cochain is one number per ``k``-simplex: values at vertices, circulations along edges, integrals over triangles.
Edges are ordered pairs ``(i, j)`` with ``i < j``; triangles keep the orientation that they came with. The coboundaries
are integer matrices,

    (d0 f)(i, j)    = f_j - f_i
    (d1 w)(a, b, c) = w(a, b) + w(b, c) - w(a, c)        with w(j, i) = -w(i, j),

so that ``d1 d0 = 0`` exactly: no number is rounded.

The Betti numbers of an oriented surface need no linear algebra. ``b0`` counts the connected components and ``b2`` those
without a boundary, because the kernel of ``d1^T`` holds one constant for each of them; ``b1`` follows from the Euler
characteristic ``b0 - b1 + b2 = V - E + F`` [1]_.

References
----------
.. [1] J. Munkres, "Elements of Algebraic Topology", Addison-Wesley 1984, sections 22 and 35
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scidiff.errors import ConfigError
from scidiff.mesh.checks import check_arrays, check_edges, check_orientation, check_pinches
from scidiff.mesh.repair import reorient

__all__ = ["SimplicialComplex"]


@dataclass(frozen=True, eq=False)
class SimplicialComplex:
    """An oriented triangulated surface, with or without boundary, in the plane or in space.

    Made by `from_arrays` or by `scidiff.mesh.read_mesh`, which check it; the arrays are read-only.

    Parameters
    ----------
    vertices
        Coordinates, float64, shape ``(V, 3)``; a plane mesh has ``z = 0``.
    triangles
        Corners, int64, shape ``(F, 3)``.
    edges
        Ends ``i < j``, int64, shape ``(E, 2)``, in lexicographic order.
    face_edges
        Edges ``(a b, b c, a c)`` of each triangle ``(a, b, c)``, int64, shape ``(F, 3)``.
    face_signs
        +1 where the first of the two corners has the lower number, else -1; int64, shape ``(F, 3)``.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    edges: np.ndarray
    face_edges: np.ndarray
    face_signs: np.ndarray

    def __post_init__(self) -> None:
        for name in ("vertices", "triangles", "edges", "face_edges", "face_signs"):
            getattr(self, name).setflags(write=False)

    @classmethod
    def from_arrays(
        cls, vertices: np.ndarray, triangles: np.ndarray, *, repair_orientation: bool = False
    ) -> SimplicialComplex:
        """Build and check a complex.

        Parameters
        ----------
        vertices
            Coordinates, shape ``(V, 2)`` or ``(V, 3)``; any unit of length.
        triangles
            Corners, integers, shape ``(F, 3)``.
        repair_orientation
            Whether triangles may be turned over until neighbours agree; the first triangle of a component stays.

        Raises
        ------
        ShapeError
            If an array has another shape or dtype.
        DataError
            If a coordinate is not finite, an index is out of range, a vertex is repeated or unused, a triangle is
            repeated or has no area, an edge has more than two triangles, two sheets meet in a single vertex, or
            neighbours disagree in orientation. The message names the element.
        """
        vertices, triangles = check_arrays(vertices, triangles)
        edges, face_edges = _number_edges(triangles)
        check_edges(edges, face_edges)
        if repair_orientation:
            triangles, face_edges = reorient(triangles, face_edges)
        signs = np.where(triangles[:, [0, 1, 0]] < triangles[:, [1, 2, 2]], 1, -1)
        check_orientation(edges, face_edges, signs * _AROUND)
        check_pinches(triangles, face_edges, edges)
        return cls(vertices, triangles, edges, face_edges, signs)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of vertices, edges and triangles."""
        return len(self.vertices), len(self.edges), len(self.triangles)

    @cached_property
    def d0(self) -> sparse.csr_array:
        """Coboundary of vertex cochains, int64, shape ``(E, V)``."""
        count = len(self.edges)
        rows = np.repeat(np.arange(count), 2)
        values = np.tile(np.array([-1, 1]), count)
        return sparse.csr_array((values, (rows, self.edges.ravel())), shape=(count, len(self.vertices)))

    @cached_property
    def d1(self) -> sparse.csr_array:
        """Coboundary of edge cochains, int64, shape ``(F, E)``."""
        count = len(self.triangles)
        rows = np.repeat(np.arange(count), 3)
        values = (self.face_signs * _AROUND).ravel()
        return sparse.csr_array((values, (rows, self.face_edges.ravel())), shape=(count, len(self.edges)))

    def coboundary(self, degree: int) -> sparse.csr_array:
        """Matrix of ``d`` on cochains of `degree` 0 or 1."""
        if degree not in (0, 1):
            raise ConfigError(f"degree is {degree}; a surface has coboundaries of degree 0 and 1")
        return self.d1 if degree else self.d0

    @cached_property
    def boundary_edges(self) -> np.ndarray:
        """Numbers of the edges with a single triangle, int64."""
        return np.flatnonzero(np.bincount(self.face_edges.ravel(), minlength=len(self.edges)) == 1)

    @cached_property
    def vertex_component(self) -> np.ndarray:
        """Connected component of each vertex, int32, numbered from 0."""
        i, j = self.edges.T
        graph = sparse.csr_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(len(self.vertices),) * 2)
        return connected_components(graph, directed=False)[1]

    @cached_property
    def face_component(self) -> np.ndarray:
        """Connected component of each triangle, in the numbering of `vertex_component`."""
        return self.vertex_component[self.triangles[:, 0]]

    @cached_property
    def closed_components(self) -> np.ndarray:
        """Numbers of the components without a boundary."""
        opened = self.vertex_component[self.edges[self.boundary_edges, 0]]
        return np.setdiff1d(np.arange(self.vertex_component.max() + 1), opened)

    @property
    def euler(self) -> int:
        """Euler characteristic ``V - E + F``."""
        v, e, f = self.sizes
        return v - e + f

    @property
    def betti(self) -> tuple[int, int, int]:
        """Betti numbers ``(b0, b1, b2)``: components, independent loops, closed components; exact integers."""
        b0, b2 = int(self.vertex_component.max()) + 1, len(self.closed_components)
        return b0, b0 + b2 - self.euler, b2

    @cached_property
    def areas(self) -> np.ndarray:
        """Area of each triangle, in the squared unit of the coordinates, shape ``(F,)``."""
        a, b, c = np.moveaxis(self.vertices[self.triangles], 1, 0)
        return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Length of each edge, shape ``(E,)``."""
        return np.linalg.norm(self.vertices[self.edges[:, 1]] - self.vertices[self.edges[:, 0]], axis=1)

    @cached_property
    def cotangents(self) -> np.ndarray:
        """Cotangent of the angle opposite to each of `face_edges`, shape ``(F, 3)``."""
        corners = self.vertices[self.triangles]
        opposite, first, second = corners[:, [2, 0, 1]], corners[:, [0, 1, 0]], corners[:, [1, 2, 2]]
        dots = np.einsum("fki,fki->fk", first - opposite, second - opposite)
        return dots / (2 * self.areas[:, None])


_AROUND = np.array([1, 1, -1])


def _number_edges(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges in lexicographic order, and those of each triangle in the order ``(a b, b c, a c)``."""
    pairs = np.sort(triangles[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, 2), axis=1)
    edges, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return edges, inverse.reshape(-1, 3)
