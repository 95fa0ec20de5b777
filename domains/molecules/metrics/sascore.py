"""Synthetic accessibility: an adapter to the scorer that RDKit ships among its contributions.

The score runs from 1 (easy) to 10 (hard): fragment contributions counted in PubChem, less penalties for size, stereo
centres, spiro atoms, bridgeheads and macrocycles [1]_.

References
----------
.. [1] P. Ertl, A. Schuffenhauer, J. Cheminf. 1 (2009) 8, doi:10.1186/1758-2946-1-8
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from rdkit import Chem, RDConfig

from scidiff.errors import MissingPackageError

__all__ = ["sa_score"]


@lru_cache
def _scorer() -> ModuleType:
    """Import RDKit's scorer from its folder of contributions."""
    folder = Path(RDConfig.RDContribDir) / "SA_Score"
    if not (folder / "sascorer.py").is_file():
        raise MissingPackageError(
            f"RDKit's SA_Score is not in {folder}; install the wheel of RDKit, which carries it: pip install rdkit"
        )
    sys.path.insert(0, str(folder))
    try:
        return import_module("sascorer")
    finally:
        sys.path.remove(str(folder))


def sa_score(mol: Chem.Mol) -> float:
    """Synthetic accessibility score of a molecule.

    Parameters
    ----------
    mol
        A sanitized molecule of one atom or more.

    Returns
    -------
    score
        Between 1 (easy) and 10 (hard).

    Raises
    ------
    MissingPackageError
        If this build of RDKit does not carry the scorer.
    """
    return float(_scorer().calculateScore(mol))
