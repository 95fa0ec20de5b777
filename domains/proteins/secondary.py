"""Secondary structure by hydrogen bonds, and the CA-only assignment beside it.

**H-bonds** [1]_. With H at 1.0 Å from N, opposite to the C=O of the residue before,

    E(i, j) = 27.9 (1/r_ON + 1/r_CH - 1/r_OH - 1/r_CN)   kcal/mol,    C=O of i, N-H of j,    bond where E < -0.5.

An ``n``-turn at ``i`` is a bond ``(i, i + n)``, ``n = 3, 4, 5``; two turns in a row make ``i ... i + n - 1`` of the
second a helix. A bridge between ``i`` and ``j`` is parallel, ``(i-1, j)(j, i+1)`` or ``(j-1, i)(i, j+1)``, or
antiparallel, ``(i, j)(j, i)`` or ``(i-1, j+1)(j-1, i+1)``, with ``|i - j| >= 3``; its residues are strands. Isolated
bridges count, as in the three-state form of the published method; helix goes before strand.

**P-SEA** [2]_ sees CA only. It calls any extended stretch a strand, paired or not: a sheet cannot be told from its
absence. It serves as one of the gates and for the handedness of helices, never as evidence for sheets.

References
----------
.. [1] W. Kabsch, C. Sander, Biopolymers 22 (1983) 2577, doi:10.1002/bip.360221211
.. [2] G. Labesse et al., CABIOS 13 (1997) 291, doi:10.1093/bioinformatics/13.3.291
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .chains import Chains
from .geometry import dihedral

__all__ = [
    "COIL",
    "HELIX",
    "STRAND",
    "assign",
    "assign_together",
    "helix_hands",
    "hydrogen_bonds",
    "psea",
    "state_letters",
]

COIL, HELIX, STRAND = 0, 1, 2
_SCALE = 27.9
_CUT = -0.5
_NEAREST = 0.5
# residues left out between chains, more than the reach of a turn
_APART = 6


def hydrogen_bonds(chains: Chains) -> Tensor:
    """Energies of the backbone hydrogen bonds.

    Parameters
    ----------
    chains
        A batch.

    Returns
    -------
    Tensor
        ``E[b, i, j]`` in kcal/mol for C=O of ``i`` and N-H of ``j``, shape ``(batch, length, length)``; zero where a
        residue is not real, ``|i - j| < 2``, or ``j`` is the first residue, whose H is not determined.
    """
    n, c, o, h = _donors_acceptors(chains)
    energy = _energies(n, c, o, h)
    real = chains.mask.unsqueeze(1) & chains.mask.unsqueeze(2)
    place = torch.arange(n.shape[1], device=n.device)
    far = (place.unsqueeze(0) - place.unsqueeze(1)).abs() >= 2
    return torch.where(real & far & (place > 0), energy, 0.0)


def _donors_acceptors(chains: Chains) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """N, C, O and H of every residue."""
    n, _, c = chains.xyz.unbind(2)
    o = chains.oxygen
    h = n.clone()
    h[:, 1:] = n[:, 1:] + torch.nn.functional.normalize(c[:, :-1] - o[:, :-1], dim=-1)
    return n, c, o, h


def _energies(n: Tensor, c: Tensor, o: Tensor, h: Tensor) -> Tensor:
    """Energies of all pairs, C=O along the first axis of residues and N-H along the second."""

    def inverse(a: Tensor, b: Tensor) -> Tensor:
        return 1 / torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").clamp(min=_NEAREST)

    return _SCALE * (inverse(o, n) + inverse(c, h) - inverse(o, h) - inverse(c, n))


def _shift(bond: Tensor, rows: int, columns: int) -> Tensor:
    """Return ``bond[i + rows, j + columns]``, False outside."""
    out = torch.zeros_like(bond)
    size = bond.shape[-1]
    here = [slice(max(0, -k), size - max(0, k)) for k in (rows, columns)]
    there = [slice(max(0, k), size - max(0, -k)) for k in (rows, columns)]
    if size > max(abs(rows), abs(columns)):
        out[:, here[0], here[1]] = bond[:, there[0], there[1]]
    return out


def assign(chains: Chains) -> Tensor:
    """Assign coil, helix or strand to every residue by hydrogen bonds.

    Parameters
    ----------
    chains
        A batch.

    Returns
    -------
    Tensor
        `COIL`, `HELIX` or `STRAND`, int64, shape ``(batch, length)``; coil where a residue is not real.
    """
    return _states(hydrogen_bonds(chains) < _CUT)


def assign_together(chains: Chains) -> Tensor:
    """Assign secondary structure with hydrogen bonds between chains too, e.g. of a symmetric assembly.

    Parameters
    ----------
    chains
        Chains of one structure, in one frame.

    Returns
    -------
    Tensor
        As of `assign`.
    """
    sizes = chains.lengths.tolist()
    starts = [sum(sizes[:k]) + _APART * k for k in range(len(sizes))]
    total = starts[-1] + sizes[-1]
    place = torch.cat([torch.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)])
    n, c, o, h = (atoms[chains.mask] for atoms in _donors_acceptors(chains))
    chain = torch.nonzero(chains.mask)[:, 0]
    near = (place.unsqueeze(0) - place.unsqueeze(1)).abs() < 2
    first = torch.isin(place, torch.tensor(starts))
    energy = _energies(n, c, o, h).masked_fill(near & (chain.unsqueeze(0) == chain.unsqueeze(1)), 0.0)
    bond = torch.zeros(1, total, total, dtype=torch.bool)
    bond[0, place.unsqueeze(1), place] = (energy < _CUT) & ~first
    out = torch.full(chains.mask.shape, COIL)
    out[chains.mask] = _states(bond)[0, place]
    return out


def _states(bond: Tensor) -> Tensor:
    """Helices and bridges of bonds ``bond[b, i, j]``, C=O of ``i`` to N-H of ``j``."""
    helix, size = torch.zeros_like(bond[:, 0]), bond.shape[1]
    for n in (3, 4, 5):
        if size <= n + 1:
            continue
        turns = bond.diagonal(offset=n, dim1=1, dim2=2)
        twice = turns[:, :-1] & turns[:, 1:]
        for k in range(n):
            helix[:, 1 + k : 1 + k + twice.shape[1]] |= twice
    back = bond.transpose(1, 2)
    parallel = _shift(bond, -1, 0) & _shift(back, 1, 0)
    anti = (bond & back) | (_shift(bond, -1, 1) & _shift(back, 1, -1))
    place = torch.arange(size, device=bond.device)
    apart = (place.unsqueeze(0) - place.unsqueeze(1)).abs() >= 3
    bridge = (parallel | parallel.transpose(1, 2) | anti) & apart
    return torch.where(helix, HELIX, torch.where(bridge.any(2), STRAND, COIL))


def psea(chains: Chains) -> Tensor:
    """Assign secondary structure from CA alone; shapes and codes as of `assign`."""
    from biotite.structure import AtomArray, annotate_sse

    code = {"c": COIL, "a": HELIX, "b": STRAND, "": COIL}
    found = torch.zeros(chains.mask.shape, dtype=torch.int64)
    for row, size in enumerate(chains.lengths.tolist()):
        atoms: Any = AtomArray(size)
        atoms.coord = chains.ca[row, :size].detach().cpu().numpy().astype(np.float32)
        atoms.atom_name[:], atoms.res_name[:], atoms.chain_id[:], atoms.element[:] = "CA", "ALA", "A", "C"
        atoms.res_id[:] = np.arange(1, size + 1)
        found[row, :size] = torch.tensor([code[letter] for letter in annotate_sse(atoms)])
    return found.to(chains.mask.device)


def helix_hands(chains: Chains, states: Tensor) -> tuple[Tensor, Tensor]:
    """Count the handedness of helices, by the dihedral of four successive CA within a helix.

    Parameters
    ----------
    chains
        A batch.
    states
        As of `assign` or `psea`.

    Returns
    -------
    right, left
        Number of CA dihedrals within 40 degrees of +50 and of -50 degrees, int64, shape ``(batch,)``.
    """
    if chains.xyz.shape[1] < 4:
        none = torch.zeros(len(chains), dtype=torch.int64)
        return none, none
    ca = chains.ca
    turn = torch.rad2deg(dihedral(ca[:, :-3], ca[:, 1:-2], ca[:, 2:-1], ca[:, 3:]))
    inside = (states == HELIX).unfold(1, 4, 1).all(-1)
    return tuple((((turn - sign * 50).abs() < 40) & inside).sum(1) for sign in (1, -1))


def state_letters(states: Tensor) -> str:
    """One row of states as letters: ``-`` coil, ``H`` helix, ``E`` strand."""
    return "".join("-HE"[int(state)] for state in states)
