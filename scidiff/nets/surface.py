"""What a network needs of a triangulated surface: coboundaries as gathers, neighbourhoods, features without direction.

    (d0 u)_e = u_j - u_i          (d1 w)_f = sum of the three sides, with signs

Neighbours of a cell are those that a walk of at most `reach` steps leads to: from vertex to vertex along an edge, from
edge to edge within a triangle, from triangle to triangle across an edge. Rows are padded to the longest one.

Features of a cell do not depend on the direction of edges, nor on where the surface lies in space, two per cell:
vertices have the logarithm of their area (a third of the triangles around) and the angle that they lack to ``2 pi``;
edges the logarithm of their length and half the sum of the cotangents opposite to them; triangles the logarithm of
their area and of their circumference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.mesh import SimplicialComplex

__all__ = ["HodgeMesh"]

_AROUND = np.array([1, 1, -1])


@dataclass(frozen=True, eq=False)
class HodgeMesh:
    """A surface in the form that networks take; made by `from_complex`.

    Parameters
    ----------
    sizes
        Numbers of vertices, edges and triangles.
    edges
        Ends ``i < j``, int64, shape ``(E, 2)``.
    face_edges, face_signs
        Sides of each triangle and their signs in ``d1``, int64, shape ``(F, 3)``.
    near, seen
        For each degree the neighbours, int64, and whether they are real, bool, shape ``(cells, neighbours)``.
    turn
        Cosine between each edge and its neighbours, float64, shape ``(E, neighbours)``.
    features
        For each degree, float64, shape ``(cells, 2)``.
    """

    sizes: tuple[int, int, int]
    edges: Tensor
    face_edges: Tensor
    face_signs: Tensor
    near: tuple[Tensor, Tensor, Tensor]
    seen: tuple[Tensor, Tensor, Tensor]
    turn: Tensor
    features: tuple[Tensor, Tensor, Tensor]

    @classmethod
    def from_complex(cls, complex: SimplicialComplex, *, reach: int = 1) -> HodgeMesh:
        """Collect what is needed of a complex.

        Parameters
        ----------
        complex
            The surface.
        reach
            Steps of a walk from a cell to its neighbours, at least 1.

        Raises
        ------
        ConfigError
            If `reach` is below 1.
        """
        if reach < 1:
            raise ConfigError(f"reach is {reach}; expected at least 1")
        d0, d1 = abs(complex.d0), abs(complex.d1)
        tables = [_neighbours(pattern, reach) for pattern in (d0.T @ d0, d1.T @ d1, d1 @ d1.T)]
        ends = complex.vertices[complex.edges]
        along = (ends[:, 1] - ends[:, 0]) / complex.lengths[:, None]
        turn = np.einsum("ei,eki->ek", along, along[tables[1][0]])
        return cls(
            complex.sizes,
            _tensor(complex.edges),
            _tensor(complex.face_edges),
            _tensor(complex.face_signs * _AROUND),
            tuple(_tensor(near) for near, _ in tables),
            tuple(_tensor(seen) for _, seen in tables),
            _tensor(turn),
            tuple(_tensor(part) for part in _features(complex)),
        )

    def own(self, degree: int) -> Tensor:
        """Where a cell is its own neighbour, bool, shape ``(cells, neighbours)``."""
        near = self.near[degree]
        return (near == torch.arange(len(near), device=near.device).unsqueeze(1)) & self.seen[degree]

    def cosine(self, degree: int) -> Tensor:
        """Cosines between neighbours: those of the edges, and 1 for vertices and triangles."""
        return self.turn if degree == 1 else torch.ones_like(self.near[degree], dtype=self.turn.dtype)

    def d(self, u: Tensor, degree: int) -> Tensor:
        """Coboundary of cochains of `degree` 0 or 1, shape ``(batch, cells, ...)``."""
        if degree == 0:
            return u[:, self.edges[:, 1]] - u[:, self.edges[:, 0]]
        signs = self._signs(u)
        return (signs * u[:, self.face_edges]).sum(2)

    def transpose(self, u: Tensor, degree: int) -> Tensor:
        """Transposed coboundary, from cochains of ``degree + 1`` to those of `degree`."""
        zero = u.new_zeros(u.shape[0], self.sizes[degree], *u.shape[2:])
        if degree == 0:
            return zero.index_add(1, self.edges[:, 1], u).index_add(1, self.edges[:, 0], -u)
        spread = (self._signs(u) * u.unsqueeze(2)).flatten(1, 2)
        return zero.index_add(1, self.face_edges.flatten(), spread)

    def _signs(self, u: Tensor) -> Tensor:
        return self.face_signs.to(u).reshape(1, -1, 3, *(1,) * (u.ndim - 2))


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def _neighbours(pattern: sparse.sparray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Padded neighbours of each cell, and which are real."""
    step = sparse.csr_array(pattern != 0, dtype=np.int64)
    walk = step
    for _ in range(reach - 1):
        walk = sparse.csr_array((walk @ step) != 0, dtype=np.int64)
    walk.sort_indices()
    counts = np.diff(walk.indptr)
    seen = np.arange(counts.max()) < counts[:, None]
    near = np.zeros(seen.shape, dtype=np.int64)
    near[seen] = walk.indices
    return near, seen


def _features(complex: SimplicialComplex) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    v, e, _ = complex.sizes
    sum_at = lambda where, what, size: np.bincount(where.ravel(), what.ravel(), minlength=size)  # noqa: E731
    # the angles opposite to the sides (a b, b c, a c) lie at c, a, b
    angles = np.arctan2(1.0, complex.cotangents)
    defect = 2 * math.pi - sum_at(complex.triangles[:, [2, 0, 1]], angles, v)
    area = sum_at(complex.triangles, np.repeat(complex.areas / 3, 3), v)
    weights = sum_at(complex.face_edges, complex.cotangents / 2, e)
    around = complex.lengths[complex.face_edges].sum(1)
    return (
        np.stack([np.log(area), defect], axis=1),
        np.stack([np.log(complex.lengths), weights], axis=1),
        np.stack([np.log(complex.areas), np.log(around)], axis=1),
    )
