"""The denoiser of frames: invariant point attention with a pair state, SE(3)-equivariant, not mirrored.

With ``s = sqrt((1 - t)^2 + t^2)`` and ``x_n = x_t / s`` the shape at noise level ``t``, a network of `N` layers moves
frames from the noisy ones to its prediction,

    y^l = (1 - l/N) x_n + (l/N) c x_t + (t/s) d^l,     c = (1 - t)/s^2          CA, as `torsion.network` does
    q^l = exp_(q_t)(v^l),                              v^l = 1.33 tau w^l       rotations at their own time ``tau``

and predicts ``x_0 = y^N`` and the rotation vector ``v^N``. One layer, for residues ``h_i`` and pairs ``p_ij``:

    h_i  += B b_i                               b_i:  what frame i sees of the residues beside it on the chain
    m_ij  = phi(h_i, h_j, p_ij, g_ij)           g_ij: what frames (q^l, y^l) see of each other
    p_ij += U [m_ij, L^-1/2 sum_k A m_ik * B m_kj]
    h_i  += invariant point attention in the frames (q^l, y^l);  then a perceptron
    d_i  += R(q_i^l) phi'(h_i),      w_i += phi''(h_i)

``w`` lies in the axes of the noisy frame, which turn with the chain, so that adding up invariants is equivariant and
the logarithm of a rotation is never taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scidiff.nets.graph_transformer import fourier
from scidiff.spaces.so3 import SO3, to_matrix

from ..geometry import CA_STEP
from ..torsion.condition import Condition, motif_features
from ..torsion.geometry_features import GEOMETRY, pair_geometry
from ..torsion.network import NetworkConfig
from ..torsion.process import UNIT
from .attention import InvariantPointAttention, turned
from .rotations import SPREAD

__all__ = ["FrameConfig", "FrameNetwork"]

_REACH = 32
_SEEN = GEOMETRY + 9
_BESIDE = 24


@dataclass(frozen=True)
class FrameConfig(NetworkConfig):
    """Size of a network.

    Parameters
    ----------
    layers, width, pair, product, heads, time
        As of `torsion.network.NetworkConfig`.
    queries, values
        Query points and value points of a head.
    """

    queries: int = 4
    values: int = 6


def _seen(rotation: Tensor, ca: Tensor) -> Tensor:
    """What frames see of each other, `pair_geometry` and ``R_i^T R_j``: shape ``(batch, length, length, _SEEN)``."""
    features = pair_geometry(ca * UNIT, rotation)[0]
    relative = torch.einsum("biac,bjad->bijcd", rotation, rotation).flatten(3)
    return torch.cat((features, relative), dim=-1)


def _beside(rotation: Tensor, ca: Tensor, mask: Tensor) -> Tensor:
    """What frames see of the next residue and of the one before: bond vectors and relative rotations, 24 numbers."""
    linked = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)
    step = (ca[:, 1:] - ca[:, :-1]) * (UNIT / CA_STEP)
    back = rotation.transpose(-1, -2)
    relative = torch.einsum("blca,blcd->blad", rotation[:, :-1], rotation[:, 1:])
    ahead = torch.cat((turned(back[:, :-1], step), relative.flatten(2)), dim=-1)
    behind = torch.cat((turned(back[:, 1:], -step), relative.transpose(-1, -2).flatten(2)), dim=-1)
    return torch.cat((F.pad(ahead * linked, (0, 0, 0, 1)), F.pad(behind * linked, (0, 0, 1, 0))), dim=-1)


class _Layer(nn.Module):
    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        width, pair, self.product = config.width, config.pair, config.product
        self.norm, self.pair_norm, self.mix_norm = nn.LayerNorm(width), nn.LayerNorm(pair), nn.LayerNorm(width)
        self.beside, self.ends = nn.Linear(_BESIDE, width, bias=False), nn.Linear(width, 2 * pair)
        self.inner = nn.Linear(pair + _SEEN, pair, bias=False)
        self.sides = nn.Linear(pair, 2 * self.product)
        self.outer = nn.Linear(pair + self.product, pair)
        self.attention = InvariantPointAttention(width, pair, config.heads, config.queries, config.values)
        self.mix = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.step = nn.Linear(width, 6)
        self.scale = nn.Parameter(torch.full((), 0.1))

    def forward(
        self, rotation: Tensor, y: Tensor, h: Tensor, p: Tensor, real: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Steps of CA and of rotation vectors, residues and pairs; `real` is True at real pairs, `size` is ``L``."""
        with torch.no_grad(), torch.autocast(y.device.type, enabled=False):
            seen, beside = _seen(rotation, y), _beside(rotation, y, real.diagonal(dim1=1, dim2=2))
        h = h + self.beside(beside.to(h.dtype))
        normed = self.norm(h)
        mine, theirs = self.ends(normed).chunk(2, dim=-1)
        inner = self.inner(torch.cat((self.pair_norm(p), seen.to(p.dtype)), dim=-1))
        m = F.silu(inner + mine.unsqueeze(2) + theirs.unsqueeze(1))
        a, b = (self.sides(m) * real.unsqueeze(-1)).permute(0, 3, 1, 2).chunk(2, dim=1)
        triangle = (a @ b).permute(0, 2, 3, 1) * size.to(a.dtype).rsqrt().reshape(-1, 1, 1, 1)
        p = p + self.outer(torch.cat((m, triangle.to(m.dtype)), dim=-1))
        h = h + self.attention(normed, p, rotation, y, real)
        h = h + self.mix(self.mix_norm(h))
        shift, turn = (self.scale * self.step(h).float()).chunk(2, dim=-1)
        return turned(rotation, shift), turn, h, p


class FrameNetwork(nn.Module):
    """Stack of layers; see the module's head for the formulas.

    Parameters
    ----------
    config
        Size of the network.
    """

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        self.config = config
        width, pair = config.width, config.pair
        self.state, self.pairing = nn.Embedding(4, width), nn.Embedding(4, pair)
        self.offset = nn.Embedding(2 * _REACH + 1, pair)
        self.residue = nn.Linear(2 * config.time + 8, width)
        self.given = nn.Linear(GEOMETRY + 1, pair, bias=False)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, x: Mapping[str, Tensor], t: Mapping[str, Tensor], condition: Condition) -> dict[str, Tensor]:
        """Predict the tangents to the data.

        Parameters
        ----------
        x
            ``rotation``, unit quaternions, float32, shape ``(batch, length, 4)``, and ``ca``, shape ``(batch, length,
            3)``.
        t
            Times of ``rotation``, shape ``(batch, length)``, and of ``ca``, shape ``(batch,)``.
        condition
            Plan and motif; its mask says which residues are real.

        Returns
        -------
        dict
            Rotation vectors, shape ``(batch, length, 3)``, and the tangent of ``ca``; 0 at padding.
        """
        mask, start, space = condition["mask"], x["rotation"], SO3()
        real, size = mask.unsqueeze(1) & mask.unsqueeze(2), mask.sum(1).to(x["ca"])
        h, p = self._embed(t, condition, mask, size)
        time = t["ca"].to(x["ca"]).reshape(-1, 1, 1)
        reach = SPREAD * t["rotation"].to(x["ca"]).unsqueeze(-1)
        s = ((1 - time) ** 2 + time**2).sqrt()
        shape, linear, real_site = x["ca"] / s, x["ca"] * (1 - time) / s**2, mask.unsqueeze(-1)
        moved, turn = torch.zeros_like(shape), torch.zeros_like(shape)
        y, rotation, count = torch.where(real_site, shape, 0.0), to_matrix(start), len(self.layers)
        for k, layer in enumerate(self.layers, start=1):
            step, angle, h, p = layer(rotation, y, h, p, real, size)
            moved, turn = moved + step, turn + angle
            y = (1 - k / count) * shape + (k / count) * linear + (time / s) * moved
            y = torch.where(real_site, y, 0.0)
            rotation = to_matrix(space.exp(start, reach * turn))
        mean = torch.where(real_site, y - y.sum(1, keepdim=True) / size.reshape(-1, 1, 1), 0.0)
        return {"rotation": torch.where(real_site, reach * turn, 0.0), "ca": mean - x["ca"] * real_site}

    def _embed(
        self, t: Mapping[str, Tensor], condition: Condition, mask: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """First residue and pair states."""
        length = mask.shape[1]
        place = torch.arange(length, device=mask.device)
        first = (place == 0).expand_as(mask)
        last = place == (mask.sum(1, keepdim=True) - 1)
        kept, given = motif_features(condition)
        of_motif = condition["motif_torsions"].to(size)
        known = torch.cat((of_motif.cos(), of_motif.sin()), dim=-1) * kept
        clock = fourier(t["ca"], self.config.time).unsqueeze(1).expand(-1, length, -1)
        flags = [part.to(size).unsqueeze(-1) for part in (first, last, size.log().unsqueeze(1).expand_as(first))]
        parts = (fourier(t["rotation"], self.config.time), clock, *flags, kept, known)
        h = self.residue(torch.cat([part.to(size) for part in parts], dim=-1)) + self.state(condition["states"])
        offset = (place.unsqueeze(0) - place.unsqueeze(1)).clamp(-_REACH, _REACH) + _REACH
        p = self.offset(offset).unsqueeze(0) + self.pairing(condition["pairing"]) + self.given(given.to(size))
        return h, p
