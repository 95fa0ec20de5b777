"""A sparse matrix acting on batches of rows, with derivatives in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["SparseMap"]


@dataclass(frozen=True, eq=False)
class SparseMap:
    """``x -> A x`` for ``x`` of shape ``(batch, columns)``.

    Parameters
    ----------
    row, column, value
        Entries of A.
    rows
        Number of rows of A.
    """

    row: Tensor
    column: Tensor
    value: Tensor
    rows: int

    @classmethod
    def of(cls, matrix: Any) -> SparseMap:
        """Take the entries of a scipy matrix."""
        coo = matrix.tocoo()
        row, column = (torch.from_numpy(part.astype(np.int64)) for part in (coo.row, coo.col))
        return cls(row, column, torch.from_numpy(coo.data.astype(np.float64)), coo.shape[0])

    def __call__(self, x: Tensor) -> Tensor:
        """``A x``, shape ``(batch, rows)``."""
        zero = torch.zeros(len(x), self.rows, dtype=x.dtype)
        return zero.index_add(1, self.row, x[:, self.column] * self.value)
