"""The key of a molecular graph: RDKit's canonical SMILES of the sanitised molecule.

Sanitising perceives aromaticity, so the two Kekulé forms of one aromatic molecule get one key, while the enumerations
count them as two graphs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rdkit import Chem

from .graphs import decode, pairs

__all__ = ["keys"]

_ORDER = (None, Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)


def keys(codes: np.ndarray, atoms: int, elements: str) -> Iterator[str]:
    """Yield the key of each graph.

    Parameters
    ----------
    codes
        Codes as of `graphs.encode`, shape ``(count,)``.
    atoms
        Number of atoms n.
    elements
        The element string that the codes index.

    Yields
    ------
    key
        Canonical SMILES; the same for isomorphic graphs and for the Kekulé forms of one molecule.
    """
    labels, bonds = decode(codes, atoms)
    index = pairs(atoms)
    for symbols, orders in zip(labels.tolist(), bonds.tolist(), strict=True):
        molecule = Chem.RWMol()
        for symbol in symbols:
            molecule.AddAtom(Chem.Atom(elements[symbol]))
        for (i, j), order in zip(index, orders, strict=True):
            if order:
                molecule.AddBond(i, j, _ORDER[order])
        Chem.SanitizeMol(molecule)
        yield Chem.MolToSmiles(molecule)
