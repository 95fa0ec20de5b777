"""Surfaces whose topology is known, for tests and demonstrations.

| shape | Betti numbers |
|---|---|
| `icosphere`, `bumpy_sphere` | 1, 0, 1 |
| `torus` | 1, 2, 1 |
| `double_torus` | 1, 4, 1 |
| `annulus` | 1, 1, 0 |
| `square` | 1, 0, 0 |
"""

from __future__ import annotations

import math

import numpy as np

from scidiff.errors import ConfigError
from scidiff.mesh.complex import SimplicialComplex
from scidiff.mesh.repair import weld

__all__ = ["annulus", "bumpy_sphere", "double_torus", "icosphere", "square", "torus"]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)


def icosphere(subdivisions: int = 2, *, radius: float = 1.0) -> SimplicialComplex:
    """Unit sphere made of an icosahedron whose triangles are cut in four, `subdivisions` times.

    Parameters
    ----------
    subdivisions
        Number of cuts, 0 to 8; there are ``20 * 4^subdivisions`` triangles.
    radius
        Distance of the vertices from the origin.
    """
    return SimplicialComplex.from_arrays(radius * (sphere := _sphere(subdivisions))[0], sphere[1])


def bumpy_sphere(subdivisions: int = 2, *, height: float = 0.2, waves: float = 4.0) -> SimplicialComplex:
    """Sphere of radius ``1 + height sin(waves x) sin(waves y) sin(waves z)``, without any symmetry between its modes.

    Parameters
    ----------
    subdivisions
        As for `icosphere`.
    height
        Height of the bumps, below 1.
    waves
        Wave number of the bumps.
    """
    _require(0 <= height < 1, f"height is {height}; expected at least 0 and below 1")
    points, triangles = _sphere(subdivisions)
    return SimplicialComplex.from_arrays(
        points * (1 + height * np.sin(waves * points).prod(1, keepdims=True)), triangles
    )


def _sphere(subdivisions: int) -> tuple[np.ndarray, np.ndarray]:
    _require(0 <= subdivisions <= 8, f"subdivisions is {subdivisions}; expected 0 to 8 (1 310 720 triangles)")
    points, triangles = _icosahedron()
    for _ in range(subdivisions):
        pairs = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        edges, inverse = np.unique(pairs, axis=0, return_inverse=True)
        middles = points[edges].sum(axis=1)
        middles /= np.linalg.norm(middles, axis=1, keepdims=True)
        (a, b, c), (ab, bc, ca) = triangles.T, (len(points) + inverse.reshape(-1, 3)).T
        quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        points = np.concatenate([points, middles])
        triangles = np.concatenate([np.stack(quarter, axis=1) for quarter in quarters])
    return points, triangles


def _icosahedron() -> tuple[np.ndarray, np.ndarray]:
    """Poles, two rings of five vertices, and the 20 triangles, seen counter-clockwise from outside."""
    height, ring = 1 / math.sqrt(5), 2 / math.sqrt(5)
    angle = 2 * math.pi * np.arange(5) / 5
    upper = np.stack([ring * np.cos(angle), ring * np.sin(angle), np.full(5, height)], axis=1)
    lower = np.stack([ring * np.cos(angle + math.pi / 5), ring * np.sin(angle + math.pi / 5), np.full(5, -height)], 1)
    points = np.concatenate([[[0.0, 0.0, 1.0]], upper, lower, [[0.0, 0.0, -1.0]]])
    i, j = 1 + np.arange(5), 1 + (np.arange(5) + 1) % 5
    top, bottom = np.zeros(5, dtype=np.int64), np.full(5, 11)
    bands = [(top, i, j), (i, i + 5, j), (j, i + 5, j + 5), (bottom, j + 5, i + 5)]
    return points, np.concatenate([np.stack(band, axis=1) for band in bands])


def _grid(rows: int, columns: int, *, wrap: tuple[bool, bool]) -> tuple[np.ndarray, np.ndarray]:
    """Corners ``(i, j)`` of a grid of `rows` x `columns` cells, and two triangles per cell, with optional wrapping."""
    shape = rows + (not wrap[0]), columns + (not wrap[1])
    i, j = (part.ravel() for part in np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
    number = lambda a, b: (a % shape[0]) * shape[1] + b % shape[1]  # noqa: E731
    a, b, c, d = number(i, j), number(i + 1, j), number(i + 1, j + 1), number(i, j + 1)
    corners = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), axis=-1).reshape(-1, 2)
    return corners, np.stack([a, b, c, a, c, d], axis=1).reshape(-1, 3)


def square(rows: int = 8, columns: int = 8, *, side: float = 1.0) -> SimplicialComplex:
    """Flat square, cut into `rows` x `columns` cells of two right-angled triangles each.

    Parameters
    ----------
    rows, columns
        Number of cells along x and y.
    side
        Length of a side.
    """
    _require(rows > 0 and columns > 0, f"rows = {rows}, columns = {columns}; expected both positive")
    corners, triangles = _grid(rows, columns, wrap=(False, False))
    return SimplicialComplex.from_arrays(side * corners / np.array([rows, columns]), triangles)


def annulus(rings: int = 4, sectors: int = 24, *, inner: float = 0.5, outer: float = 1.0) -> SimplicialComplex:
    """Flat ring between two circles.

    Parameters
    ----------
    rings, sectors
        Number of cells along the radius, and around, at least 3.
    inner, outer
        Radii.
    """
    _require(rings > 0 and sectors >= 3, f"rings = {rings}, sectors = {sectors}; expected at least 1 and 3")
    _require(0 < inner < outer, f"inner = {inner}, outer = {outer}; expected 0 < inner < outer")
    corners, triangles = _grid(rings, sectors, wrap=(False, True))
    radius, angle = inner + (outer - inner) * corners[:, 0] / rings, 2 * math.pi * corners[:, 1] / sectors
    return SimplicialComplex.from_arrays(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), triangles)


def torus(around: int = 24, across: int = 12, *, large: float = 1.0, small: float = 0.4) -> SimplicialComplex:
    """Torus of revolution about the z axis.

    Parameters
    ----------
    around, across
        Number of cells around the axis and around the tube, at least 3 each.
    large, small
        Distance of the tube from the axis, and radius of the tube.

    Examples
    --------
    >>> from scidiff.mesh import torus
    >>> torus().betti  # one piece, two independent loops, one void
    (1, 2, 1)
    """
    return SimplicialComplex.from_arrays(*_torus(around, across, large, small))


def _torus(around: int, across: int, large: float, small: float) -> tuple[np.ndarray, np.ndarray]:
    _require(around >= 3 and across >= 3, f"around = {around}, across = {across}; expected at least 3 each")
    _require(0 < small < large, f"large = {large}, small = {small}; expected 0 < small < large")
    corners, triangles = _grid(around, across, wrap=(True, True))
    # the first cell is centred at the point that is farthest from the axis in the direction of x
    u, v = (2 * math.pi * (corners - 0.5) / np.array([around, across])).T
    distance = large + small * np.cos(v)
    return np.stack([distance * np.cos(u), distance * np.sin(u), small * np.sin(v)], axis=1), triangles


def double_torus(around: int = 24, across: int = 12, *, large: float = 1.0, small: float = 0.4) -> SimplicialComplex:
    """Two tori, each without its outermost cell, glued along the rim of the holes: a surface of genus 2.

    Parameters
    ----------
    around, across, large, small
        As for `torus`, for each of the two.
    """
    points, triangles = _torus(around, across, large, small)
    wall = points[0, 0]
    mirrored = points * np.array([-1.0, 1.0, 1.0]) + np.array([2 * wall, 0.0, 0.0])
    rim = [0, across, 1, across + 1]
    mirrored[rim] = points[rim]
    kept = triangles[2:]
    both = np.concatenate([kept, kept[:, [0, 2, 1]] + len(points)])
    return SimplicialComplex.from_arrays(*weld(np.concatenate([points, mirrored]), both))
