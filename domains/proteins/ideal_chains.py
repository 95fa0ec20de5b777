"""Chains made from given torsions: helices, strands, and what demonstrations and benchmarks need without data."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .backbone import build
from .chains import Chains
from .geometry import place
from .torsions import Internal, ideal

__all__ = ["HELIX_TORSIONS", "STRAND_TORSIONS", "atom_by_atom", "from_degrees", "uniform_chain"]

HELIX_TORSIONS = (-57.0, -47.0)
STRAND_TORSIONS = (-120.0, 130.0)


def from_degrees(torsions: Sequence[tuple[float, float]], omega: float = 180.0) -> Chains:
    """Build one chain of ideal bonds and angles.

    Parameters
    ----------
    torsions
        Angles phi and psi of each residue, degrees.
    omega
        Angle omega of every peptide, degrees.

    Returns
    -------
    Chains
        One chain, float64.
    """
    values = torch.tensor([[(*pair, omega) for pair in torsions]], dtype=torch.float64)
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    return Chains(build(ideal(torch.deg2rad(values), mask)), mask)


def uniform_chain(length: int, pair: tuple[float, float] = HELIX_TORSIONS) -> Chains:
    """Build one chain with the same phi and psi, degrees, at every residue."""
    return from_degrees([pair] * length)


def atom_by_atom(internal: Internal) -> torch.Tensor:
    """Build chains one atom after the other (NeRF), as `backbone.build` does in parallel, first frame at zero.

    Parameters
    ----------
    internal
        Internal coordinates.

    Returns
    -------
    Tensor
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.
    """
    torsions, angles, bonds = internal.torsions, internal.angles, internal.bonds
    ca = torch.zeros(len(torsions), 3, dtype=torsions.dtype)
    c = ca + bonds[:, 0, 1:2] * torch.tensor([1.0, 0.0, 0.0], dtype=ca.dtype)
    corner = angles[:, 0, 0]
    n = bonds[:, 0, :1] * torch.stack((corner.cos(), corner.sin(), torch.zeros_like(corner)), dim=-1)
    atoms = [torch.stack((n, ca, c), dim=1)]
    for i in range(torsions.shape[1] - 1):
        phi, psi, omega = torsions[:, i + 1, 0], torsions[:, i, 1], torsions[:, i, 2]
        before = (n, ca, c)
        n = place(*before, bonds[:, i, 2], angles[:, i, 1], psi)
        ca = place(before[1], before[2], n, bonds[:, i + 1, 0], angles[:, i, 2], omega)
        c = place(before[2], n, ca, bonds[:, i + 1, 1], angles[:, i + 1, 0], phi)
        atoms.append(torch.stack((n, ca, c), dim=1))
    return torch.stack(atoms, dim=1)
