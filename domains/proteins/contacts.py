"""Contacts of backbone atoms: which pairs may meet, how near they may come, and the hydrogen bonds among them.

A residue has six sites, N, CA, C, O, CB and H (at 1.0 Å from N, opposite to the C=O before). Pairs of residues with
``|i - j| >= 3`` and CA within a reach are listed once and gathered, so that a term costs ``O(length)``.

The least distances `LEAST` are those that one residue in five hundred of the compact training chains undercuts, rounded
down; CB of glycine, which does not exist, is exempt. An atom pair below them, by more than `SLACK`, is a clash of heavy
atoms. The rule of `checks`, CA-CA of at least 3.6 Å, is the weaker one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .chains import Chains
from .geometry import ideal_cb, place_oxygen
from .residues import LETTERS

__all__ = ["LEAST", "SLACK", "Pairs", "atom_clashes", "clash_energy", "hydrogen_energies", "near_pairs", "sites"]

LEAST = (
    (3.60, 3.70, 3.45, 2.60, 3.10),
    (3.70, 3.80, 3.75, 3.00, 3.20),
    (3.45, 3.75, 3.90, 3.15, 3.10),
    (2.60, 3.00, 3.15, 2.85, 2.90),
    (3.10, 3.20, 3.10, 2.90, 3.30),
)
"""Least distances between N, CA, C, O and CB of residues three apart or more, Å."""
SLACK = 0.4
_N, _CA, _C, _O, _CB, _H = range(6)
_SCALE = 27.9
_SEPARATION = 3
_GLY = LETTERS.index("G")


class Pairs(NamedTuple):
    """Pairs of residues ``i < j`` of one chain: the chain, and the two places, int64, shape ``(pairs,)`` each."""

    chain: Tensor
    i: Tensor
    j: Tensor


def sites(xyz: Tensor, mask: Tensor) -> Tensor:
    """Return N, CA, C, O, CB and H of every residue; differentiable.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.

    Returns
    -------
    Tensor
        Shape ``(batch, length, 6, 3)``; H of the first residue lies at its N.
    """
    n, ca, c = xyz.unbind(2)
    o = place_oxygen(n, ca, c, mask)
    away = torch.nn.functional.normalize(c[:, :-1] - o[:, :-1], dim=-1)
    h = torch.cat((n[:, :1], n[:, 1:] + away), dim=1)
    return torch.stack((n, ca, c, o, ideal_cb(n, ca, c), h), dim=2)


def near_pairs(ca: Tensor, mask: Tensor, reach: float = 9.0) -> Pairs:
    """List the pairs with ``|i - j| >= 3`` and CA within a reach, Å."""
    apart = torch.cdist(ca, ca)
    both = mask.unsqueeze(1) & mask.unsqueeze(2) & (apart < reach)
    return Pairs(*torch.nonzero(both.triu(_SEPARATION), as_tuple=True))


def _limits(sequence: Tensor, pairs: Pairs, like: Tensor) -> Tensor:
    """Least distances of the atoms of each pair, ``(pairs, 5, 5)``; zero where glycine has no CB."""
    limit = like.new_tensor(LEAST).expand(len(pairs.i), 5, 5).clone()
    limit[sequence[pairs.chain, pairs.i] == _GLY, _CB] = 0.0
    limit[sequence[pairs.chain, pairs.j] == _GLY, :, _CB] = 0.0
    return limit


def _apart(atoms: Tensor, pairs: Pairs) -> Tensor:
    """Distances of the five heavy atoms of the pairs, ``(pairs, 5, 5)``."""
    one, two = atoms[pairs.chain, pairs.i, :5], atoms[pairs.chain, pairs.j, :5]
    return ((one.unsqueeze(2) - two.unsqueeze(1)) ** 2).sum(-1).clamp(min=1e-6).sqrt()


def clash_energy(atoms: Tensor, sequence: Tensor, pairs: Pairs, margin: float = 0.0) -> Tensor:
    """Sum of squared shortfalls of the distances of heavy atoms.

    Parameters
    ----------
    atoms
        As of `sites`.
    sequence
        Codes of the residues, shape ``(batch, length)``.
    pairs
        Pairs that may clash.
    margin
        Added to the limits, Å.

    Returns
    -------
    Tensor
        Å squared, shape ``(batch,)``.
    """
    limit = _limits(sequence, pairs, atoms)
    short = (limit + margin * (limit > 0) - _apart(atoms, pairs)).clamp(min=0)
    return atoms.new_zeros(len(atoms)).index_add(0, pairs.chain, (short**2).sum((1, 2)))


def atom_clashes(chains: Chains) -> Tensor:
    """Number of pairs of backbone heavy atoms, CB included, below `LEAST` by more than `SLACK`, shape ``(batch,)``."""
    pairs = near_pairs(chains.ca, chains.mask)
    atoms = sites(chains.xyz, chains.mask)
    bad = (_apart(atoms, pairs) < _limits(chains.sequence, pairs, atoms) - SLACK).sum((1, 2))
    return torch.zeros(len(chains), dtype=torch.int64).index_add(0, pairs.chain.cpu(), bad.cpu())


def hydrogen_energies(atoms: Tensor, pairs: Pairs) -> Tensor:
    """Energies of the hydrogen bonds between the residues of pairs, see `secondary.hydrogen_bonds`.

    Parameters
    ----------
    atoms, pairs
        As of `clash_energy`.

    Returns
    -------
    Tensor
        Energies in kcal/mol: C=O of ``i`` with N-H of ``j``, and C=O of ``j`` with N-H of ``i``, shape ``(pairs, 2)``.
    """
    one, two = atoms[pairs.chain, pairs.i], atoms[pairs.chain, pairs.j]

    def inverse(a: Tensor, b: Tensor) -> Tensor:
        return 1 / ((a - b) ** 2).sum(-1).clamp(min=0.25).sqrt()

    def energy(acceptor: Tensor, donor: Tensor) -> Tensor:
        o, c, n, h = acceptor[:, _O], acceptor[:, _C], donor[:, _N], donor[:, _H]
        return _SCALE * (inverse(o, n) + inverse(c, h) - inverse(o, h) - inverse(c, n))

    return torch.stack((energy(one, two), torch.where(pairs.i > 0, energy(two, one), 0.0)), dim=1)
