"""Which nodes of a cloud see each other: all of one graph, or those closer than a cutoff.

Nodes of several graphs lie one after the other in flat tensors, and ``batch`` says to which graph a node belongs. An
edge leads from a source `j` to a target `i` of the same graph, ``i != j``; both directions are listed. Up to
`DENSE_LIMIT` nodes all distances are taken; beyond, a k-d tree finds the pairs, in the time of a sort. Both ways give
the same list, in the same order.

A network that uses a cutoff has to multiply what an edge carries by an `envelope`, which is 1 at distance 0 and falls
to 0 with two continuous derivatives at the cutoff; then no output jumps when an edge comes or goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["DENSE_LIMIT", "Edges", "complete_edges", "envelope", "neighbours", "radius_edges"]

DENSE_LIMIT = 2048


@dataclass(frozen=True)
class Edges:
    """Directed edges.

    Parameters
    ----------
    source, target
        Nodes that an edge leads from and to, int64, shape ``(edges,)``; sorted by target, then by source.
    """

    source: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.source)


def complete_edges(batch: Tensor) -> Edges:
    """All ordered pairs of different nodes of one graph.

    Parameters
    ----------
    batch
        Graph of each node, int64, shape ``(nodes,)``, in any order.
    """
    order = torch.argsort(batch, stable=True)
    sizes = torch.bincount(batch)
    size, offset = sizes[batch], (sizes.cumsum(0) - sizes)[batch]
    target = torch.arange(len(batch), device=batch.device).repeat_interleave(size)
    before = (size.cumsum(0) - size).repeat_interleave(size)
    rank = torch.arange(len(target), device=batch.device) - before
    source = order[offset.repeat_interleave(size) + rank]
    keep = source != target
    return Edges(source[keep], target[keep])


def radius_edges(x: Tensor, batch: Tensor, cutoff: float) -> Edges:
    """All ordered pairs of different nodes of one graph closer than the cutoff.

    Parameters
    ----------
    x
        Positions, shape ``(nodes, d)``.
    batch
        Graph of each node, int64, shape ``(nodes,)``, in any order.
    cutoff
        Distance, in the unit of the positions.

    Raises
    ------
    ConfigError
        If the cutoff is not positive.
    """
    if not cutoff > 0:
        raise ConfigError(f"cutoff is {cutoff}; expected a positive distance")
    x = x.detach().double()
    if len(x) > DENSE_LIMIT:
        return _by_tree(x, batch, cutoff)
    near = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") < cutoff
    near = (near & (batch.unsqueeze(1) == batch)).fill_diagonal_(False)
    target, source = near.nonzero(as_tuple=True)
    return Edges(source, target)


def _by_tree(x: Tensor, batch: Tensor, cutoff: float) -> Edges:
    """Pairs of a k-d tree; one more coordinate keeps the graphs two cutoffs apart."""
    from scipy.spatial import cKDTree

    points = torch.cat([x, 2 * cutoff * batch.unsqueeze(1)], dim=1).cpu().numpy()
    pairs = cKDTree(points).query_pairs(cutoff * (1 + 1e-6), output_type="ndarray").astype(np.int64)
    i, j = torch.from_numpy(pairs).to(x.device).unbind(1)
    near = (x[i] - x[j]).norm(dim=1) < cutoff
    target, source = torch.cat([i[near], j[near]]), torch.cat([j[near], i[near]])
    order = torch.argsort(target * len(x) + source)
    return Edges(source[order], target[order])


def neighbours(x: Tensor, batch: Tensor, cutoff: float | None) -> Edges:
    """Edges within the cutoff, or all edges of every graph where it is ``None``."""
    return complete_edges(batch) if cutoff is None else radius_edges(x, batch, cutoff)


def envelope(square: Tensor, cutoff: float | None) -> Tensor:
    """Weight ``(1 - d^2 / cutoff^2)^3`` of an edge of squared distance ``square``; 1 without a cutoff."""
    return torch.ones_like(square) if cutoff is None else (1 - square / cutoff**2).clamp(min=0) ** 3
