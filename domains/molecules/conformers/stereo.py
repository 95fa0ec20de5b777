"""Shapes that are the molecule that was asked for: stereo marks, met by mirror images and by drawing again.

The law of a model is that of all stereoisomers, and equal for mirror images. Where a SMILES has stereo marks, every
sample, and its mirror image, is compared with them by RDKit's perception from positions; what matches neither is drawn
again with new noise. The result is the law of the model given the marks. `attempts` says how often a sample was drawn;
one that did not match after `MOST_ATTEMPTS` stays without an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem
from rdkit.Geometry import Point3D

from scidiff.random import Noise

from .graph import Graphs

if TYPE_CHECKING:
    from .model import ConformerModel

__all__ = ["MOST_ATTEMPTS", "Draw", "matches", "place"]

MOST_ATTEMPTS = 20


class Draw:
    """Samples of one call: those that do not match the stereo marks of their molecule are drawn again.

    Parameters
    ----------
    model
        The model.
    molecules
        Molecules, with or without stereo marks.
    count
        Samples of each.
    steps, batch_size
        As for `ConformerModel.positions`.

    Attributes
    ----------
    items
        Molecules with one conformer each, ``None`` where no sample matched.
    attempts
        How often each sample was drawn.
    mirrored
        Where the mirror image of a sample was taken.
    """

    def __init__(
        self, model: ConformerModel, molecules: list[Chem.Mol], count: int, steps: int, batch_size: int
    ) -> None:
        self.model, self.molecules, self.steps, self.batch_size = model, molecules, steps, batch_size
        self.graphs = Graphs.of(molecules)
        self.row = np.arange(len(molecules)).repeat(count)
        self.items: list[Chem.Mol | None] = [None] * len(self.row)
        self.attempts = np.zeros(len(self.row), dtype=np.int64)
        self.mirrored = np.zeros(len(self.row), dtype=bool)

    def run(self, seed: int) -> None:
        """Draw until every sample matches, or has been drawn often enough."""
        noise = Noise.range(seed, len(self.row))
        waiting = np.arange(len(self.row))
        for attempt in range(MOST_ATTEMPTS):
            fresh = noise.take(waiting).scoped(f"attempt-{attempt}")
            clouds = self.model.positions(
                self.graphs, self.row[waiting], fresh, steps=self.steps, batch_size=self.batch_size
            )
            self.attempts[waiting] += 1
            waiting = np.array(
                [k for k, x in zip(waiting, clouds, strict=True) if not self._take(k, x)], dtype=np.int64
            )
            if not len(waiting):
                return

    def _take(self, k: int, cloud: np.ndarray) -> bool:
        """Keep a cloud, or its mirror image, if it is the molecule that was asked for."""
        wanted = self.molecules[self.row[k]]
        if not np.isfinite(cloud).all():
            return False
        for mirrored in (False, True):
            item = place(wanted, -cloud if mirrored else cloud)
            if matches(item, wanted):
                self.items[k], self.mirrored[k] = item, mirrored
                return True
        return False


def place(molecule: Chem.Mol, positions: np.ndarray) -> Chem.Mol:
    """Copy of a molecule with one conformer, Å, of its first atoms' positions."""
    copy = Chem.Mol(molecule)
    copy.RemoveAllConformers()
    conformer = Chem.Conformer(copy.GetNumAtoms())
    for k in range(copy.GetNumAtoms()):
        conformer.SetAtomPosition(k, Point3D(*positions[k].tolist()))
    copy.AddConformer(conformer, assignId=True)
    return copy


def matches(item: Chem.Mol, wanted: Chem.Mol) -> bool:
    """Whether the shape has the stereo marks that are wanted; without marks, every shape has."""
    if not _marks(wanted):
        return True
    seen = Chem.Mol(item)
    Chem.RemoveStereochemistry(seen)
    Chem.AssignStereochemistryFrom3D(seen)
    return seen.HasSubstructMatch(wanted, useChirality=True)


def _marks(molecule: Chem.Mol) -> int:
    """Number of specified stereo marks of a molecule."""
    return sum(
        info.specified == Chem.StereoSpecified.Specified for info in Chem.FindPotentialStereo(Chem.Mol(molecule))
    )
