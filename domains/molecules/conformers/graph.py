"""What a conformer model is told of a molecule: small whole numbers of its atoms and of its pairs of atoms.

    atoms (n, 3)       element in `ELEMENTS`, hydrogens 0 to 4, aromatic 0 or 1
    pairs (n, n, 3)    bond class (`Bond`), bonds on the shortest path (at most 5),
                       size of the smallest common ring less 2, or 0

Only heavy atoms have positions. Stereo marks are no part of it: the law that a model learns is that of all
stereoisomers, and a wish for one of them is met by choosing among samples (see `model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase

from scidiff.errors import DataError

from ..graphs import bond_class

__all__ = ["ATOM_STATES", "ELEMENTS", "LARGEST", "PAIR_STATES", "Graphs", "encode", "read"]

ELEMENTS = ("C", "N", "O", "F")
LARGEST = 6
"""Heavy atoms of the largest molecule."""
ATOM_STATES = (len(ELEMENTS), 5, 2)
PAIR_STATES = (5, 6, 5)
"""Number of values of each of the columns."""


def read(smiles: str) -> Chem.Mol:
    """Read a molecule that conformers can be made of; stereo marks are kept.

    Parameters
    ----------
    smiles
        SMILES of one connected, neutral, closed-shell molecule of at most six C, N, O, F atoms.

    Raises
    ------
    DataError
        If RDKit cannot read it, or it is another kind of molecule.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise DataError(f"SMILES '{smiles}' cannot be read or sanitized by RDKit; correct or remove it")
    if len(Chem.GetMolFrags(molecule)) > 1:
        raise DataError(f"'{smiles}' has several parts; expected one connected molecule; give each part alone")
    if molecule.GetNumAtoms() > LARGEST:
        raise DataError(
            f"'{smiles}' has {molecule.GetNumAtoms()} heavy atoms; the model knows at most {LARGEST}; "
            "use a smaller molecule, or RDKit's ETKDG and MMFF for this one"
        )
    for atom in molecule.GetAtoms():
        _check_atom(atom, smiles)
    return molecule


def _check_atom(atom: Chem.Atom, smiles: str) -> None:
    if atom.GetSymbol() not in ELEMENTS:
        raise DataError(f"'{smiles}' has an atom {atom.GetSymbol()}; the model knows {', '.join(ELEMENTS)} only")
    if atom.GetFormalCharge() or atom.GetNumRadicalElectrons():
        raise DataError(f"'{smiles}' has a charge or an unpaired electron; expected a neutral closed-shell molecule")


def encode(molecule: Chem.Mol) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of the atoms ``(n, 3)`` and the pairs ``(n, n, 3)`` of a molecule, uint8.

    Parameters
    ----------
    molecule
        Without explicit hydrogens, of elements in `ELEMENTS`; as from `read`.
    """
    size = molecule.GetNumAtoms()
    rows = [(ELEMENTS.index(a.GetSymbol()), a.GetTotalNumHs(), int(a.GetIsAromatic())) for a in molecule.GetAtoms()]
    pairs = np.zeros((size, size, 3), dtype=np.uint8)
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        pairs[i, j, 0] = pairs[j, i, 0] = bond_class(bond)
    pairs[..., 1] = np.minimum(Chem.GetDistanceMatrix(molecule), PAIR_STATES[1] - 1)
    for ring in sorted(molecule.GetRingInfo().AtomRings(), key=len, reverse=True):
        inside = np.array(ring)
        pairs[inside[:, None], inside, 2] = len(ring) - 2
    pairs[np.arange(size), np.arange(size)] = 0
    return np.array(rows, dtype=np.uint8), pairs


@dataclass(frozen=True)
class Graphs:
    """Many molecules, padded with zeros.

    Parameters
    ----------
    atoms
        Bytes, shape ``(count, size, 3)``.
    pairs
        Bytes, shape ``(count, size, size, 3)``.
    sizes
        Number of heavy atoms, int64, shape ``(count,)``.
    """

    atoms: np.ndarray
    pairs: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, molecules: Sequence[Chem.Mol], size: int = LARGEST) -> Graphs:
        """Encode molecules and pad them to `size` atoms."""
        atoms = np.zeros((len(molecules), size, 3), dtype=np.uint8)
        pairs = np.zeros((len(molecules), size, size, 3), dtype=np.uint8)
        for row, molecule in enumerate(molecules):
            n = molecule.GetNumAtoms()
            atoms[row, :n], pairs[row, :n, :n] = encode(molecule)
        sizes = np.array([molecule.GetNumAtoms() for molecule in molecules], dtype=np.int64)
        return cls(atoms, pairs, sizes)

    def __len__(self) -> int:
        return len(self.sizes)
