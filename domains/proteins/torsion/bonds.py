"""The hydrogen bonds that a plan asks for, and an energy that closes them.

Written ``(i, j)`` for C=O of ``i`` to N-H of ``j``, a run of bridges ``(i_k, j_k)``, ``k = 0 ... n - 1``, has two
phases, as every second pair of residues is bonded:

    antiparallel   (i_k, j_k) and (j_k, i_k)              for every even ``k``, or every odd one, from -1 to n
    parallel       (i_k - 1, j_k) and (j_k, i_k + 1)      for every even ``k``, or (j_k - 1, i_k) and (i_k, j_k + 1)

of which those count that a bridge of the run needs. The energy of a phase is the mean of its bonds', that of a run the
smaller one, softly. A helix asks for ``(i, i + 4)``. A bond costs

    U = s^2 / (1 + s^2 / 4),    s^2 = (d_ON - 2.9)^2 + (d_OH - 2.0)^2        in Å,

a square near the bond and a slope that fades where the partner is far away. Partners that are far from each other are
drawn by their CA instead, with a constant force beyond 1 Å outside of 4.3 to 5.7 Å (`pull_energy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .plans import Ladder, Plan

__all__ = ["Bonds", "bond_energy", "bonds_of", "ladder_bonds", "pull_energy"]

_ON, _OH = 2.9, 2.0
_CLOSE, _FAR = 4.3, 5.7
_O, _N, _H = 3, 0, 5
_SOFT = 0.3
_HELIX = 4
_WEAK = 0.5

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Bonds:
    """Bonds asked of a batch of chains.

    Parameters
    ----------
    chain, acceptor, donor
        Row, residue of C=O and of N-H, int64, shape ``(bonds,)``.
    phase
        Phase that each bond belongs to; phases ``2 r`` and ``2 r + 1`` are those of run ``r``.
    weight, row
        Weight of each run, and its chain, shape ``(runs,)``.
    pair
        Chain and residues of each bridge, int64, shape ``(bridges, 3)``.
    """

    chain: Tensor
    acceptor: Tensor
    donor: Tensor
    phase: Tensor
    weight: Tensor
    row: Tensor
    pair: Tensor


def ladder_bonds(ladder: Ladder, length: int) -> tuple[list[Pair], list[Pair]]:
    """Bonds ``(acceptor, donor)`` of the two phases of a run in a chain of some length."""
    phases: tuple[list[Pair], list[Pair]] = ([], [])
    step = 1 if ladder.parallel else -1
    for k in range(-1, ladder.size + 1):
        i, j = ladder.first + k, ladder.second + step * k
        inside = 0 <= k < ladder.size
        if ladder.parallel:
            if inside:
                first, second = [(i - 1, j), (j, i + 1)], [(j - 1, i), (i, j + 1)]
                phases[0].extend(first if k % 2 == 0 else second)
                phases[1].extend(second if k % 2 == 0 else first)
        else:
            bonds = [(i, j), (j, i)] if inside else [(i, j)] if k < 0 else [(j, i)]
            phases[k % 2].extend(bonds)
    found = tuple(sorted({(a, d) for a, d in part if 0 <= a < length and 0 < d < length}) for part in phases)
    return found[0], found[1]


def _helix_bonds(states: str) -> list[list[Pair]]:
    """Bonds of each helix."""
    found, start = [], 0
    for k in range(len(states) + 1):
        if k == len(states) or states[k] != "H":
            if k - start > _HELIX:
                found.append([(i, i + _HELIX) for i in range(max(start - 1, 0), k - _HELIX + 1) if i + _HELIX < k + 1])
            start = k + 1
    return [[(a, d) for a, d in part if d < len(states)] for part in found]


def bonds_of(plans: Sequence[Plan]) -> Bonds:
    """List the bonds that plans ask for, one plan a chain."""
    rows: list[tuple[int, int, int, int]] = []
    weights, owners = [], []
    for row, plan in enumerate(plans):
        runs = [(*ladder_bonds(ladder, len(plan)), float(ladder.size)) for ladder in plan.ladders]
        runs += [(bonds, bonds, _WEAK * len(bonds)) for bonds in _helix_bonds(plan.states)]
        for one, two, weight in runs:
            phases = [part for part in (one, two) if part]
            if not phases:
                continue
            for place, part in enumerate((phases * 2)[:2]):
                rows += [(row, a, d, 2 * len(weights) + place) for a, d in part]
            weights.append(weight)
            owners.append(row)
    table = torch.tensor(rows, dtype=torch.int64).reshape(-1, 4)
    bridge = [(row, i, j) for row, plan in enumerate(plans) for ladder in plan.ladders for i, j in ladder.pairs]
    return Bonds(
        *table.unbind(1),
        torch.tensor(weights, dtype=torch.float64),
        torch.tensor(owners, dtype=torch.int64),
        torch.tensor(bridge, dtype=torch.int64).reshape(-1, 3),
    )


def pull_energy(ca: Tensor, bonds: Bonds) -> Tensor:
    """Energy that draws the partners of bridges together.

    Parameters
    ----------
    ca
        Å, shape ``(batch, length, 3)``.
    bonds
        The bonds.

    Returns
    -------
    Tensor
        Shape ``(batch,)``: a square within 1 Å of the range of partners, linear beyond.
    """
    row, i, j = bonds.pair.unbind(1)
    apart = ((ca[row, i] - ca[row, j]) ** 2).sum(-1).clamp(min=1e-6).sqrt()
    off = (apart - _FAR).clamp(min=0) + (_CLOSE - apart).clamp(min=0)
    cost = torch.where(off < 1, off**2, 2 * off - 1)
    return ca.new_zeros(len(ca)).index_add(0, row, cost)


def bond_energy(atoms: Tensor, bonds: Bonds) -> Tensor:
    """Energy of the bonds that are asked for.

    Parameters
    ----------
    atoms
        Sites of every residue, as of `contacts.sites`, shape ``(batch, length, 6, 3)``.
    bonds
        The bonds.

    Returns
    -------
    Tensor
        Shape ``(batch,)``.
    """
    energy = atoms.new_zeros(len(atoms))
    if not len(bonds.weight):
        return energy
    acceptor, donor = atoms[bonds.chain, bonds.acceptor], atoms[bonds.chain, bonds.donor]

    def apart(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b) ** 2).sum(-1).clamp(min=1e-6).sqrt()

    square = (apart(acceptor[:, _O], donor[:, _N]) - _ON) ** 2 + (apart(acceptor[:, _O], donor[:, _H]) - _OH) ** 2
    cost = square / (1 + square / 4)
    phases = 2 * len(bonds.weight)
    total = cost.new_zeros(phases).index_add(0, bonds.phase, cost)
    count = cost.new_zeros(phases).index_add(0, bonds.phase, torch.ones_like(cost))
    mean = (total / count).reshape(-1, 2)
    run = -_SOFT * (torch.logsumexp(-mean / _SOFT, dim=1) - torch.log(torch.tensor(2.0)))
    return energy.index_add(0, bonds.row, bonds.weight.to(run) * run)
