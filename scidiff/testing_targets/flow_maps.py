"""Targets of flow maps: closed forms, mixtures with exact teachers, and a sliced distance.

For Gaussian data ``N(mu, e)`` the flow of ``x_t = alpha x_0 + sigma eps`` scales the deviation with the standard
deviation of the marginal, and for a single datum ``y`` of a geodesic flow it slides along the geodesic:

    X_{t,s}(x) = alpha_s mu + sqrt((alpha_s^2 e + sigma_s^2) / (alpha_t^2 e + sigma_t^2)) (x - alpha_t mu)
    X_{t,s}(x) = exp_x((1 - kbar_s / kbar_t) log_x(y))

Mixtures of heat kernels around a few centres are the law of a heat process, started from the centres, at an early time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise import GaussianMixture
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.process import (
    IGSO3,
    GaussianProcess,
    GeodesicFlow,
    HeatProcess,
    LinearFlowSchedule,
    WrappedNormal,
)
from scidiff.process.base import site_time
from scidiff.process.straight import displacement, stretch, velocity
from scidiff.random import Noise
from scidiff.spaces import SO3, Euclidean, Torus
from scidiff.spaces.so3 import to_matrix

__all__ = [
    "PAIRS",
    "DatumMap",
    "GaussianMap",
    "HeatMixture",
    "invalid_pairs",
    "plane_mixture",
    "rotation_mixture",
    "sliced_distance",
    "torus_mixture",
]

PAIRS = torch.tensor([[0, 1], [2, 3]])
"""The two valid pairs of tokens among {New, York, San, Diego}; each has probability 1/2."""


@dataclass(frozen=True, eq=False)
class GaussianMap:
    """Exact mean velocity ``v(x, t, s)`` of Gaussian data.

    Parameters
    ----------
    process
        The Gaussian process.
    mean
        Mean of the data, shape ``(*event)``.
    variance
        Variance of the data, entry by entry, shape ``(*event)``.
    """

    process: GaussianProcess
    mean: Tensor
    variance: Tensor

    @property
    def mixture(self) -> GaussianMixture:
        """The data, with their exact denoiser."""
        return GaussianMixture.gaussian(self.process.schedule, self.mean, self.variance.flatten())

    def at(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Exact flow map ``X_{t,s}(x)``."""
        t, s = site_time(t, x), site_time(s, x)
        alpha, sigma = self.process.schedule.alpha, self.process.schedule.sigma
        before, after = (alpha(time) ** 2 * self.variance + sigma(time) ** 2 for time in (t, s))
        return alpha(s) * self.mean + (after / before).sqrt() * (x - alpha(t) * self.mean)

    def __call__(self, x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """Mean velocity; that of the flow where ``s = t``."""
        gap = site_time(s - t, x)
        still = gap == 0
        b = velocity(self.process, self.mixture(x.detach(), t), x, t)
        return torch.where(still, b, (self.at(x, t, s) - x) / torch.where(still, 1.0, gap))


@dataclass(frozen=True, eq=False)
class DatumMap:
    """Exact mean velocity of a geodesic flow to a single datum.

    Parameters
    ----------
    process
        The flow.
    datum
        Its end ``y``, one point.
    """

    process: GeodesicFlow
    datum: Tensor

    def tangent(self, x: Tensor, t: Any = None, condition: Any = None) -> Tensor:
        """Denoised tangent ``log_x(y)``."""
        return self.process.space.log(x, self.datum.expand_as(x))

    def __call__(self, x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """Mean velocity; that of the flow where ``s = t``."""
        m, gap = self.tangent(x), stretch(self.process, s - t, x)
        still = gap == 0
        return torch.where(
            still,
            velocity(self.process, m, x, t),
            displacement(self.process, m, x, t, s) / torch.where(still, 1.0, gap),
        )


def plane_mixture() -> tuple[GaussianProcess, GaussianMixture]:
    """Six well-separated Gaussians on a circle of radius 1.4, standard deviation 0.1 each, with unequal weights."""
    angle = 2 * math.pi * torch.arange(6, dtype=torch.float64) / 6
    means = 1.4 * torch.stack([angle.cos(), angle.sin()], dim=1)
    weights = torch.tensor([0.25, 0.2, 0.2, 0.15, 0.1, 0.1], dtype=torch.float64)
    process = GaussianProcess(Euclidean((2,)), LinearFlowSchedule())
    return process, GaussianMixture(process.schedule, weights, means, torch.full((6,), 0.01, dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class HeatMixture:
    """A mixture of heat kernels, which is the law of a heat process at the time `start`.

    Parameters
    ----------
    process
        Heat process whose data are the centres.
    centres
        Centres, shape ``(count, *point)``; rows may repeat to give weights.
    start
        Time at which the process has the law of the mixture; runs end there.
    embed
        Maps points to vectors in which distances are measured.
    """

    process: HeatProcess
    centres: Tensor
    start: float
    embed: Callable[[Tensor], Tensor]

    @property
    def teacher(self) -> ManifoldDatasetDenoiser:
        """Exact score at every time."""
        return ManifoldDatasetDenoiser(self.process, HeatProcess.log_density, self.centres)

    def draw(self, noise: Noise) -> Tensor:
        """Draw from the mixture, float64, shape ``(batch, *point)``."""
        rows = (noise.uniform((), step=0, stream="centre") * len(self.centres)).long()
        return self.process.noise(self.centres[rows], self.start, noise)


def torus_mixture() -> HeatMixture:
    """Wrapped normals around four points of the flat torus of two angles, with standard deviation 0.3."""
    space = Torus(2)
    centres = torch.tensor([[-2.0, -2.0], [-2.0, 1.0], [1.5, -1.0], [2.8, 2.5]], dtype=torch.float64)
    return HeatMixture(HeatProcess(WrappedNormal(space), space, 16.0), centres, 0.075, _waves)


def rotation_mixture() -> HeatMixture:
    """IGSO(3) around three rotations, with standard deviation 0.25."""
    space = SO3()
    turns = torch.tensor([[0.0, 0.0, 0.5], [2.0, 0.0, 0.0], [0.0, -2.0, 1.0]], dtype=torch.float64)
    one = torch.zeros(3, 4, dtype=torch.float64)
    one[:, 0] = 1.0
    centres = space.exp(one, turns)
    return HeatMixture(HeatProcess(IGSO3(), space, 6.25), centres, 0.1, lambda x: to_matrix(x).flatten(-2))


def _waves(angle: Tensor) -> Tensor:
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def sliced_distance(x: Tensor, y: Tensor, *, directions: int = 64, quantiles: int = 2000) -> float:
    """Sliced Wasserstein distance of order 2, by quantiles of projections on fixed random directions.

    Parameters
    ----------
    x, y
        Samples, shape ``(count, dim)``.
    directions, quantiles
        Number of projections, and of quantiles of each.
    """
    noise = Noise.range(0, directions)
    axes = noise.normal((x.shape[1],), step=0, stream="directions")
    axes = (axes / axes.norm(dim=1, keepdim=True)).T
    levels = (torch.arange(quantiles, dtype=torch.float64) + 0.5) / quantiles
    one, two = (torch.quantile(part.double() @ axes, levels, dim=0) for part in (x, y))
    return float((one - two).square().mean().sqrt())


def invalid_pairs(tokens: Tensor) -> float:
    """Share of pairs of tokens that are not among `PAIRS`, shape of ``tokens`` ``(batch, 2)``."""
    valid = (tokens.unsqueeze(1) == PAIRS).all(-1).any(1)
    return float((~valid).double().mean())
