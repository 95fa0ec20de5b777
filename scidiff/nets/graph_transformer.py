"""A graph transformer on nodes and unordered pairs.

Nodes carry ``h`` (batch, n, width), pairs ``i < j`` carry ``e`` (batch, n (n - 1) / 2, pair_width) at position ``j (j
- 1) / 2 + i``; pairs are stored once, so the network is symmetric in (i, j) by construction and equivariant under
permutation of the nodes. One layer, with LN the layer norm, B, G, U, W linear maps:

    h += Attention(LN h; bias_ij = B LN e_ij) + G mean_j a_ij        a = A LN e, expanded to n x n
    h += FFN(LN h)
    e += W gelu(V LN e_ij + U h_i + U h_j + T sum_k a_ik * a_jk / sqrt n)

The attention is that of the graph transformer of DiGress [1]_ with the edge features as an additive bias, which lets
PyTorch's fused kernel do it; the product over the third node is that of provably powerful graph networks [2]_, and sees
the cycles that DiGress computes as extra features.

References
----------
.. [1] C. Vignac et al., "DiGress", arXiv:2209.14734
.. [2] H. Maron et al., "Provably Powerful Graph Networks", arXiv:1905.11136
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scidiff.errors import ConfigError

__all__ = ["GraphTransformer", "GraphTransformerConfig", "fourier", "pair_map"]


@dataclass(frozen=True)
class GraphTransformerConfig:
    """Size of a network.

    Parameters
    ----------
    layers
        Number of layers.
    width, pair_width
        Features of a node and of a pair.
    heads
        Attention heads; divides `width`.
    product
        Channels of the product over the third node.
    expansion
        Hidden width of the feed-forward parts, in units of their width.
    """

    layers: int = 6
    width: int = 128
    pair_width: int = 32
    heads: int = 8
    product: int = 16
    expansion: int = 2

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"width {self.width} is not a multiple of heads {self.heads}; choose one that is")


@lru_cache
def _pair_map(nodes: int) -> Tensor:
    j, i = torch.tril_indices(nodes, nodes, -1)
    position = torch.full((nodes, nodes), len(i))
    position[i, j] = position[j, i] = torch.arange(len(i))
    return position.flatten()


def pair_map(nodes: int, device: torch.device) -> Tensor:
    """Position of the pair of every ordered (i, j), flattened; the diagonal points one past the last pair."""
    return _pair_map(nodes).to(device)


@lru_cache
def _incidence(nodes: int) -> tuple[Tensor, Tensor]:
    """Pairs-by-nodes 0/1 matrix of the two ends, and the flat position ``i n + j`` of every pair."""
    j, i = torch.tril_indices(nodes, nodes, -1)
    ends = torch.zeros(len(i), nodes)
    ends[torch.arange(len(i)), i] = ends[torch.arange(len(i)), j] = 1.0
    return ends, i * nodes + j


def fourier(t: Tensor, width: int) -> Tensor:
    """Features ``cos, sin(2 pi f t)`` of a time in [0, 1], with frequencies ``f`` from 1/4 to 64 in geometric steps."""
    frequency = torch.logspace(-2, 6, width // 2, base=2.0, dtype=torch.float32, device=t.device)
    angle = 2 * math.pi * t.float().unsqueeze(-1) * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class _Layer(nn.Module):
    def __init__(self, config: GraphTransformerConfig) -> None:
        super().__init__()
        width, pair_width, product = config.width, config.pair_width, config.product
        self.heads, self.product = config.heads, product
        self.node_norm, self.pair_norm = nn.LayerNorm(width), nn.LayerNorm(pair_width)
        self.qkv = nn.Linear(width, 3 * width)
        self.from_pair = nn.Linear(pair_width, config.heads + product)
        self.attention_out = nn.Linear(width, width)
        self.message = nn.Linear(product, width)
        self.mix_norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(
            nn.Linear(width, config.expansion * width), nn.GELU(), nn.Linear(config.expansion * width, width)
        )
        hidden = config.expansion * pair_width
        self.pair_in = nn.Linear(pair_width, hidden)
        self.pair_node = nn.Linear(width, hidden, bias=False)
        self.pair_product = nn.Linear(product, hidden, bias=False)
        self.pair_out = nn.Linear(hidden, pair_width)

    def forward(self, h: Tensor, e: Tensor, mask: Tensor, key_bias: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        batch, nodes, width = h.shape
        incidence, position = _incidence(nodes)
        edge = self.pair_norm(e)
        square = F.pad(self.from_pair(edge), (0, 0, 0, 1)).index_select(1, pair_map(nodes, h.device))
        square = square.view(batch, nodes, nodes, -1).permute(0, 3, 1, 2)
        bias, a = square[:, : self.heads], square[:, self.heads :] * mask[:, None, None, :]
        q, k, v = self.qkv(self.node_norm(h)).view(batch, nodes, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = bias.to(q.dtype) + key_bias.to(q.dtype)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        h = h + self.attention_out(attended.transpose(1, 2).reshape(batch, nodes, width))
        h = h + self.message((a.sum(-1) / count).transpose(1, 2))
        h = h + self.mix(self.mix_norm(h))
        cycles = (a @ a.transpose(-1, -2)).flatten(2).index_select(2, position.to(h.device)).transpose(1, 2)
        cycles = cycles / count.sqrt()
        ends = incidence.to(h) @ self.pair_node(h)
        inner = self.pair_in(edge) + ends + self.pair_product(cycles)
        return h, e + self.pair_out(F.gelu(inner))


class GraphTransformer(nn.Module):
    """Stack of layers; see the module's head for the formulas.

    Parameters
    ----------
    config
        Size of the network.
    """

    def __init__(self, config: GraphTransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, h: Tensor, e: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Update node and pair features.

        Parameters
        ----------
        h
            Node features, shape ``(batch, n, width)``.
        e
            Pair features, shape ``(batch, n (n - 1) / 2, pair_width)``.
        mask
            True where a node is real, shape ``(batch, n)``.
        """
        count = mask.sum(1).to(h.dtype)[:, None, None]
        key_bias = torch.zeros_like(mask, dtype=h.dtype).masked_fill(~mask, -1e4)[:, None, None, :]
        for layer in self.layers:
            h, e = layer(h, e, mask, key_bias, count)
        return h, e
