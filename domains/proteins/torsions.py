"""Internal coordinates of a backbone: three torsions, three bond angles and three bond lengths a residue.

For residue ``i`` of a chain of ``L``:

    torsions[i] = (phi, psi, omega)        phi = C(i-1) N CA C    psi = N CA C N(i+1)    omega = CA C N(i+1) CA(i+1)
    angles[i]   = (N CA C, CA C N(i+1), C N(i+1) CA(i+1))
    bonds[i]    = (N CA, CA C, C N(i+1))

What needs a neighbour that is not there (phi of the first residue; psi, omega, two angles and a bond of the last one)
is undefined: it holds the ideal value, zero for torsions, and `Internal.known` is False there. Together with the
frame of the first residue the known values determine the chain, and `backbone.build` inverts `measure` to round-off.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ShapeError

from .geometry import ANGLES, BONDS, angle, dihedral

__all__ = ["Internal", "ideal", "known_torsions", "measure"]


@dataclass(frozen=True, eq=False)
class Internal:
    """Internal coordinates of a batch of chains.

    Parameters
    ----------
    torsions
        Angles phi, psi, omega, radians, shape ``(batch, length, 3)``.
    angles
        N-CA-C, CA-C-N, C-N-CA, radians, shape ``(batch, length, 3)``.
    bonds
        N-CA, CA-C, C-N, Å, shape ``(batch, length, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.

    Raises
    ------
    ShapeError
        If the shapes differ.
    """

    torsions: Tensor
    angles: Tensor
    bonds: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        want = (*self.mask.shape, 3)
        for name in ("torsions", "angles", "bonds"):
            if tuple(getattr(self, name).shape) != want:
                raise ShapeError(f"{name} has shape {tuple(getattr(self, name).shape)}; expected {want} for the mask")

    @property
    def known(self) -> Tensor:
        """True where a torsion is defined by atoms of the chain, shape ``(batch, length, 3)``."""
        return known_torsions(self.mask)

    @property
    def linked(self) -> Tensor:
        """True where a residue is bonded to a next one, shape ``(batch, length)``."""
        return linked(self.mask)


def linked(mask: Tensor) -> Tensor:
    """True where a residue and the next one are real, shape ``(batch, length)``."""
    return torch.cat((mask[:, :-1] & mask[:, 1:], torch.zeros_like(mask[:, :1])), dim=1)


def known_torsions(mask: Tensor) -> Tensor:
    """Tell which of phi, psi, omega the atoms of the chains define.

    Parameters
    ----------
    mask
        True where a residue is real, shape ``(batch, length)``.

    Returns
    -------
    Tensor
        Mask, shape ``(batch, length, 3)``.
    """
    onward = linked(mask)
    first = torch.cat((torch.zeros_like(mask[:, :1]), onward[:, :-1]), dim=1)
    return torch.stack((first, onward, onward), dim=-1)


def measure(xyz: Tensor, mask: Tensor) -> Internal:
    """Measure the internal coordinates of chains; differentiable.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.

    Returns
    -------
    Internal
        The coordinates, in the dtype of ``xyz``.
    """
    n, ca, c = xyz.unbind(2)
    following, ca_next = n[:, 1:], ca[:, 1:]
    here = (n[:, :-1], ca[:, :-1], c[:, :-1])
    phi = _shifted(dihedral(here[2], following, ca_next, c[:, 1:]), front=True)
    psi = _shifted(dihedral(*here, following))
    omega = _shifted(dihedral(here[1], here[2], following, ca_next))
    angles = (
        angle(n, ca, c),
        _shifted(angle(here[1], here[2], following)),
        _shifted(angle(here[2], following, ca_next)),
    )
    bonds = ((ca - n).norm(dim=-1), (c - ca).norm(dim=-1), _shifted((following - here[2]).norm(dim=-1)))
    known, onward = known_torsions(mask), linked(mask)
    defined = torch.stack((mask, onward, onward), dim=-1)
    one = torch.stack((mask, mask, onward), dim=-1)
    return Internal(
        torch.where(known, torch.stack((phi, psi, omega), dim=-1), 0.0),
        torch.where(defined, torch.stack(angles, dim=-1), xyz.new_tensor(ANGLES)),
        torch.where(one, torch.stack(bonds, dim=-1), xyz.new_tensor(BONDS)),
        mask,
    )


def ideal(torsions: Tensor, mask: Tensor, angles: Tensor | None = None) -> Internal:
    """Complete torsions with ideal bonds, and with ideal angles where none are given.

    Parameters
    ----------
    torsions
        Angles phi, psi, omega, radians, shape ``(batch, length, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.
    angles
        Bond angles, radians, shape ``(batch, length, 3)``.

    Returns
    -------
    Internal
        Ready for `backbone.build`.
    """
    angles = torsions.new_tensor(ANGLES).expand_as(torsions) if angles is None else angles
    return Internal(torsions, angles, torsions.new_tensor(BONDS).expand_as(torsions), mask)


def _shifted(values: Tensor, front: bool = False) -> Tensor:
    """Put back the residue that has no value, at the end or at the front."""
    gap = torch.zeros_like(values[:, :1]) if values.shape[1] else values.new_zeros(len(values), 1)
    return torch.cat((gap, values) if front else (values, gap), dim=1)
