"""Message passing over the residues of a backbone, with the types that are known so far.

With ``h_i`` the state of a residue, ``e_ij`` that of an edge and ``j`` over the neighbours of ``i``, one layer is

    h_i  += k^-1 sum_j phi(h_i, h_j, e_ij);    h_i += psi(h_i);    e_ij += chi(h_i, h_j, e_ij)

Types enter through ``h`` at the start, a masked one as the 21st type. No time enters: what is masked tells it. ``k`` is
the number of neighbours asked for, also where a chain has fewer, so that padding changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scidiff.errors import ConfigError

from ..residues import UNKNOWN
from .graph import EDGE, NODE, OFFSETS, ResidueGraph, gather

__all__ = ["SequenceConfig", "SequenceNetwork"]


@dataclass(frozen=True)
class SequenceConfig:
    """Size of a network.

    Parameters
    ----------
    layers, width
        Layers, and features of residues and edges.
    neighbours
        Nearest residues that send messages.
    """

    layers: int = 3
    width: int = 64
    neighbours: int = 16

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 1:
            raise ConfigError(f"{self} is no size of a network; expected positive sizes")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**values)

    def to_json(self) -> dict[str, int]:
        """Plain values for a model card."""
        return asdict(self)


class _Message(nn.Module):
    """Perceptron of ``(h_i, h_j, e_ij)``; what reads residues alone is computed once for each of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ends, self.edge = nn.Linear(width, 2 * width), nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, e: Tensor, neighbour: Tensor) -> Tensor:
        """Value of every edge."""
        mine, theirs = self.ends(h).chunk(2, dim=-1)
        return self.out(F.gelu(self.edge(e) + mine.unsqueeze(2) + gather(theirs, neighbour)))


class _Layer(nn.Module):
    def __init__(self, width: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.norm, self.edge_norm, self.mix_norm = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.message, self.bond = _Message(width), _Message(width)
        self.mix = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, h: Tensor, e: Tensor, graph: ResidueGraph) -> tuple[Tensor, Tensor]:
        """Next states of residues and edges."""
        real = graph.real.unsqueeze(-1)
        sent = torch.where(real, self.message(self.norm(h), self.edge_norm(e), graph.neighbour), 0.0).sum(2)
        h = h + sent / self.neighbours
        h = h + self.mix(self.mix_norm(h))
        return h, e + self.bond(self.norm(h), self.edge_norm(e), graph.neighbour)


class SequenceNetwork(nn.Module):
    """Stack of layers; see the module's head for the formulas.

    Parameters
    ----------
    config
        Size of the network.
    """

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.residue, self.offset = nn.Embedding(UNKNOWN + 1, width), nn.Embedding(OFFSETS, width)
        self.node, self.edge = nn.Linear(NODE, width), nn.Linear(EDGE, width)
        self.layers = nn.ModuleList(_Layer(width, config.neighbours) for _ in range(config.layers))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, UNKNOWN))

    def forward(self, x: Tensor, graph: ResidueGraph) -> Tensor:
        """Predict types.

        Parameters
        ----------
        x
            Types, int64, shape ``(batch, length)``; 20 where masked.
        graph
            The backbone.

        Returns
        -------
        Tensor
            Logits of the 20 types, shape ``(batch, length, 20)``.
        """
        h = self.residue(x) + self.node(graph.node)
        e = self.edge(graph.edge) + self.offset(graph.offset)
        for layer in self.layers:
            h, e = layer(h, e, graph)
        return self.head(h)
