"""ASTRA's projectors behind the contract: the one file that imports astra.

Two-dimensional scans run on the CPU (``linear``, which is Joseph's, for parallel beams; ``line_fanflat`` for fan
beams). Three-dimensional ones need CUDA: without it ASTRA would end the process, so that the question is asked here
first. ASTRA counts image rows downwards in y in two dimensions, and upwards in three: the former are turned here.

References
----------
W. van Aarle et al., "Fast and flexible X-ray tomography using the ASTRA toolbox", Optics Express 24 (2016) 25129,
doi:10.1364/OE.24.025129. The toolbox is under GPL-3; it is used only where it has been installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError, MissingPackageError
from scidiff.spaces.linear import LinearOperator

from ..geometry import Cone, Fan, Geometry, Parallel
from ..grid import Grid

__all__ = ["AstraProjector", "has_astra"]


def _astra() -> Any:
    """Import ASTRA."""
    try:
        import astra
    except ImportError as error:
        raise MissingPackageError(
            f"astra-toolbox cannot be imported ({error}); install it with \"pip install 'scidiff[ct]'\", or use "
            "system_matrix or MatrixFree, which need nothing"
        ) from error
    return astra


def has_astra() -> bool:
    """Whether ASTRA can be imported."""
    try:
        _astra()
    except MissingPackageError:
        return False
    return True


class AstraProjector(LinearOperator):
    """One of ASTRA's projectors, called once for each image of a batch.

    Parameters
    ----------
    geometry
        Parallel, fan, or cone.
    grid
        Grid with square voxels.
    projector
        ASTRA's name of a two-dimensional projector; by default ``linear`` for parallel and ``line_fanflat`` for fan
        beams. Not used in three dimensions.

    Raises
    ------
    MissingPackageError
        If ASTRA is not installed.
    ConfigError
        If the scan is three-dimensional and there is no CUDA device, or the geometry has no counterpart.
    """

    def __init__(self, geometry: Geometry, grid: Grid, projector: str = "") -> None:
        self.astra = _astra()
        if geometry.dimension != grid.dimension:
            raise ConfigError(f"geometry is {geometry.dimension}-D and the grid {grid.dimension}-D; expected the same")
        if len(set(grid.lengths)) != 1:
            raise ConfigError(f"voxel is {grid.voxel} mm; ASTRA's projectors need square voxels")
        if grid.dimension == 3 and not self.astra.use_cuda():
            raise ConfigError(
                "ASTRA projects in three dimensions on CUDA devices only and there is none; use MatrixFree"
            )
        self.domain, self.range = grid.shape, geometry.shape
        self.volume = _volume(self.astra, grid)
        self.projection = _projection(self.astra, geometry)
        self.projector = None
        if grid.dimension == 2:
            name = projector or ("linear" if isinstance(geometry, Parallel) else "line_fanflat")
            self.projector = self.astra.create_projector(name, self.projection, self.volume)

    def apply(self, x: Tensor) -> Tensor:
        """Line integrals, ``(batch, *domain)`` to ``(batch, *range)``."""
        self.check(x, self.domain, "x")
        return torch.stack([self._forward(_numpy(image)) for image in x]).to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Unfiltered back-projection; on CUDA devices ASTRA's pair is matched only approximately."""
        self.check(y, self.range, "y")
        return torch.stack([self._backward(_numpy(data)) for data in y]).to(y)

    def _forward(self, image: np.ndarray) -> Tensor:
        if self.projector is None:
            key, out = self.astra.create_sino3d_gpu(np.ascontiguousarray(image), self.projection, self.volume)
            self.astra.data3d.delete(key)
            return torch.from_numpy(np.ascontiguousarray(out.swapaxes(0, 1)))
        key, out = self.astra.create_sino(np.ascontiguousarray(np.flip(image, -2)), self.projector)
        self.astra.data2d.delete(key)
        return torch.from_numpy(out.copy())

    def _backward(self, data: np.ndarray) -> Tensor:
        if self.projector is None:
            swapped = np.ascontiguousarray(data.swapaxes(0, 1))
            key, out = self.astra.create_backprojection3d_gpu(swapped, self.projection, self.volume)
            self.astra.data3d.delete(key)
            return torch.from_numpy(np.ascontiguousarray(out))
        key, out = self.astra.create_backprojection(data, self.projector)
        self.astra.data2d.delete(key)
        return torch.from_numpy(np.ascontiguousarray(np.flip(out, -2)))

    def close(self) -> None:
        """Free ASTRA's objects."""
        if self.projector is not None:
            self.astra.projector.delete(self.projector)
            self.projector = None


def _numpy(image: Tensor) -> np.ndarray:
    return image.detach().cpu().to(torch.float32).numpy()


def _volume(astra: Any, grid: Grid) -> Any:
    """Volume geometry with the grid's extent in mm."""
    half = [0.5 * n * h for n, h in zip(grid.shape, grid.lengths, strict=True)]
    limits = [bound for extent in reversed(half) for bound in (-extent, extent)]
    if grid.dimension == 2:
        return astra.create_vol_geom(*grid.shape, *limits)
    slices, rows, columns = grid.shape
    return astra.create_vol_geom(rows, columns, slices, *limits)


def _projection(astra: Any, geometry: Geometry) -> Any:
    """Projection geometry in ASTRA's vector form, so that an axis offset is one number more and no special case."""
    if isinstance(geometry, Parallel):
        across, along = geometry.frame()
        middle = (0.5 * (geometry.columns - 1) - geometry.axis) * geometry.pitch * across
        vectors = torch.cat([along, middle, geometry.pitch * across], 1).numpy()
        return astra.create_proj_geom("parallel_vec", geometry.columns, vectors)
    if not isinstance(geometry, Fan):
        raise ConfigError(f"{type(geometry).__name__} has no counterpart here; expected Parallel, Fan or Cone")
    across, along = geometry.frame()
    middle = (geometry.source_detector - geometry.source_axis) * along
    middle = middle + (0.5 * (geometry.columns - 1) - geometry.axis) * geometry.pitch * across
    source, step = -geometry.source_axis * along, geometry.pitch * across
    if not isinstance(geometry, Cone):
        return astra.create_proj_geom("fanflat_vec", geometry.columns, torch.cat([source, middle, step], 1).numpy())
    flat, height = across.new_zeros(geometry.views, 1), across.new_ones(geometry.views, 1)
    rise = 0.5 * float(geometry.v[0] + geometry.v[-1])
    vertical = torch.cat([flat, flat, height * float(geometry.row_pitch or 0.0)], 1)
    vectors = torch.cat([source, flat, middle, rise * height, step, flat, vertical], 1).numpy()
    return astra.create_proj_geom("cone_vec", geometry.rows, geometry.columns, vectors)
