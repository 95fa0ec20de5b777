"""The Joseph projector without a matrix: entries are computed for a few rays at a time, used, and forgotten.

Forward gathers, ``(A x)_r = sum_e w_re x[i_re]``; the adjoint scatters the same entries, ``x[i_re] += w_re y_r``, so
the pair is exact. Memory is bounded by `chunk` entries whatever the scan: for large slices and for cone beam.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.linear import LinearOperator

from ..geometry import Geometry
from ..grid import Grid
from .joseph import Entries, entries
from .placement import check_placement

__all__ = ["MatrixFree"]


class MatrixFree(LinearOperator):
    """Joseph projector for any geometry.

    Parameters
    ----------
    geometry, grid
        Both two-dimensional or both three-dimensional.
    chunk
        Matrix entries in memory at once.

    Raises
    ------
    ConfigError
        If the dimensions differ, or a source lies inside the grid.
    """

    def __init__(self, geometry: Geometry, grid: Grid, chunk: int = 1 << 22) -> None:
        if geometry.dimension != grid.dimension:
            raise ConfigError(f"geometry is {geometry.dimension}-D and the grid {grid.dimension}-D; expected the same")
        check_placement(geometry, grid)
        self.domain, self.range = grid.shape, geometry.shape
        self.geometry, self.grid, self.chunk = geometry, grid, chunk

    def apply(self, x: Tensor) -> Tensor:
        """Line integrals, ``(batch, *domain)`` to ``(batch, *range)``."""
        self.check(x, self.domain, "x")
        return _Project.apply(x, self)

    def adjoint(self, y: Tensor) -> Tensor:
        """Unfiltered back-projection, ``(batch, *range)`` to ``(batch, *domain)``."""
        self.check(y, self.range, "y")
        return _Spread.apply(y, self)

    def parts(self, device: torch.device) -> Iterator[Entries]:
        """Entries of all rays, group by group; ray numbers are flat indices of the data."""
        per_ray = 2 ** (self.grid.dimension - 1) * max(self.grid.shape)
        detector = math.prod(self.geometry.detector)
        at_once = max(1, self.chunk // per_ray)
        views = max(1, at_once // detector)
        for first in range(0, self.geometry.views, views):
            points, directions = self.geometry.rays(slice(first, first + views))
            points = points.reshape(-1, self.grid.dimension).to(device)
            directions = directions.reshape(-1, self.grid.dimension).to(device)
            for begin in range(0, len(points), at_once):
                offset = first * detector + begin
                rays = slice(begin, begin + at_once)
                for part in entries(points[rays], directions[rays], self.grid):
                    yield Entries(part.rays + offset, part.index, part.weight)


class _Project(torch.autograd.Function):
    """Gather."""

    @staticmethod
    def forward(ctx, x: Tensor, operator: MatrixFree) -> Tensor:
        ctx.operator = operator
        flat = x.flatten(1)
        out = x.new_zeros(len(x), operator.size)
        for part in operator.parts(x.device):
            weight = part.weight.to(x.dtype)
            for row, image in zip(out, flat, strict=True):
                row[part.rays] = (image[part.index] * weight).sum(1)
        return out.reshape(-1, *operator.range)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Spread.apply(gradients[0], ctx.operator), None


class _Spread(torch.autograd.Function):
    """Scatter."""

    @staticmethod
    def forward(ctx, y: Tensor, operator: MatrixFree) -> Tensor:
        ctx.operator = operator
        flat = y.flatten(1)
        out = y.new_zeros(len(y), math.prod(operator.domain))
        for part in operator.parts(y.device):
            weight = part.weight.to(y.dtype)
            for row, data in zip(out, flat, strict=True):
                row.index_add_(0, part.index.flatten(), (weight * data[part.rays, None]).flatten())
        return out.reshape(-1, *operator.domain)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Project.apply(gradients[0], ctx.operator), None
