"""An asymmetric unit brought to where its copies touch and do not clash.

The unit is turned at random about its centre and moved away from the axes, along a direction in general position, until
no CA of another copy is nearer than `GAP`. The assembly is then the orbit of the unit (`symmetry`), exact to round-off.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.random import Noise
from scidiff.spaces.so3 import to_matrix

from .chains import Chains
from .shape import CLASH
from .symmetry import Symmetry

__all__ = ["GAP", "Assembly", "dock", "interchain_clashes"]

GAP = 5.0
"""Least distance between CA of two copies, Å."""
_DIRECTION = (0.86, 0.14, 0.33)
_FINE = 0.5


@dataclass(frozen=True, eq=False)
class Assembly:
    """A symmetric assembly.

    Parameters
    ----------
    chains
        All copies, the unit first.
    radius
        Distance of the centre of the unit from the origin, Å.
    clashes
        Pairs of CA of different copies below 3.6 Å.
    error
        Largest distance of a copy from the orbit of the unit, Å.
    """

    chains: Chains
    radius: float
    clashes: int
    error: float


def _others(symmetry: Symmetry, ca: Tensor) -> Tensor:
    """Distances from the unit to all other copies, shape ``(order - 1, n, n)``."""
    copies = symmetry.orbit(ca)
    return torch.cdist(copies[:1].expand(len(symmetry) - 1, -1, -1), copies[1:])


def dock(unit: Chains, symmetry: Symmetry, noise: Noise) -> Assembly:
    """Assemble one chain.

    Parameters
    ----------
    unit
        The asymmetric unit, one chain.
    symmetry
        Its symmetry.
    noise
        One stream, for the orientation.

    Returns
    -------
    Assembly
        The assembly.
    """
    size = int(unit.lengths[0])
    one = unit.take([0]).to(torch.float64)
    one = Chains(one.xyz[:, :size] - one.ca[0, :size].mean(0), one.mask, one.sequence, one.names, ("A",))
    q = noise.normal((4,), step=0, stream="dock")[0]
    turned = one.moved(to_matrix(q / q.norm()), torch.zeros(3))
    # a screw moves along z of its own, the axial direction adds nothing
    direction = torch.tensor(_DIRECTION, dtype=torch.float64)
    direction = direction / direction.norm()
    radius = 0.0
    while len(symmetry) > 1 and float(_others(symmetry, turned.ca[0] + radius * direction).min()) < GAP:
        radius += _FINE
    placed = turned.moved(torch.eye(3), radius * direction)
    whole = symmetry.assemble(placed)
    clashes = int((_others(symmetry, placed.ca[0]) < CLASH).sum()) if len(symmetry) > 1 else 0
    error = float(symmetry.error(whole.xyz.unflatten(0, (len(symmetry), 1))))
    return Assembly(whole, radius, clashes, error)


def interchain_clashes(chains: Chains) -> int:
    """Pairs of CA of different chains below 3.6 Å."""
    ca, owner = chains.ca[chains.mask], torch.nonzero(chains.mask)[:, 0]
    near = torch.cdist(ca, ca) < CLASH
    return int((near & (owner.unsqueeze(0) != owner.unsqueeze(1))).sum()) // 2
