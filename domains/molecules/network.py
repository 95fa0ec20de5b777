"""The molecular network: classes and times of atoms and pairs in, logits of the clean classes out.

Every atom and every pair is embedded from its class and its own time, so that clean (clamped) sites, padding and sites
with a clock of their own need nothing special; the number of heavy atoms is a node feature.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from scidiff.nets.graph_transformer import GraphTransformer, GraphTransformerConfig, fourier
from scidiff.spaces import State

__all__ = ["GraphDenoiserConfig", "GraphDenoiserNetwork"]


@dataclass(frozen=True)
class GraphDenoiserConfig:
    """Size and alphabet of the molecular network.

    Parameters
    ----------
    atom_states, bond_states
        Classes that come in, auxiliary ones included.
    atom_classes, bond_classes
        Clean classes that go out.
    largest
        Largest number of heavy atoms.
    trunk
        Size of the graph transformer.
    time_features
        Fourier features of a time.
    """

    atom_states: int
    bond_states: int
    atom_classes: int
    bond_classes: int
    largest: int
    trunk: GraphTransformerConfig = field(default_factory=GraphTransformerConfig)
    time_features: int = 16

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GraphDenoiserConfig:
        """Read what `to_json` wrote."""
        return cls(**{**values, "trunk": GraphTransformerConfig(**values["trunk"])})

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model card."""
        return asdict(self)


class GraphDenoiserNetwork(nn.Module):
    """Graph transformer between an embedding and two linear heads.

    Parameters
    ----------
    config
        Size and alphabet.
    """

    def __init__(self, config: GraphDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width, pair_width = config.trunk.width, config.trunk.pair_width
        self.atom_class = nn.Embedding(config.atom_states, width)
        self.bond_class = nn.Embedding(config.bond_states, pair_width)
        self.size = nn.Embedding(config.largest + 1, width)
        self.atom_time = nn.Linear(config.time_features, width)
        self.bond_time = nn.Linear(config.time_features, pair_width)
        self.trunk = GraphTransformer(config.trunk)
        self.atom_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.atom_classes))
        self.bond_head = nn.Sequential(nn.LayerNorm(pair_width), nn.Linear(pair_width, config.bond_classes))

    def forward(self, x: State, t: State, mask: Tensor) -> dict[str, Tensor]:
        """Logits of the clean classes.

        Parameters
        ----------
        x
            Classes: ``atoms`` (batch, n) and ``bonds`` (batch, n (n - 1) / 2).
        t
            Time of every site, same shapes.
        mask
            True where an atom is real, shape ``(batch, n)``.
        """
        features = self.config.time_features
        h = self.atom_class(x["atoms"]) + self.atom_time(fourier(t["atoms"], features).to(self.atom_time.weight))
        h = h + self.size(mask.sum(1)).unsqueeze(1)
        e = self.bond_class(x["bonds"]) + self.bond_time(fourier(t["bonds"], features).to(self.bond_time.weight))
        h, e = self.trunk(h, e, mask)
        return {"atoms": self.atom_head(h), "bonds": self.bond_head(e)}
