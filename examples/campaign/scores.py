"""A score of one's own: a function of one row, a mapping from column to value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["hetero_share"]


def hetero_share(row: Mapping[str, Any]) -> float:
    """Share of the heavy atoms that are not carbon.

    Parameters
    ----------
    row
        ``smiles`` and the other columns of the molecule.
    """
    from rdkit import Chem

    atoms = [atom.GetAtomicNum() for atom in Chem.MolFromSmiles(row["smiles"]).GetAtoms()]
    return sum(number not in (1, 6) for number in atoms) / len(atoms)
