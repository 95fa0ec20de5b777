"""Batches of graphs of different sizes: dense with a mask, flat as in torch-geometric, and the way between them.

*Dense*: ``nodes`` (batch, n, ...), ``positions`` (batch, n, d) and a `mask` (batch, n) that is True where a node is
real. An undirected edge is one value of an unordered pair ``i < j``, at position ``j (j - 1)/2 + i`` of ``edges``
(batch, n (n - 1)/2, ...), so that noise on edges is symmetric and a larger n adds pairs behind those of a smaller one:
padding changes no draw. A pair whose value is 0 (class 0, or all features 0) has no edge.

*Flat*: the nodes of all graphs lie one after the other, ``batch`` is the graph of each node, and every edge stands
twice in ``edge_index`` (2, E), once in each direction, with equal values in ``edge_attr``.

The parts of a dense batch are a state of the samplers, its `free` sites are the real ones, and what a run does not
change (the mask, a fixed topology, fixed features) is the same object, handed to the denoiser as its condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scidiff.errors import ConfigError, DataError, ShapeError

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data

__all__ = [
    "DenseGraphs",
    "FlatGraphs",
    "all_pairs",
    "bonded",
    "from_dense",
    "from_pyg",
    "near",
    "pair_ends",
    "to_dense",
    "to_pyg",
]

_PARTS = ("nodes", "edges", "positions")


def pair_ends(nodes: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Ends ``i < j`` of the unordered pairs of `nodes` nodes, in the order ``j (j - 1)/2 + i``."""
    j, i = torch.tril_indices(nodes, nodes, -1, device=device)
    return i, j


@dataclass(frozen=True, eq=False)
class DenseGraphs:
    """Graphs of at most n nodes.

    Parameters
    ----------
    mask
        True where a node is real, shape ``(batch, n)``.
    nodes
        Class or features of each node, shape ``(batch, n)`` or ``(batch, n, features)``.
    edges
        Class or features of each unordered pair, 0 without an edge, shape ``(batch, n (n - 1)/2, ...)``.
    positions
        Coordinates, shape ``(batch, n, d)``.

    Raises
    ------
    ShapeError
        If a part does not fit the mask.
    """

    mask: Tensor
    nodes: Tensor | None = None
    edges: Tensor | None = None
    positions: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != torch.bool:
            raise ShapeError(f"mask is {self.mask.dtype} {tuple(self.mask.shape)}; expected bool of shape (batch, n)")
        batch, n = self.mask.shape
        for name, sites in (("nodes", n), ("edges", n * (n - 1) // 2), ("positions", n)):
            part = getattr(self, name)
            if part is not None and tuple(part.shape[:2]) != (batch, sites):
                raise ShapeError(
                    f"{name} have shape {tuple(part.shape)}; expected ({batch}, {sites}, ...) for this mask"
                )

    def __len__(self) -> int:
        return len(self.mask)

    @property
    def pairs(self) -> Tensor:
        """True where both nodes of a pair are real, shape ``(batch, n (n - 1)/2)``."""
        i, j = pair_ends(self.mask.shape[1], self.mask.device)
        return self.mask[:, i] & self.mask[:, j]

    def state(self, *names: str) -> dict[str, Tensor]:
        """Parts by name, a state of the samplers; all that are there by default.

        Raises
        ------
        ConfigError
            If a part is not there.
        """
        parts = {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}
        missing = set(names) - set(parts)
        if missing:
            raise ConfigError(f"parts {sorted(missing)} were asked for; these graphs have {sorted(parts)}")
        return {name: parts[name] for name in names or parts}

    def free(self, *names: str) -> dict[str, Tensor]:
        """True at the real sites of each part, in its shape; what a run may move."""
        real = {"nodes": self.mask, "edges": self.pairs, "positions": self.mask}
        parts = self.state(*names)
        return {k: real[k].reshape(*part.shape[:2], *(1,) * (part.ndim - 2)).expand(part.shape) for k, part in
                parts.items()}  # fmt: skip

    def shape(self, *names: str) -> dict[str, tuple[int, ...]]:
        """Event shape of each part."""
        return {name: tuple(part.shape[1:]) for name, part in self.state(*names).items()}

    def put(self, parts: Mapping[str, Tensor]) -> DenseGraphs:
        """Graphs with other values in some parts, e.g. the end of a run.

        Raises
        ------
        ConfigError
            If a name is no part of a graph.
        """
        unknown = set(parts) - set(_PARTS)
        if unknown:
            raise ConfigError(f"parts {sorted(unknown)} came; a graph has {_PARTS}")
        return replace(self, **parts)

    def take(self, index: Tensor) -> DenseGraphs:
        """Graphs of the chosen rows, in the given order."""
        return DenseGraphs(self.mask[index], **{name: part[index] for name, part in self.state().items()})


Selection = Callable[[DenseGraphs], Tensor]


def bonded(graphs: DenseGraphs) -> Tensor:
    """Pairs that have an edge, shape ``(batch, n (n - 1)/2)``.

    Raises
    ------
    ConfigError
        If the graphs have no edges.
    """
    if graphs.edges is None:
        raise ConfigError("the graphs have no edges, so none can be listed; choose all_pairs or near(cutoff)")
    value = graphs.edges != 0
    return (value if value.ndim == 2 else value.flatten(2).any(-1)) & graphs.pairs


def all_pairs(graphs: DenseGraphs) -> Tensor:
    """All pairs of real nodes, shape ``(batch, n (n - 1)/2)``."""
    return graphs.pairs


def near(cutoff: float) -> Selection:
    """Selection of the pairs of real nodes closer than a cutoff, in the unit of the positions.

    Raises
    ------
    ConfigError
        If the cutoff is not positive, or graphs without positions come.
    """
    if not cutoff > 0:
        raise ConfigError(f"cutoff is {cutoff}; expected a positive distance")

    def select(graphs: DenseGraphs) -> Tensor:
        if graphs.positions is None:
            raise ConfigError("the graphs have no positions, so no distances; choose bonded or all_pairs")
        i, j = pair_ends(graphs.mask.shape[1], graphs.mask.device)
        gap = graphs.positions[:, i] - graphs.positions[:, j]
        return (gap.norm(dim=-1) < cutoff) & graphs.pairs

    return select


@dataclass(frozen=True, eq=False)
class FlatGraphs:
    """The same graphs as torch-geometric has them, and where each row comes from.

    Parameters
    ----------
    batch
        Graph of each node, int64, shape ``(N,)``, rising.
    edge_index
        Source and target of every directed edge, int64, shape ``(2, E)``, sorted by source, then by target.
    x, edge_attr, pos
        Values of nodes, directed edges and positions, where there are any.
    row
        Row of each node among the ``batch * n`` dense ones.
    pair
        Position of each directed edge among the ``batch * n (n - 1)/2`` dense pairs.
    """

    batch: Tensor
    edge_index: Tensor
    x: Tensor | None
    edge_attr: Tensor | None
    pos: Tensor | None
    row: Tensor
    pair: Tensor


def from_dense(graphs: DenseGraphs, listed: Selection = bonded) -> FlatGraphs:
    """Gather the real nodes, and list the selected pairs in both directions.

    Parameters
    ----------
    graphs
        Dense graphs.
    listed
        Which pairs get an edge: `bonded`, `all_pairs`, ``near(cutoff)``, or any function like them.
    """
    batch, n = graphs.mask.shape
    device = graphs.mask.device
    row = graphs.mask.flatten().nonzero().squeeze(1)
    number = torch.full((batch * n,), -1, device=device)
    number[row] = torch.arange(len(row), device=device)
    i, j = pair_ends(n, device)
    graph, place = (listed(graphs) & graphs.pairs).nonzero(as_tuple=True)
    low, high = number[graph * n + i[place]], number[graph * n + j[place]]
    source, target = torch.cat([low, high]), torch.cat([high, low])
    order = torch.argsort(source * max(len(row), 1) + target)
    pair = (graph * len(i) + place).repeat(2)[order]
    values = {name: part.flatten(0, 1) for name, part in graphs.state().items()}
    return FlatGraphs(
        batch=row // max(n, 1),
        edge_index=torch.stack([source[order], target[order]]),
        x=values["nodes"][row] if "nodes" in values else None,
        edge_attr=values["edges"][pair] if "edges" in values else None,
        pos=values["positions"][row] if "positions" in values else None,
        row=row,
        pair=pair,
    )


def to_dense(
    x: Tensor | None,
    edge_index: Tensor | None,
    edge_attr: Tensor | None,
    batch: Tensor,
    *,
    pos: Tensor | None = None,
    count: int | None = None,
    size: int | None = None,
) -> DenseGraphs:
    """Spread flat graphs over dense tensors; padding is 0.

    Parameters
    ----------
    x
        Values of the nodes, shape ``(N, ...)``, or None.
    edge_index
        Directed edges, each undirected one in both directions, shape ``(2, E)``; None for graphs without edges.
    edge_attr
        Class or features of every edge, shape ``(E, ...)``, never 0; 1 for all by default.
    batch
        Graph of each node, int64, shape ``(N,)``, rising.
    pos
        Positions of the nodes, shape ``(N, ...)``, or None.
    count
        Number of graphs, more than ``batch`` names if the last ones are empty.
    size
        Number of nodes n of the dense form; that of the largest graph by default.

    Raises
    ------
    ShapeError
        If shapes do not fit, the batch index falls, or a graph is larger than `size`.
    DataError
        If edges are not those of undirected simple graphs, or an edge has the value 0.
    """
    count = _check_nodes(x, pos, batch, count)
    sizes = torch.bincount(batch, minlength=count)
    largest = int(sizes.max()) if count else 0
    size = largest if size is None else size
    if largest > size:
        raise ShapeError(f"a graph has {largest} nodes; expected at most size = {size}: choose a larger size")
    local = torch.arange(len(batch), device=batch.device) - (sizes.cumsum(0) - sizes)[batch]
    mask = torch.arange(size, device=batch.device) < sizes.unsqueeze(1)
    spread = lambda part: None if part is None else _scatter(part, batch * size + local, count, size)  # noqa: E731
    edges = None
    if edge_index is not None:
        edge_attr = _check_edges(edge_index, edge_attr, batch)
        once = edge_index[0] < edge_index[1]
        low, high = local[edge_index[:, once]]
        pairs = size * (size - 1) // 2
        edges = _scatter(
            edge_attr[once], batch[edge_index[0, once]] * pairs + high * (high - 1) // 2 + low, count, pairs
        )
    return DenseGraphs(mask, spread(x), edges, spread(pos))


def _scatter(part: Tensor, at: Tensor, count: int, size: int) -> Tensor:
    return part.new_zeros(count * size, *part.shape[1:]).index_copy(0, at, part).reshape(count, size, *part.shape[1:])


def _check_nodes(x: Tensor | None, pos: Tensor | None, batch: Tensor, count: int | None) -> int:
    fits = batch.ndim == 1 and batch.dtype == torch.int64 and bool((batch.diff() >= 0).all())
    if not fits or (len(batch) and int(batch[0]) < 0):
        raise ShapeError("batch is no rising int64 vector; expected the graph of each node, graph after graph")
    for name, part in (("x", x), ("pos", pos)):
        if part is not None and len(part) != len(batch):
            raise ShapeError(f"{name} has {len(part)} rows and batch {len(batch)}; expected one row per node")
    least = int(batch[-1]) + 1 if len(batch) else 0
    if count is not None and count < least:
        raise ShapeError(f"count is {count} but batch names graph {least - 1}; expected at least {least}")
    return least if count is None else count


def _check_edges(edge_index: Tensor, edge_attr: Tensor | None, batch: Tensor) -> Tensor:
    nodes = len(batch)
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
        raise ShapeError(f"edge_index is {edge_index.dtype} {tuple(edge_index.shape)}; expected int64 of shape (2, E)")
    if edge_attr is None:
        edge_attr = torch.ones(edge_index.shape[1], dtype=torch.int64, device=edge_index.device)
    if len(edge_attr) != edge_index.shape[1]:
        raise ShapeError(f"edge_attr has {len(edge_attr)} rows; expected one per edge, {edge_index.shape[1]}")
    if not edge_index.numel():
        return edge_attr
    if int(edge_index.min()) < 0 or int(edge_index.max()) >= nodes:
        raise DataError(f"edge_index names nodes in [{int(edge_index.min())}, {int(edge_index.max())}] of {nodes}")
    source, target = edge_index
    if bool((source == target).any()):
        raise DataError("a node has an edge to itself; expected simple graphs: remove self-loops")
    if bool((batch[source] != batch[target]).any()):
        raise DataError("an edge joins two graphs of the batch; check edge_index against batch")
    there, back = torch.argsort(source * nodes + target), torch.argsort(target * nodes + source)
    key = (source * nodes + target)[there]
    if bool((key.diff() == 0).any()) or not torch.equal(key, (target * nodes + source)[back]):
        raise DataError("an edge stands twice, or in one direction only; expected both directions once: coalesce")
    if not torch.equal(edge_attr[there], edge_attr[back]):
        raise DataError("the two directions of an edge have different edge_attr; expected undirected graphs")
    if not bool((edge_attr != 0).reshape(len(edge_attr), -1).any(1).all()):
        raise DataError("an edge has the value 0, which means no edge; number the classes from 1, or add a feature")
    return edge_attr


def from_pyg(data: Data | Batch, *, size: int | None = None) -> DenseGraphs:
    """Dense form of a torch-geometric batch, or of a single graph; reads ``x``, ``edge_index``, ``edge_attr``, ``pos``.

    Parameters
    ----------
    data
        The graphs.
    size
        As for `to_dense`.

    Raises
    ------
    ShapeError, DataError
        As for `to_dense`.
    """
    batch = getattr(data, "batch", None)
    if batch is None:
        batch, count = torch.zeros(int(data.num_nodes or 0), dtype=torch.int64), 1
    else:
        count = int(data.num_graphs)
    return to_dense(data.x, data.edge_index, data.edge_attr, batch, pos=data.pos, count=count, size=size)


def to_pyg(graphs: DenseGraphs, listed: Selection | None = None) -> Batch:
    """Torch-geometric batch of dense graphs.

    Parameters
    ----------
    graphs
        The graphs.
    listed
        Which pairs get an edge; by default those with a value, and none where the graphs have no edges.
    """
    from torch_geometric.data import Batch, Data

    graphs_of = []
    for k in range(len(graphs)):
        one = graphs.take(torch.tensor([k]))
        if listed is None and graphs.edges is None:
            flat, index = from_dense(one, lambda each: torch.zeros_like(each.pairs)), None
        else:
            flat = from_dense(one, bonded if listed is None else listed)
            index = flat.edge_index
        parts = {"x": flat.x, "edge_index": index, "edge_attr": flat.edge_attr, "pos": flat.pos}
        parts = {name: part for name, part in parts.items() if part is not None}
        graphs_of.append(Data(num_nodes=len(flat.row), **parts))
    return Batch.from_data_list(graphs_of)
