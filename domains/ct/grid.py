"""The image grid: ``c_i = (i - (N - 1) / 2) h`` on every axis, centred on the rotation axis.

Arrays are indexed ``[y, x]`` or ``[z, y, x]``; every index grows with its coordinate. Vectors are ``(x, y)`` or
``(x, y, z)``: array axis ``a`` is coordinate ``D - 1 - a``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """Voxels of one size.

    Parameters
    ----------
    shape
        Array shape, ``(rows, columns)`` or ``(slices, rows, columns)``.
    voxel
        Edge of a voxel, mm: one number, or one for each array axis.

    Raises
    ------
    ConfigError
        If a number is not positive.
    """

    shape: tuple[int, ...]
    voxel: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        voxel = self.voxel if isinstance(self.voxel, tuple) else (self.voxel,) * len(shape)
        voxel = tuple(float(h) for h in voxel)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ConfigError(f"grid has shape {self.shape}; expected two or three positive numbers")
        if len(voxel) != len(shape) or not all(h > 0 and math.isfinite(h) for h in voxel):
            raise ConfigError(f"voxel is {self.voxel} mm; expected a positive length, or one for each of {shape}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "voxel", voxel)

    @classmethod
    def square(cls, count: int, extent: float) -> Grid:
        """Square of ``count`` x ``count`` pixels with an edge of ``extent`` mm."""
        return cls((count, count), extent / count)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def lengths(self) -> tuple[float, ...]:
        """Voxel edge for each array axis, mm."""
        return tuple(self.voxel)  # type: ignore[arg-type]

    @property
    def radius(self) -> float:
        """Half the diagonal of the (x, y) plane, mm: no ray farther from the axis meets the grid."""
        return 0.5 * math.hypot(self.shape[-1] * self.lengths[-1], self.shape[-2] * self.lengths[-2])

    def coordinates(self, axis: int) -> Tensor:
        """Centres along an array axis, mm, float64."""
        count = self.shape[axis]
        return (torch.arange(count, dtype=torch.float64) - 0.5 * (count - 1)) * self.lengths[axis]

    def points(self) -> Tensor:
        """Centres of all voxels as vectors, shape ``(*shape, dimension)``, coordinates ``(x, y[, z])``."""
        axes = torch.meshgrid(*(self.coordinates(a) for a in range(self.dimension)), indexing="ij")
        return torch.stack(axes[::-1], -1)

    def refined(self, factor: int) -> Grid:
        """Same extent with ``factor`` times as many voxels on every axis."""
        return Grid(tuple(n * factor for n in self.shape), tuple(h / factor for h in self.lengths))
