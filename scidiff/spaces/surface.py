"""Points on a triangulated surface, with a premetric in place of the length of shortest paths.

A point is ``(f, b_0, b_1, b_2)``: the number of a triangle, and barycentric coordinates there. Tangent vectors are
vectors of space in the plane of the triangle. The exponential map follows straightest paths over the edges, exactly.

Shortest paths on a mesh have no formula, so the logarithm is that of a premetric ``d``: the direction in which it
falls, as long as makes it fall by itself in unit time [1]_,

    log_x(y) = -d(x, y) grad d / |grad d|^2,

see `scidiff.mesh.Premetric`. It is the inverse of the exponential map in the plane with ``d`` the distance, and on a
sphere up to its length; elsewhere it is not, but a flow along it still arrives.

References
----------
.. [1] R. T. Q. Chen and Y. Lipman, "Flow Matching on General Geometries", arXiv:2302.03660
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError, DataError
from scidiff.mesh.complex import SimplicialComplex
from scidiff.mesh.premetric import Premetric, biharmonic, spectral_map
from scidiff.mesh.spectrum import Spectrum
from scidiff.mesh.surface_points import SurfacePoints
from scidiff.random import Source
from scidiff.spaces.manifold import Manifold

__all__ = ["MeshSurface"]

_OFF = 1e-6


@dataclass(frozen=True, eq=False)
class MeshSurface(Manifold):
    """Points on the triangles of a mesh; all results are float64 and carry no gradient.

    Parameters
    ----------
    premetric
        Premetric of the surface; `spectral` makes the published ones.
    """

    premetric: Premetric

    @classmethod
    def spectral(cls, spectrum: Spectrum, weight: Callable[[np.ndarray], np.ndarray] = biharmonic) -> MeshSurface:
        """Surface with a spectral distance.

        Parameters
        ----------
        spectrum
            Modes of the Laplacian of the vertices.
        weight
            `scidiff.mesh.biharmonic`, or `scidiff.mesh.diffusion` with a duration.
        """
        points = SurfacePoints(spectrum.laplacian.stars.complex)
        return cls(Premetric(points, spectral_map(spectrum, weight)))

    def __repr__(self) -> str:
        return f"MeshSurface(triangles={self.complex.sizes[2]}, images={self.premetric.map.shape[1]})"

    @property
    def complex(self) -> SimplicialComplex:
        """The mesh."""
        return self.premetric.points.complex

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (4,)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return 2

    @property
    def tangent_shape(self) -> tuple[int]:
        """Shape of one tangent vector, a vector of space."""
        return (3,)

    @cached_property
    def _cumulated(self) -> np.ndarray:
        areas = np.cumsum(self.complex.areas)
        return areas / areas[-1]

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` has points on its last axis, `DataError` unless they lie on the surface."""
        super().check(x, name)
        face, bary = x[..., 0], x[..., 1:]
        wrong = (face != face.round()) | (face < 0) | (face >= self.complex.sizes[2])
        wrong |= ~((bary >= -_OFF).all(-1) & ((bary.sum(-1) - 1).abs() < _OFF))
        if bool(wrong.any()):
            first = x[wrong][0].tolist()
            raise DataError(
                f"{name} holds {first}; expected a triangle from 0 to {self.complex.sizes[2] - 1} and three "
                "barycentric coordinates that sum to 1: draw points with uniform, or project"
            )

    # ---- between points and places -------------------------------------------------------------------------------

    def positions(self, x: Tensor) -> Tensor:
        """Places in space, float64, shape ``(..., 3)``."""
        face, bary = _split(x)
        return self._like(self.premetric.points.positions(face, bary), x, 3)

    def images(self, x: Tensor) -> Tensor:
        """Images under the map of the premetric, float64, shape ``(..., k)``; smooth features for a network."""
        return self._like(self.premetric.image(*_split(x)), x, self.premetric.map.shape[1])

    def vertex_points(self, vertices: Sequence[int]) -> Tensor:
        """Points at vertices, float64, shape ``(count, 4)``."""
        triangles = self.complex.triangles
        found = [np.argwhere(triangles == vertex)[0] for vertex in vertices]
        rows = np.zeros((len(found), 4))
        for row, (face, corner) in zip(rows, found, strict=True):
            row[0], row[1 + corner] = face, 1.0
        return torch.from_numpy(rows)

    # ---- geometry ------------------------------------------------------------------------------------------------

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Follow the straightest path from ``x`` along ``v``, over edges; reflected at a boundary."""
        face, bary = _split(x)
        flat = self.premetric.points.flatten(face, _rows(v, 3))
        face, bary, _ = self.premetric.points.trace(face, bary, flat)
        return self._joined(face, bary, x)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Tangent vector at ``x`` along which the premetric to ``y`` falls by itself in unit time."""
        x, y = torch.broadcast_tensors(x, y)
        towards = self.premetric.towards(*_split(x), self.premetric.image(*_split(y)))
        return self._like(towards, x, 3)

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Premetric, one number per pair of points, in its own unit."""
        x, y = torch.broadcast_tensors(x, y)
        return self._like(self.premetric.distance(_split(x), _split(y)), x)

    def descend(self, x: Tensor, y: Tensor, share: Tensor, *, pieces: int = 32) -> Tensor:
        """Go from ``x`` along the flow of `log` until the given share of the premetric to ``y`` is left.

        Parameters
        ----------
        x, y
            Points, of one shape.
        share
            In [0, 1], one number per point; at 0 the result is ``y``, at 1 it is ``x``.
        pieces
            See `scidiff.mesh.Premetric.descend`.
        """
        face, bary = _split(x)
        ends, inside = _split(y)
        part = share.detach().cpu().double().reshape(-1).numpy()
        level = part * self.premetric.distance((face, bary), (ends, inside))
        go = (part > 0) & (part < 1)
        face, bary = face.copy(), bary.copy()
        start, goal = (face[go], bary[go]), (ends[go], inside[go])
        face[go], bary[go] = self.premetric.descend(start, goal, level[go], pieces=pieces)
        there = (share == 0).unsqueeze(-1)
        return torch.where(there, y.double(), self._joined(face, bary, x))

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Raise `ConfigError`: the logarithm of a premetric gives no path between two points to carry along."""
        raise ConfigError(
            "there is no parallel transport between two points of a mesh, the premetric gives no path; use a rule that "
            "needs none, Retracted(order=1)"
        )

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Remove the part of ``v`` along the normal of the triangle."""
        normal = torch.from_numpy(self.premetric.points.normals[_split(x)[0]]).to(v).reshape(v.shape)
        return v - (normal * v).sum(-1, keepdim=True) * normal

    def project(self, x: Tensor) -> Tensor:
        """Bring the triangle to a whole number in range, and the coordinates to a sum of 1 without a negative one."""
        face = x[..., :1].round().clamp(0, self.complex.sizes[2] - 1)
        bary = x[..., 1:].clamp_min(0)
        total = bary.sum(-1, keepdim=True)
        return torch.cat([face, torch.where(total > 0, bary / torch.where(total > 0, total, 1.0), 1 / 3)], -1)

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw points uniformly by area, float64, shape ``(len(noise), *shape)``."""
        u = noise.uniform((*tuple(shape)[:-1], 3), step=step, stream=stream)
        rows = u.cpu().numpy()
        face = np.searchsorted(self._cumulated, rows[..., 0], side="right").clip(max=len(self._cumulated) - 1)
        root, other = np.sqrt(rows[..., 1]), rows[..., 2]
        drawn = np.stack([face, 1 - root, root * (1 - other), root * other], axis=-1)
        return torch.from_numpy(drawn.astype(np.float64)).to(u.device)

    # ---- arrays --------------------------------------------------------------------------------------------------

    def _like(self, values: np.ndarray, x: Tensor, *tail: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(x.device).reshape(*self.lead(x), *tail)

    def _joined(self, face: np.ndarray, bary: np.ndarray, x: Tensor) -> Tensor:
        return self._like(np.concatenate([face[:, None].astype(np.float64), bary], axis=1), x, 4)


def _rows(values: Tensor, width: int) -> np.ndarray:
    return values.detach().cpu().double().reshape(-1, width).numpy()


def _split(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Triangles and coordinates of all points."""
    rows = _rows(x, 4)
    return rows[:, 0].astype(np.int64), rows[:, 1:]
