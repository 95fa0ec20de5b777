"""Joseph's interpolation, in two and three dimensions.

Along the dominant axis ``a`` of a ray, ``|d_a| = max_b |d_b|``, the ray crosses the planes ``c_j`` of pixel centres at
``s_j = (c_j - p_a) / d_a``; there the image is interpolated linearly in the other coordinates, at
``g_b = (p_b + s_j d_b) / h_b + (N_b - 1) / 2``, and the line integral is the sum of the values times ``h_a / |d_a|``.
Corners outside the grid are dropped. On a tie the ray steps along the later coordinate: y before x, z before y.

References
----------
P. M. Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE Trans. Med. Imaging 1 (1982)
192, doi:10.1109/TMI.1982.4307572
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..grid import Grid

__all__ = ["Entries", "entries"]


@dataclass(frozen=True)
class Entries:
    """Matrix entries of some rays.

    Parameters
    ----------
    rays
        Which of the rays these are, shape ``(n,)``.
    index
        Flat voxel index, shape ``(n, slots)``, 0 where the weight is 0.
    weight
        Weight in mm, float64, same shape.
    """

    rays: Tensor
    index: Tensor
    weight: Tensor


def entries(points: Tensor, directions: Tensor, grid: Grid) -> Iterator[Entries]:
    """Yield the entries of rays, one group for each dominant axis.

    Parameters
    ----------
    points, directions
        Rays, shape ``(rays, dimension)``; float64, mm and unit vectors.
    grid
        The image grid.

    Yields
    ------
    Entries
        Of the rays that step along one axis.
    """
    size = directions.abs()
    last = size.flip(-1).argmax(-1)
    dominant = grid.dimension - 1 - last
    for coordinate in range(grid.dimension):
        rays = torch.nonzero(dominant == coordinate)[:, 0]
        if len(rays):
            yield _group(rays, points[rays], directions[rays], coordinate, grid)


def _group(rays: Tensor, points: Tensor, directions: Tensor, coordinate: int, grid: Grid) -> Entries:
    """Entries of rays that step along one coordinate."""
    dimension = grid.dimension
    axis = dimension - 1 - coordinate
    strides = [1] * dimension
    for a in range(dimension - 2, -1, -1):
        strides[a] = strides[a + 1] * grid.shape[a + 1]
    planes = grid.coordinates(axis).to(points)
    along = directions[:, coordinate, None]
    s = (planes - points[:, coordinate, None]) / along
    base = (torch.arange(len(planes), device=points.device) * strides[axis]).expand(len(rays), -1)
    step = grid.lengths[axis] / along.abs()
    corners: list[list[tuple[Tensor, Tensor]]] = []
    for b in range(dimension):
        if b == coordinate:
            continue
        other = dimension - 1 - b
        g = (points[:, b, None] + s * directions[:, b, None]) / grid.lengths[other] + 0.5 * (grid.shape[other] - 1)
        low = g.floor()
        fraction = g - low
        low = low.clamp(-2, grid.shape[other]).long()
        pair = []
        for shift, weight in ((0, 1.0 - fraction), (1, fraction)):
            i = low + shift
            inside = (i >= 0) & (i < grid.shape[other])
            pair.append((i.clamp(0, grid.shape[other] - 1) * strides[other], torch.where(inside, weight, 0.0)))
        corners.append(pair)
    indices, weights = [], []
    for choice in itertools.product(*corners):
        index, weight = base, step
        for offset, part in choice:
            index, weight = index + offset, weight * part
        indices.append(index)
        weights.append(weight)
    index, weight = torch.stack(indices, -1).flatten(1), torch.stack(weights, -1).flatten(1)
    return Entries(rays, torch.where(weight != 0, index, 0), weight)
