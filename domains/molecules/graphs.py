"""Molecules as arrays of classes, and back.

A molecule of ``n`` heavy atoms is ``atoms``, shape ``(n,)``, and ``bonds``, shape ``(n (n - 1) / 2,)``: the class of
each pair ``i < j`` at position ``j (j - 1) / 2 + i``. In this order the pairs of the first ``n`` atoms come first
whatever the padded size, so padding never moves a pair.

RDKit reads and writes; stereo marks are dropped on the way in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem, rdBase

from scidiff.errors import DataError

from .kekule import kekule_form
from .vocabulary import AtomToken, Bond, Vocabulary

__all__ = ["GraphSet", "bond_class", "decode", "edges", "encode", "pair_count", "pair_index", "parse"]

_CLASSES = {
    Chem.BondType.SINGLE: Bond.SINGLE,
    Chem.BondType.DOUBLE: Bond.DOUBLE,
    Chem.BondType.TRIPLE: Bond.TRIPLE,
    Chem.BondType.AROMATIC: Bond.AROMATIC,
}
_TYPES = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


def pair_count(atoms: int) -> int:
    """Number of pairs of `atoms` atoms."""
    return atoms * (atoms - 1) // 2


@lru_cache
def pair_index(atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Atoms ``(i, j)``, ``i < j``, of every pair position."""
    j, i = np.tril_indices(atoms, -1)
    return i, j


def parse(smiles: str) -> Chem.Mol:
    """Sanitized molecule without stereo marks.

    Raises
    ------
    DataError
        If RDKit cannot read or sanitize the string.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise DataError(f"SMILES '{smiles}' cannot be read or sanitized by RDKit; correct or remove it")
    Chem.RemoveStereochemistry(molecule)
    return molecule


def encode(molecule: Chem.Mol, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Classes of the atoms and of the pairs of a sanitized molecule, uint8.

    Raises
    ------
    DataError
        If an atom is not in the vocabulary, or a bond is of another kind than the five classes.
    """
    size = molecule.GetNumAtoms()
    atoms = np.empty(size, dtype=np.uint8)
    bonds = np.zeros(pair_count(size), dtype=np.uint8)
    for k, atom in enumerate(molecule.GetAtoms()):
        token = AtomToken.of(atom)
        if token not in vocabulary.index:
            raise DataError(
                f"atom {token.symbol} of '{Chem.MolToSmiles(molecule)}' is not in the vocabulary "
                f"({' '.join(vocabulary.symbols)}); use a model whose data has it"
            )
        atoms[k] = vocabulary.index[token]
    for bond in molecule.GetBonds():
        i, j = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        bonds[pair_count(j) + i] = bond_class(bond)
    return atoms, bonds


def bond_class(bond: Chem.Bond) -> Bond:
    """Class of a bond.

    Raises
    ------
    DataError
        If it is not single, double, triple or aromatic.
    """
    kind = bond.GetBondType()
    if kind not in _CLASSES:
        smiles = Chem.MolToSmiles(bond.GetOwningMol())
        raise DataError(f"a bond of '{smiles}' is {kind}; expected single, double, triple or aromatic ones: remove it")
    return _CLASSES[kind]


def edges(bonds: Sequence[int] | np.ndarray, size: int) -> list[tuple[int, int, int]]:
    """List ``(i, j, class)`` of the bonded pairs of the first `size` atoms."""
    i, j = pair_index(size)
    bonds = np.asarray(bonds)[: len(i)]
    present = np.flatnonzero(bonds)
    return list(zip(i[present].tolist(), j[present].tolist(), bonds[present].tolist(), strict=True))


def decode(atoms: np.ndarray, bonds: np.ndarray, vocabulary: Vocabulary, given: Iterable[int] = ()) -> Chem.Mol:
    """Build the molecule; aromatic parts are written in a Kekulé form and perceived again by RDKit.

    Parameters
    ----------
    atoms, bonds
        Classes of the atoms and of their pairs.
    vocabulary
        The tokens.
    given
        Atoms of a scaffold; see `kekule_form`.

    Raises
    ------
    DataError
        If RDKit does not accept the graph, e.g. because a valence is exceeded.
    """
    tokens = [int(k) for k in atoms]
    editable = Chem.RWMol()
    for k in tokens:
        atom = Chem.Atom(vocabulary.tokens[k].element)
        atom.SetFormalCharge(vocabulary.tokens[k].charge)
        editable.AddAtom(atom)
    for i, j, order in kekule_form(tokens, edges(bonds, len(tokens)), vocabulary, given).orders:
        editable.AddBond(i, j, _TYPES[order])
    molecule = editable.GetMol()
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(molecule)
        except (Chem.MolSanitizeException, ValueError) as error:
            raise DataError(f"the graph is not a molecule: {error}") from error
    return molecule


@dataclass(frozen=True)
class GraphSet:
    """Many molecules, padded to the largest one; class 0 fills the padding.

    Parameters
    ----------
    atoms
        Atom classes, uint8, shape ``(count, size)``.
    bonds
        Pair classes, uint8, shape ``(count, size (size - 1) / 2)``.
    sizes
        Number of heavy atoms, int64, shape ``(count,)``.
    """

    atoms: np.ndarray
    bonds: np.ndarray
    sizes: np.ndarray

    @classmethod
    def from_molecules(cls, molecules: Sequence[Chem.Mol], vocabulary: Vocabulary) -> GraphSet:
        """Encode molecules; see `encode` for the errors."""
        sizes = np.array([molecule.GetNumAtoms() for molecule in molecules], dtype=np.int64)
        largest = int(sizes.max(initial=0))
        atoms = np.zeros((len(molecules), largest), dtype=np.uint8)
        bonds = np.zeros((len(molecules), pair_count(largest)), dtype=np.uint8)
        for row, molecule in enumerate(molecules):
            a, b = encode(molecule, vocabulary)
            atoms[row, : len(a)] = a
            bonds[row, : len(b)] = b
        return cls(atoms, bonds, sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def decode(self, row: int, vocabulary: Vocabulary) -> Chem.Mol:
        """Molecule of one row."""
        size = int(self.sizes[row])
        return decode(self.atoms[row, :size], self.bonds[row, : pair_count(size)], vocabulary)
