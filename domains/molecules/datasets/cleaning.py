"""The neutral-row rule: which rows of a list a model of neutral molecules is trained on, with a count for each reason.

A row is kept when RDKit reads it, it has one fragment, and no atom carries a formal charge or an unpaired electron.
What is kept is the canonical SMILES without stereochemistry, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rdkit import Chem, rdBase

__all__ = ["CleaningReport", "clean"]


@dataclass(frozen=True)
class CleaningReport:
    """Counts of one cleaning. The reasons may overlap, so they need not add up.

    Parameters
    ----------
    rows
        Rows that came.
    parsed
        Rows that RDKit reads.
    unique
        Distinct canonical SMILES without stereochemistry among the parsed rows.
    charged
        Parsed rows with a formal charge on some atom.
    fragments
        Parsed rows with several fragments.
    radicals
        Parsed rows with an unpaired electron on some atom.
    neutral
        Parsed rows for which none of the three holds.
    kept
        Distinct canonical SMILES among the neutral rows: the length of the list.
    """

    rows: int
    parsed: int
    unique: int
    charged: int
    fragments: int
    radicals: int
    neutral: int
    kept: int


def clean(rows: Iterable[str]) -> tuple[list[str], CleaningReport]:
    """Apply the neutral-row rule.

    Parameters
    ----------
    rows
        SMILES as they came.

    Returns
    -------
    smiles, report
        Distinct canonical SMILES sorted by (heavy atoms, SMILES), and the counts.
    """
    every: set[str] = set()
    kept: dict[str, int] = {}
    total = parsed = charged = fragments = radicals = neutral = 0
    with rdBase.BlockLogs():
        for row in rows:
            total += 1
            molecule = Chem.MolFromSmiles(row)
            if molecule is None:
                continue
            parsed += 1
            key = Chem.MolToSmiles(molecule, isomericSmiles=False)
            every.add(key)
            atoms = list(molecule.GetAtoms())
            faults = (
                any(atom.GetFormalCharge() for atom in atoms),
                "." in key,
                any(atom.GetNumRadicalElectrons() for atom in atoms),
            )
            charged, fragments, radicals = charged + faults[0], fragments + faults[1], radicals + faults[2]
            if not any(faults):
                neutral += 1
                kept[key] = molecule.GetNumHeavyAtoms()
    smiles = sorted(kept, key=lambda key: (kept[key], key))
    return smiles, CleaningReport(total, parsed, len(every), charged, fragments, radicals, neutral, len(smiles))
