"""EGNN on a molecular graph: messages know distances, bonds and triangles; E(3)-equivariant, reflections included.

For clouds ``x`` (batch, n, 3), atoms `i`, pairs `ij` with ``d_ij = |x_i - x_j|``; ``h_i`` and ``p_ij`` start from the
embedded atoms, pairs and time. One layer, with sums over real ``j, k`` other than the atom itself:

    m_ij  = phi_m(h_i, h_j, p_ij, R(d_ij))
    p_ij += U [m_ij, (1/n) sum_k A m_ik * B m_kj]          the triangle product of [2]_: paths over a third atom
    h_i  += phi_h(h_i, (1/sqrt n) sum_j m_ij)
    x_i  += (1/n) sum_j w(p_ij) (x_i - x_j) / (1 + d_ij)

with ``R_k(d) = cos(pi k d / (d + 1))``. This is the layer of [1]_ with a pair state, so that the angle between two
bonds, a distance over a common neighbour, can depend on all three atoms. The prediction is the displacement
``x^L - x^0``, centred. Distances do not change under reflection, so a molecule and its mirror image have the same law.

References
----------
.. [1] V. G. Satorras, E. Hoogeboom, M. Welling, "E(n) Equivariant Graph Neural Networks", arXiv:2102.09844
.. [2] J. Jumper et al., "Highly accurate protein structure prediction with AlphaFold", doi:10.1038/s41586-021-03819-2
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scidiff.errors import ConfigError
from scidiff.nets.graph_transformer import fourier
from scidiff.spaces.centred import centre

from .graph import ATOM_STATES, PAIR_STATES

__all__ = ["Condition", "ConformerConfig", "ConformerNetwork"]

_FIRST_STEP = 0.1


@dataclass(frozen=True)
class Condition:
    """A batch of molecular graphs.

    Parameters
    ----------
    atoms, pairs
        Whole numbers of `graph.encode`, int64, shapes ``(batch, n, 3)`` and ``(batch, n, n, 3)``.
    mask
        True where an atom is real, shape ``(batch, n)``.
    """

    atoms: Tensor
    pairs: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ConformerConfig:
    """Size of a network.

    Parameters
    ----------
    layers
        Number of layers.
    width
        Features of an atom, of a pair and of a message.
    product
        Channels of the triangle product.
    radial
        Number of radial functions.
    time
        Width of the Fourier features of the noise level, even.
    """

    layers: int = 4
    width: int = 64
    product: int = 32
    radial: int = 24
    time: int = 16

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 1 or self.time % 2:
            raise ConfigError(f"{self} is no size of a network; expected positive sizes and an even time")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ConformerConfig:
        """Read what `to_json` wrote."""
        return cls(**values)

    def to_json(self) -> dict[str, int]:
        """Plain values for a model card."""
        return asdict(self)


class _Layer(nn.Module):
    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width, product = config.width, config.product
        self.norm, self.pair_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ends = nn.Linear(width, 2 * width)
        self.pair = nn.Linear(width, width, bias=False)
        self.distance = nn.Linear(config.radial, width, bias=False)
        self.message = nn.Linear(width, width)
        self.sides = nn.Linear(width, 2 * product)
        self.from_message = nn.Linear(width, width)
        self.from_product = nn.Linear(product, width, bias=False)
        self.update = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.step = nn.Sequential(nn.SiLU(), nn.Linear(width, 1, bias=False))
        nn.init.xavier_uniform_(self.step[-1].weight, gain=_FIRST_STEP)

    def forward(self, x: Tensor, h: Tensor, p: Tensor, real: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Displacement, atom state and pair state; `real` is 1 at pairs of two atoms, `scale` is 1 / n."""
        difference = x.unsqueeze(2) - x.unsqueeze(1)
        d = (difference.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        receiver, sender = self.ends(self.norm(h)).chunk(2, dim=-1)
        inner = receiver.unsqueeze(2) + sender.unsqueeze(1) + self.pair(self.pair_norm(p))
        inner = inner + self.distance(_radial(d, self.distance.in_features))
        m = F.silu(self.message(F.silu(inner))) * real
        a, b = self.sides(m).mul(real).permute(0, 3, 1, 2).chunk(2, dim=1)
        product = (a @ b).permute(0, 2, 3, 1) * scale.unsqueeze(-1)
        p = p + self.from_message(m) + self.from_product(product)
        h = h + self.update(torch.cat([self.norm(h), m.sum(2) * scale.sqrt()], dim=-1))
        weight = self.step(p) * real / (1 + d)
        return (weight * difference).sum(2) * scale, h, p


def _radial(d: Tensor, count: int) -> Tensor:
    """``cos(pi k d / (d + 1))`` for ``k = 1 ... count``."""
    order = torch.arange(1, count + 1, dtype=d.dtype, device=d.device)
    return torch.cos(math.pi * order * d / (d + 1))


class ConformerNetwork(nn.Module):
    """Stack of layers; see the module's head for the formulas.

    Parameters
    ----------
    config
        Size of the network.
    """

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.atoms = nn.ModuleList(nn.Embedding(states, width) for states in ATOM_STATES)
        self.pairs = nn.ModuleList(nn.Embedding(states, width) for states in PAIR_STATES)
        self.time = nn.Linear(config.time, 2 * width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        """Predict one vector for every atom, centred, 0 at padding.

        Parameters
        ----------
        x
            Clouds, float32, shape ``(batch, n, 3)``.
        level
            Noise level of each cloud on a scale from 0 to 1, shape ``(batch,)``.
        condition
            Their molecules.
        """
        mask = condition.mask
        size = x.shape[1]
        other = ~torch.eye(size, dtype=torch.bool, device=x.device)
        real = (mask.unsqueeze(2) & mask.unsqueeze(1) & other).unsqueeze(-1).to(x.dtype)
        scale = 1 / mask.sum(1).to(x.dtype).reshape(-1, 1, 1)
        of_atoms, of_pairs = self.time(fourier(level, self.config.time).to(x)).chunk(2, dim=-1)
        h = of_atoms.unsqueeze(1) + sum(e(condition.atoms[..., k]) for k, e in enumerate(self.atoms))
        p = of_pairs[:, None, None] + sum(e(condition.pairs[..., k]) for k, e in enumerate(self.pairs))
        moved = torch.zeros_like(x)
        for layer in self.layers:
            step, h, p = layer(x + moved, h, p, real, scale)
            moved = moved + step
        return centre(moved, mask)
