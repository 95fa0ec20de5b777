"""A transformer whose features are tensors of degree ``l``: attention along edges with spherical harmonics.

A node carries ``f_l`` (widths[l], 2 l + 1) for ``l = 0 ... L``; under a rotation `R` they turn by the Wigner matrices
``D_l(R)``. For an edge ``j -> i`` of length `d` and softened direction ``u = (x_j - x_i) / sqrt(d^2 + s^2)``

    k_ij^l3 = concat over paths (l1, l2, l3) of  W(d, h_i, h_j)  sum_ab C^(l1 l2 l3)_abc f_j^l1_a Y_l2(u)_b
    a_ij    = softmax_j( <q_i, k_ij> / sqrt(dim) + bias(d, h_i, h_j) )      per head, q_i = Q LN f_i
    f_i    += O sum_j a_ij k_ij
    f_i    += gated feed-forward of LN f_i

(features on the right are those after a norm; the softmax is `scatter_attention`, which fades with the cutoff). `C` are
the Wigner 3j symbols and ``h = f_0``; this is the attention of SE(3)-Transformers [1]_ with a tensor product
channel by channel. Harmonics and 3j symbols are those of e3nn [2]_, whose basis of ``l = 1`` is (x, y, z).
``Y_l(u) = |u|^l Y_l(u / |u|)`` is a polynomial of a smooth `u`, so the network is smooth where points coincide.

Without reflections every path is allowed, cross products too: SO(3). With them a tensor of degree `l` has parity
``(-1)^l`` and only paths of even ``l1 + l2 + l3`` are kept: O(3).

References
----------
.. [1] F. Fuchs et al., "SE(3)-Transformers", arXiv:2006.10503
.. [2] M. Geiger, T. Smidt, "e3nn: Euclidean Neural Networks", arXiv:2207.09453
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scidiff.errors import ConfigError
from scidiff.nets.equivariant import EquivariantNetwork, Prediction
from scidiff.nets.graph_transformer import fourier
from scidiff.nets.neighbours import Edges, envelope
from scidiff.nets.scatter import scatter_attention, scatter_sum

__all__ = ["TensorTransformer", "TensorTransformerConfig"]

_EPS = 1e-5
Path = tuple[int, int, int]


@dataclass(frozen=True)
class TensorTransformerConfig:
    """Size of a network.

    Parameters
    ----------
    features
        Width of the node features that come.
    scalars
        Number of scalars per node that go out.
    layers
        Number of layers.
    widths
        Channels of each degree ``l = 0 ... L``; at least two degrees, multiples of `heads`.
    heads
        Attention heads.
    reflections
        Whether the network commutes with reflections, O(3), or with rotations only, SO(3).
    radial
        Number of radial functions.
    reach
        Typical distance, in the unit of the positions: where the radial functions resolve best.
    softening
        Length `s` below which directions fade, in the unit of the positions.
    time
        Width of the Fourier features of the time, even.
    cutoff
        Distance within which nodes see each other, in the unit of the positions; ``None`` for all.
    """

    features: int
    scalars: int = 1
    layers: int = 2
    widths: tuple[int, ...] = (32, 16, 8)
    heads: int = 4
    reflections: bool = True
    radial: int = 8
    reach: float = 2.0
    softening: float = 0.1
    time: int = 16
    cutoff: float | None = None

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or any(width < 1 or width % self.heads for width in self.widths):
            raise ConfigError(
                f"widths are {self.widths} with {self.heads} heads; expected one positive multiple of heads for each "
                "of the degrees 0, 1, ..., at least two"
            )
        sizes, lengths = (self.scalars, self.layers, self.radial, self.time), (self.reach, self.softening)
        small = self.features < 0 or min(sizes) < 1 or not min(lengths) > 0
        if small or self.time % 2 or (self.cutoff is not None and not self.cutoff > 0):
            raise ConfigError(f"{self} is no size of a network; expected positive sizes, an even time and a cutoff > 0")

    def paths(self, received: int, made: int) -> tuple[Path, ...]:
        """Products ``(l1, l2, l3)`` of a feature, ``l1 < received``, and a harmonic that are kept, ``l3 < made``."""
        degrees = range(len(self.widths))
        every = ((a, b, c) for a in range(received) for b in degrees for c in range(made) if abs(a - b) <= c <= a + b)
        return tuple(path for path in every if not (self.reflections and sum(path) % 2))


@lru_cache
def _coupling(path: Path, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Wigner 3j symbols, scaled so that unit variances stay unit variances."""
    from e3nn.o3 import wigner_3j

    return (math.sqrt(2 * path[2] + 1) * wigner_3j(*path, dtype=torch.float64)).to(device=device, dtype=dtype)


class _Linear(nn.Module):
    """Linear map of the channels of each degree; scalars have a bias."""

    def __init__(self, widths: tuple[int, ...], out: tuple[int, ...]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(
            nn.Linear(a, b, bias=l == 0) for l, (a, b) in enumerate(zip(widths, out, strict=True))
        )

    def forward(self, f: list[Tensor]) -> list[Tensor]:
        return [linear(part.transpose(1, 2)).transpose(1, 2) for linear, part in zip(self.maps, f, strict=True)]


class _Norm(nn.Module):
    """Layer norm of the scalars, root-mean-square norm of the tensors of each degree."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.scalars = nn.LayerNorm(widths[0])
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(width)) for width in widths[1:])

    def forward(self, f: list[Tensor]) -> list[Tensor]:
        out = [self.scalars(f[0].squeeze(-1)).unsqueeze(-1)]
        for part, weight in zip(f[1:], self.weights, strict=True):
            out.append(part * weight.unsqueeze(-1) * (part.square().mean((1, 2), keepdim=True) + _EPS).rsqrt())
        return out


class _FeedForward(nn.Module):
    """Scalars through SiLU, other degrees times a sigmoid of scalars."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = widths
        self.into = _Linear(widths, (sum(widths), *widths[1:]))
        self.out = _Linear(widths, widths)

    def forward(self, f: list[Tensor]) -> list[Tensor]:
        first, *rest = self.into(f)
        scalars, *gates = first.split(self.widths, dim=1)
        return self.out([F.silu(scalars), *(part * gate.sigmoid() for part, gate in zip(rest, gates, strict=True))])


class _Attention(nn.Module):
    """Attention from the first `received` to the first `made` degrees."""

    def __init__(self, config: TensorTransformerConfig, received: int, made: int) -> None:
        super().__init__()
        self.paths, self.widths, self.heads = config.paths(received, made), config.widths, config.heads
        self.weights = [config.widths[path[0]] for path in self.paths]
        keys = tuple(
            sum(width for path, width in zip(self.paths, self.weights, strict=True) if path[2] == l)
            for l in range(made)
        )
        self.dim = sum(width * (2 * l + 1) for l, width in enumerate(keys)) // config.heads
        shared = min(received, made)
        self.query = _Linear(config.widths[:shared], keys[:shared])
        self.out = _Linear(keys, config.widths[:made])
        self.ends = nn.Linear(config.widths[0], 2 * config.widths[0])
        self.distance = nn.Linear(config.radial, config.widths[0], bias=False)
        self.radial = nn.Sequential(nn.SiLU(), nn.Linear(config.widths[0], sum(self.weights) + config.heads))

    def _keys(self, f: list[Tensor], harmonics: list[Tensor], weights: Tensor, edges: Edges) -> list[Tensor]:
        """Tensor products of every degree, shape ``(edges, heads, channels, 2 l + 1)``."""
        sent = [part[edges.source] for part in f]
        keys: list[list[Tensor]] = [[] for _ in self.out.maps]
        for path, weight in zip(self.paths, weights.split(self.weights, dim=1), strict=True):
            a, b, c = path
            turn = torch.einsum("abc,eb->eac", _coupling(path, weights.dtype, weights.device), harmonics[b])
            product = weight.unsqueeze(-1) * (sent[a] @ turn)
            keys[c].append(product.view(len(edges), self.heads, self.widths[a] // self.heads, 2 * c + 1))
        return [torch.cat(part, dim=2) for part in keys]

    def forward(
        self, f: list[Tensor], harmonics: list[Tensor], basis: Tensor, weight: Tensor, edges: Edges
    ) -> list[Tensor]:
        """Sum of the attended products at every node."""
        nodes = len(f[0])
        receiver, sender = self.ends(f[0].squeeze(-1)).chunk(2, dim=1)
        inner = receiver[edges.target] + sender[edges.source] + self.distance(basis)
        weights, logits = self.radial(inner).split([sum(self.weights), self.heads], dim=1)
        keys = self._keys(f, harmonics, weights, edges)
        for query, key in zip(self.query(f[: len(self.query.maps)]), keys, strict=False):
            asked = query.reshape(nodes, *key.shape[1:])[edges.target]
            logits = logits + (asked * key).sum((2, 3)) / math.sqrt(self.dim)
        attention = scatter_attention(logits, weight, edges.target, nodes)[..., None, None]
        summed = [scatter_sum(attention * key, edges.target, nodes) for key in keys]
        return self.out([part.reshape(nodes, -1, part.shape[-1]) for part in summed])


class _Layer(nn.Module):
    """Attention and feed-forward; the first layer gets scalars only, the last one makes no more than vectors."""

    def __init__(self, config: TensorTransformerConfig, received: int, made: int) -> None:
        super().__init__()
        self.attention_norm = _Norm(config.widths[:received])
        self.attention = _Attention(config, received, made)
        self.mix_norm, self.mix = _Norm(config.widths[:made]), _FeedForward(config.widths[:made])

    def forward(
        self, f: list[Tensor], harmonics: list[Tensor], basis: Tensor, weight: Tensor, edges: Edges
    ) -> list[Tensor]:
        attended = self.attention(self.attention_norm(f), harmonics, basis, weight, edges)
        f = [f[l] + part if l < len(f) else part for l, part in enumerate(attended)]
        return [part + more for part, more in zip(f, self.mix(self.mix_norm(f)), strict=True)]


class TensorTransformer(EquivariantNetwork):
    """Stack of layers; see the module's head for the formulas.

    Parameters
    ----------
    config
        Size of the network.
    """

    dims = 3

    def __init__(self, config: TensorTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.features, self.cutoff, self.reflections = config.features, config.cutoff, config.reflections
        self.embed = nn.Linear(config.features + config.time, config.widths[0])
        degrees = [1, *[len(config.widths)] * (config.layers - 1), 2]
        self.layers = nn.ModuleList(_Layer(config, a, b) for a, b in pairwise(degrees))
        self.norm = _Norm(config.widths[:2])
        self.vectors = nn.Linear(config.widths[1], 1, bias=False)
        self.scalars = nn.Linear(config.widths[0], config.scalars)

    def flat(self, x: Tensor, h: Tensor, t: Tensor, edges: Edges) -> Prediction:
        """Evaluate on flat nodes; see `EquivariantNetwork.flat`."""
        harmonics, basis, weight = self._geometry(x, edges)
        scalars = self.embed(torch.cat([h, fourier(t, self.config.time).to(h)], dim=1))
        f = [scalars.unsqueeze(-1)]
        for layer in self.layers:
            f = layer(f, harmonics, basis, weight, edges)
        f = self.norm(f)
        return Prediction(self.vectors(f[1].transpose(1, 2)).squeeze(-1), self.scalars(f[0].squeeze(-1)))

    def _geometry(self, x: Tensor, edges: Edges) -> tuple[list[Tensor], Tensor, Tensor]:
        """Harmonics of every degree, radial functions ``cos(pi k q / (q + reach))``, and weight of every edge."""
        from e3nn.o3 import spherical_harmonics

        config, degrees = self.config, range(len(self.config.widths))
        difference = x[edges.source] - x[edges.target]
        square = difference.square().sum(1, keepdim=True)
        q = (square + config.softening**2).sqrt()
        harmonics = spherical_harmonics(list(degrees), difference / q, normalize=False, normalization="component")
        order = torch.arange(config.radial, dtype=x.dtype, device=x.device)
        basis = torch.cos(math.pi * order * q / (q + config.reach))
        return list(harmonics.split([2 * l + 1 for l in degrees], dim=1)), basis, envelope(square, config.cutoff)[:, 0]
