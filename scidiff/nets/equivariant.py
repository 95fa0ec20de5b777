"""One contract for networks on point clouds that commute with the motions of space.

    f : (x, h, t) -> (v, s)        x positions, h node features, t time, v one vector and s scalars per node

For a rotation `R` (and a reflection, where the network declares it), a shift `c` and a permutation `P`

    f(x R^T + c, h, t) = (v R^T, s)        f(P x, P h, P t) = (P v, P s).

Clouds of different sizes come in one of two forms. *Dense*: ``x`` has shape ``(batch, n, d)`` and a `mask` says which
points are real. *Sparse*: the nodes of all graphs lie one after the other, ``x`` has shape ``(nodes, d)``, and `batch`
is the graph of each node, as in the batches of torch-geometric. A network computes on the sparse form; the dense one
is gathered, so that padding costs nothing and cannot change a result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scidiff.errors import ShapeError
from scidiff.nets.neighbours import Edges, neighbours
from scidiff.spaces.centred import centre

__all__ = ["CentredVectors", "EquivariantNetwork", "Nodes", "Prediction"]


class Prediction(NamedTuple):
    """Output of a network: `vectors` of the shape of ``x``, and `scalars` of shape ``(..., scalars)``; padding is 0."""

    vectors: Tensor
    scalars: Tensor


class EquivariantNetwork(nn.Module, ABC):
    """Base of the networks; a subclass writes `flat`.

    Attributes
    ----------
    features
        Width of the node features that come.
    cutoff
        Distance within which nodes see each other, or ``None`` for all nodes of a graph.
    reflections
        Whether a reflected cloud gives reflected vectors and the same scalars. A network that declares it cannot tell
        a molecule from its mirror image; for one that does not, only rotations are promised.
    dims
        Number of coordinates, or ``None`` where any number will do.
    """

    features: int
    cutoff: float | None = None
    reflections: bool
    dims: int | None = None

    @abstractmethod
    def flat(self, x: Tensor, h: Tensor, t: Tensor, edges: Edges) -> Prediction:
        """Evaluate on flat nodes.

        Parameters
        ----------
        x, h
            Positions ``(nodes, d)`` and features ``(nodes, features)``.
        t
            Time of each node, shape ``(nodes,)``.
        edges
            Who sees whom.
        """

    def forward(
        self, x: Tensor, h: Tensor, t: Tensor | float, *, mask: Tensor | None = None, batch: Tensor | None = None
    ) -> Prediction:
        """Evaluate on a dense or on a sparse batch.

        Parameters
        ----------
        x
            Positions, shape ``(batch, n, d)`` or ``(nodes, d)``.
        h
            Node features, shape ``(batch, n, features)`` or ``(nodes, features)``.
        t
            Time: one value, one per graph, or one per node; also one per coordinate if those of a node are equal, as a
            sampler has them.
        mask
            True where a node of a dense batch is real, shape ``(batch, n)``; all are by default.
        batch
            Graph of each node of a sparse batch, int64, shape ``(nodes,)``; one graph by default.

        Raises
        ------
        ShapeError
            If a shape does not fit, or the coordinates of a node have different times.
        """
        self._check(x, h, mask, batch)
        if x.ndim == 2:
            batch = torch.zeros(len(x), dtype=torch.int64, device=x.device) if batch is None else batch
            graphs = int(batch.max()) + 1 if len(batch) else 0
            return self.flat(x, h, _node_time(t, x, batch, graphs), neighbours(x, batch, self.cutoff))
        count, size, d = x.shape
        x, h = x.reshape(-1, d), h.reshape(count * size, -1)
        graph = torch.arange(count, device=x.device).repeat_interleave(size)
        time = _node_time(t, x, graph, count)
        row = torch.arange(len(x), device=x.device) if mask is None else mask.flatten().nonzero().squeeze(1)
        out = self.flat(x[row], h[row], time[row], neighbours(x[row], graph[row], self.cutoff))
        spread = (part.new_zeros(len(x), part.shape[1]).index_copy(0, row, part) for part in out)
        return Prediction(*(part.view(count, size, -1) for part in spread))

    def _check(self, x: Tensor, h: Tensor, mask: Tensor | None, batch: Tensor | None) -> None:
        dense = x.ndim == 3
        if x.ndim not in (2, 3) or (self.dims is not None and x.shape[-1] != self.dims):
            raise ShapeError(
                f"x has shape {tuple(x.shape)}; expected (batch, n, {self.dims or 'd'}) or (nodes, {self.dims or 'd'})"
            )
        if h.shape != (*x.shape[:-1], self.features):
            raise ShapeError(f"h has shape {tuple(h.shape)}; expected {(*x.shape[:-1], self.features)}")
        if (mask is not None and (not dense or mask.shape != x.shape[:2])) or (
            batch is not None and (dense or batch.shape != x.shape[:1])
        ):
            raise ShapeError(
                f"x of shape {tuple(x.shape)} came with mask {None if mask is None else tuple(mask.shape)} and batch "
                f"{None if batch is None else tuple(batch.shape)}; expected a mask (batch, n) with a dense batch, or a "
                "batch index (nodes,) with a sparse one"
            )


def _node_time(t: Tensor | float, x: Tensor, batch: Tensor, graphs: int) -> Tensor:
    """Time of each of the flat nodes ``x``."""
    t = torch.as_tensor(t, device=x.device)
    if t.numel() == 1:
        return t.reshape(1).expand(len(x))
    if t.ndim > 1 and t.numel() == x.numel() and t.shape[-1] == x.shape[-1]:
        t = t.reshape(x.shape)
        if not bool((t == t[:, :1]).all()):
            raise ShapeError("the coordinates of a node have different times; expected one time per node")
        return t[:, 0]
    if t.numel() == graphs:
        return t.reshape(-1)[batch]
    if t.numel() == len(x):
        return t.reshape(-1)
    raise ShapeError(f"t has shape {tuple(t.shape)}; expected one time, {graphs} (graphs) or {len(x)} (nodes)")


@dataclass(frozen=True)
class Nodes:
    """What a run does not change about its nodes: the condition of a denoiser on point clouds.

    Parameters
    ----------
    h
        Node features, shape ``(batch, n, features)``.
    mask
        True where a node is real, shape ``(batch, n)``; all are by default.
    """

    h: Tensor
    mask: Tensor | None = None


class CentredVectors(nn.Module):
    """The vectors of a network, projected onto the clouds of zero mean: ``(x, t, Nodes) -> prediction``.

    The function of a denoiser on the space `scidiff.spaces.Centred`, for every prediction kind of a Gaussian process.
    The network sees its own floating-point type, the caller gets back that of ``x``.

    Parameters
    ----------
    network
        Network on point clouds.
    """

    def __init__(self, network: EquivariantNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor | float, condition: Nodes) -> Tensor:
        """Predict one vector per node.

        Parameters
        ----------
        x
            Clouds, shape ``(batch, n, d)``.
        t
            Time, as for `EquivariantNetwork.forward`.
        condition
            Features and mask of the nodes.
        """
        dtype = next(self.network.parameters()).dtype
        vectors = self.network(x.to(dtype), condition.h.to(dtype), t, mask=condition.mask).vectors
        return centre(vectors.to(x.dtype), condition.mask)
