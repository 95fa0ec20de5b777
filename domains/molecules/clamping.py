"""Which sites of a molecule are given: for training, and as the meaning of a scaffold.

Given atoms and the pairs between them have ``t = 0``. A given atom is *open* if it may bond to new atoms; the pairs
between a closed given atom and a new atom are given too, as "no bond".
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.random import Source

from .graphs import pair_index

__all__ = ["given_pairs", "grow_parts"]


def given_pairs(given: Tensor, open_atoms: Tensor) -> Tensor:
    """Pairs that are given, shape ``(batch, pairs)``.

    Parameters
    ----------
    given
        True where an atom is given, shape ``(batch, atoms)``.
    open_atoms
        True where an atom may bond to new ones, same shape; new atoms are open.
    """
    i, j = (torch.as_tensor(index, device=given.device) for index in pair_index(given.shape[1]))
    both = given[:, i] & given[:, j]
    closed = given & ~open_atoms
    return both | closed[:, i] | closed[:, j]


def grow_parts(bonds: Tensor, mask: Tensor, noise: Source, share: float) -> tuple[Tensor, Tensor]:
    """Choose random parts of molecules to be given, as scaffolds and linker ends are.

    In a share of the rows a part grows along bonds, from one or two seeds to a random size; in half of these rows the
    atoms that have no bond to the rest are closed.

    Parameters
    ----------
    bonds
        Classes of the pairs, shape ``(batch, pairs)``; 0 is no bond.
    mask
        True where an atom is real, shape ``(batch, atoms)``.
    noise
        Randomness, one row each.
    share
        Expected share of rows in which a part grows; its size is uniform from 0 to one less than all atoms.

    Returns
    -------
    given, open_atoms
        Boolean, shape ``(batch, atoms)``.
    """
    batch, atoms = mask.shape
    i, j = (torch.as_tensor(index, device=mask.device) for index in pair_index(atoms))
    bonded = torch.zeros(batch, atoms, atoms, device=mask.device)
    bonded[:, i, j] = bonded[:, j, i] = (bonds > 0).float()
    choice = noise.uniform((4,), step=0, stream="parts/row").to(mask.device)
    score = noise.uniform((atoms,), step=0, stream="parts/order").to(mask.device)
    chosen = choice[:, 0] < share
    target = (choice[:, 1] * mask.sum(1)).long()
    seeds = 1 + (choice[:, 2] < 0.5).long()
    given = torch.zeros_like(mask)
    for size in range(atoms - 1):
        reach = ((bonded @ given.float().unsqueeze(-1)).squeeze(-1) > 0) | (size < seeds).unsqueeze(1)
        candidate = reach & mask & ~given
        best = (score * candidate).argmax(1)
        grows = chosen & (size < target) & candidate.any(1)
        given[torch.arange(batch), best] |= grows
    outward = (bonded @ (mask & ~given).float().unsqueeze(-1)).squeeze(-1) > 0
    loose = (choice[:, 3] < 0.5).unsqueeze(1)
    return given, ~given | outward | loose
