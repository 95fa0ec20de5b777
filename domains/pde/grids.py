"""Staggered grids with obstacles: velocities on faces, pressures in cells, streamfunctions at corners.

All arrays are indexed ``[..., i, j]`` with ``i`` along x and ``j`` along y, on a periodic box of ``(nx, ny)`` cells of
size ``(hx, hy)``. Whatever else a domain has is made of solid cells: a wall is a row of them, a rectangle is a frame of
them, and what flows in or out is a prescribed flux on the faces of a solid cell. So every array has shape ``(nx, ny)``:

    p[i, j]     centre of cell (i, j)
    u[i, j]     normal velocity on its face towards i - 1
    v[i, j]     normal velocity on its face towards j - 1
    psi[i, j]   its corner towards (i - 1, j - 1)

    (D w)[i, j]   = (u[i+1, j] - u[i, j]) / hx + (v[i, j+1] - v[i, j]) / hy
    (C psi)[i, j] = ( (psi[i, j+1] - psi[i, j]) / hy,  -(psi[i+1, j] - psi[i, j]) / hx )

and ``D C = 0`` by cancellation of equal terms. A face is *free* if both of its cells are fluid; the others are *fixed*.
Corners that a fixed face joins must carry one value of psi where nothing flows through: they form *classes*, one for
each solid body, and the fields ``C psi`` with psi constant on classes are those that flow around the bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError

__all__ = ["MacGrid", "curl", "divergence", "shift", "vorticity"]

Array = TypeVar("Array", np.ndarray, Tensor)
Spacing = tuple[float, float]
_BY_SHAPE = cast("Spacing", None)


def shift(field: Array, by: int, axis: int) -> Array:
    """Periodic neighbours: entry ``i`` of the result is entry ``i + by`` of the field along `axis`."""
    if isinstance(field, Tensor):
        return torch.roll(field, -by, axis)
    return np.roll(field, -by, axis)


def divergence(u: Array, v: Array, spacing: Spacing) -> Array:
    """``D w`` in every cell, solid ones too; shape ``(..., nx, ny)``, unit of velocity over length."""
    return (shift(u, 1, -2) - u) / spacing[0] + (shift(v, 1, -1) - v) / spacing[1]


def curl(psi: Array, spacing: Spacing) -> tuple[Array, Array]:
    """``C psi = (d_y psi, -d_x psi)`` on the faces: without divergence by algebra, with zero mean flow."""
    return (shift(psi, 1, -1) - psi) / spacing[1], (psi - shift(psi, 1, -2)) / spacing[0]


def vorticity(u: Array, v: Array, spacing: Spacing) -> Array:
    """``d_x v - d_y u`` at the corners; at a solid body it counts what is on the fixed faces as it is."""
    return (v - shift(v, -1, -2)) / spacing[0] - (u - shift(u, -1, -1)) / spacing[1]


@dataclass(frozen=True, eq=False)
class MacGrid:
    """A periodic box of square or rectangular cells, some of which are solid.

    Parameters
    ----------
    obstacles
        True in solid cells, shape ``(nx, ny)``, at least 2 cells along each axis and one fluid cell.
    spacing
        Size ``(hx, hy)`` of a cell; by default ``1 / nx`` for both, so that the box has length 1 along x.

    Raises
    ------
    ShapeError
        If the mask is not a two-dimensional array of booleans.
    ConfigError
        If no cell is fluid, or a spacing is not positive.
    """

    obstacles: np.ndarray
    spacing: Spacing = _BY_SHAPE

    def __post_init__(self) -> None:
        mask = np.array(self.obstacles.cpu() if isinstance(self.obstacles, Tensor) else self.obstacles)
        if mask.ndim != 2 or mask.dtype != bool or min(mask.shape) < 2:
            raise ShapeError(
                f"obstacles have shape {mask.shape} and dtype {mask.dtype}; expected booleans (nx, ny), 2 or more each"
            )
        if mask.all():
            raise ConfigError("every cell is solid; leave at least one cell to the fluid")
        spacing = self.spacing or (1.0 / mask.shape[0],) * 2
        if not min(spacing) > 0:
            raise ConfigError(f"spacing is {spacing}; expected two positive lengths")
        mask.setflags(write=False)
        object.__setattr__(self, "obstacles", mask)
        object.__setattr__(self, "spacing", (float(spacing[0]), float(spacing[1])))

    @classmethod
    def framed(cls, obstacles: np.ndarray, spacing: Spacing | None = None) -> MacGrid:
        """Rectangle with four walls: one column and one row of solid cells are added at index 0."""
        mask = np.pad(np.asarray(obstacles, dtype=bool), ((1, 0), (1, 0)), constant_values=True)
        return cls(mask, spacing or (1.0 / obstacles.shape[0],) * 2)

    @classmethod
    def channel(cls, obstacles: np.ndarray, spacing: Spacing | None = None) -> MacGrid:
        """Channel along x, periodic, whose two walls are the two sides of a solid row put at ``j = 0``."""
        mask = np.array(obstacles, dtype=bool)
        mask[:, 0] = True
        return cls(mask, spacing)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Number of cells along x and y."""
        return self.obstacles.shape[0], self.obstacles.shape[1]

    @cached_property
    def fluid(self) -> np.ndarray:
        """True in fluid cells."""
        return ~self.obstacles

    @cached_property
    def free(self) -> np.ndarray:
        """True on faces between two fluid cells, shape ``(2, nx, ny)``: first those of u, then those of v."""
        return np.stack([self.fluid & shift(self.fluid, -1, axis) for axis in (0, 1)])

    @cached_property
    def component(self) -> np.ndarray:
        """Number of the connected fluid region of each cell, from 0; -1 in solid cells."""
        cells = np.arange(self.fluid.size).reshape(self.shape)
        ends = [(cells[free], shift(cells, -1, axis)[free]) for axis, free in enumerate(self.free)]
        label = _components(self.fluid.size, ends).reshape(self.shape)
        out = np.full(self.shape, -1)
        out[self.fluid] = np.unique(label[self.fluid], return_inverse=True)[1]
        return out

    @cached_property
    def corner_class(self) -> np.ndarray:
        """Class of each corner: corners joined by fixed faces share one."""
        corners = np.arange(self.fluid.size).reshape(self.shape)
        fixed = ~self.free
        ends = [(corners[fixed[axis]], shift(corners, 1, 1 - axis)[fixed[axis]]) for axis in (0, 1)]
        return _components(self.fluid.size, ends).reshape(self.shape)

    @cached_property
    def free_corners(self) -> np.ndarray:
        """True at corners that no fixed face touches."""
        fixed_u, fixed_v = ~self.free
        return ~(fixed_u | shift(fixed_u, -1, 1) | fixed_v | shift(fixed_v, -1, 0))

    @cached_property
    def divergence_matrix(self) -> sparse.csr_array:
        """``D`` on all faces, shape ``(nx ny, 2 nx ny)``; faces are numbered as ``(2, nx, ny)``, row by row."""
        size = self.fluid.size
        cells = np.arange(size).reshape(self.shape)
        rows, columns, values = [], [], []
        for axis, h in enumerate(self.spacing):
            for face, sign in ((cells, -1.0), (shift(cells, 1, axis), 1.0)):
                rows.append(cells.ravel())
                columns.append(face.ravel() + axis * size)
                values.append(np.full(size, sign / h))
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_array(entries, shape=(size, 2 * size))

    @cached_property
    def curl_matrix(self) -> sparse.csr_array:
        """``C`` on all corners, shape ``(2 nx ny, nx ny)``."""
        size = self.fluid.size
        corners = np.arange(size).reshape(self.shape)
        rows, columns, values = [], [], []
        for axis, sign in ((0, 1.0), (1, -1.0)):
            h = self.spacing[1 - axis]
            for corner, side in ((corners, -sign), (shift(corners, 1, 1 - axis), sign)):
                rows.append(corners.ravel() + axis * size)
                columns.append(corner.ravel())
                values.append(np.full(size, side / h))
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_array(entries, shape=(2 * size, size))

    def relative_divergence(self, u: Array, v: Array) -> float:
        """Largest ``|D w|`` in fluid cells over ``max |w| / h``: 0 up to round-off for an incompressible flow."""
        worst = abs(divergence(u, v, self.spacing)[..., self.fluid]).max()
        speed = max(float(abs(u).max()), float(abs(v).max()))
        return float(worst) * min(self.spacing) / speed if speed else 0.0


def _components(size: int, ends: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Connected components of a graph given by the two ends of its edges."""
    a, b = (np.concatenate(part) for part in zip(*ends, strict=True))
    graph = sparse.csr_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(size, size))
    return connected_components(graph, directed=False)[1]
