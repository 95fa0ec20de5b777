"""Fields on nested grids: bands of Fourier modes, split exactly.

``R`` brings the unitary Fourier modes of a grid of ``N`` sites an axis to those of one of ``n``: it keeps the modes
``|k| < n / 2`` and, for even ``n``, the mean ``(X_k + X_-k) / sqrt 2`` of the pair at the Nyquist frequency. Its rows
are orthonormal, so that white noise goes to white noise, ``R`` over two steps is ``R`` over both, and

    x = R^T R x + (1 - R^T R) x

splits a field into a coarse one and the rest, independent of each other where ``x`` is white. The field itself, in its
own unit, is ``(n / N)^(d/2) R x`` on the coarse grid: its large scales keep their values, noise gets smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.random import Noise

__all__ = ["NestedNoise", "Spectrum", "coarsen", "radial_spectrum", "refine", "wavenumber"]

Spectrum = Callable[[Tensor], Tensor]
_HALF = 2**-0.5


def _fold(modes: Tensor, axis: int, sites: int) -> Tensor:
    """Rows of ``R`` along one axis of unitary Fourier modes."""
    have, half = modes.shape[axis], (sites + 1) // 2
    if sites == have:
        return modes
    low, high = modes.narrow(axis, 0, half), modes.narrow(axis, have - sites // 2, sites // 2)
    if sites % 2 == 0:
        pair = (modes.narrow(axis, half, 1) + high.narrow(axis, 0, 1)) * _HALF
        high = torch.cat([pair, high.narrow(axis, 1, half - 1)], axis)
    return torch.cat([low, high], axis)


def _unfold(modes: Tensor, axis: int, sites: int) -> Tensor:
    """Transpose of `_fold`."""
    have, half = modes.shape[axis], (modes.shape[axis] + 1) // 2
    if sites == have:
        return modes
    low, high = modes.narrow(axis, 0, half), modes.narrow(axis, half, have - half)
    gap = list(modes.shape)
    gap[axis] = sites - have
    if have % 2 == 0:
        pair = high.narrow(axis, 0, 1) * _HALF
        gap[axis] -= 1
        low, high = torch.cat([low, pair], axis), torch.cat([pair, high.narrow(axis, 1, half - 1)], axis)
    return torch.cat([low, modes.new_zeros(gap), high], axis)


def _apply(x: Tensor, sites: Sequence[int], each: Callable[[Tensor, int, int], Tensor]) -> Tensor:
    axes = tuple(range(x.ndim - len(sites), x.ndim))
    modes = torch.fft.fftn(x.double(), dim=axes, norm="ortho")
    for axis, length in zip(axes, sites, strict=True):
        modes = each(modes, axis, length)
    return torch.fft.ifftn(modes, dim=axes, norm="ortho").real


def coarsen(x: Tensor, sites: Sequence[int], *, white: bool = False) -> Tensor:
    """Bring a field to fewer sites, by its Fourier modes.

    Parameters
    ----------
    x
        Field, spatial axes last.
    sites
        Sites of the coarse grid on every spatial axis.
    white
        Whether ``x`` is white noise and should remain so; otherwise it keeps its values at large scales.

    Returns
    -------
    Tensor
        ``R x``, or ``(n / N)^(d/2) R x``, float64.
    """
    fine = x.shape[x.ndim - len(sites) :]
    if any(n > have for n, have in zip(sites, fine, strict=True)):
        raise ShapeError(f"a field of {tuple(fine)} sites cannot be coarsened to {tuple(sites)}; use refine")
    return _apply(x, sites, _fold) * (1.0 if white else math.sqrt(math.prod(sites) / math.prod(fine)))


def refine(x: Tensor, sites: Sequence[int], *, white: bool = False) -> Tensor:
    """Bring a field to more sites without anything new: the transpose of `coarsen`; parameters as there."""
    coarse = x.shape[x.ndim - len(sites) :]
    if any(n < have for n, have in zip(sites, coarse, strict=True)):
        raise ShapeError(f"a field of {tuple(coarse)} sites cannot be refined to {tuple(sites)}; use coarsen")
    return _apply(x, sites, _unfold) * (1.0 if white else math.sqrt(math.prod(sites) / math.prod(coarse)))


@dataclass(frozen=True, eq=False)
class NestedNoise(Noise):
    """Noise whose normal draws on a coarse grid are the large scales of those on the fine grid.

    Parameters
    ----------
    seed, samples, scope
        As for `Noise`.
    fine
        Sites of the fine grid; draws have the spatial axes last.
    """

    fine: tuple[int, ...] = ()

    @classmethod
    def of(cls, noise: Noise, fine: Sequence[int]) -> NestedNoise:
        """Nested noise of the samples of another one."""
        return cls(noise.seed, noise.samples, noise.scope, tuple(fine))

    def normal(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Draw standard normals on the fine grid and coarsen them; parameters as in `Noise`."""
        axes = len(self.fine)
        if len(shape) < axes:
            return super().normal(shape, step=step, stream=stream)
        lead, sites = tuple(shape[: len(shape) - axes]), tuple(shape[len(shape) - axes :])
        drawn = super().normal((*lead, *self.fine), step=step, stream=stream)
        return drawn if sites == self.fine else coarsen(drawn, sites, white=True)


def wavenumber(sites: Sequence[int]) -> Tensor:
    """Length of the wave vector of every Fourier mode, in periods in the domain, float64, shape ``sites``."""
    axes = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in sites]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0)


def radial_spectrum(fields: Tensor, axes: int) -> Spectrum:
    """Measure the spectrum of data, averaged over directions.

    Parameters
    ----------
    fields
        Data, shape ``(count, channels, *sites)``, on the fine grid.
    axes
        Number of spatial axes.

    Returns
    -------
    Callable
        Mean square of a unitary Fourier mode at ``k`` periods in the domain, linear between whole ``k``.
    """
    dims = tuple(range(fields.ndim - axes, fields.ndim))
    power = torch.fft.fftn(fields.double(), dim=dims, norm="ortho").abs() ** 2
    power = power.flatten(0, fields.ndim - axes - 1).mean(0)
    band = wavenumber(power.shape).round().long().reshape(-1)
    total = torch.zeros(int(band.max()) + 1, dtype=torch.float64).index_add_(0, band, power.reshape(-1))
    mean = (total / torch.bincount(band)).numpy()
    return lambda k: torch.from_numpy(np.interp(k.numpy(), np.arange(len(mean)), mean))
