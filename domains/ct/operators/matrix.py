"""The system matrix of a two-dimensional scan in compressed rows, applied to a batch of images in one product.

``A`` and ``A^T`` are both stored, ``A^T`` as the exact transpose, so that

    <A x, y> = <x, A^T y>

to round-off, and both directions stream through memory by rows. A batch is laid out ``(pixels, batch)``.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.linear import LinearOperator

from ..geometry import Geometry
from ..grid import Grid
from .joseph import entries
from .matrix_folder import MatrixFolder, matrix_key
from .placement import check_placement

__all__ = ["SystemMatrix", "joseph_matrix", "system_matrix"]

_CHUNK = 1 << 23
_KEPT, _KEPT_ENTRIES = 8, 100_000_000
_cache: OrderedDict[str, SystemMatrix] = OrderedDict()


def joseph_matrix(geometry: Geometry, grid: Grid, dtype: torch.dtype = torch.float64) -> scipy.sparse.csr_matrix:
    """Build the matrix.

    Parameters
    ----------
    geometry
        Two-dimensional geometry.
    grid
        Two-dimensional grid.
    dtype
        Type of the entries, float32 or float64; they are computed in float64.

    Returns
    -------
    scipy.sparse.csr_matrix
        Shape ``(views * columns, pixels)``, mm, explicit zeros dropped.

    Raises
    ------
    ConfigError
        If geometry and grid are not both two-dimensional, or a source lies inside the grid.
    """
    _check(geometry, grid)
    per_view = int(np.prod(geometry.detector)) * 2 * max(grid.shape)
    step = max(1, _CHUNK // per_view)
    kind = np.float32 if dtype == torch.float32 else np.float64
    blocks = []
    for first in range(0, geometry.views, step):
        points, directions = geometry.rays(slice(first, first + step))
        blocks.append(_block(points.reshape(-1, 2), directions.reshape(-1, 2), grid).astype(kind))
    return scipy.sparse.vstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]


def _check(geometry: Geometry, grid: Grid) -> None:
    if geometry.dimension != 2 or grid.dimension != 2:
        raise ConfigError(
            f"geometry is {geometry.dimension}-D and the grid {grid.dimension}-D; a system matrix is for 2-D scans: "
            "use MatrixFree"
        )
    check_placement(geometry, grid)


def _block(points: Tensor, directions: Tensor, grid: Grid) -> scipy.sparse.csr_matrix:
    """Rows of some rays."""
    parts, order = [], []
    for part in entries(points, directions, grid):
        index, weight = part.index.numpy(), part.weight.numpy()
        keep = weight != 0
        pointer = np.concatenate([[0], np.cumsum(keep.sum(1))])
        shape = (len(part.rays), grid.size)
        parts.append(scipy.sparse.csr_matrix((weight[keep], index[keep].astype(np.int32), pointer), shape=shape))
        order.append(part.rays.numpy())
    rows = np.argsort(np.concatenate(order), kind="stable")
    stacked = scipy.sparse.csr_matrix(scipy.sparse.vstack(parts))[rows]
    stacked.sort_indices()
    return stacked


def _torch_csr(matrix: scipy.sparse.csr_matrix, dtype: torch.dtype, device: str | torch.device) -> Tensor:
    """Copy to torch, with 32-bit indices where they suffice."""
    kind = np.int32 if max(matrix.nnz, *(matrix.shape or ())) < 2**31 else np.int64
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Ss]parse (CSR|invariant).*")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(kind, copy=False)),
            torch.from_numpy(matrix.indices.astype(kind, copy=False)),
            torch.from_numpy(matrix.data).to(dtype),
            matrix.shape,
            device=device,
        )


class _Product(torch.autograd.Function):
    """``A x`` whose gradient is ``A^T g``; nothing is kept for it."""

    @staticmethod
    def forward(ctx, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.pair = (matrix, transposed)
        return matrix @ x

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        matrix, transposed = ctx.pair
        return _Product.apply(gradients[0].contiguous(), transposed, matrix), None, None


class SystemMatrix(LinearOperator):
    """A projector as a sparse matrix and its transpose.

    Parameters
    ----------
    matrix
        Shape ``(prod(range), prod(domain))``.
    domain, range
        Event shapes of image and data.
    dtype
        Type of the stored entries; a batch of another type is converted on the way in and back on the way out.
    device
        Where the product runs.
    """

    def __init__(
        self,
        matrix: scipy.sparse.csr_matrix,
        domain: tuple[int, ...],
        range: tuple[int, ...],
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        if matrix.shape != (int(np.prod(range)), int(np.prod(domain))):
            raise ConfigError(f"matrix has shape {matrix.shape}; expected rows for {range} and columns for {domain}")
        self.domain, self.range = tuple(domain), tuple(range)
        self.forward_matrix = _torch_csr(matrix, dtype, device)
        self.transposed = _torch_csr(matrix.T.tocsr(), dtype, device)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the stored entries."""
        return self.forward_matrix.dtype

    @property
    def entries(self) -> int:
        """Number of stored entries."""
        return self.forward_matrix.values().numel()

    def apply(self, x: Tensor) -> Tensor:
        """Line integrals, ``(batch, *domain)`` to ``(batch, *range)``."""
        self.check(x, self.domain, "x")
        return self._product(x, self.forward_matrix, self.transposed).reshape(-1, *self.range)

    def adjoint(self, y: Tensor) -> Tensor:
        """Unfiltered back-projection, ``(batch, *range)`` to ``(batch, *domain)``."""
        self.check(y, self.range, "y")
        return self._product(y, self.transposed, self.forward_matrix).reshape(-1, *self.domain)

    def _product(self, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        # one column is summed in another order than several, and results must not depend on how samples are batched
        columns = (x if len(x) > 1 else x.expand(2, *x.shape[1:])).flatten(1).to(matrix).T.contiguous()
        return _Product.apply(columns, matrix, transposed).T[: len(x)].to(x)


def system_matrix(
    geometry: Geometry,
    grid: Grid,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    folder: str | Path | None = None,
) -> SystemMatrix:
    """Joseph projector of a two-dimensional scan; the last few are kept in memory and given again.

    Parameters
    ----------
    geometry, grid
        Two-dimensional.
    dtype
        Type of the stored entries.
    device
        Where products run.
    folder
        Keep the matrix on the disk, too, and read it from there (`MatrixFolder`); by default the folder that the
        environment variable ``SCIDIFF_CT_MATRICES`` names, and none where it is not set.

    Returns
    -------
    SystemMatrix
        The operator. It needs about 8 bytes for each entry of a float32 matrix, twice: ``A`` and ``A^T``.

    Raises
    ------
    ConfigError
        If geometry and grid are not both two-dimensional, or a source lies inside the grid.
    """
    _check(geometry, grid)
    name = matrix_key(geometry, grid, dtype)
    key = f"{name} {device}"
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key]
    kept = MatrixFolder.named(folder)
    build = partial(joseph_matrix, geometry, grid, dtype)
    matrix = build() if kept is None else kept.get(name, build)
    operator = SystemMatrix(matrix, grid.shape, geometry.shape, dtype, device)
    _cache[key] = operator
    while len(_cache) > 1 and (len(_cache) > _KEPT or sum(one.entries for one in _cache.values()) > _KEPT_ENTRIES):
        _cache.popitem(last=False)
    return operator
