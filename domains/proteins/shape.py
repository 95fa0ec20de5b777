"""Size and contacts of chains, from CA positions alone.

``rg_ratio = Rg / (2.2 L^0.38)`` compares a radius of gyration with that of a globular chain of the same length. Two
limits exist and mean two things: `COMPACT` (1.25) defines the compact training set, `RG_LIMIT` (1.3) is the gate.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "CLASH",
    "COMPACT",
    "RG_LIMIT",
    "clash_count",
    "contact_order",
    "long_range",
    "radius_of_gyration",
    "rg_ratio",
]

COMPACT = 1.25
RG_LIMIT = 1.3
CLASH = 3.6
_CONTACT = 8.0
_FAR = 12


def radius_of_gyration(ca: Tensor, mask: Tensor) -> Tensor:
    """Root mean square distance of CA from their mean, Å.

    Parameters
    ----------
    ca
        Shape ``(batch, length, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.

    Returns
    -------
    Tensor
        Shape ``(batch,)``.
    """
    weight = mask.to(ca).unsqueeze(-1)
    count = weight.sum(1)
    centre = (ca * weight).sum(1) / count
    return (((ca - centre.unsqueeze(1)) ** 2 * weight).sum((1, 2)) / count.squeeze(-1)).sqrt()


def rg_ratio(ca: Tensor, mask: Tensor) -> Tensor:
    """Radius of gyration over ``2.2 L^0.38``, shape ``(batch,)``; parameters as of `radius_of_gyration`."""
    return radius_of_gyration(ca, mask) / (2.2 * mask.sum(1).to(ca) ** 0.38)


def _pairs(mask: Tensor, separation: int) -> Tensor:
    """True for pairs ``i + separation <= j`` of real residues."""
    both = mask.unsqueeze(1) & mask.unsqueeze(2)
    return both & torch.ones_like(both).triu(separation)


def clash_count(ca: Tensor, mask: Tensor) -> Tensor:
    """Number of pairs with CA-CA below 3.6 Å and ``|i - j| >= 3``, int64, shape ``(batch,)``."""
    return ((torch.cdist(ca, ca) < CLASH) & _pairs(mask, 3)).sum((1, 2))


def long_range(ca: Tensor, mask: Tensor) -> Tensor:
    """Pairs with CA-CA below 8 Å and ``|i - j| >= 12``, for each residue of the chain, shape ``(batch,)``."""
    near = (torch.cdist(ca, ca) < _CONTACT) & _pairs(mask, _FAR)
    return near.sum((1, 2)) / mask.sum(1).to(ca)


def contact_order(ca: Tensor, mask: Tensor) -> Tensor:
    """Mean sequence separation of CA contacts below 8 Å with ``|i - j| >= 3``, over the length, shape ``(batch,)``."""
    near = ((torch.cdist(ca, ca) < _CONTACT) & _pairs(mask, 3)).to(ca)
    place = torch.arange(ca.shape[1], device=ca.device).to(ca)
    apart = (place.unsqueeze(0) - place.unsqueeze(1)).abs()
    return (near * apart).sum((1, 2)) / near.sum((1, 2)).clamp(min=1) / mask.sum(1).to(ca)
