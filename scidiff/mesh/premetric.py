"""Premetrics of a surface from a map into ``R^k``, and paths along which they fall as they should.

With one vector ``E`` per vertex, interpolated linearly on the triangles, ``d(x, y) = |E(x) - E(y)|``. The spectral
choices [1]_ take the modes of the Laplacian of the vertices, ``E_i = sqrt(w(l_i)) phi_i`` for ``l_i > 0``, with

    diffusion    w = exp(-2 tau l)        biharmonic    w = l^-2.

Inside a triangle ``d^2`` is a quadratic polynomial of gradient ``2 J^T (E(x) - E(y))``. ``J`` jumps at the edges, and
where the jump points to an edge from both sides a path would be caught there. So the gradient ``g`` of ``d^2 / 2`` is
the recovered one: ``J`` averaged over the triangles around each vertex, by area, then interpolated. With it

    towards(x, y) = -d grad d / |grad d|^2 = -d^2 g / |g|^2,

the velocity of [1]_ per unit of ``log kbar``. In the plane, with the coordinates as the map, it is ``y - x``. A path is
made of straight pieces; the end of each is where ``d`` reaches its level, a root of a quadratic equation, so that ``d``
at the end of the path is exact whatever the number of pieces. Opposite to ``y``, where ``d`` is largest, a flat
triangle may hold a minimum of its own, no more than the sag of a chord; paths leave it along ``g`` to the next edge.

References
----------
.. [1] R. T. Q. Chen and Y. Lipman, "Flow Matching on General Geometries", arXiv:2302.03660, section 3.3
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.mesh.spectrum import Spectrum
from scidiff.mesh.surface_points import SurfacePoints

__all__ = ["Premetric", "biharmonic", "diffusion", "spectral_map"]

Points = tuple[np.ndarray, np.ndarray]
_PIECES = 5_000
# a line that falls by less than this, as the cosine of an angle, is level; a level is reached up to round-off
_LEVEL = 1e-9
_ARRIVED = 1e-12


def biharmonic(eigenvalues: np.ndarray) -> np.ndarray:
    """Weights ``l^-2`` of the `eigenvalues` ``l``, all lengths at once."""
    return eigenvalues**-2.0


def diffusion(tau: float) -> Callable[[np.ndarray], np.ndarray]:
    """Weights ``exp(-2 tau l)`` of the distance between heat kernels of duration ``tau``, a squared length.

    For durations far below the squared size of the surface the far side is flat, ``exp(-r^2 / (8 tau))``, and what is
    left there are the minima of the mesh; modes that are left out must have small weights.
    """
    if not tau > 0:
        raise ConfigError(f"tau is {tau}; expected a positive squared length")
    return lambda eigenvalues: np.exp(-2 * tau * eigenvalues)


def spectral_map(spectrum: Spectrum, weight: Callable[[np.ndarray], np.ndarray] = biharmonic) -> np.ndarray:
    """Map of the vertices whose distances are spectral ones.

    Parameters
    ----------
    spectrum
        Modes of the Laplacian of the vertices; the number of modes is the ``k`` of the distance. Modes of eigenvalue 0
        are left out.
    weight
        Weights of the squared differences: `biharmonic`, or `diffusion`.

    Returns
    -------
    ndarray
        Shape ``(V, k)``.

    Raises
    ------
    ConfigError
        If the modes are not those of the vertices of a connected surface.
    """
    if spectrum.laplacian.degree != 0 or spectrum.laplacian.harmonic != 1:
        raise ConfigError(
            f"the modes are of degree {spectrum.laplacian.degree}, {spectrum.laplacian.harmonic} of them of eigenvalue "
            "0; expected degree 0 on a connected surface, where the distance is finite and positive"
        )
    return spectrum.vectors[:, 1:] * np.sqrt(weight(spectrum.values[1:]))


@dataclass(frozen=True, eq=False)
class Premetric:
    """Distance of the images under a map of the vertices.

    Parameters
    ----------
    points
        Tables of the surface.
    map
        Images of the vertices, shape ``(V, k)``.
    """

    points: SurfacePoints
    map: np.ndarray

    def __post_init__(self) -> None:
        count = self.points.complex.sizes[0]
        if self.map.ndim != 2 or len(self.map) != count or not np.isfinite(self.map).all():
            raise ShapeError(f"map has shape {self.map.shape}; expected finite numbers of shape ({count}, k)")

    @cached_property
    def _images(self) -> np.ndarray:
        """Images of the corners, shape ``(F, 3, k)``."""
        return self.map[self.points.complex.triangles]

    @cached_property
    def _vertex_jacobian(self) -> np.ndarray:
        """Jacobian averaged over the triangles around each vertex, shape ``(V, k, 3)``."""
        complex = self.points.complex
        inside = np.einsum("fik,fix->fkx", self._images, self.points.gradients)
        total = np.zeros((complex.sizes[0], *inside.shape[1:]))
        np.add.at(total, complex.triangles.ravel(), np.repeat(complex.areas[:, None, None] * inside, 3, axis=0))
        areas = np.bincount(complex.triangles.ravel(), np.repeat(complex.areas, 3))
        return total / areas[:, None, None]

    def image(self, face: np.ndarray, bary: np.ndarray) -> np.ndarray:
        """Images of points, shape ``(points, k)``."""
        return np.einsum("pi,pik->pk", bary, self._images[face])

    def distance(self, one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Premetric of pairs of points ``(face, bary)``, shape ``(points,)``."""
        return np.linalg.norm(self.image(*one) - self.image(*two), axis=1)

    def _gradient(self, face: np.ndarray, bary: np.ndarray, gap: np.ndarray) -> np.ndarray:
        """Recovered gradient of ``d^2 / 2`` in the plane of the triangle, shape ``(points, 3)``."""
        around = np.einsum("pikx,pk->pix", self._vertex_jacobian[self.points.complex.triangles[face]], gap)
        return self.points.flatten(face, np.einsum("pi,pix->px", bary, around))

    def _own_gradient(self, face: np.ndarray, gap: np.ndarray) -> np.ndarray:
        """Gradient of ``d^2 / 2`` inside the triangle, shape ``(points, 3)``."""
        local = np.einsum("pik,pk->pi", self._images[face], gap)
        return np.einsum("pi,pix->px", local, self.points.gradients[face])

    def _moved(self, face: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Rate ``J v`` of the image along tangent vectors, shape ``(points, k)``."""
        rate = np.einsum("pix,px->pi", self.points.gradients[face], v)
        return np.einsum("pi,pik->pk", rate, self._images[face])

    def towards(self, face: np.ndarray, bary: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Tangent vectors along which the premetric falls by itself in unit time, to first order.

        Parameters
        ----------
        face, bary
            Points.
        goal
            Images of the points to go to, shape ``(points, k)``.

        Returns
        -------
        ndarray
            Shape ``(points, 3)``; 0 at the goal and where the gradient vanishes.
        """
        gap = self.image(face, bary) - goal
        g = self._gradient(face, bary, gap)
        square = (g * g).sum(1, keepdims=True)
        return -(gap * gap).sum(1, keepdims=True) * g / np.where(square > 0, square, 1.0)

    def descend(
        self, start: Points, goal: Points, level: np.ndarray, *, pieces: int = 32
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow `towards` until the premetric has fallen to its level.

        Where the directions of two triangles point at their common edge, or that of one at the boundary, the path runs
        along it.

        Parameters
        ----------
        start, goal
            Points ``(face, bary)`` to come from and to go to.
        level
            Positive values at which to stop, shape ``(points,)``.
        pieces
            A straight piece lets the premetric fall by this part of itself at most; it ends at the next edge, too.

        Returns
        -------
        tuple
            Points ``(face, bary)``.

        Raises
        ------
        NumericalError
            If a path comes to rest before: the premetric has a minimum that is not the goal. Few modes can make one,
            and so can a crease where the triangles are large.
        """
        walk = _Walk(start[0].copy(), start[1].copy(), np.full(len(level), -1))
        ends, images = goal[0], self.image(*goal)
        active = np.flatnonzero(np.linalg.norm(self.image(*start) - images, axis=1) > level)
        for _ in range(_PIECES):
            if not len(active):
                return walk.face, walk.bary
            arrived = self._piece(walk, ends[active], images[active], level[active], active, 1 - 1 / pieces)
            active = active[~arrived]
        raise NumericalError(
            f"{len(active)} paths came to rest before the goal, the first in triangle {walk.face[active[0]]}; the "
            "premetric has other minima: take more modes, or a finer mesh without creases"
        )

    def _piece(
        self,
        walk: _Walk,
        ends: np.ndarray,
        goal: np.ndarray,
        level: np.ndarray,
        active: np.ndarray,
        share: float,
    ) -> np.ndarray:
        """Move the active points by one straight piece, in place; return which have arrived."""
        f, b = walk.face[active], walk.bary[active]
        gap = self.image(f, b) - goal
        g = np.where((f == ends)[:, None], self._own_gradient(f, gap), self._gradient(f, b, gap))
        direction, until, side = self.points.guided(f, b, -g, walk.came[active])
        moved = self._moved(f, direction)
        step, reaches = _to_level(gap, moved, np.maximum(share * np.linalg.norm(gap, axis=1), level))
        over = until < step
        b = self.points.move(f, b, np.minimum(step, until)[:, None] * direction)
        walk.bary[active], walk.came[active] = b, -1
        walk.cross(self.points, active[over], direction[over], side[over])
        left = np.linalg.norm(self.image(walk.face[active], walk.bary[active]) - goal, axis=1)
        return reaches & ~over & (left <= level * (1 + _ARRIVED))


def _to_level(gap: np.ndarray, moved: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least ``s > 0`` with ``|gap + s moved| = wanted``, and whether there is one.

    Where there is none it is the lowest point of the line, and infinite where the line rises from the start.
    """
    square, fall = (moved * moved).sum(1), -(gap * moved).sum(1)
    now = (gap * gap).sum(1)
    excess = now - wanted**2
    falls = fall > _LEVEL * np.sqrt(square * now)
    rest = fall**2 - square * excess
    root = fall + np.sqrt(np.maximum(rest, 0.0))
    step = np.where(rest >= 0, excess / np.where(falls, root, 1.0), fall / np.where(falls, square, 1.0))
    return np.where(falls, step, np.inf), falls & (rest >= 0)


@dataclass(frozen=True, eq=False)
class _Walk:
    """Points on their way, and the side over which each has come, -1 for none."""

    face: np.ndarray
    bary: np.ndarray
    came: np.ndarray

    def cross(self, points: SurfacePoints, rows: np.ndarray, v: np.ndarray, side: np.ndarray) -> None:
        """Go over a side, in place."""
        into, entry = points.neighbours[self.face[rows], side].T
        self.came[rows] = np.where(into >= 0, entry, side)
        self.face[rows], self.bary[rows], _ = points.cross(self.face[rows], self.bary[rows], v, side)
