"""A given part of a molecule: scaffolds, decorations and linkers.

A query is a SMILES, or a SMARTS whose atoms and bonds are definite. Dummy atoms ``*`` are attachment points: each
becomes a new atom, bonded as written, that the model chooses; all other atoms of the query are closed. Without dummy
atoms every hydrogen of the query may be replaced. Several fragments ``A*.B*`` are joined through new atoms: a linker.

The given atoms and the pairs between them sit at ``t = 0`` from the start, so that the network sees them as certain
and no step moves them: every sample contains the query by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase

from scidiff.errors import ConfigError, DataError

from .assembly import ORDER
from .graphs import pair_count, pair_index
from .vocabulary import AtomToken, Bond, Vocabulary

__all__ = ["Scaffold", "contains", "parse_query"]

_CLASSES = {Chem.BondType.SINGLE: Bond.SINGLE, Chem.BondType.DOUBLE: Bond.DOUBLE, Chem.BondType.TRIPLE: Bond.TRIPLE}


def parse_query(query: str) -> Chem.Mol:
    """Read a query as SMILES, else as a definite SMARTS; dummy atoms stay.

    Raises
    ------
    DataError
        If it is neither, or names no atom.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(query)
        if molecule is None:
            pattern = Chem.MolFromSmarts(query)
            molecule = None if pattern is None else _definite(pattern, query)
    if molecule is None or not any(atom.GetAtomicNum() for atom in molecule.GetAtoms()):
        raise DataError(f"'{query}' is not a SMILES or SMARTS of at least one atom; mark attachment points with *")
    Chem.RemoveStereochemistry(molecule)
    return molecule


def _definite(pattern: Chem.Mol, query: str) -> Chem.Mol | None:
    """Molecule that a SMARTS names, where each of its atoms and bonds leaves no choice."""
    vague = [a.GetSmarts() for a in pattern.GetAtoms() if not a.GetAtomicNum() and a.GetSmarts() not in ("*", "[*]")]
    if vague:
        raise DataError(f"'{query}' leaves atoms open ({', '.join(vague)}); name an element, or use * to attach")
    plain = Chem.RWMol()
    for atom in pattern.GetAtoms():
        new = Chem.Atom(atom.GetAtomicNum())
        new.SetIsAromatic(atom.GetIsAromatic())
        new.SetFormalCharge(atom.GetFormalCharge())
        plain.AddAtom(new)
    for bond in pattern.GetBonds():
        both = bond.GetBeginAtom().GetIsAromatic() and bond.GetEndAtom().GetIsAromatic()
        kind = bond.GetBondType() if bond.GetBondType() in _CLASSES else Chem.BondType.SINGLE
        kind = Chem.BondType.AROMATIC if both and bond.GetSmarts() in ("", ":") else kind
        plain.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), kind)
    molecule = plain.GetMol()
    return molecule if Chem.SanitizeMol(molecule, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE else None


def contains(molecule: Chem.Mol, query: Chem.Mol) -> bool:
    """Whether a molecule contains a query without its dummy atoms; aromatic bonds match conjugated ones.

    The second half matters where new atoms close a ring that makes a part of the query aromatic.
    """
    rule = Chem.SubstructMatchParameters()
    rule.aromaticMatchesConjugated = True
    return molecule.HasSubstructMatch(_without_dummies(query), rule)


def _without_dummies(query: Chem.Mol) -> Chem.Mol:
    bare = Chem.RWMol(query)
    for atom in sorted((a.GetIdx() for a in query.GetAtoms() if not a.GetAtomicNum()), reverse=True):
        bare.RemoveAtom(atom)
    core = bare.GetMol()
    for atom in core.GetAtoms():
        atom.SetNoImplicit(False)
    return core


@dataclass(frozen=True)
class Scaffold:
    """A query in the model's classes. Given atoms come first, then one new atom for each attachment point.

    Parameters
    ----------
    query
        The query, dummy atoms included.
    tokens
        Class of each given atom.
    bonds
        Class of each pair of the ``len(tokens) + attachments`` atoms.
    valence
        Hydrogens of each given atom that new atoms may replace.
    attachments
        Number of attachment points.
    """

    query: Chem.Mol
    tokens: np.ndarray
    bonds: np.ndarray
    valence: np.ndarray
    attachments: int

    @classmethod
    def parse(cls, query: str, vocabulary: Vocabulary) -> Scaffold:
        """Read a query.

        Raises
        ------
        DataError
            If the query cannot be read, an atom is not in the vocabulary, a dummy atom has not exactly one single,
            double or triple bond to a given atom, or there is nowhere to grow.
        """
        molecule = parse_query(query)
        atoms = list(molecule.GetAtoms())
        given = [a.GetIdx() for a in atoms if a.GetAtomicNum()]
        dummies = [a.GetIdx() for a in atoms if not a.GetAtomicNum()]
        tokens = [AtomToken.of(molecule.GetAtomWithIdx(k)) for k in given]
        unknown = sorted({token.symbol for token in tokens if token not in vocabulary.index})
        if unknown:
            raise DataError(
                f"'{query}' has atoms {' '.join(unknown)} that the model does not know; "
                f"it knows {' '.join(vocabulary.symbols)}: use another model"
            )
        for k in dummies:
            bonds = molecule.GetAtomWithIdx(k).GetBonds()
            if (
                len(bonds) != 1
                or bonds[0].GetBondType() not in _CLASSES
                or not bonds[0].GetOtherAtom(atoms[k]).GetAtomicNum()
            ):
                raise DataError(f"an attachment point of '{query}' has no single bond to an atom; write it as C*")
        place = {atom: row for row, atom in enumerate([*given, *dummies])}
        pairs = np.zeros(pair_count(len(place)), dtype=np.int64)
        for bond in molecule.GetBonds():
            i, j = sorted((place[bond.GetBeginAtomIdx()], place[bond.GetEndAtomIdx()]))
            pairs[pair_count(j) + i] = _CLASSES.get(bond.GetBondType(), Bond.AROMATIC)
        implied = [0 if dummies else _replaceable(molecule.GetAtomWithIdx(k)) for k in given]
        if not dummies and not any(implied):
            raise DataError(
                f"'{query}' has no hydrogen to replace; mark an attachment point, or choose another scaffold"
            )
        classes = np.array([vocabulary.index[token] for token in tokens])
        return cls(molecule, classes, pairs, np.array(implied), len(dummies))

    @property
    def smallest(self) -> int:
        """Least number of heavy atoms of a sample: the given ones and one for each attachment point."""
        return len(self.tokens) + max(self.attachments, 1)

    def sizes(self, prior: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
        """Size prior cut to the sizes at which the scaffold can be completed, normalised.

        Raises
        ------
        ConfigError
            If there is none.
        """
        possible = np.array([size >= self.smallest and self._joinable(size, vocabulary) for size in range(len(prior))])
        cut = prior * possible
        if not cut.sum() > 0:
            raise ConfigError(
                f"the scaffold needs molecules of at least {self.smallest} heavy atoms and the model makes "
                f"{np.flatnonzero(prior).min()} to {np.flatnonzero(prior).max()}; use a smaller one or another model"
            )
        return cut / cut.sum()

    def _joinable(self, size: int, vocabulary: Vocabulary) -> bool:
        """Whether molecules of this size exist: every part has free valence, and there is enough of it."""
        total = len(self.tokens) + self.attachments
        i, j = pair_index(total)
        parts = {k: {k} for k in range(total)}
        for a, b, bond in zip(i, j, self.bonds, strict=True):
            if bond and parts[a] is not parts[b]:
                merged = parts[a] | parts[b]
                parts.update(dict.fromkeys(merged, merged))
        groups = {frozenset(part) for part in parts.values()}
        most = int(vocabulary.budgets.max())
        fresh = [
            most - sum(int(ORDER[self.bonds[pair_count(k) + a]]) for a in range(k))
            for k in range(len(self.tokens), total)
        ]
        left = [*self.valence, *fresh]
        joints = len(groups) + size - total - 1
        capacity = min(int(self.valence.sum()), joints) + sum(fresh) + most * (size - total)
        return joints == 0 or (capacity >= 2 * joints and all(any(left[k] for k in part) for part in groups))


def _replaceable(atom: Chem.Atom) -> int:
    """Hydrogens that the token does not name."""
    return atom.GetTotalNumHs() - AtomToken.of(atom).hydrogens
