"""What a triangulated surface must satisfy, checked once and reported by the element that breaks it.

A complex is accepted if its coordinates are finite, its triangles have an area, every edge has one or two triangles,
the triangles around a vertex form one fan, and neighbours run through their common edge in opposite directions. Nothing
is repaired here: `scidiff.mesh.weld` joins repeated vertices, and orientation is repaired on request.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scidiff.errors import DataError, ShapeError

__all__ = ["check_arrays", "check_edges", "check_orientation", "check_pinches", "corner_fans", "neighbours"]

# an altitude below this fraction of the longest edge is lost in the round-off of the coordinates' differences
_FLAT = 1e-12


def check_arrays(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates in space, float64, and corners, int64, both fresh copies; raise where one is not usable."""
    vertices, triangles = np.asarray(vertices), np.asarray(triangles)
    if vertices.ndim != 2 or vertices.shape[1] not in (2, 3) or vertices.dtype.kind not in "fiu":
        raise ShapeError(
            f"vertices have shape {vertices.shape} and dtype {vertices.dtype}; expected real numbers (V, 2) or (V, 3)"
        )
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu" or not len(triangles):
        raise ShapeError(
            f"triangles have shape {triangles.shape} and dtype {triangles.dtype}; expected integers (F, 3) with F > 0"
        )
    space = np.zeros((len(vertices), 3))
    space[:, : vertices.shape[1]] = vertices
    triangles = triangles.astype(np.int64)
    _check_vertices(space)
    _check_triangles(space, triangles)
    return space, triangles


def _check_vertices(vertices: np.ndarray) -> None:
    wrong = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(wrong):
        raise DataError(
            f"vertex {wrong[0]} has coordinates {vertices[wrong[0]].tolist()} ({len(wrong)} such); expected finite "
            "numbers: mend the file that they came from"
        )
    _, first, inverse = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[inverse.reshape(-1)] != np.arange(len(vertices)))
    if len(copies):
        again = first[inverse.reshape(-1)[copies[0]]]
        raise DataError(
            f"vertex {copies[0]} repeats vertex {again} ({len(copies)} repeated); join them with scidiff.mesh.weld"
        )


def _check_triangles(vertices: np.ndarray, triangles: np.ndarray) -> None:
    outside = np.flatnonzero(((triangles < 0) | (triangles >= len(vertices))).any(axis=1))
    if len(outside):
        raise DataError(
            f"triangle {outside[0]} has corners {triangles[outside[0]].tolist()}; expected indices from 0 to "
            f"{len(vertices) - 1}: some formats count from 1"
        )
    unused = np.flatnonzero(np.bincount(triangles.ravel(), minlength=len(vertices)) == 0)
    if len(unused):
        raise DataError(
            f"vertex {unused[0]} belongs to no triangle ({len(unused)} such); drop them with scidiff.mesh.weld"
        )
    corners = vertices[triangles]
    sides = np.linalg.norm(corners - corners[:, [1, 2, 0]], axis=2).max(axis=1)
    doubled = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    flat = np.flatnonzero(~(doubled > _FLAT * sides**2))
    if len(flat):
        raise DataError(
            f"triangle {flat[0]} with corners {triangles[flat[0]].tolist()} has no area ({len(flat)} such); "
            "expected three corners that are not in line: remove it, or move a corner"
        )
    _, first, inverse = np.unique(np.sort(triangles, axis=1), axis=0, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[inverse.reshape(-1)] != np.arange(len(triangles)))
    if len(copies):
        again = first[inverse.reshape(-1)[copies[0]]]
        raise DataError(
            f"triangle {copies[0]} has the corners of triangle {again} ({len(copies)} repeated); keep one of them"
        )


def check_edges(edges: np.ndarray, face_edges: np.ndarray) -> None:
    """Raise `DataError` at an edge with more than two triangles."""
    many = np.flatnonzero(np.bincount(face_edges.ravel(), minlength=len(edges)) > 2)
    if len(many):
        users = np.flatnonzero((face_edges == many[0]).any(axis=1))
        raise DataError(
            f"edge {edges[many[0]].tolist()} belongs to the triangles {users.tolist()} ({len(many)} such edges); "
            "a surface has one or two triangles at an edge: cut the sheets apart"
        )


def neighbours(face_edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions in ``face_edges.ravel()`` that hold the same edge, shape ``(I,)`` each."""
    flat = face_edges.ravel()
    order = np.argsort(flat, kind="stable")
    same = np.flatnonzero(flat[order][1:] == flat[order][:-1])
    return order[same], order[same + 1]


def check_orientation(edges: np.ndarray, face_edges: np.ndarray, around: np.ndarray) -> None:
    """Raise `DataError` at an edge that two triangles run through in the same direction.

    Parameters
    ----------
    edges, face_edges
        Numbering of the edges.
    around
        Sign of each edge in the boundary of its triangle, shape ``(F, 3)``.
    """
    one, two = neighbours(face_edges)
    wrong = np.flatnonzero(around.ravel()[one] == around.ravel()[two])
    if len(wrong):
        edge = edges[face_edges.ravel()[one[wrong[0]]]].tolist()
        raise DataError(
            f"triangles {one[wrong[0]] // 3} and {two[wrong[0]] // 3} disagree in orientation at edge {edge} "
            f"({len(wrong)} such edges); pass repair_orientation=True to turn triangles over"
        )


def corner_fans(triangles: np.ndarray, face_edges: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Fan of triangles that each corner belongs to, shape ``(F, 3)``.

    Two corners at the same vertex belong to one fan if a chain of triangles that share edges at it leads from one to
    the other.
    """
    one, two = neighbours(face_edges)
    ends = edges[face_edges.ravel()[one]]
    links = [np.zeros((0, 2), dtype=np.int64)]
    for vertex in ends.T:
        sides = [3 * (at // 3) + np.argmax(triangles[at // 3] == vertex[:, None], axis=1) for at in (one, two)]
        links.append(np.stack(sides, axis=1))
    i, j = np.concatenate(links).T
    graph = sparse.csr_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(triangles.size,) * 2)
    return connected_components(graph, directed=False)[1].reshape(-1, 3)


def check_pinches(triangles: np.ndarray, face_edges: np.ndarray, edges: np.ndarray) -> None:
    """Raise `DataError` at a vertex where two sheets meet in a point."""
    fans = corner_fans(triangles, face_edges, edges)
    pairs = np.unique(np.stack([triangles.ravel(), fans.ravel()], axis=1), axis=0)
    fans_at = np.bincount(pairs[:, 0])
    pinched = np.flatnonzero(fans_at > 1)
    if len(pinched):
        raise DataError(
            f"vertex {pinched[0]} joins {fans_at[pinched[0]]} sheets that share no edge ({len(pinched)} such "
            "vertices); expected one fan of triangles: give every sheet its own copy, slightly moved"
        )
