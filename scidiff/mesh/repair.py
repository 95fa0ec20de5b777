"""Repairs that happen on request only: one vertex for many, and one orientation for all.

Orientation is a two-colouring. Triangles that run through a common edge in the same direction get different colours,
those that run in opposite directions equal ones; the surface is orientable exactly if such a colouring exists. It is
found in the double cover, the graph of the pairs (triangle, colour): a component that holds both colours of one
triangle shows a Möbius band.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scidiff.errors import ConfigError, DataError
from scidiff.mesh.checks import neighbours

__all__ = ["reorient", "weld"]


def reorient(triangles: np.ndarray, face_edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn triangles over until neighbours agree; the first triangle of each component stays.

    Parameters
    ----------
    triangles
        Corners, shape ``(F, 3)``.
    face_edges
        Edges ``(a b, b c, a c)`` of each triangle, shape ``(F, 3)``.

    Returns
    -------
    tuple of ndarray
        Corners and edges, with the last two corners of a turned triangle exchanged.

    Raises
    ------
    DataError
        If the surface has no orientation.
    """
    count = len(triangles)
    around = np.where(triangles[:, [0, 1, 0]] < triangles[:, [1, 2, 2]], 1, -1) * np.array([1, 1, -1])
    one, two = neighbours(face_edges)
    f, g = one // 3, two // 3
    turned = (around.ravel()[one] == around.ravel()[two]).astype(np.int64)
    i, j = np.concatenate([f, f + count]), np.concatenate([g + count * turned, g + count * (1 - turned)])
    graph = sparse.csr_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(2 * count,) * 2)
    sheet = connected_components(graph, directed=False)[1]
    twisted = np.flatnonzero(sheet[:count] == sheet[count:])
    if len(twisted):
        raise DataError(
            f"triangle {twisted[0]} lies on a one-sided surface (a Möbius band), which has no orientation; cut it"
        )
    # sheets are numbered by their first element, so that the first triangle of a component has the lower one
    flip = sheet[:count] > sheet[count:]
    triangles, face_edges = triangles.copy(), face_edges.copy()
    triangles[flip] = triangles[flip][:, [0, 2, 1]]
    face_edges[flip] = face_edges[flip][:, [2, 1, 0]]
    return triangles, face_edges


def weld(vertices: np.ndarray, triangles: np.ndarray, *, tolerance: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Join vertices that are closer than a tolerance, and drop vertices that no triangle uses.

    Parameters
    ----------
    vertices
        Coordinates, shape ``(V, 2)`` or ``(V, 3)``.
    triangles
        Corners, shape ``(F, 3)``.
    tolerance
        Distance up to which two vertices are one, in the unit of the coordinates; chains of close vertices become
        one vertex, at the place of the first.

    Returns
    -------
    tuple of ndarray
        Fewer vertices, and triangles with the new numbers. Triangles are neither removed nor turned.
    """
    from scipy.spatial import cKDTree

    if not tolerance >= 0:
        raise ConfigError(f"tolerance is {tolerance}; expected a distance of at least 0")
    vertices, triangles = np.asarray(vertices, dtype=np.float64), np.asarray(triangles)
    pairs = cKDTree(vertices).query_pairs(tolerance, output_type="ndarray")
    graph = sparse.csr_array((np.ones(len(pairs), dtype=np.int8), pairs.T), shape=(len(vertices),) * 2)
    groups, group = connected_components(graph, directed=False)
    first = np.full(groups, len(vertices))
    np.minimum.at(first, group, np.arange(len(vertices)))
    used, corners = np.unique(first[group][triangles], return_inverse=True)
    return vertices[used], corners.reshape(-1, 3)
