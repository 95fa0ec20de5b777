"""Read SMILES from the files that people have: .smi, .txt and .csv, each also as .gz.

Rows that RDKit cannot use are listed with their line and the reason and left out; the rest is used. A file with no
usable row, a file that is no text, and a table without the column are errors.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from rdkit import Chem, rdBase

from scidiff.errors import DataError

__all__ = ["BadRow", "SmilesFile", "read_smiles"]

_BYTES = 2 << 30
_LONGEST = 10_000
_SHOWN = 5


@dataclass(frozen=True)
class BadRow:
    """A row that was left out.

    Parameters
    ----------
    line
        Its line in the file, from 1.
    text
        What stood there, cut to 80 characters.
    reason
        Why it cannot be used.
    """

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class SmilesFile:
    """The usable rows of a file, as written there, and the others.

    Parameters
    ----------
    path
        The file.
    smiles
        SMILES in file order.
    names
        The name beside each, empty where there is none.
    bad
        Rows left out.
    """

    path: Path
    smiles: list[str]
    names: list[str]
    bad: list[BadRow]

    def __len__(self) -> int:
        """Return the number of usable rows."""
        return len(self.smiles)

    @property
    def message(self) -> str:
        """One line about the rows left out, naming the first few; empty where all rows are good."""
        if not self.bad:
            return ""
        first = "; ".join(f"line {row.line} '{row.text}' ({row.reason})" for row in self.bad[:_SHOWN])
        more = f"; and {len(self.bad) - _SHOWN} more" if len(self.bad) > _SHOWN else ""
        return (
            f"{len(self.bad)} of {len(self.bad) + len(self.smiles)} rows of {self.path} cannot be used: {first}{more}"
        )


def read_smiles(path: str | Path, column: str | None = None) -> SmilesFile:
    """Read a file of SMILES.

    Parameters
    ----------
    path
        ``.smi`` or ``.txt``: a SMILES a line, then optionally a space or tab and a name; lines that begin with ``#``
        are comments. ``.csv`` or ``.tsv``: a table with a header. Each may end in ``.gz``.
    column
        Column of a table; by default the one named ``smiles`` in any case.

    Returns
    -------
    file
        The usable rows and a list of the others.

    Raises
    ------
    DataError
        If the file cannot be read, is not of a known kind, lacks the column, or has no usable row.
    """
    path = Path(path)
    kind = path.suffixes[-2:-1] if path.suffix == ".gz" else path.suffixes[-1:]
    readers = {
        ".smi": _plain_rows,
        ".smiles": _plain_rows,
        ".txt": _plain_rows,
        ".csv": _table_rows,
        ".tsv": _table_rows,
    }
    if not kind or kind[0].lower() not in readers:
        raise DataError(
            f"{path} is of an unknown kind; expected a name that ends in {', '.join(readers)}, or one of these and .gz"
        )
    smiles: list[str] = []
    names: list[str] = []
    bad: list[BadRow] = []
    with _open(path) as text, rdBase.BlockLogs():
        for line, row, name in readers[kind[0].lower()](text, path, column):
            reason = _problem(row)
            if reason:
                bad.append(BadRow(line, row[:80], reason))
            else:
                smiles.append(row)
                names.append(name)
    found = SmilesFile(path, smiles, names, bad)
    if not smiles:
        raise DataError(found.message or f"{path} holds no row; expected SMILES, one a line")
    return found


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """Open a text file or its gzip, and turn what can go wrong while it is read into a `DataError`."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            yield TextIOWrapper(file, encoding="utf-8-sig", newline="")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {path} as UTF-8 text ({reason}); expected a file of SMILES") from error


def _limited(text: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines, and stop at a size that no list of SMILES has."""
    size = 0
    while line := text.readline(_BYTES):
        size += len(line)
        if size > _BYTES:
            raise DataError(f"{path} holds more than {_BYTES} characters; split the file")
        yield line


def _plain_rows(text: TextIO, path: Path, column: str | None) -> Iterator[tuple[int, str, str]]:
    """Yield (line, SMILES, name) of a file without a header; a first row that reads 'smiles' is one."""
    for line, content in enumerate(_limited(text, path), start=1):
        row, _, name = content.strip().replace("\t", " ").partition(" ")
        if row and not row.startswith("#") and not (line == 1 and row.lower() == "smiles"):
            yield line, row, name.strip()


def _table_rows(text: TextIO, path: Path, column: str | None) -> Iterator[tuple[int, str, str]]:
    """Yield (line, SMILES, name) of a table."""
    lines = _limited(text, path)
    head = next(lines, "")
    separator = max(",\t;", key=head.count)
    header = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
    wanted = column if column is not None else "smiles"
    same = [place for place, name in enumerate(header) if name == wanted or (column is None and name.lower() == wanted)]
    if not same:
        raise DataError(
            f"{path} has no column '{wanted}'; its columns are {header}: give the name of the SMILES column"
        )
    label = next((place for place, name in enumerate(header) if name.lower() in ("name", "id")), None)
    reader = csv.reader(lines, delimiter=separator)
    for row in reader:
        if any(cell.strip() for cell in row):
            content = row[same[0]].strip() if same[0] < len(row) else ""
            yield reader.line_num + 1, content, row[label].strip() if label is not None and label < len(row) else ""


def _problem(row: str) -> str:
    """Return why RDKit cannot use a SMILES, or an empty string."""
    if not row:
        return "empty"
    if len(row) > _LONGEST:
        return f"longer than {_LONGEST} characters"
    molecule = Chem.MolFromSmiles(row, sanitize=False)
    if molecule is None:
        return "not SMILES syntax"
    if molecule.GetNumAtoms() == 0:
        return "no atom"
    problems = Chem.DetectChemistryProblems(molecule)
    return problems[0].Message() if problems else ""
