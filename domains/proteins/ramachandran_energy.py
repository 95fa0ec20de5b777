"""A smooth Ramachandran energy from our own density: zero where a residue is favoured, rising towards the deserts.

With ``p(phi, psi)`` the density of a class, a mixture of three smoothings so that it is nowhere flat,

    U(phi, psi) = max(0, log p_fav - log p(phi, psi))

where ``p_fav`` is the level below which lie 5 % of the residues, above the 2 % of the verdict. Between the bins of 2
degrees the energy is interpolated linearly in both angles.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from .ramachandran import smoothed_densities

__all__ = ["ramachandran_energy"]

_BINS = 180
_WIDTHS = ((0.9, 5.0), (0.095, 15.0), (0.005, 45.0))
_LEVEL = 0.05


@cache
def _energies() -> Tensor:
    """Energy at the centres of the bins, float32, shape ``(6, 180, 180)``."""
    density = sum(share * smoothed_densities(width) for share, width in _WIDTHS)
    energy = torch.zeros_like(density)
    for k, table in enumerate(density):
        order = table.flatten().sort().values
        level = order[int((order.cumsum(0) < _LEVEL * order.sum()).sum())]
        energy[k] = (level / table).log().clamp(min=0)
    return energy.float()


def ramachandran_energy(phi_psi: Tensor, classes: Tensor) -> Tensor:
    """Energy of residues; differentiable.

    Parameters
    ----------
    phi_psi
        Radians, shape ``(..., 2)``.
    classes
        As of `ramachandran.classes_of`, shape ``(...)``.

    Returns
    -------
    Tensor
        Shape ``(...)``; what it says of a terminal residue means nothing.
    """
    table = _energies().to(phi_psi)
    place = torch.remainder(phi_psi / (2 * math.pi) + 0.5, 1.0) * _BINS - 0.5
    low = place.floor().detach()
    share = place - low
    i, j = low.long().remainder(_BINS).unbind(-1)
    ahead, above = (i + 1).remainder(_BINS), (j + 1).remainder(_BINS)
    u, v = share.unbind(-1)
    return (
        (1 - u) * (1 - v) * table[classes, i, j]
        + u * (1 - v) * table[classes, ahead, j]
        + (1 - u) * v * table[classes, i, above]
        + u * v * table[classes, ahead, above]
    )
