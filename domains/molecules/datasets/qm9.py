"""QM9: small molecules of C, N, O, F with up to nine heavy atoms, as a cleaned list of SMILES.

The source is a table `qm9_smiles.csv` with a column `smiles`; where there is none, PyTorch Geometric fetches QM9 and
the table is written from it. A fifth of the rows of the table carry artificial charges, which the neutral-row rule
leaves out.

References
----------
R. Ramakrishnan, P. O. Dral, M. Rupp and O. A. von Lilienfeld, "Quantum chemistry structures and properties of 134 kilo
molecules", Sci. Data 1 (2014), doi:10.1038/sdata.2014.22
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scidiff.errors import DataError, MissingPackageError
from scidiff.io.files import atomic_write, cache_folder, data_folder, sha256_file
from scidiff.io.progress import track

from .cleaning import CleaningReport, clean
from .lines import read_lines, write_lines
from .splits import split_by_hash

__all__ = ["QM9_SPLITS", "CleanedList", "clean_qm9", "qm9_path", "qm9_split"]

QM9_SPLITS: tuple[str, ...] = ("all", "train", "valid", "test")
_FRACTIONS = (0.8, 0.1, 0.1)
_TABLE = "qm9_smiles.csv"


@dataclass(frozen=True)
class CleanedList:
    """A cleaned data set.

    Parameters
    ----------
    smiles
        Canonical SMILES without stereochemistry, sorted by (heavy atoms, SMILES).
    report
        The counts of the cleaning.
    source_sha256
        Hash of the file it was made from.
    """

    smiles: list[str]
    report: CleaningReport
    source_sha256: str


def qm9_path(folder: str | Path | None = None, progress: bool = True) -> Path:
    """Return the table of QM9 SMILES; fetch it where it is nowhere.

    Parameters
    ----------
    folder
        Folder that has or shall have ``qm9_smiles.csv``, or that file itself. By default ``$SCIDIFF_DATA/qm9`` if the
        table is there, else ``qm9`` in the cache.
    progress
        Whether to show a bar on a terminal.

    Returns
    -------
    path
        The table.

    Raises
    ------
    MissingPackageError
        If it must be fetched and PyTorch Geometric is not installed.
    DataError
        If it must be fetched and the network refuses.
    """
    if folder is not None and Path(folder).is_file():
        return Path(folder)
    data = data_folder()
    if folder is None and data is not None and (data / "qm9" / _TABLE).is_file():
        return data / "qm9" / _TABLE
    path = (Path(folder) if folder is not None else cache_folder() / "qm9") / _TABLE
    if not path.is_file():
        smiles = _fetch(path)
        with atomic_write(path) as file:
            file.write("smiles\n")
            file.writelines(f"{row}\n" for row in track(smiles, len(smiles), "writing QM9", progress))
    return path


def _fetch(path: Path) -> list[str]:
    """Return the SMILES of QM9 as PyTorch Geometric gives them."""
    try:
        from torch_geometric.datasets import QM9
    except ImportError as error:
        raise MissingPackageError(
            f"QM9 is fetched with torch_geometric, which is not installed; install it, or put {_TABLE} at {path}"
        ) from error
    try:
        return list(QM9(str(path.parent / "torch_geometric")).smiles)
    except Exception as error:  # the classes of fsspec, aiohttp and zipfile have no common root
        raise DataError(
            f"cannot fetch QM9 ({type(error).__name__}: {error}); check the network, or put a table with a column "
            f"'smiles' at {path}, or set SCIDIFF_DATA to a folder that has qm9/{_TABLE}"
        ) from error


def clean_qm9(folder: str | Path | None = None, progress: bool = True) -> CleanedList:
    """Return QM9 under the neutral-row rule; the result is kept in the cache under the hash of its source.

    Parameters
    ----------
    folder, progress
        As of `qm9_path`.

    Returns
    -------
    cleaned
        The list with its report.

    Raises
    ------
    DataError
        If the table cannot be had or read.
    IntegrityError
        If the kept list was changed.
    """
    from rdkit import __version__

    source = qm9_path(folder, progress)
    digest = sha256_file(source)
    kept = cache_folder() / "molecules" / f"qm9-{digest[:16]}-rdkit{__version__}.txt"
    if kept.exists():
        smiles, header = read_lines(kept)
        return CleanedList(smiles, _report(header, kept), digest)
    rows = list(_rows(source))
    smiles, report = clean(track(rows, len(rows), "cleaning QM9", progress))
    header = {"title": "QM9, neutral rows", "source_sha256": digest, "rdkit": __version__, "report": asdict(report)}
    try:
        write_lines(kept, smiles, header)
    except DataError as error:
        warnings.warn(f"the cleaned list is used but not kept: {error}", stacklevel=2)
    return CleanedList(smiles, report, digest)


def _report(header: dict[str, Any], kept: Path) -> CleaningReport:
    """Return the counts that the header of a kept list states."""
    try:
        return CleaningReport(**header["report"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{kept} does not state the counts of its cleaning; delete it to make it anew") from error


def _rows(source: Path) -> Iterator[str]:
    """Yield the column `smiles` of the table."""
    with open(source, encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        if "smiles" not in (table.fieldnames or []):
            raise DataError(f"{source} has the columns {table.fieldnames}; expected one named 'smiles'")
        yield from (row["smiles"] for row in table)


def qm9_split(smiles: list[str], split: str) -> list[str]:
    """Return one part of the cleaned list; 80, 10 and 10 percent by the hash of the SMILES.

    Parameters
    ----------
    smiles
        The cleaned list.
    split
        A name out of `QM9_SPLITS`.

    Returns
    -------
    part
        The rows of that part, in order.
    """
    parts = dict(zip(QM9_SPLITS[1:], split_by_hash(smiles, _FRACTIONS), strict=True))
    return list(smiles) if split == "all" else parts[split]
