"""Points between the vertices of a surface, and straightest paths over its edges.

A point is a triangle and barycentric coordinates ``b >= 0`` that sum to 1; a tangent vector is a vector of space in the
plane of the triangle. Side ``i`` of a triangle lies opposite to corner ``i``, where ``b_i = 0``. Along ``v`` the
coordinates change at the rate ``grad b_i . v``, so that the next side is met after the least ``b_i / -(grad b_i . v)``.
There the neighbour is unfolded into the plane of the triangle: what runs along the edge stays, what leaves the triangle
at a right angle to the edge enters the neighbour so. Lengths and angles are those of a straight line [1]_, exact up to
round-off. At the boundary of the surface the path is reflected.

References
----------
.. [1] K. Polthier and M. Schmies, "Straightest geodesics on polyhedral surfaces", 1998,
   doi:10.1007/978-3-662-03567-2_11
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scidiff.errors import NumericalError
from scidiff.mesh.complex import SimplicialComplex

__all__ = ["SurfacePoints"]

_CROSSINGS = 100_000


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Tables of a surface for points on its triangles.

    Parameters
    ----------
    complex
        The surface.
    """

    complex: SimplicialComplex

    @cached_property
    def corners(self) -> np.ndarray:
        """Corners of each triangle, shape ``(F, 3, 3)``: triangle, corner, axis."""
        return self.complex.vertices[self.complex.triangles]

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals, shape ``(F, 3)``."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        return np.cross(b - a, c - a) / (2 * self.complex.areas[:, None])

    @cached_property
    def gradients(self) -> np.ndarray:
        """Gradients of the barycentric coordinates, shape ``(F, 3, 3)``: triangle, corner, axis."""
        sides = self.corners[:, [2, 0, 1]] - self.corners[:, [1, 2, 0]]
        return np.cross(self.normals[:, None], sides) / (2 * self.complex.areas[:, None, None])

    @cached_property
    def neighbours(self) -> np.ndarray:
        """Triangle across each side, -1 at the boundary, and the number of the side there, shape ``(F, 3, 2)``."""
        count = len(self.complex.triangles)
        edges = self.complex.face_edges[:, [1, 2, 0]].ravel()
        order = np.argsort(edges, kind="stable")
        twin = np.full(3 * count, -1)
        pairs = np.flatnonzero(edges[order][1:] == edges[order][:-1])
        one, two = order[pairs], order[pairs + 1]
        twin[one], twin[two] = two, one
        return np.stack([np.where(twin < 0, -1, twin // 3), np.where(twin < 0, -1, twin % 3)], -1).reshape(count, 3, 2)

    def positions(self, face: np.ndarray, bary: np.ndarray) -> np.ndarray:
        """Places in space, shape ``(points, 3)``."""
        return np.einsum("pi,pix->px", bary, self.corners[face])

    def flatten(self, face: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Part of vectors in space that lies in the plane of the triangles, shape ``(points, 3)``."""
        normal = self.normals[face]
        return vectors - (normal * vectors).sum(1, keepdims=True) * normal

    def first_side(self, face: np.ndarray, bary: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Multiple of ``v`` that leads to the first side, infinite where none is met, and the number of the side."""
        rate = np.einsum("pix,px->pi", self.gradients[face], v)
        leaving = rate < 0
        until = np.where(leaving, bary / np.where(leaving, -rate, 1.0), np.inf)
        side = until.argmin(1)
        return until[np.arange(len(face)), side], side

    def guided(
        self, face: np.ndarray, bary: np.ndarray, v: np.ndarray, came: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keep vectors that would leave over the side just crossed on that side, where they run along the edge.

        Parameters
        ----------
        face, bary, v
            Points and vectors.
        came
            Side of the triangle over which each point has come, -1 for none.

        Returns
        -------
        tuple
            Vectors, and the result of `first_side` for them.
        """
        until, side = self.first_side(face, bary, v)
        caught = np.flatnonzero((until == 0) & (side == came))
        if len(caught):
            away = self.gradients[face[caught], side[caught]]
            along = (v[caught] * away).sum(1, keepdims=True) / (away * away).sum(1, keepdims=True)
            v = v.copy()
            v[caught] -= along * away
            # what round-off leaves of the way over the edge must not count
            open_side = bary[caught].copy()
            open_side[np.arange(len(caught)), side[caught]] = np.inf
            until[caught], side[caught] = self.first_side(face[caught], open_side, v[caught])
        return v, until, side

    def move(self, face: np.ndarray, bary: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Coordinates after a straight move inside the triangle; round-off beyond a side is cut off."""
        moved = np.maximum(bary + np.einsum("pix,px->pi", self.gradients[face], v), 0.0)
        return moved / moved.sum(1, keepdims=True)

    def cross(
        self, face: np.ndarray, bary: np.ndarray, v: np.ndarray, side: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Go over a side: the same point and the unfolded vector in the neighbour; reflected at the boundary.

        Parameters
        ----------
        face, bary, v
            Points on the side, and vectors that leave the triangle there.
        side
            Number of the side.
        """
        rows = np.arange(len(face))
        into, entry = self.neighbours[face, side].T
        inner = into >= 0
        across, door = np.where(inner, into, face), np.where(inner, entry, side)
        out = self.gradients[face, side] / -np.linalg.norm(self.gradients[face, side], axis=1, keepdims=True)
        inward = self.gradients[across, door]
        inward = inward / np.linalg.norm(inward, axis=1, keepdims=True)
        leaving = (v * out).sum(1, keepdims=True)
        turned = v - leaving * out + leaving * inward
        # the neighbour runs through the common edge in the other direction
        moved = bary.copy()
        moved[rows[inner], door[inner]] = 0.0
        moved[rows[inner], (door[inner] + 1) % 3] = bary[rows[inner], (side[inner] + 2) % 3]
        moved[rows[inner], (door[inner] + 2) % 3] = bary[rows[inner], (side[inner] + 1) % 3]
        moved[rows, door] = 0.0
        return across, moved / moved.sum(1, keepdims=True), turned

    def trace(self, face: np.ndarray, bary: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Follow straightest paths for the length of their vectors.

        Parameters
        ----------
        face, bary
            Points, shapes ``(points,)`` and ``(points, 3)``.
        v
            Tangent vectors, shape ``(points, 3)``, in the unit of the coordinates.

        Returns
        -------
        tuple
            Triangles, coordinates, and the vectors carried along, of the same lengths.

        Raises
        ------
        NumericalError
            If a path crosses more than 100 000 edges: the vector is far longer than the surface.
        """
        face, bary, v = face.copy(), bary.copy(), v.copy()
        left, active = np.ones(len(face)), np.arange(len(face))
        for _ in range(_CROSSINGS):
            f, b, w = face[active], bary[active], v[active]
            share, side = self.first_side(f, b, w)
            ends = share >= left[active]
            share = np.minimum(share, left[active])
            b = self.move(f, b, share[:, None] * w)
            bary[active] = b
            go = ~ends
            left[active] -= share
            active = active[go]
            if not len(active):
                return face, bary, v
            face[active], bary[active], v[active] = self.cross(f[go], b[go], w[go], side[go])
        raise NumericalError(
            f"{len(active)} paths crossed more than {_CROSSINGS} edges; the longest vector has a length of "
            f"{np.linalg.norm(v[active], axis=1).max():.3g}: take smaller steps"
        )
