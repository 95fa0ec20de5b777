"""Plane regions with round holes, triangulated.

Points lie on the circles and on a hexagonal lattice between them; Delaunay's triangulation of all of them, without the
triangles whose middle lies in a hole or outside, is the mesh. The Betti number ``b_1`` is the number of holes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import Delaunay

from scidiff.errors import ConfigError
from scidiff.mesh import SimplicialComplex

__all__ = ["disc_with_holes", "walls"]

Hole = tuple[float, float, float]
_APART = 0.7
_HOLES: tuple[Hole, ...] = ((-0.42, 0.1, 0.2), (0.4, -0.15, 0.25))


def disc_with_holes(holes: Sequence[Hole] = _HOLES, spacing: float = 0.1) -> SimplicialComplex:
    """Unit disc without some smaller ones.

    Parameters
    ----------
    holes
        Centre and radius of each, two spacings apart from each other and from the rim.
    spacing
        Distance of neighbours, below the least radius.

    Raises
    ------
    ConfigError
        If holes touch each other or the rim, or the spacing is too large.
    """
    circles = [(0.0, 0.0, 1.0), *holes]
    for k, (x, y, r) in enumerate(holes):
        gaps = [1 - np.hypot(x, y) - r, *(np.hypot(x - a, y - b) - r - c for a, b, c in list(holes)[:k])]
        if not spacing < r or min(gaps) < 2 * spacing:
            raise ConfigError(
                f"hole {k} of radius {r} is {min(gaps):.3g} from its neighbours with spacing {spacing}; expected a "
                "spacing below the radius and a gap of two of them: refine, or move the hole"
            )
    points = [_circle(*circle, spacing) for circle in circles]
    most = int(1.2 / spacing) + 2
    i, j = np.meshgrid(np.arange(-most, most + 1), np.arange(-most, most + 1))
    lattice = spacing * np.stack([i + 0.5 * (j % 2), j * np.sqrt(3) / 2], -1).reshape(-1, 2)
    inside = np.hypot(*lattice.T) < 1 - _APART * spacing
    for x, y, r in holes:
        inside &= np.hypot(lattice[:, 0] - x, lattice[:, 1] - y) > r + _APART * spacing
    points = np.concatenate([*points, lattice[inside]])
    triangles = Delaunay(points).simplices
    middle = points[triangles].mean(1)
    kept = np.ones(len(triangles), dtype=bool)
    for x, y, r in holes:
        kept &= np.hypot(middle[:, 0] - x, middle[:, 1] - y) > r * np.cos(np.pi / _sectors(r, spacing))
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    twice = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    kept &= abs(twice) > 1e-6 * spacing**2
    return SimplicialComplex.from_arrays(points, triangles[kept].astype(np.int64), repair_orientation=True)


def _sectors(radius: float, spacing: float) -> int:
    return max(6, round(2 * np.pi * radius / spacing))


def _circle(x: float, y: float, radius: float, spacing: float) -> np.ndarray:
    angle = 2 * np.pi * np.arange(_sectors(radius, spacing)) / _sectors(radius, spacing)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def walls(mesh: SimplicialComplex) -> np.ndarray:
    """Number of the boundary component of each vertex: 0 the outer one, 1, 2, ... the holes, -1 inside.

    The outer component is the one that encloses the largest area; holes are numbered by their first vertex.

    Raises
    ------
    ConfigError
        If the mesh has no boundary, or is not connected: the flow of a part has walls of its own.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    rim = mesh.edges[mesh.boundary_edges]
    if not len(rim) or mesh.betti[0] != 1:
        raise ConfigError(
            f"the mesh has {len(rim)} boundary edges and {mesh.betti[0]} parts; expected one part with a boundary"
        )
    size = len(mesh.vertices)
    graph = sparse.csr_array((np.ones(len(rim)), (rim[:, 0], rim[:, 1])), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    on = np.zeros(size, dtype=bool)
    on[rim] = True
    names = [label[k] for k in np.flatnonzero(on)]
    order = list(dict.fromkeys(names))
    outer = max(order, key=lambda each: np.ptp(mesh.vertices[on & (label == each), :2], axis=0).prod())
    out = np.full(size, -1)
    for number, each in enumerate([outer, *(name for name in order if name != outer)]):
        out[on & (label == each)] = number
    return out
