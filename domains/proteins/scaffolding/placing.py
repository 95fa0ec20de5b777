"""Kept residues put exactly into chains: close, relax the rest around them, close again.

The first closing brings the kept residues to their native geometry and pose; the relaxation (`relaxation`) removes the
clashes that this made, with the pose under a stiff restraint; the last closing is exact. The chain is then moved so
that its first body lies on the given coordinates, which take the place of the kept atoms where they agree to
`CLOSED`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..chains import Chains
from ..descent import descend
from ..relaxation import Relaxation, Strain, Variables
from ..secondary import COIL, assign
from ..superpose import apply, kabsch
from ..torsions import measure
from .closure import CLOSED, Closure, Kept, close

__all__ = ["Placed", "PLACING", "kept_rmsd", "place"]

PLACING = Relaxation(steps=100, shape=0.2, rama=1.0, coil=0.3)


@dataclass(frozen=True, eq=False)
class Placed:
    """Chains with their kept residues.

    Parameters
    ----------
    chains
        The chains, the first body of each on the given coordinates.
    error
        What the closure left, Å, shape ``(batch,)``.
    rmsd
        RMSD of N, CA and C of the kept residues to the given ones after superposition, the worst body, Å, shape
        ``(batch,)``.
    """

    chains: Chains
    error: Tensor
    rmsd: Tensor

    @property
    def closed(self) -> Tensor:
        """True where all linkers closed."""
        return self.error <= CLOSED


def _bodies(group: Tensor) -> list[int]:
    return [body for body in group.unique().tolist() if body]


def kept_rmsd(xyz: Tensor, kept: Kept, atoms: slice = slice(None)) -> Tensor:
    """RMSD of kept residues after superposition, the worst body of each chain.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.
    kept
        The residues.
    atoms
        Part of N, CA, C.

    Returns
    -------
    Tensor
        Å, shape ``(batch,)``.
    """
    worst = xyz.new_zeros(len(xyz))
    for row in range(len(xyz)):
        for body in _bodies(kept.group[row]):
            here = kept.group[row] == body
            x, y = (points[row, here][:, atoms].reshape(1, -1, 3) for points in (xyz, kept.xyz.to(xyz)))
            moved = apply(kabsch(x, y, torch.ones_like(x[..., 0])), x)
            worst[row] = torch.maximum(worst[row], ((moved - y) ** 2).sum(-1).mean().sqrt())
    return worst


def _on_given(xyz: Tensor, kept: Kept) -> Tensor:
    """Move each chain so that its first body lies on the given coordinates, and take these over where they agree."""
    found = xyz.clone()
    for row in range(len(xyz)):
        bodies = _bodies(kept.group[row])
        if not bodies:
            continue
        here = kept.group[row] == bodies[0]
        x, y = xyz[row, here].reshape(1, -1, 3), kept.xyz[row, here].to(xyz).reshape(1, -1, 3)
        moved = apply(kabsch(x, y, torch.ones_like(x[..., 0])), xyz[row].reshape(1, -1, 3)).reshape(-1, 3, 3)
        near = here & ((moved - kept.xyz[row]).norm(dim=-1).max(-1).values <= CLOSED)
        found[row] = torch.where(near[:, None, None], kept.xyz[row].to(xyz), moved)
    return found


def _relaxed(chains: Chains, closure: Closure, kept: Kept, settings: Relaxation) -> Closure:
    """Relax around the kept residues, and close again."""
    exact = Variables.of(closure.internal)
    start = exact.to(torch.float32)
    held = replace(chains, xyz=torch.where(chains.mask[..., None, None], closure.xyz, 0.0))
    done = descend(Strain(held, start, settings, kept.group), start, settings)
    now = replace(exact, phi_psi=done.phi_psi.double(), u=done.u.double(), v=done.v.double())
    return close(now.internal(), kept, assign(held) != COIL)


def place(chains: Chains, kept: Kept, settings: Relaxation = PLACING, types: Tensor | None = None) -> Placed:
    """Put kept residues into chains.

    Parameters
    ----------
    chains
        Chains that have the kept residues about where they belong.
    kept
        The residues.
    settings
        Relaxation of the other residues.
    types
        Types of the residues, shape ``(batch, length)``; unknown ones by default.

    Returns
    -------
    Placed
        The chains; one that does not close has its `Placed.error`.
    """
    chains = chains.to(torch.float64)
    first = close(measure(chains.xyz, chains.mask), kept, assign(chains) != COIL)
    done = _relaxed(chains, first, kept, settings)
    worse = done.error > torch.maximum(first.error, torch.tensor(CLOSED))
    xyz = torch.where(worse[:, None, None, None], first.xyz, done.xyz)
    error = torch.where(worse, first.error, done.error)
    xyz = _on_given(xyz, kept)
    sequence = chains.sequence if types is None else types
    placed = replace(chains, xyz=torch.where(chains.mask[..., None, None], xyz, 0.0), sequence=sequence)
    return Placed(placed, error, kept_rmsd(placed.xyz, kept))
