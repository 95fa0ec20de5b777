"""Tanimoto similarity in bulk.

The Tanimoto similarity of two bit sets is ``T = |A and B| / (|A| + |B| - |A and B|)``, and 1 for two empty sets. The
intersections of a block of molecules with another are one matrix product of 0/1 matrices; the entries are integers
below ``2^24``, so float32 holds them exactly and the result does not depend on how the blocks are cut. Fingerprints are
kept as packed bits and blocks are unpacked as they are needed, which bounds the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ShapeError

__all__ = ["group_similarity", "nearest_other", "nearest_similarity"]

_ROWS, _COLUMNS = 2048, 4096


def nearest_similarity(packed: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Largest Tanimoto similarity of each molecule to a reference set.

    Parameters
    ----------
    packed
        Packed fingerprints, shape ``(n, bytes)``.
    reference
        Packed fingerprints of the reference set, shape ``(m, bytes)``, ``m >= 1``.

    Returns
    -------
    nearest
        Values in [0, 1], float64, shape ``(n,)``.

    Raises
    ------
    ShapeError
        If the fingerprints have different lengths or the reference set is empty.
    """
    _check_pair(packed, reference)
    nearest = torch.zeros(len(packed))
    for rows, _, block in _blocks(packed, reference):
        nearest[rows] = torch.maximum(nearest[rows], block.amax(dim=1))
    return nearest.double().numpy()


def nearest_other(packed: np.ndarray) -> np.ndarray:
    """Largest Tanimoto similarity of each molecule to another one of its set.

    Parameters
    ----------
    packed
        Packed fingerprints, shape ``(n, bytes)``.

    Returns
    -------
    nearest
        Values in [0, 1], float64, shape ``(n,)``; 0 in a set of one.
    """
    nearest = torch.zeros(len(packed))
    for rows, columns, block in _blocks(packed, packed):
        first = max(rows.start, columns.start)
        own = torch.arange(first, max(first, min(rows.stop, columns.stop)))
        block[own - rows.start, own - columns.start] = 0.0
        nearest[rows] = torch.maximum(nearest[rows], block.amax(dim=1))
    return nearest.double().numpy()


def group_similarity(packed: np.ndarray, labels: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Summed similarities of each molecule of a set to each group of the same set.

    Parameters
    ----------
    packed
        Packed fingerprints, shape ``(n, bytes)``.
    labels
        Group of each molecule, shape ``(n,)``, integers below `groups`.
    groups
        Number of groups.

    Returns
    -------
    sums
        Sum of ``T`` over the molecules of a group, the molecule itself included, shape ``(n, groups)``.
    squares
        Sum of ``T^2``, likewise.
    """
    sums = torch.zeros(len(packed), groups, dtype=torch.float64)
    squares = torch.zeros_like(sums)
    for group in range(groups):
        for rows, _, block in _blocks(packed, packed[labels == group]):
            sums[rows, group] += block.sum(dim=1, dtype=torch.float64)
            squares[rows, group] += block.square().sum(dim=1, dtype=torch.float64)
    return sums.numpy(), squares.numpy()


def _check_pair(packed: np.ndarray, reference: np.ndarray) -> None:
    """Refuse an empty reference set and fingerprints of different length."""
    if len(reference) == 0 or packed.shape[1:] != reference.shape[1:]:
        raise ShapeError(
            f"fingerprints have shapes {packed.shape} and {reference.shape}; expected the same number of bytes and a "
            "reference molecule at least: compute both with the same bits"
        )


def _blocks(packed: np.ndarray, others: np.ndarray) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield row slice, column slice and Tanimoto similarities of each block."""
    for top in range(0, len(packed), _ROWS):
        rows = slice(top, min(top + _ROWS, len(packed)))
        left = _unpack(packed[rows])
        for start in range(0, len(others), _COLUMNS):
            columns = slice(start, min(start + _COLUMNS, len(others)))
            right = _unpack(others[columns])
            both = left @ right.T
            either = left.sum(dim=1, keepdim=True) + right.sum(dim=1) - both
            yield rows, columns, torch.where(either > 0, both / either.clamp(min=1.0), 1.0)


def _unpack(packed: np.ndarray) -> Tensor:
    """0/1 float32 matrix of packed bits."""
    return torch.from_numpy(np.unpackbits(packed, axis=1)).float()
