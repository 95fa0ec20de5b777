"""A given part of a molecule: scaffolds, decorations and linkers.

A query is a SMILES, or a SMARTS whose atoms and bonds are definite. Dummy atoms ``*`` are attachment points: each
becomes a new atom, bonded as written, that the model chooses; all other atoms of the query are closed. Without dummy
atoms every hydrogen of the query may be replaced, except those that a token names, such as that of ``[nH]``. Several
fragments ``A*.B*`` are joined through new atoms: a linker. Stereo marks are dropped, since the graphs have none.

The given atoms and the pairs between them sit at ``t = 0`` from the start, so that the network sees them as certain and
no step moves them: every sample contains the query by construction, as one of its Kekulé structures. What is aromatic
is perceived anew in the whole molecule: new atoms may close an aromatic ring over a part of the query, or a cage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase

from scidiff.errors import ConfigError, DataError

from .assembly import Assembly
from .graphs import bond_class, pair_count
from .start import Start
from .vocabulary import AtomToken, Bond, Vocabulary

__all__ = ["Scaffold", "contains", "parse_query"]

_DEFINITE_ATOM = re.compile(r"\[?(\d*\*|#\d+|[A-Z][a-z]?|[a-z]{1,2})(&?[+-]\d*)?(:\d+)?\]?")
_BONDS = {
    "": Chem.BondType.SINGLE,
    "-": Chem.BondType.SINGLE,
    "=": Chem.BondType.DOUBLE,
    "#": Chem.BondType.TRIPLE,
    ":": Chem.BondType.AROMATIC,
}


def parse_query(query: str) -> Chem.Mol:
    """Read a query as SMILES, else as a definite SMARTS; dummy atoms stay.

    Raises
    ------
    DataError
        If it is neither, names no atom, or has isotopes or unpaired electrons.
    """
    with rdBase.BlockLogs():
        molecule = None if "[#" in query else Chem.MolFromSmiles(query)
        if molecule is None:
            pattern = Chem.MolFromSmarts(query)
            molecule = None if pattern is None else _definite(pattern, query)
    if molecule is None or not any(atom.GetAtomicNum() for atom in molecule.GetAtoms()):
        raise DataError(
            f"'{query}' is not a SMILES or SMARTS of at least one atom that RDKit can read and sanitize; correct it, "
            "and mark attachment points with *"
        )
    odd = [a for a in molecule.GetAtoms() if a.GetAtomicNum() and (a.GetIsotope() or a.GetNumRadicalElectrons())]
    if odd:
        raise DataError(
            f"'{query}' has an isotope or unpaired electrons at {odd[0].GetSymbol()}{odd[0].GetIdx()}; expected a "
            "closed shell of natural elements: write C for [CH3], and C* to attach there"
        )
    Chem.RemoveStereochemistry(molecule)
    return molecule


def _definite(pattern: Chem.Mol, query: str) -> Chem.Mol | None:
    """Molecule that a SMARTS names, where each of its atoms and bonds leaves no choice."""
    atoms = [a.GetSmarts() for a in pattern.GetAtoms() if not _is_definite(a)]
    bonds = [b.GetSmarts() for b in pattern.GetBonds() if b.GetSmarts() not in _BONDS]
    if atoms or bonds:
        raise DataError(
            f"'{query}' is not definite ({', '.join(atoms + bonds)}); name elements, charges and bonds only, or use * "
            "to attach"
        )
    Chem.FastFindRings(pattern)
    plain = Chem.RWMol()
    for atom in pattern.GetAtoms():
        new = Chem.Atom(atom.GetAtomicNum())
        new.SetIsAromatic(atom.GetIsAromatic() or any(bond.GetSmarts() == ":" for bond in atom.GetBonds()))
        new.SetFormalCharge(atom.GetFormalCharge())
        plain.AddAtom(new)
    for bond in pattern.GetBonds():
        both = bond.GetBeginAtom().GetIsAromatic() and bond.GetEndAtom().GetIsAromatic()
        implied = ":" if both and bond.IsInRing() else "-"
        plain.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), _BONDS[bond.GetSmarts() or implied])
    molecule = plain.GetMol()
    return molecule if Chem.SanitizeMol(molecule, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE else None


def _is_definite(atom: Chem.Atom) -> bool:
    return bool(_DEFINITE_ATOM.fullmatch(atom.GetSmarts())) and (atom.GetAtomicNum() > 0) != ("*" in atom.GetSmarts())


def contains(molecule: Chem.Mol, query: Chem.Mol) -> bool:
    """Whether a molecule contains a query without its dummy atoms.

    Either RDKit matches them as they are, or a Kekulé structure of the molecule contains one of the query. The second
    half matters where atoms outside the query close a ring that is, or is no longer, perceived as aromatic.
    """
    if molecule.HasSubstructMatch(_without_dummies(query)):
        return True
    cores = [_without_dummies(form) for form in Chem.ResonanceMolSupplier(query, Chem.KEKULE_ALL)]
    forms = Chem.ResonanceMolSupplier(molecule, Chem.KEKULE_ALL)
    return any(form.HasSubstructMatch(core) for form in forms for core in cores)


def _without_dummies(query: Chem.Mol) -> Chem.Mol:
    bare = Chem.RWMol(query)
    for atom in sorted((a.GetIdx() for a in query.GetAtoms() if not a.GetAtomicNum()), reverse=True):
        bare.RemoveAtom(atom)
    return bare.GetMol()


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
            _check_attachment(molecule.GetAtomWithIdx(k), query)
        place = {atom: row for row, atom in enumerate([*given, *dummies])}
        pairs = np.zeros(pair_count(len(place)), dtype=np.int64)
        for bond in molecule.GetBonds():
            i, j = sorted((place[bond.GetBeginAtomIdx()], place[bond.GetEndAtomIdx()]))
            pairs[pair_count(j) + i] = bond_class(bond)
        implied = {k: 0 if dummies else _replaceable(molecule.GetAtomWithIdx(k)) for k in given}
        if not all(any(k in dummies or implied[k] for k in part) for part in Chem.GetMolFrags(molecule)):
            raise DataError(
                f"'{query}', or a fragment of it, has nowhere to grow: expected an attachment point * in every "
                "fragment, or none and a hydrogen to replace in each; mark one, or choose another scaffold"
            )
        classes = np.array([vocabulary.index[token] for token in tokens])
        return cls(molecule, classes, pairs, np.array([implied[k] for k in given]), len(dummies))

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
        sizes = np.arange(self.smallest, len(prior))
        start = Start.of(self, sizes, max(self.smallest, len(prior) - 1))
        free = {key: part.numpy() for key, part in start.free.items()}
        assembly = Assembly(start.mask.numpy(), free, start.clean["bonds"].numpy(), start.valence.numpy())
        assembly.begin(np.full(start.mask.shape, vocabulary.budgets.max()))
        possible = np.zeros(len(prior), dtype=bool)
        possible[self.smallest :] = assembly.joinable
        cut = prior * possible
        if not cut.sum() > 0:
            raise ConfigError(
                f"the scaffold cannot be completed: it needs at least {self.smallest} heavy atoms, more where parts "
                f"are to be joined, and the model makes {np.flatnonzero(prior).min()} to "
                f"{np.flatnonzero(prior).max()}; use a smaller one or another model"
            )
        return cut / cut.sum()


def _check_attachment(dummy: Chem.Atom, query: str) -> None:
    """Raise `DataError` unless a dummy atom has exactly one single, double or triple bond, to a given atom."""
    bonds = dummy.GetBonds()
    if len(bonds) != 1 or bond_class(bonds[0]) == Bond.AROMATIC or not bonds[0].GetOtherAtom(dummy).GetAtomicNum():
        raise DataError(
            f"an attachment point of '{query}' has not exactly one single, double or triple bond to an atom; write it "
            "as C*"
        )


def _replaceable(atom: Chem.Atom) -> int:
    """Hydrogens that the token does not name."""
    return atom.GetTotalNumHs() - AtomToken.of(atom).hydrogens
