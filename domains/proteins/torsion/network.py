"""The denoiser of chains: attention over residues with a pair state that sees 3D, SE(3)-equivariant, not mirrored.

With ``s = sqrt((1 - t)^2 + t^2)`` and ``x_n = x_t / s`` the shape at noise level ``t``, a network of `N` layers knows

    y^l = (1 - l/N) x_n + (l/N) c x_t + (t/s) d^l,      c = (1 - t) / s^2

and predicts ``x_0 = y^N``: prior and data have nearly the same covariance, for which ``c x_t`` is the best linear
prediction and ``t/s`` its error. Geometry of a pair is read in the frame ``R_i`` of three successive CA,

    g_ij = [radial functions of d_ij,  R_i^T (y_j - y_i)/d_ij,  R_j^T (y_i - y_j)/d_ij],

and once more, in frames N, CA, C, from the chain that the torsions ``x_t`` build. Directions in right-handed frames
are invariant under motions and not under reflection. One layer, for residues ``h_i`` and pairs ``p_ij``:

    m_ij  = phi(h_i, h_j, p_ij, g_ij)
    p_ij += U [m_ij, L^-1/2 sum_k A m_ik * B m_kj]               the triangle product
    h_i  += attention with logits q_i k_j + w(p_ij) over values v_j and p_ij;  then a perceptron
    d_i  += L^-1 sum_j w'(p_ij)(y_j - y_i)/(1 + d_ij) + R_i phi'(h_i)

The tangent of a torsion is ``1.8 t phi''(h_i)``; 1.8 is the standard deviation of a uniform angle.
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

from ..backbone import build_frames
from ..torsions import ideal
from .condition import Condition, motif_features
from .geometry_features import GEOMETRY, chain_frames, pair_geometry
from .process import UNIT

__all__ = ["NetworkConfig", "TorsionNetwork"]

_SPREAD = math.pi / math.sqrt(3)
_REACH = 32


@dataclass(frozen=True)
class NetworkConfig:
    """Size of a network.

    Parameters
    ----------
    layers, width, pair, product, heads
        Layers, features of a residue and of a pair, channels of the triangle product, heads.
    time
        Width of the Fourier features of a time, even.
    """

    layers: int = 5
    width: int = 96
    pair: int = 32
    product: int = 16
    heads: int = 4
    time: int = 16

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 1 or self.time % 2 or self.width % self.heads:
            raise ConfigError(f"{self} is no size of a network; expected positive sizes, time even, width per heads")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Read what `to_json` wrote."""
        return cls(**values)

    def to_json(self) -> dict[str, int]:
        """Plain values for a model card."""
        return asdict(self)


class _Layer(nn.Module):
    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, pair, self.product, self.heads = config.width, config.pair, config.product, config.heads
        self.norm, self.pair_norm, self.mix_norm = nn.LayerNorm(width), nn.LayerNorm(pair), nn.LayerNorm(width)
        self.ends = nn.Linear(width, 2 * pair)
        self.inner = nn.Linear(pair + GEOMETRY, pair, bias=False)
        self.sides = nn.Linear(pair, 2 * self.product)
        self.outer = nn.Linear(pair + self.product, pair)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.weights = nn.Linear(pair, self.heads + 1)
        self.attended = nn.Linear(width + self.heads * pair, width)
        self.mix = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.step = nn.Linear(width, 3)
        self.scale = nn.Parameter(torch.full((), 0.1))

    def forward(self, y: Tensor, h: Tensor, p: Tensor, real: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Displacement, residues and pairs; `real` is True at pairs of real residues, `size` is ``L``."""
        with torch.no_grad():
            frames = chain_frames(y, real.diagonal(dim1=1, dim2=2))
            features, apart, away = pair_geometry(y * UNIT, frames)
        normed = self.norm(h)
        mine, theirs = self.ends(normed).chunk(2, dim=-1)
        inner = self.inner(torch.cat((self.pair_norm(p), features.to(p.dtype)), dim=-1))
        m = F.silu(inner + mine.unsqueeze(2) + theirs.unsqueeze(1))
        a, b = (self.sides(m) * real.unsqueeze(-1)).permute(0, 3, 1, 2).chunk(2, dim=1)
        triangle = (a @ b).permute(0, 2, 3, 1) * size.to(a.dtype).rsqrt().reshape(-1, 1, 1, 1)
        p = p + self.outer(torch.cat((m, triangle.to(m.dtype)), dim=-1))
        logits, pull = self.weights(p).split((self.heads, 1), dim=-1)
        h = h + self._attend(normed, p, logits, real)
        h = h + self.mix(self.mix_norm(h))
        weight = torch.where(real, pull.squeeze(-1).float() / (1 + apart), 0.0)
        drawn = (weight.unsqueeze(-1) * away).sum(2) / size.reshape(-1, 1, 1)
        turned = (frames @ self.step(h).float().unsqueeze(-1)).squeeze(-1)
        return self.scale * (drawn + turned), h, p

    def _attend(self, normed: Tensor, p: Tensor, logits: Tensor, real: Tensor) -> Tensor:
        batch, length, width = normed.shape
        q, k, v = self.qkv(normed).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        score = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5 + logits.permute(0, 3, 1, 2)
        share = score.float().masked_fill(~real.unsqueeze(1), -1e9).softmax(-1).to(v.dtype)
        nodes = (share @ v).transpose(1, 2).reshape(batch, length, -1)
        pairs = torch.einsum("bhij,bijc->bihc", share, p).reshape(batch, length, -1)
        return self.attended(torch.cat((nodes, pairs), dim=-1))


class TorsionNetwork(nn.Module):
    """Stack of layers; see the module's head for the formulas.

    Parameters
    ----------
    config
        Size of the network.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, pair = config.width, config.pair
        self.state, self.pairing = nn.Embedding(4, width), nn.Embedding(4, pair)
        self.offset = nn.Embedding(2 * _REACH + 1, pair)
        self.residue = nn.Linear(2 * config.time + 13, width)
        self.pair_ends = nn.Linear(width, 2 * pair, bias=False)
        self.built = nn.Linear(2 * GEOMETRY + 1, pair, bias=False)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.turn = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))

    def forward(self, x: Mapping[str, Tensor], t: Mapping[str, Tensor], condition: Condition) -> dict[str, Tensor]:
        """Predict the tangents to the data.

        Parameters
        ----------
        x
            ``torsion``, float32, shape ``(batch, length, 2, 1)``, and ``ca``, shape ``(batch, length, 3)``.
        t
            Times of ``torsion``, shape ``(batch, length, 2)``, and of ``ca``, shape ``(batch,)``.
        condition
            Plan and motif; its mask says which residues are real.

        Returns
        -------
        dict
            Tangents of the shapes of ``x``, 0 at padding.
        """
        mask = condition["mask"]
        real, size = mask.unsqueeze(1) & mask.unsqueeze(2), mask.sum(1).to(x["ca"])
        angle = x["torsion"].squeeze(-1)
        h, p = self._embed(angle, t, condition, mask, size)
        time = t["ca"].to(x["ca"]).reshape(-1, 1, 1)
        s = ((1 - time) ** 2 + time**2).sqrt()
        shape, linear = x["ca"] / s, x["ca"] * (1 - time) / s**2
        moved, y, count = torch.zeros_like(shape), shape, len(self.layers)
        for k, layer in enumerate(self.layers, start=1):
            step, h, p = layer(y, h, p, real, size)
            moved = moved + step
            y = (1 - k / count) * shape + (k / count) * linear + (time / s) * moved
        real_site = mask.unsqueeze(-1)
        mean = torch.where(real_site, y, 0.0)
        mean = torch.where(real_site, mean - mean.sum(1, keepdim=True) / size.reshape(-1, 1, 1), 0.0)
        turn = self.turn(h).float() * _SPREAD * t["torsion"].to(x["ca"])
        return {"torsion": torch.where(real_site, turn, 0.0).unsqueeze(-1), "ca": mean - x["ca"] * real_site}

    def _embed(
        self, angle: Tensor, t: Mapping[str, Tensor], condition: Condition, mask: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """First residue and pair states."""
        length = angle.shape[1]
        place = torch.arange(length, device=angle.device)
        clock = [fourier(t["torsion"].mean(-1), self.config.time)]
        clock.append(fourier(t["ca"], self.config.time).unsqueeze(1).expand(-1, length, -1))
        first = (place == 0).expand_as(mask)
        last = place == (mask.sum(1, keepdim=True) - 1)
        kept, given = motif_features(condition)
        flags = [part.to(angle).unsqueeze(-1) for part in (first, last, size.log().unsqueeze(1).expand_as(first))]
        of_motif = condition["motif_torsions"].to(angle)
        known = torch.cat((of_motif.cos(), of_motif.sin()), dim=-1) * kept
        parts = (*clock, angle.cos(), angle.sin(), *flags, kept, known, t["torsion"].to(angle).amin(-1, keepdim=True))
        h = self.residue(torch.cat([part.to(angle) for part in parts], dim=-1)) + self.state(condition["states"])
        offset = (place.unsqueeze(0) - place.unsqueeze(1)).clamp(-_REACH, _REACH) + _REACH
        with torch.no_grad():
            flat = ideal(torch.cat((angle, torch.full_like(angle[..., :1], math.pi)), dim=-1), mask)
            _, frames, ca = build_frames(flat)
            built = pair_geometry(ca, frames)[0]
        mine, theirs = self.pair_ends(h).chunk(2, dim=-1)
        p = self.offset(offset).unsqueeze(0) + self.pairing(condition["pairing"])
        p = p + self.built(torch.cat((built, given.to(built)), dim=-1)) + mine.unsqueeze(2) + theirs.unsqueeze(1)
        return h, p
