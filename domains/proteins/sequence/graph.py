"""What a residue sees of its nearest neighbours on a backbone.

Neighbours of ``i`` are the ``k`` residues nearest by CA, itself among them. With the atoms N, CA, C, O and the ideal
CB, an edge ``(i, j)`` has radial functions of all 25 distances [1]_, the direction ``R_i^T (CA_j - CA_i)``, the
relative rotation ``R_i^T R_j``, and the clipped offset ``j - i``. A node has sine and cosine of phi, psi and omega, and
whether they are defined. All of it is invariant under motions and, by the right-handed frames, not under reflection.

References
----------
.. [1] J. Dauparas et al., "Robust deep learning-based protein sequence design using ProteinMPNN", Science 378 (2022)
   49, doi:10.1126/science.add2187
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..chains import frames_of
from ..geometry import ideal_cb, place_oxygen
from ..torsions import measure

__all__ = ["EDGE", "NODE", "OFFSETS", "ResidueGraph", "residue_graph"]

_CENTRES = tuple(2.0 + 1.5 * k for k in range(13))
_WIDTH = 1.5
_REACH = 32
EDGE = 25 * len(_CENTRES) + 3 + 9
"""Features of an edge."""
NODE = 9
"""Features of a node."""
OFFSETS = 2 * _REACH + 1
"""Number of classes of an offset along the chain."""
_SMALL = 1e-6


@dataclass(frozen=True)
class ResidueGraph:
    """Neighbours and features of a batch of backbones.

    Parameters
    ----------
    node
        Shape ``(batch, length, NODE)``.
    neighbour
        Places of the neighbours, int64, shape ``(batch, length, k)``.
    edge, offset
        Features and classes of offsets, shapes ``(batch, length, k, EDGE)`` and ``(batch, length, k)``.
    real
        True where an edge joins real residues, shape ``(batch, length, k)``.
    """

    node: Tensor
    neighbour: Tensor
    edge: Tensor
    offset: Tensor
    real: Tensor


def gather(values: Tensor, neighbour: Tensor) -> Tensor:
    """Values ``(batch, length, ...)`` at neighbours, shape ``(batch, length, k, ...)``."""
    row = torch.arange(len(values), device=values.device).reshape(-1, 1, 1)
    return values[row, neighbour]


@torch.no_grad()
def residue_graph(xyz: Tensor, mask: Tensor, neighbours: int) -> ResidueGraph:
    """Graph of a batch of backbones.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.
    neighbours
        Number of neighbours; fewer where a batch is shorter.
    """
    n, ca, c = xyz.unbind(2)
    atoms = torch.stack((n, ca, c, place_oxygen(n, ca, c, mask), ideal_cb(n, ca, c)), dim=2)
    apart = (ca.unsqueeze(1) - ca.unsqueeze(2)).square().sum(-1)
    apart = apart.masked_fill(~mask.unsqueeze(1), torch.inf)
    place = apart.topk(min(neighbours, xyz.shape[1]), dim=-1, largest=False).indices
    frames = frames_of(xyz)[0]
    theirs, there = gather(atoms, place), gather(frames, place)
    far = ((theirs.unsqueeze(-3) - atoms[:, :, None, :, None]).square().sum(-1) + _SMALL).sqrt()
    radial = torch.exp(-0.5 * ((far.unsqueeze(-1) - far.new_tensor(_CENTRES)) / _WIDTH).square()).flatten(3)
    away = gather(ca, place) - ca.unsqueeze(2)
    unit = away / (away.square().sum(-1, keepdim=True) + 1.0).sqrt()
    seen = torch.einsum("blac,blka->blkc", frames, unit)
    relative = torch.einsum("blac,blkad->blkcd", frames, there).flatten(3)
    real = gather(mask, place) & mask.unsqueeze(-1)
    edge = torch.where(real.unsqueeze(-1), torch.cat((radial, seen, relative), dim=-1), 0.0)
    index = torch.arange(xyz.shape[1], device=xyz.device).reshape(1, -1, 1)
    offset = (place - index).clamp(-_REACH, _REACH) + _REACH
    internal = measure(xyz, mask)
    known = internal.known.to(xyz)
    node = torch.cat((internal.torsions.cos() * known, internal.torsions.sin() * known, known), dim=-1)
    return ResidueGraph(node.float(), place, edge.float(), offset, real)
