"""Atom tokens and bond classes: the decoupled atom encoding.

One token per (element, aromatic flag, formal charge, hydrogens), where hydrogens are counted only where the valence
rule does not give them: on aromatic atoms other than neutral carbon, and on charged atoms. Every other hydrogen is
implicit, so that a graph of tokens and bonds names one molecule [1]_.

The valence budget of a token is ``max valence(Z - charge) - hydrogens``, with the periodic table of RDKit and its
isoelectronic rule for charged atoms. Aromatic bonds use one unit of the budget at each end; the pi electron is the
business of `scidiff.domains.molecules.kekule`.

References
----------
.. [1] MolHIT, arXiv:2602.17602, section on decoupled atom encoding
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from rdkit import Chem

from scidiff.errors import DataError

__all__ = ["AtomToken", "Bond", "Vocabulary"]

_TABLE = Chem.GetPeriodicTable()
_HALOGENS = {"F", "Cl", "Br", "I"}


class Bond(IntEnum):
    """Classes of a pair of atoms."""

    NONE = 0
    SINGLE = 1
    DOUBLE = 2
    TRIPLE = 3
    AROMATIC = 4


@dataclass(frozen=True, order=True)
class AtomToken:
    """One class of atom.

    Parameters
    ----------
    element
        Symbol, e.g. ``"C"``.
    aromatic
        Whether the atom belongs to an aromatic system.
    charge
        Formal charge, in units of the elementary charge.
    hydrogens
        Hydrogens that the valence rule does not imply.
    """

    element: str
    aromatic: bool = False
    charge: int = 0
    hydrogens: int = 0

    @classmethod
    def of(cls, atom: Chem.Atom) -> AtomToken:
        """Token of an atom of a sanitized molecule."""
        element, aromatic, charge = atom.GetSymbol(), atom.GetIsAromatic(), atom.GetFormalCharge()
        counted = charge != 0 or (aromatic and element != "C")
        return cls(element, aromatic, charge, atom.GetTotalNumHs() if counted else 0)

    @property
    def symbol(self) -> str:
        """SMILES-like name: ``C``, ``c``, ``[nH]``, ``[NH3+]``."""
        body = self.element.lower() if self.aromatic else self.element
        hydrogens = "H" + (str(self.hydrogens) if self.hydrogens > 1 else "") if self.hydrogens else ""
        sign = "" if self.charge == 0 else ("+" if self.charge > 0 else "-")
        size = str(abs(self.charge)) if abs(self.charge) > 1 else ""
        return f"[{body}{hydrogens}{sign}{size}]" if hydrogens or sign else body

    @property
    def budget(self) -> int:
        """Bonds that the atom can carry, aromatic ones counted once and without the pi electron."""
        number = _TABLE.GetAtomicNumber(self.element) - self.charge
        valences = [v for v in _TABLE.GetValenceList(number) if v >= 0]
        if not valences:
            raise DataError(f"element {self.element} with charge {self.charge} has no known valence; remove such rows")
        return (min(valences) if self.aromatic else max(valences)) - self.hydrogens

    @property
    def group(self) -> str:
        """Chemical family, the middle level of the hierarchical process."""
        if self.charge:
            return "cation" if self.charge > 0 else "anion"
        if self.aromatic:
            return "aromatic"
        if self.element in _HALOGENS:
            return "halogen"
        return "carbon" if self.element == "C" else "hetero"


@dataclass(frozen=True)
class Vocabulary:
    """Ordered set of atom tokens.

    Parameters
    ----------
    tokens
        The tokens; the position is the class.
    """

    tokens: tuple[AtomToken, ...]

    @classmethod
    def from_molecules(cls, molecules: Iterable[Chem.Mol]) -> Vocabulary:
        """Tokens that occur, most frequent first."""
        counts = Counter(AtomToken.of(atom) for molecule in molecules for atom in molecule.GetAtoms())
        return cls(tuple(token for token, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))))

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]]) -> Vocabulary:
        """Read what `to_json` wrote."""
        return cls(tuple(AtomToken(**row) for row in rows))

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values for a model card."""
        return [vars(token).copy() for token in self.tokens]

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def index(self) -> dict[AtomToken, int]:
        """Class of each token."""
        return {token: k for k, token in enumerate(self.tokens)}

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(token.symbol for token in self.tokens)

    @cached_property
    def budgets(self) -> np.ndarray:
        """Valence budget of each class, int64."""
        return np.array([token.budget for token in self.tokens])

    @cached_property
    def aromatic(self) -> np.ndarray:
        """Aromatic flag of each class."""
        return np.array([token.aromatic for token in self.tokens])

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """Group of each class, numbered in order of appearance."""
        names = list(dict.fromkeys(token.group for token in self.tokens))
        return tuple(names.index(token.group) for token in self.tokens)
