"""Sensors of a velocity in the triangles of a mesh."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scidiff.errors import ShapeError
from scidiff.mesh import SimplicialComplex

from .errors import SensorError, check_finite

__all__ = ["MeshSensors"]


@dataclass(frozen=True, eq=False)
class MeshSensors:
    """Sensors of the velocity in triangles of a plane mesh, two numbers each: all x components, then all y components.

    Parameters
    ----------
    mesh
        The mesh.
    points
        Places, shape ``(count, 2)``.

    Raises
    ------
    SensorError
        If a point lies in no triangle, or two lie in one; it says which and where.
    """

    mesh: SimplicialComplex
    points: np.ndarray
    triangle: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise ShapeError(f"points have shape {points.shape}; expected (count, 2)")
        check_finite(points, "points")
        a, b, c = np.moveaxis(self.mesh.vertices[self.mesh.triangles][..., :2], 1, 0)
        cross = lambda u, v: u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]  # noqa: E731
        p = points[:, None]
        parts = np.stack([cross(b - a, p - a), cross(c - b, p - b), cross(a - c, p - c)]) / cross(b - a, c - a)
        inside = parts.min(0) >= -1e-12
        out = np.flatnonzero(~inside.any(1))
        if len(out):
            raise SensorError(
                f"sensor {out[0]} at {tuple(map(float, points[out[0]]))} ({len(out)} such) lies in no triangle of the "
                "mesh; leave it out or move it",
                out,
            )
        triangle = inside.argmax(1)
        _, first, inverse = np.unique(triangle, return_index=True, return_inverse=True)
        twice = np.flatnonzero(first[inverse] != np.arange(len(triangle)))
        if len(twice):
            other = int(twice[0])
            raise SensorError(
                f"sensors {int(first[inverse[other]])} and {other} are both in triangle {int(triangle[other])} "
                f"({len(twice)} such); keep one of each, or average their values",
                twice,
            )
        object.__setattr__(self, "triangle", triangle)

    def __len__(self) -> int:
        return len(self.triangle)
