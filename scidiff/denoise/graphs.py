"""Networks on flat graphs as denoisers of dense ones, and dense denoisers called with flat graphs.

A torch-geometric network is a function ``network(x, edge_index, edge_attr, batch, t)``, with ``pos=`` where it reads
positions. `OnDense` gathers the real nodes and the listed edges of a dense state, calls it, and spreads what comes
back, so that padding costs nothing and cannot change a result. The value of a pair is the mean of what the network says
of its two directions. `OnFlat` is the way back. Both take `DenseGraphs` as the condition of the denoiser: the mask, and
the parts that a run does not move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, site_time
from scidiff.spaces import State
from scidiff.spaces.graphs import DenseGraphs, FlatGraphs, Selection, bonded, from_dense, to_dense

__all__ = ["OnDense", "OnFlat", "pyg_denoiser"]


@dataclass(frozen=True, eq=False)
class OnDense:
    """Function of a denoiser on dense graphs, made of a network on flat ones.

    Parameters
    ----------
    network
        Called as ``network(x, edge_index, edge_attr, batch, t)``; ``t`` is one number per graph, or per node. It
        returns a tensor where one part moves, or a mapping by part: ``nodes`` and ``positions`` one row per node,
        ``edges`` one row per directed edge. Floats come in the type of its parameters.
    moving
        Part that a state without names is.
    listed
        Pairs that get an edge, see `scidiff.spaces.graphs.from_dense`.
    per_node
        Whether the network takes one time per node. Otherwise it gets the largest time of the sites of a graph, which
        is the clock of the run also where some sites are clamped.
    reads_positions
        Whether the network takes ``pos=`` too.
    """

    network: Callable[..., Any]
    moving: str = "nodes"
    listed: Selection = bonded
    per_node: bool = False
    reads_positions: bool = False

    def __call__(self, x: State, t: State | float, condition: DenseGraphs) -> State:
        """Predict, in the form of the state.

        Raises
        ------
        ConfigError
            If the condition is no `DenseGraphs`, the network does not predict the parts that move, or edges are
            predicted and some pair is not listed.
        ShapeError
            If a prediction does not have one row per node or edge.
        """
        if not isinstance(condition, DenseGraphs):
            raise ConfigError(f"the condition is a {type(condition).__name__}; expected DenseGraphs with the mask")
        named = isinstance(x, Mapping)
        parts = dict(x) if named else {self.moving: x}
        graphs = condition.put(parts)
        flat = from_dense(graphs, self.listed)
        out = self.network(*self._inputs(flat, self._time(graphs, parts, t)), **self._position(flat))
        out = dict(out) if isinstance(out, Mapping) else {next(iter(parts)): out}
        if set(out) != set(parts):
            raise ConfigError(
                f"the network predicts {sorted(out)}; the run moves {sorted(parts)}: return those by name"
            )
        spread = {name: self._spread(name, value, flat, graphs) for name, value in out.items()}
        return spread if named else spread[self.moving]

    def _inputs(self, flat: FlatGraphs, time: Tensor) -> tuple[Any, ...]:
        t = time.flatten()[flat.row] if self.per_node else time.amax(1)
        x, edge_attr, t = (self._cast(part) for part in (flat.x, flat.edge_attr, t))
        return x, flat.edge_index, edge_attr, flat.batch, t

    def _position(self, flat: FlatGraphs) -> dict[str, Tensor | None]:
        return {"pos": self._cast(flat.pos)} if self.reads_positions else {}

    def _cast(self, part: Tensor | None) -> Tensor | None:
        parameter = next(self.network.parameters(), None) if isinstance(self.network, nn.Module) else None
        if part is None or parameter is None or not part.is_floating_point():
            return part
        return part.to(parameter.dtype)

    def _time(self, graphs: DenseGraphs, parts: Mapping[str, Tensor], t: State | float) -> Tensor:
        """Time of every node, shape ``(batch, n)``: the largest of its sites; that of edges counts for all nodes."""
        time = torch.zeros(graphs.mask.shape, dtype=torch.float64, device=graphs.mask.device)
        for name, part in parts.items():
            own = site_time(t[name] if isinstance(t, Mapping) else t, part).expand(part.shape)
            own = own.reshape(*own.shape[:2], -1).amax(-1) if own.numel() else own.new_zeros(own.shape[:2])
            if name == "edges":
                own = own.amax(1, keepdim=True) if own.shape[1] else own.new_zeros(len(own), 1)
            time = torch.maximum(time, own)
        return torch.where(graphs.mask, time, 0.0)

    def _spread(self, name: str, value: Tensor, flat: FlatGraphs, graphs: DenseGraphs) -> Tensor:
        at = flat.pair if name == "edges" else flat.row
        batch, n = graphs.mask.shape
        sites = n * (n - 1) // 2 if name == "edges" else n
        if len(value) != len(at):
            raise ShapeError(f"the network gave {len(value)} rows for {name}; expected {len(at)}")
        if name == "edges":
            if len(at) != 2 * int(graphs.pairs.sum()):
                raise ConfigError("edges are predicted but not all pairs are listed; choose listed=all_pairs")
            value = value / 2
        zero = value.new_zeros(batch * sites, *value.shape[1:])
        return zero.index_add(0, at, value).reshape(batch, sites, *value.shape[1:])


@dataclass(frozen=True, eq=False)
class OnFlat:
    """Call a function of dense graphs with flat ones, as a torch-geometric network is called.

    Parameters
    ----------
    function
        A denoiser or its function: ``(state, t, condition)``, the condition being `DenseGraphs`.
    moving
        Name of the part that is its state, or names of the factors of its state.
    size
        Number of nodes of the dense form; that of the largest graph by default.
    """

    function: Callable[[Any, Any, Any], Any]
    moving: str | tuple[str, ...] = "nodes"
    size: int | None = None

    def __call__(
        self,
        x: Tensor | None,
        edge_index: Tensor | None,
        edge_attr: Tensor | None,
        batch: Tensor,
        t: Tensor | float,
        *,
        pos: Tensor | None = None,
    ) -> Any:
        """Predict one row per node, or per directed edge; a mapping where `moving` has several names.

        Parameters
        ----------
        x, edge_index, edge_attr, batch, pos
            As for `scidiff.spaces.graphs.to_dense`.
        t
            One number, one per graph, or one per node where only nodes or positions move.

        Raises
        ------
        ShapeError
            If ``t`` has another shape.
        """
        t = torch.as_tensor(t, dtype=torch.float64, device=batch.device)
        count = len(t) if t.ndim == 1 and len(t) != len(batch) else None
        graphs = to_dense(x, edge_index, edge_attr, batch, pos=pos, count=count, size=self.size)
        names = (self.moving,) if isinstance(self.moving, str) else self.moving
        state, time = graphs.state(*names), self._time(t, graphs, names)
        if isinstance(self.moving, str):
            out = {self.moving: self.function(state[self.moving], time[self.moving], graphs)}
        else:
            out = self.function(state, time, graphs)
        row = graphs.mask.flatten()
        rows = {name: part.flatten(0, 1)[row] for name, part in out.items() if name != "edges"}
        if "edges" in out and edge_index is not None:
            local = torch.arange(graphs.mask.shape[1], device=batch.device).expand(graphs.mask.shape)[graphs.mask]
            low, high = local[edge_index].sort(dim=0).values
            rows["edges"] = out["edges"][batch[edge_index[0]], high * (high - 1) // 2 + low]
        return rows[self.moving] if isinstance(self.moving, str) else {name: rows[name] for name in names}

    def _time(self, t: Tensor, graphs: DenseGraphs, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Time of every site, 0 at padding."""
        nodes = int(graphs.mask.sum())
        if t.numel() not in (1, len(graphs), nodes) or t.ndim > 1:
            raise ShapeError(f"t has shape {tuple(t.shape)}; expected one number, {len(graphs)} (graphs) or {nodes}")
        out = {}
        for name, free in graphs.free(*names).items():
            per_graph = t.numel() == 1 or len(t) == len(graphs)
            if not per_graph and name == "edges":
                raise ShapeError("one time per node came but edges move; expected one time per graph")
            if per_graph:
                own = t.reshape(-1, 1).expand(len(graphs), free.shape[1])
            else:
                own = torch.zeros(graphs.mask.shape, dtype=t.dtype, device=t.device)
                own[graphs.mask] = t
            own = own.reshape(*own.shape, *(1,) * (free.ndim - 2))
            out[name] = torch.where(free, own, 0.0)
        return out


def pyg_denoiser(
    network: Callable[..., Any],
    kind: Kind | Mapping[str, Kind],
    *,
    moving: str = "nodes",
    listed: Selection = bonded,
    per_node: bool = False,
    reads_positions: bool = False,
) -> Denoiser:
    """Denoiser on dense graphs from a torch-geometric network.

    Parameters
    ----------
    network
        As for `OnDense`.
    kind
        What the network predicts: one kind, or one per part.
    moving, listed, per_node, reads_positions
        As for `OnDense`.
    """
    return Denoiser(OnDense(network, moving, listed, per_node, reads_positions), kind)
