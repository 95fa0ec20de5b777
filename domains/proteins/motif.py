"""Motifs in designs: how far one is from the other, and the exact motif put in its place.

For each pose group the motif atoms are superposed on the design; ``motif_rmsd`` is the deviation of N, CA and C that
remains. ``graft`` moves the motif by that superposition and puts its atoms in place of the design's, so that the motif
is exact after superposition, to round-off; what that costs at the junctions is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.errors import ConfigError

from .chains import Chains
from .design import Layout
from .residues import UNKNOWN
from .superpose import apply, kabsch

__all__ = ["Graft", "graft", "motif_rmsd"]


@dataclass(frozen=True, eq=False)
class Graft:
    """A design with its motif put in.

    Parameters
    ----------
    chains
        The design after grafting.
    rmsd
        Motif RMSD before grafting, Å, largest over the groups.
    junctions
        C-N lengths where kept and new residues meet, after grafting, Å.
    """

    chains: Chains
    rmsd: float
    junctions: tuple[float, ...]


def _residues(design: Chains, layout: Layout) -> list[tuple[int, int]]:
    """Row and place of each residue of the layout in the design."""
    found: list[tuple[int, int]] = []
    for row in range(int(layout.chain.max()) + 1):
        found += [(row, place) for place in range(int((layout.chain == row).sum()))]
    sizes = design.lengths.tolist()
    want = [int((layout.chain == row).sum()) for row in range(int(layout.chain.max()) + 1)]
    if sizes != want:
        raise ConfigError(
            f"the design has chains of {sizes} residues, its layout of {want}; give the layout it was made with"
        )
    return found


def _fit(design: Chains, layout: Layout, reference: Chains, group: int) -> tuple[list, Tensor, Tensor]:
    """Places of a group in the design, the motif atoms superposed on them, the design's atoms."""
    where = _residues(design, layout)
    rows = [k for k in range(len(layout)) if layout.fixed[k] and layout.group[k] == group]
    place = [where[k] for k in rows]
    target = torch.stack([design.xyz[p] for p in place]).reshape(1, -1, 3)
    motif = torch.stack([reference.xyz[tuple(layout.source[k])] for k in rows]).to(target).reshape(1, -1, 3)
    moved = apply(kabsch(motif, target, torch.ones_like(motif[..., 0])), motif)
    return [(k, p) for k, p in zip(rows, place, strict=True)], moved.reshape(-1, 3, 3), target.reshape(-1, 3, 3)


def _groups(layout: Layout) -> list[int]:
    groups = sorted({int(g) for g, kept in zip(layout.group, layout.fixed, strict=True) if kept})
    if not groups:
        raise ConfigError("the design keeps no residue; there is no motif to compare with")
    return groups


def motif_rmsd(design: Chains, layout: Layout, reference: Chains) -> dict[int, float]:
    """RMSD of N, CA and C of each pose group after superposition, Å.

    Parameters
    ----------
    design
        Chains of one design.
    layout
        The layout it was made with.
    reference
        The structure that the layout speaks of.

    Returns
    -------
    dict
        RMSD by group.

    Raises
    ------
    ConfigError
        If the layout does not fit, or keeps nothing.
    """
    found = {}
    for group in _groups(layout):
        _, moved, target = _fit(design, layout, reference, group)
        found[group] = float(((moved - target) ** 2).sum(-1).mean().sqrt())
    return found


def graft(design: Chains, layout: Layout, reference: Chains) -> Graft:
    """Put the motif atoms in place of the design's; parameters and errors as of `motif_rmsd`."""
    design = design.to(torch.float64)
    before = motif_rmsd(design, layout, reference)
    xyz, sequence = design.xyz.clone(), design.sequence.clone()
    for group in _groups(layout):
        rows, moved, _ = _fit(design, layout, reference, group)
        for (k, place), atoms in zip(rows, moved, strict=True):
            xyz[place] = atoms
            sequence[place] = UNKNOWN if layout.hidden[k] else reference.sequence[tuple(layout.source[k])]
    where, junctions = _residues(design, layout), []
    for k in range(len(layout) - 1):
        inside = layout.chain[k] == layout.chain[k + 1]
        if inside and (layout.fixed[k] != layout.fixed[k + 1] or layout.group[k] != layout.group[k + 1]):
            junctions.append(float((xyz[where[k + 1]][0] - xyz[where[k]][2]).norm()))
    return Graft(replace(design, xyz=xyz, sequence=sequence), max(before.values()), tuple(junctions))
