"""A quick look for similar folds: coarse distance maps of windows, compared as vectors.

A window of ``L`` residues is cut into 12 equal pieces; the distances between their mean CA, divided by ``d0(L)`` of the
TM-score and cut off at 8, make 66 numbers. Folds that superpose have like maps; the library chain is seen through all
windows of the length of the query, every third residue, so that a part of it is found too. One matrix product ranks a
whole library; the best are then aligned in full (`tmalign`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chains import Chains
from .superpose import tm_scale

__all__ = ["coarse_map", "shortlist"]

_PIECES = 12
_STRIDE = 3
_FAR = 8.0


def coarse_map(ca: Tensor) -> Tensor:
    """Coarse distance maps of windows.

    Parameters
    ----------
    ca
        CA, Å, shape ``(windows, length, 3)`` of at least twelve residues.

    Returns
    -------
    Tensor
        Shape ``(windows, 66)``.
    """
    size = ca.shape[1]
    edges = torch.linspace(0, size, _PIECES + 1).round().long()
    piece = torch.bucketize(torch.arange(size), edges[1:], right=True)
    share = torch.zeros(_PIECES, size, dtype=ca.dtype)
    share[piece, torch.arange(size)] = 1.0
    middle = (share / share.sum(1, keepdim=True)) @ ca
    row, column = torch.triu_indices(_PIECES, _PIECES, 1)
    apart = (middle[:, row] - middle[:, column]).norm(dim=-1) / tm_scale(torch.tensor(size)).to(ca)
    return apart.clamp(max=_FAR)


def shortlist(ca: Tensor, library: Chains, keep: int) -> Tensor:
    """Rows of a library whose folds are most like that of a chain.

    Parameters
    ----------
    ca
        CA of the chain, Å, shape ``(length, 3)``.
    library
        The library.
    keep
        Number of rows.

    Returns
    -------
    Tensor
        Numbers of rows, int64, shape ``(min(keep, len(library)),)``, best first.
    """
    size, places, sizes = len(ca), library.ca.to(ca), library.lengths
    if keep >= len(library) or size < _PIECES:
        return torch.arange(len(library))[:keep] if keep < len(library) else torch.arange(len(library))
    best = torch.full((len(library),), torch.inf, dtype=ca.dtype)
    want = coarse_map(ca.unsqueeze(0))
    for start in range(0, max(places.shape[1] - size, 0) + 1, _STRIDE):
        rows = torch.nonzero(sizes >= start + size).squeeze(1)
        if len(rows):
            off = (coarse_map(places[rows, start : start + size]) - want).square().mean(1)
            best[rows] = torch.minimum(best[rows], off)
    for row in torch.nonzero((sizes < size) & (sizes >= _PIECES)).squeeze(1).tolist():
        shorter = int(sizes[row])
        starts = range(0, size - shorter + 1, _STRIDE)
        parts = torch.stack([ca[start : start + shorter] for start in starts])
        off = (coarse_map(parts) - coarse_map(places[row : row + 1, :shorter])).square().mean(1).min()
        # a short partner can cover a part of the chain only
        best[row] = off + 2.0 * (1 - shorter / size)
    return best.topk(keep, largest=False).indices
