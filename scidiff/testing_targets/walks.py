"""Brownian motion on isotropic manifolds, by quadrature over one step of the geodesic random walk.

With the generator half the Laplacian a zonal eigenfunction decays (or grows) as ``exp(-rate t)``,

    S^2    cos d      rate 1           H^2    cosh d     rate -1
    SO(3)  1 + 2 cos w     rate 1      T^1    cos d      rate 1/2

and a step ``x -> exp_x(sqrt(h) z)`` multiplies it by a number ``kappa(h)`` that does not depend on ``x``,

    S^2    1 - sqrt(2h) D(sqrt(h/2))                        D: Dawson's integral
    H^2    1 + sqrt(pi h/2) exp(h/2) erf(sqrt(h/2))
    SO(3)  (1 + 2 (1 - h) exp(-h/2)) / 3
    T^1    exp(-h/2)

so that ``kappa(t/N)^N`` is the law of a walk of N steps, without Monte-Carlo error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import dawsn, erf
from torch import Tensor

from scidiff.random import Noise
from scidiff.spaces.hyperbolic import Hyperbolic
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.so3 import SO3
from scidiff.spaces.sphere import Sphere
from scidiff.spaces.torus import Torus

__all__ = ["WALKS", "Walk"]

_NODES = 24


@dataclass(frozen=True)
class Walk:
    """A manifold with an eigenfunction of the distance from a pole.

    Parameters
    ----------
    space
        The manifold.
    zonal
        The eigenfunction as a function of the distance.
    rate
        It decays as ``exp(-rate t)`` along Brownian motion.
    kappa
        Its factor over a geodesic step of variance ``h``.
    """

    space: Manifold
    zonal: Callable[[Tensor], Tensor]
    rate: float
    kappa: Callable[[float], float]

    def points(self, seed: int, count: int) -> Tensor:
        """Points near the pole, which comes first, float64."""
        pole = torch.zeros(count, *self.space.shape, dtype=torch.float64)
        pole[:, -1 if isinstance(self.space, Sphere | Hyperbolic) else 0] = float(not isinstance(self.space, Torus))
        v = 0.7 * self.space.random_tangent(pole, Noise.range(seed, count), step=0, stream="walk")
        v[0] = 0.0
        return self.space.exp(pole, v)

    def factor(self, x: Tensor, pole: Tensor, h: float) -> float:
        """Factor of the eigenfunction over a step of variance `h` from the point ``x``, by Gauss-Hermite quadrature.

        Standard normals of the ambient frame are projected on the tangent space, as the random walk does.

        Parameters
        ----------
        x, pole
            Points, shape of one point of the space.
        h
            Variance of the step.
        """
        size = math.prod(self.space.tangent_shape)
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        grids = torch.meshgrid(*[torch.from_numpy(nodes)] * size, indexing="ij")
        z = torch.stack([grid.flatten() for grid in grids], dim=-1)
        w = torch.from_numpy(weights / weights.sum())
        mass = torch.ones(1, dtype=torch.float64)
        for _ in range(size):
            mass = (mass.unsqueeze(1) * w).flatten()
        start = x.expand(len(z), *x.shape)
        v = self.space.project_tangent(start, math.sqrt(h) * z.reshape(len(z), *self.space.tangent_shape))
        after = self.zonal(self._gap(self.space.exp(start, v), pole))
        return float(mass @ after) / float(self.zonal(self._gap(x[None], pole)))

    def _gap(self, x: Tensor, pole: Tensor) -> Tensor:
        return self.space.dist(x, pole.expand_as(x)).reshape(len(x))


def _sphere(h: float) -> float:
    return 1 - math.sqrt(2 * h) * float(dawsn(math.sqrt(h / 2)))


def _hyperbolic(h: float) -> float:
    return 1 + math.sqrt(math.pi * h / 2) * math.exp(h / 2) * float(erf(math.sqrt(h / 2)))


WALKS: dict[str, Walk] = {
    "S^2": Walk(Sphere(2), torch.cos, 1.0, _sphere),
    "H^2": Walk(Hyperbolic(2), torch.cosh, -1.0, _hyperbolic),
    "SO(3)": Walk(SO3(), lambda w: 1 + 2 * w.cos(), 1.0, lambda h: (1 + 2 * (1 - h) * math.exp(-h / 2)) / 3),
    "T^1": Walk(Torus(1), torch.cos, 0.5, lambda h: math.exp(-h / 2)),
}
