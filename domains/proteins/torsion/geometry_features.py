"""What a pair of residues sees of each other: radial functions of the distance, and directions in local frames.

All of it is invariant under rotations and translations; the directions are not under reflection, as the frames are
right-handed.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["GEOMETRY", "chain_frames", "pair_geometry"]

_CENTRES = (3.0, 3.8, 4.4, 4.9, 5.4, 6.0, 6.7, 7.5, 8.5, 10.0, 12.0, 14.5, 17.5, 21.0, 26.0, 33.0)
_WIDTHS = (0.6, 0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8, 1.1, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0)
GEOMETRY = len(_CENTRES) + 6
"""Number of features of a pair."""
_SMALL = 1e-6


def _unit(v: Tensor) -> Tensor:
    return v / (v.square().sum(-1, keepdim=True) + _SMALL).sqrt()


def chain_frames(ca: Tensor, mask: Tensor) -> Tensor:
    """Frames of successive CA: along ``i - 1 -> i + 1``, then towards ``i``; an end has its neighbour's.

    Parameters
    ----------
    ca
        Shape ``(batch, length, 3)``.
    mask
        True where a residue is real, a prefix, shape ``(batch, length)``.

    Returns
    -------
    Tensor
        Axes as columns, shape ``(batch, length, 3, 3)``; three successive points on a line give a frame of rank 1.
    """
    length, count = ca.shape[1], mask.sum(1, keepdim=True)
    place = torch.arange(length, device=ca.device).expand(len(ca), -1)
    inner = torch.minimum(place, count - 2).clamp(min=1)

    def at(k: Tensor) -> Tensor:
        return ca.gather(1, k.clamp(0, length - 1).unsqueeze(-1).expand(-1, -1, 3))

    before, here, after = at(inner - 1), at(inner), at(inner + 1)
    first = _unit(after - before)
    side = here - (before + after) / 2
    second = _unit(side - (side * first).sum(-1, keepdim=True) * first)
    return torch.stack((first, second, torch.linalg.cross(first, second)), dim=-1)


def pair_geometry(ca: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features of all pairs.

    Parameters
    ----------
    ca, frames
        Å, shapes ``(batch, length, 3)`` and ``(batch, length, 3, 3)``.

    Returns
    -------
    features, apart, away
        Shape ``(batch, length, length, GEOMETRY)``; distances, Å; and vectors from ``i`` to ``j``, Å.
    """
    away = ca.unsqueeze(1) - ca.unsqueeze(2)
    apart = (away.square().sum(-1) + _SMALL).sqrt()
    centres, widths = ca.new_tensor(_CENTRES), ca.new_tensor(_WIDTHS)
    radial = torch.exp(-0.5 * ((apart.unsqueeze(-1) - centres) / widths).square())
    seen = (away / apart.unsqueeze(-1)) @ frames
    return torch.cat((radial, seen, seen.transpose(1, 2)), dim=-1), apart, away
