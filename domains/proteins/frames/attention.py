"""Invariant point attention over frames [1]_.

Residue ``i`` has features ``h_i`` and the frame ``T_i x = R_i x + s_i``; pairs have features ``p_ij``. Each head turns
``h`` into scalars ``q, k, v`` and into points, given in the frame of the residue; with ``P`` query points

    a_ij = softmax_j  w_L [ q_i k_j / c^(1/2)  +  b(p_ij)  -  (gamma w_C / 2) sum_p |T_i q_i^p - T_j k_j^p|^2 ]
    o_i  = sum_j a_ij (v_j, p_ij, T_j v_j^p),      w_L = 3^(-1/2),   w_C = (2 / (9 P))^(1/2),   gamma > 0

The points of ``o_i`` are brought back by ``T_i^-1`` and enter with their lengths. Nothing changes when all frames are
moved by one rotation and translation; under reflection frames would turn left-handed, so that mirror images differ.
Lengths have a gradient of zero at zero, and geometry is computed outside of autocast.

References
----------
.. [1] J. Jumper et al., "Highly accurate protein structure prediction with AlphaFold", Nature 596 (2021) 583,
   supplementary algorithm 22, doi:10.1038/s41586-021-03819-2
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scidiff.spaces.smooth import safe_norm

__all__ = ["InvariantPointAttention", "turned"]


def turned(rotation: Tensor, x: Tensor) -> Tensor:
    """Rotate vectors, ``R x``, by products and sums alone, which autocast leaves in their own precision."""
    return (rotation * x.unsqueeze(-2)).sum(-1)


class InvariantPointAttention(nn.Module):
    """Attention that sees points in space.

    Parameters
    ----------
    width, pair
        Features of a residue and of a pair.
    heads
        Heads, each with ``width / heads`` scalars.
    queries, values
        Query points and value points of a head.
    """

    def __init__(self, width: int, pair: int, heads: int, queries: int, values: int) -> None:
        super().__init__()
        self.heads, self.queries, self.values = heads, queries, values
        self.scalars = nn.Linear(width, 3 * width, bias=False)
        self.points = nn.Linear(width, 3 * heads * (2 * queries + values))
        self.bias = nn.Linear(pair, heads)
        # softplus of this is 1
        self.gamma = nn.Parameter(torch.full((heads,), math.log(math.e - 1)))
        self.out = nn.Linear(width + heads * (pair + 4 * values), width)

    def forward(self, h: Tensor, p: Tensor, rotation: Tensor, origin: Tensor, real: Tensor) -> Tensor:
        """Update of the features of residues.

        Parameters
        ----------
        h, p
            Shapes ``(batch, length, width)`` and ``(batch, length, length, pair)``.
        rotation, origin
            Frames, float32, shapes ``(batch, length, 3, 3)`` and ``(batch, length, 3)``.
        real
            True at pairs of real residues, shape ``(batch, length, length)``.

        Returns
        -------
        Tensor
            Shape ``(batch, length, width)``.
        """
        batch, length, width = h.shape
        q, k, v = self.scalars(h).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q_point, k_point, v_point = self._placed(h, rotation, origin)
        match = (q @ k.transpose(-1, -2)) * (width // self.heads) ** -0.5 + self.bias(p).permute(0, 3, 1, 2)
        far = (q_point.unsqueeze(2) - k_point.unsqueeze(1)).square().sum((-1, -2)).permute(0, 3, 1, 2)
        weight = F.softplus(self.gamma.float()) * math.sqrt(2 / (9 * self.queries)) / 2
        logits = (match.float() - weight.reshape(1, -1, 1, 1) * far) * 3**-0.5
        share = logits.masked_fill(~real.unsqueeze(1), -1e9).softmax(-1)
        scalars = (share.to(v.dtype) @ v).transpose(1, 2).reshape(batch, length, -1)
        pairs = torch.einsum("bhij,bijc->bihc", share.to(p.dtype), p).reshape(batch, length, -1)
        seen = self._gathered(share, v_point, rotation, origin)
        lengths = safe_norm(seen).squeeze(-1)
        local = torch.cat((seen.flatten(2), lengths.flatten(2)), dim=-1)
        return self.out(torch.cat((scalars, pairs, local.to(scalars.dtype)), dim=-1))

    def _placed(self, h: Tensor, rotation: Tensor, origin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points of all heads in space, shapes ``(batch, length, heads, points, 3)``."""
        local = self.points(h).float().reshape(*h.shape[:2], self.heads, -1, 3)
        placed = turned(rotation[:, :, None, None], local) + origin[:, :, None, None]
        q, k, v = placed.split((self.queries, self.queries, self.values), dim=-2)
        return q, k, v

    def _gathered(self, share: Tensor, points: Tensor, rotation: Tensor, origin: Tensor) -> Tensor:
        """Weighted points as each residue sees them, shape ``(batch, length, heads, values, 3)``."""
        batch, length = points.shape[:2]
        centred = points - origin.mean(1)[:, None, None, None]
        with torch.autocast(points.device.type, enabled=False):
            flat = centred.permute(0, 2, 1, 3, 4).reshape(batch, self.heads, length, -1)
            mean = (share @ flat).reshape(batch, self.heads, length, self.values, 3).permute(0, 2, 1, 3, 4)
        away = mean + (origin.mean(1, keepdim=True) - origin)[:, :, None, None]
        return turned(rotation.transpose(-1, -2)[:, :, None, None], away)
