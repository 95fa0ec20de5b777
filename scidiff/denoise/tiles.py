"""Denoising a large field in overlapping tiles.

Tile ``k`` covers some sites; windows ``w_k >= 0`` sum to 1 at every site, and the fused prediction is

    m = sum_k w_k m_k.

All prediction kinds are, site by site, affine in each other with coefficients of the time alone, so that any of them
may be fused. A window is 0 on a margin, where a tile lacks the sites around it, then rises to 1: if the margin is as
wide as the receptive field of the denoiser, the fused prediction is that of the whole field, up to round-off.

Inside the loop all tiles see one noise field, and ``sum_k w_k xi = xi`` has unit variance already. A sampler that
noises each tile by itself must not average: independent ``xi_k`` leave only ``sum_k w_k^2`` of the variance.
`variance_corrected_fusion` divides the noise by ``sqrt(sum_k w_k^2)`` [1]_.

References
----------
.. [1] Sun et al., "InfScene-SR", arXiv:2602.19736 (variance-corrected fusion)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import site_time
from scidiff.spaces import State

__all__ = ["Border", "Tiles", "per_sample", "per_site", "periodic", "reflecting", "tiled", "variance_corrected_fusion"]

Border = Callable[[Tensor, int], Tensor]
_Index = tuple[Tensor, ...]
Crop = Callable[[Any, Sequence[_Index]], Any]


def periodic(site: Tensor, size: int) -> Tensor:
    """Sites of a torus: ``-1`` is the last one.

    Parameters
    ----------
    site
        Numbers along an axis, also outside of it.
    size
        Number of sites of the axis.
    """
    return site % size


def reflecting(site: Tensor, size: int) -> Tensor:
    """Sites between mirrors half a cell outside: ``-1`` is 0 again, as suits cell averages without flux.

    Parameters
    ----------
    site, size
        As for `periodic`.
    """
    site = site % (2 * size)
    return torch.where(site < size, site, 2 * size - 1 - site)


@dataclass(frozen=True)
class Tiles:
    """Overlapping tiles of a field with one, two or three spatial axes.

    Parameters
    ----------
    size
        Sites of a tile on every axis.
    overlap
        Sites that neighbours share at least, on every axis; at most half of the tile.
    margin
        Sites at each end of a tile that carry no weight; ``2 margin < overlap``. The rest of the overlap is the ramp.
    border
        What lies beyond the ends of the field: `periodic` or `reflecting`.
    """

    size: tuple[int, ...]
    overlap: tuple[int, ...]
    margin: int = 0
    border: Border = periodic

    def __post_init__(self) -> None:
        fits = all(0 <= 2 * self.margin < v <= s // 2 for s, v in zip(self.size, self.overlap, strict=False))
        if not 1 <= len(self.size) <= 3 or len(self.size) != len(self.overlap) or not fits:
            raise ConfigError(
                f"tiles of size {self.size}, overlap {self.overlap}, margin {self.margin}; expected one to three axes "
                "and 2 margin < overlap <= size / 2 on each"
            )

    def axis(self, axis: int, sites: int) -> tuple[Tensor, Tensor]:
        """Tiles along one axis.

        Parameters
        ----------
        axis
            Number of the spatial axis.
        sites
            Sites of the field on it.

        Returns
        -------
        index, weight
            Sites that each tile reads, and their weights, shape ``(tiles, size)``; the weights of a site sum to 1.

        Raises
        ------
        ShapeError
            If a tile is larger than the field.
        """
        size, stride, beyond = self.size[axis], self.size[axis] - self.overlap[axis], self.margin
        if size > sites:
            raise ShapeError(f"a tile has {size} sites on axis {axis}, the field {sites}; take smaller tiles")
        if self.border is periodic:
            count = -(-sites // stride)
            first = torch.arange(count) * sites // count
        else:
            span = sites + 2 * beyond - size
            count = -(-span // stride) + 1
            first = torch.arange(count) * span // max(count - 1, 1) - beyond
        site = first[:, None] + torch.arange(size)
        index = self.border(site, sites)
        inside = torch.ones_like(site, dtype=torch.bool)
        if self.border is not periodic:
            inside = (site >= 0) & (site < sites)
        weight = torch.where(inside, self._window(axis), 0.0)
        total = torch.zeros(sites, dtype=torch.float64).index_add_(0, index.reshape(-1), weight.reshape(-1))
        return index, weight / total[index]

    def _window(self, axis: int) -> Tensor:
        """Trapezoid: 0 on the margins, a ramp over the rest of the overlap, 1 between."""
        size, ramp = self.size[axis], self.overlap[axis] - 2 * self.margin
        distance = torch.arange(size, dtype=torch.float64) - self.margin + 1
        distance = torch.minimum(distance, distance.flip(0))
        return (distance / (ramp + 1)).clamp(0.0, 1.0)

    def of(self, sites: Sequence[int]) -> tuple[list[_Index], list[_Index]]:
        """Indices and weights of every tile of a field, an index and a vector of weights for each axis."""
        if len(sites) != len(self.size):
            raise ShapeError(f"a field has sites {tuple(sites)}; expected {len(self.size)} spatial axes")
        index, weight = zip(*(self.axis(axis, length) for axis, length in enumerate(sites)), strict=True)
        every = list(product(*(range(len(each)) for each in index)))
        pick = lambda parts: [tuple(part[k] for part, k in zip(parts, tile, strict=True)) for tile in every]  # noqa: E731
        return pick(index), pick(weight)

    def fuse(self, parts: Sequence[Tensor], sites: Sequence[int], power: int = 1) -> Tensor:
        """Sum ``sum_k w_k^power part_k``.

        Parameters
        ----------
        parts
            Values on every tile in the order of `of`, each of shape ``(batch, channels, *size)``.
        sites
            Sites of the field.
        power
            1, or 2 for the variance that independent values leave.
        """
        index, weight = self.of(sites)
        if len(parts) != len(index):
            raise ShapeError(f"{len(parts)} tiles came; expected {len(index)} for a field of {tuple(sites)}")
        out = parts[0].new_zeros(*parts[0].shape[:2], *sites)
        for part, where, w in zip(parts, index, weight, strict=True):
            _add(out, part, where, w, power)
        return out


def take(field: Tensor, index: _Index) -> Tensor:
    """Values of a field ``(batch, channels, *sites)`` on one tile."""
    for axis, each in enumerate(index):
        field = field.index_select(axis + 2, each.to(field.device))
    return field


def _add(out: Tensor, part: Tensor, index: _Index, weight: _Index, power: int = 1) -> None:
    for axis, w in enumerate(weight):
        part = part * (w.to(part) ** power).reshape(-1, *(1,) * (len(weight) - 1 - axis))
    site = torch.zeros((), dtype=torch.int64)
    for each, length in zip(index, out.shape[2:], strict=True):
        site = site.unsqueeze(-1) * length + each
    out.flatten(2).index_add_(2, site.reshape(-1).to(out.device), part.flatten(2))


def per_sample(condition: Tensor, index: Sequence[_Index]) -> Tensor:
    """Give every tile the condition of its sample, ``(batch, ...)``.

    Parameters
    ----------
    condition
        One row for each sample.
    index
        Sites of every tile, axis by axis.
    """
    return condition.repeat(len(index), *(1,) * (condition.ndim - 1))


def per_site(condition: Tensor, index: Sequence[_Index]) -> Tensor:
    """Give every tile its part of a condition that is a field, ``(batch, channels, *sites)``.

    Parameters
    ----------
    condition
        The field.
    index
        Sites of every tile, axis by axis.
    """
    return torch.cat([take(condition, each) for each in index])


def tiled(denoiser: Denoiser, tiles: Tiles, *, together: int = 8, crop: Crop | None = None) -> Denoiser:
    """Make a denoiser of large fields from one of tiles.

    Parameters
    ----------
    denoiser
        Denoiser of states of shape ``(batch, channels, *tiles.size)``.
    tiles
        How fields are cut.
    together
        Tiles in one batch of the inner denoiser; what bounds the memory.
    crop
        Cuts a condition for the tiles of a batch: `per_sample`, `per_site`, or a function ``(condition, indices)``.

    Returns
    -------
    Denoiser
        Of the same kind. It is booked as one call of the loop, and costs one inner evaluation of every tile.

    Raises
    ------
    ConfigError
        If the denoiser is one of a product; or, later, if a condition comes and `crop` is missing.
    """
    if not hasattr(denoiser.kind, "value") or together < 1:
        raise ConfigError(
            f"a denoiser of kind {denoiser.kind} with {together} tiles together; expected one kind, and at least one"
        )

    def function(x: State, t: State, condition: Any = None) -> State:
        if not isinstance(x, Tensor) or not isinstance(t, Tensor | float) or x.ndim != len(tiles.size) + 2:
            raise ShapeError(f"a state {getattr(x, 'shape', type(x))} came; expected (batch, channels, *sites)")
        if condition is not None and crop is None:
            raise ConfigError("a condition came and nothing says how to cut it; pass crop=per_sample or crop=per_site")
        time, out = site_time(t, x), x.new_zeros(x.shape)
        index, weight = tiles.of(x.shape[2:])
        for first in range(0, len(index), together):
            batch = index[first : first + together]
            part = torch.cat([take(x, each) for each in batch])
            t_part = time if time.numel() == 1 else torch.cat([take(time.expand_as(x), each) for each in batch])
            cut = None if condition is None or crop is None else crop(condition, batch)
            m = denoiser(part, t_part, cut)
            if not isinstance(m, Tensor) or m.shape != part.shape:
                raise ShapeError(f"a prediction {getattr(m, 'shape', type(m))} came; expected {tuple(part.shape)}")
            for tile, where, w in zip(m.split(len(x)), batch, weight[first : first + together], strict=True):
                _add(out, tile.to(out), where, w)
        return out

    return Denoiser(function, denoiser.kind)


def variance_corrected_fusion(
    tiles: Tiles, means: Sequence[Tensor], noises: Sequence[Tensor], sites: Sequence[int]
) -> Tensor:
    """Fuse tiles that were noised independently: ``sum w mu + sum w xi / sqrt(sum w^2)`` [1]_.

    Not for tiles that share one noise field, as those of the loop do: their noise has the right variance already.

    Parameters
    ----------
    tiles
        How the field is cut.
    means, noises
        Mean and noise of every tile, in the order of `Tiles.of`, shape ``(batch, channels, *size)``.
    sites
        Sites of the field.

    References
    ----------
    .. [1] Sun et al., arXiv:2602.19736
    """
    left = tiles.fuse([torch.ones_like(each[:1, :1]) for each in noises], sites, power=2)
    return tiles.fuse(means, sites) + tiles.fuse(noises, sites) / left.sqrt()
