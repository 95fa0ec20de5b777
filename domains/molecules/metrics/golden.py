"""The golden file: published samples on which the rates of this package are pinned.

DiGress's authors published 10,000 samples of their model for QM9 without hydrogens [1]_, one string a line, ``None``
for a failed attempt. On this file the validity per attempt is 9,921 / 10,000 = 99.2 %, and uniqueness *among the
valid*, the convention of MOSES, is 9,611 / 9,921 = 96.9 %. (Per attempt it is 96.1 %; the paper prints 99.0 and 96.2.)

References
----------
.. [1] C. Vignac et al., "DiGress", arXiv 2209.14734
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from scidiff.errors import DataError, IntegrityError

from .molecule_set import MoleculeSet
from .parsing import check

__all__ = ["GOLDEN_SHA256", "Golden", "golden_check"]

GOLDEN_SHA256 = "99df3a8570e25d7b30fe9cb4fdfd10123cf751ea167d713649f86f677ba790cf"
_ATTEMPTS, _VALID, _UNIQUE = 10_000, 99.2, 96.9


@dataclass(frozen=True)
class Golden:
    """What was found on the golden file.

    Parameters
    ----------
    attempts, valid, distinct
        Lines, valid molecules, distinct valid molecules.
    valid_percent
        Valid per attempt, in percent.
    unique_percent
        Distinct of the valid, in percent.
    passed
        Whether the attempts and both percentages, rounded to one decimal, are the pinned ones.
    """

    attempts: int
    valid: int
    distinct: int
    valid_percent: float
    unique_percent: float
    passed: bool


def golden_check(path: str | Path, *, workers: int = 1) -> Golden:
    """Evaluate the golden file.

    Parameters
    ----------
    path
        The file ``digress_qm9_noh.txt``.
    workers
        Number of processes.

    Returns
    -------
    golden
        Counts, rates, and whether they are the pinned ones.

    Raises
    ------
    DataError
        If the file cannot be read.
    IntegrityError
        If it is not the published file.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read the golden file {path} ({error}); pass the path of digress_qm9_noh.txt"
        ) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != GOLDEN_SHA256:
        raise IntegrityError(f"{path} has SHA-256 {found}; expected {GOLDEN_SHA256}: fetch the published file again")
    checked = check(raw.decode("utf-8").splitlines(), workers=workers)
    valid, distinct = len(checked.canonical), len(MoleculeSet(checked.canonical).unique)
    rates = 100 * valid / checked.attempts, 100 * distinct / max(valid, 1)
    passed = (checked.attempts, round(rates[0], 1), round(rates[1], 1)) == (_ATTEMPTS, _VALID, _UNIQUE)
    return Golden(checked.attempts, valid, distinct, *rates, passed)
