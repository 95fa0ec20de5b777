"""Stationary Gaussian fields on a torus, and the exact law of a sampler of them.

The covariance is diagonal in Fourier space, with the spectrum ``S(k) ~ (1 + (ell |k|)^2)^-p`` scaled to variance 1 at
every site. A sampler of one stage with a linear denoiser ``m = G_i x`` moves ``x`` by ``A_i x + c_i xi``,
``A_i = a_i + b_i G_i``, so that its covariance follows ``C <- A_i C A_i^T + c_i^2 N`` without Monte-Carlo error; ``N``
is the covariance of the noise, the identity unless the sampler spoils it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.process import Kind, Schedule
from scidiff.random import Noise
from scidiff.sample import Table
from scidiff.sample.continuous.bands import NestedNoise, coarsen, wavenumber
from scidiff.sample.continuous.multiresolution import CoarseSchedule, Level, multiresolution
from scidiff.spaces import State

__all__ = ["PointNoise", "TorusField", "fourier_w2", "propagate"]


@dataclass(frozen=True)
class TorusField:
    """Gaussian field of mean 0 and variance 1.

    Parameters
    ----------
    sites
        Sites of the torus on each axis.
    length
        ``ell``, in sites.
    decay
        ``p``; rough for small values.
    """

    sites: tuple[int, ...]
    length: float
    decay: float = 1.5

    def _shape(self, k: Tensor) -> Tensor:
        return (1 + (2 * math.pi * self.length / self.sites[0] * k) ** 2) ** -self.decay

    def at(self, k: Tensor) -> Tensor:
        """Variance of a unitary Fourier mode of `k` periods in the domain; domains are squares or cubes."""
        return self._shape(k) / self._shape(wavenumber(self.sites)).mean()

    @property
    def spectrum(self) -> Tensor:
        """Variance of the unitary Fourier modes, float64, shape ``sites``."""
        return self.at(wavenumber(self.sites))

    def level(self, schedule: Schedule, sites: tuple[int, ...]) -> Level:
        """Coarse grid of the field with its exact denoiser, a Wiener filter of the Fourier modes."""
        share = math.prod(sites) / math.prod(self.sites)
        coarse = CoarseSchedule(schedule, share**0.5)
        s, axes = share * self.at(wavenumber(sites)), tuple(range(2, 2 + len(sites)))

        def function(x: State, t: State, condition: Any = None) -> State:
            modes = torch.fft.fftn(torch.as_tensor(x).double(), dim=axes)
            alpha, sigma = coarse.alpha(torch.as_tensor(t)), coarse.sigma(torch.as_tensor(t))
            return torch.fft.ifftn(alpha * s / (alpha**2 * s + sigma**2) * modes, dim=axes).real

        return Level(sites, Denoiser(function, Kind.MEAN))

    def covariance(self, size: tuple[int, ...] | None = None) -> Tensor:
        """Covariance of the sites of a tile, or of all; shape ``(dim, dim)``."""
        correlation = torch.fft.ifftn(self.spectrum).real
        shape = self.sites if size is None else size
        grids = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
        index = [g.reshape(-1) for g in grids]
        return correlation[tuple((i[:, None] - i) % n for i, n in zip(index, self.sites, strict=True))]

    def denoiser(self, schedule: Schedule, size: tuple[int, ...] | None = None) -> Denoiser:
        """Exact denoiser of a tile that sees nothing but the tile, or of the whole; states have one channel."""
        shape = self.sites if size is None else size
        mean = torch.zeros(1, *shape, dtype=torch.float64)
        return GaussianMixture.gaussian(schedule, mean, self.covariance(size)).denoiser


def propagate(table: Table, denoiser: Denoiser, sites: tuple[int, ...], noise: Tensor | None = None) -> Tensor:
    """Covariance of the result of a table of depth one, exact, shape ``(dim, dim)``.

    Parameters
    ----------
    table
        Solver without memory.
    denoiser
        Linear denoiser of fields of one channel.
    sites
        Sites of the field.
    noise
        Variance of the injected noise at every site; 1 by default.
    """
    dim = math.prod(sites)
    eye = torch.eye(dim, dtype=torch.float64)
    variance = torch.ones(dim, dtype=torch.float64) if noise is None else noise.reshape(-1)
    law = float(table.sigma[0]) ** 2 * eye
    for i in range(table.steps):
        t = torch.full((dim, *(1,) * (len(sites) + 1)), float(table.nodes[i]), dtype=torch.float64)
        m = torch.as_tensor(denoiser(eye.reshape(dim, 1, *sites), t)).reshape(dim, dim)
        # rows are responses to unit vectors, hence the transpose of A
        response = float(table.a[i, 0]) * eye + float(table.b[i, 0]) * m
        law = response.T @ law @ response + float(table.c[i]) ** 2 * torch.diag(variance)
    return law


@dataclass(frozen=True, eq=False)
class PointNoise(NestedNoise):
    """Noise that is one unit impulse at the first site of the fine grid in the prior, and nothing later.

    All unitary Fourier modes of the prior are then equal, so that a run of a field of independent modes shows its
    transfer function at once. To be used with solvers that draw nothing.
    """

    def normal(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Draw the impulse on the fine grid and coarsen it."""
        drawn = torch.zeros(len(self), *shape[: len(shape) - len(self.fine)], *self.fine, dtype=torch.float64)
        drawn[(..., *(0,) * len(self.fine))] = 1.0
        return coarsen(drawn, shape[len(shape) - len(self.fine) :], white=True)


def fourier_w2(
    field: TorusField,
    schedule: Schedule,
    grid: Tensor,
    solver: Callable[[Schedule, Tensor], Table],
    sizes: Sequence[tuple[int, ...]],
    **options: Any,
) -> tuple[float, float]:
    """Wasserstein distance of a multiresolution run to the field, exact, and its cost.

    Modes are independent and Gaussian: ``W2^2 = sum_k (sd_k - sqrt S_k)^2``, here over ``sum_k S_k``, with ``sd_k`` the
    modulus of the transfer function of a deterministic run.

    Parameters
    ----------
    field, schedule, grid, solver
        What is sampled, and how.
    sizes
        Grids, from coarse to fine.
    **options
        Handed to `multiresolution`.

    Returns
    -------
    tuple of float
        Relative distance, and cost.
    """
    levels = [field.level(schedule, sites) for sites in sizes]
    noise = PointNoise.of(Noise.range(0, 1), field.sites)
    done = multiresolution(levels, schedule, grid, solver, field.at, noise, **options)
    x = torch.as_tensor(done.state.x)[0, 0]
    sd = torch.fft.fftn(x).abs()
    gap = (sd - field.spectrum.sqrt()).square().sum() / field.spectrum.sum()
    return float(gap.sqrt()), done.cost
