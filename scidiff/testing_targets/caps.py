"""Flow matching on a sphere along the chord, where the law of ``x_t`` given ``x_0`` is known.

With ``d`` the chord, ``d^2`` of a uniform point and ``x_0`` is uniform in ``[0, 4]`` (Archimedes). The path multiplies
the chord by ``kbar``, so that ``x_t`` is uniform on the cap ``d <= 2 kbar``, of area ``4 pi kbar^2``. The posterior of
a data set is uniform over the data whose caps hold ``x``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.mesh import Premetric, SurfacePoints, icosphere
from scidiff.process import PremetricFlow
from scidiff.process.geodesic import point_time
from scidiff.random import Noise
from scidiff.spaces import MeshSurface

__all__ = ["blobs", "cap_density", "chord_sphere"]


def chord_sphere(subdivisions: int = 3) -> MeshSurface:
    """Icosphere whose premetric is the distance in space."""
    complex = icosphere(subdivisions)
    return MeshSurface(Premetric(SurfacePoints(complex), complex.vertices.copy()))


def cap_density(flow: PremetricFlow, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """Logarithm of the density of ``x_t`` given ``x_0`` on the unit sphere, up to a constant that all data share."""
    site = flow.site
    kbar = flow.clock.remaining(point_time(t, x, site))
    return torch.where(site.dist(x, x0) <= 2 * kbar, -2 * kbar.log(), -torch.inf)


def blobs(space: MeshSurface, counts: tuple[int, int], *, size: float = 0.25, seed: int = 0) -> Tensor:
    """Points of two blobs around ``(0, 0, 1)`` and ``(1, 0, 0)`` on a sphere, shape ``(sum(counts), 4)``."""
    parts = []
    for vertex, count in zip(([0.0, 0.0, 1.0], [1.0, 0.0, 0.0]), counts, strict=True):
        places = torch.from_numpy(space.complex.vertices.copy())
        nearest = int((places - torch.tensor(vertex, dtype=torch.float64)).norm(dim=1).argmin())
        centre = space.vertex_points([nearest]).expand(count, 4)
        noise = Noise.range(seed, count, first=1000 * len(parts))
        parts.append(space.exp(centre, size * space.random_tangent(centre, noise, step=0, stream="blob")))
    return torch.cat(parts)
