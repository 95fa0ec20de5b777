"""What counts as a valid molecule, and what else is asked of it.

A string is *valid* when RDKit parses and sanitizes it to a molecule of at least one atom. ``None``, ``"None"`` and the
empty string stand for an attempt that returned nothing. Two shares follow, and they are never mixed:

* per attempt, ``valid / attempts``: what a user pays for,
* per returned string, ``valid / returned``: what a sampler that drops its failures would show.

RDKit calls a salt or two separate fragments valid, and an atom with unpaired electrons as well. *Connected* (one
fragment) and *closed shell* (no radical electron) are therefore told apart. Strings are compared by RDKit's canonical
SMILES, with stereo marks where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rdkit import Chem, rdBase

from scidiff.errors import ConfigError, DataError

from .parallel import parallel_map

__all__ = ["Checked", "Verdict", "check", "judge"]


class Verdict(NamedTuple):
    """What one generated string turned out to be.

    Parameters
    ----------
    returned
        Whether there was a string at all.
    canonical
        Canonical SMILES of a valid molecule, or None.
    connected
        Whether the molecule is one fragment.
    closed_shell
        Whether no atom has a radical electron.
    """

    returned: bool
    canonical: str | None
    connected: bool
    closed_shell: bool


@dataclass(frozen=True)
class Checked:
    """The verdicts on a set of generated strings.

    Parameters
    ----------
    attempts
        Number of attempts, including those that returned nothing.
    returned
        Number of strings returned.
    canonical
        Canonical SMILES of the valid molecules, in the order of generation, duplicates kept.
    connected
        Whether each valid molecule is one fragment.
    closed_shell
        Whether each valid molecule has no radical electron.
    """

    attempts: int
    returned: int
    canonical: tuple[str, ...]
    connected: np.ndarray
    closed_shell: np.ndarray


def judge(smiles: str | None) -> Verdict:
    """Parse and sanitize one generated string.

    Parameters
    ----------
    smiles
        The string; None, ``"None"`` and blanks say that nothing was returned.

    Returns
    -------
    verdict
        Whether it is a molecule, and of what kind.

    Raises
    ------
    DataError
        If `smiles` is neither a string nor None.
    """
    if smiles is None:
        return Verdict(False, None, False, False)
    if not isinstance(smiles, str):
        raise DataError(f"a generated molecule is of type {type(smiles).__name__}; expected a SMILES string or None")
    text = smiles.strip()
    if text in ("", "None"):
        return Verdict(False, None, False, False)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
        if mol is None or mol.GetNumAtoms() == 0:
            return Verdict(True, None, False, False)
        connected = len(Chem.GetMolFrags(mol)) == 1
        closed_shell = not any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms())
        return Verdict(True, Chem.MolToSmiles(mol), connected, closed_shell)


def check(smiles: Sequence[str | None], *, attempts: int | None = None, workers: int = 1) -> Checked:
    """Judge a list of generated strings.

    Parameters
    ----------
    smiles
        One entry for each returned molecule or recorded attempt.
    attempts
        Number of attempts behind the list, where the sampler dropped failures before it; None for ``len(smiles)``.
    workers
        Number of processes.

    Returns
    -------
    checked
        Counts, canonical strings and flags.

    Raises
    ------
    ConfigError
        If `attempts` is below the length of the list.
    DataError
        If the list is one string, or an entry is neither a string nor None.
    """
    if isinstance(smiles, str):
        raise DataError(f"smiles is the one string '{smiles[:40]}'; expected a list of SMILES strings, e.g. ['CCO']")
    total = len(smiles) if attempts is None else attempts
    if total < len(smiles):
        raise ConfigError(
            f"attempts is {total} but {len(smiles)} strings came; attempts counts them all, so give at least that"
        )
    verdicts = parallel_map(judge, list(smiles), workers)
    valid = [verdict for verdict in verdicts if verdict.canonical is not None]
    return Checked(
        attempts=total,
        returned=sum(verdict.returned for verdict in verdicts),
        canonical=tuple(verdict.canonical for verdict in valid if verdict.canonical is not None),
        connected=np.array([verdict.connected for verdict in valid], dtype=bool),
        closed_shell=np.array([verdict.closed_shell for verdict in valid], dtype=bool),
    )
