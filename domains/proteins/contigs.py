"""Readers of design specifications: RFdiffusion contigs, MotifBench rows, REMARK lines of motif files.

    parse_contigs("5-15/A10-25/30-40/0 B1-20", hidden="A12/A14-16", length="60-80")

Segments are divided by ``/`` or commas. A letter begins a fixed segment, a number a free one; ``A10`` alone means one
residue, ``12`` alone exactly twelve. ``0`` ends a chain, and so does a space. Chain labels keep their case.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scidiff.errors import ConfigError, DataError

from .design import Break, Design, Fixed, Free

__all__ = ["MotifProblem", "contigs", "hidden_contigs", "parse_contigs", "read_motif_pdb", "read_motifbench"]

_FIXED = re.compile(r"([A-Za-z]+)(-?\d+)(?:-(-?\d+))?")
_FREE = re.compile(r"(\d+)(?:-(\d+))?")
_MOST = 10_000


def parse_contigs(text: str, hidden: str = "", length: str = "", symmetry: str = "") -> Design:
    """Read an RFdiffusion contig string.

    Parameters
    ----------
    text
        The contigs, with or without brackets and quotes.
    hidden
        Residues whose type may change (``inpaint_seq``), in the same notation.
    length
        Total length, ``"60"`` or ``"60-80"``; empty leaves it to the segments.
    symmetry
        As of `design.Design`.

    Returns
    -------
    Design
        The design.

    Raises
    ------
    ConfigError
        If a segment cannot be read; names it and the fix.
    """
    segments: list[Fixed | Free | Break] = []
    for k, chain in enumerate(_chains(text)):
        segments += [Break()] * bool(k)
        segments += [_segment(word) for word in chain]
    fixed = [part for part in segments if isinstance(part, Fixed)]
    numbers = _hidden(hidden, fixed)
    segments = [
        replace(part, hidden=tuple(n for c, n in numbers if c == part.chain and part.start <= n <= part.stop))
        if isinstance(part, Fixed)
        else part
        for part in segments
    ]
    return Design(tuple(segments), _length(length), symmetry)


def _chains(text: str) -> list[list[str]]:
    """Words of each chain."""
    bare = text.strip().strip("[]").replace("'", "").replace('"', "").strip()
    if not bare:
        raise ConfigError("the contigs are empty; write for example 10-20/A5-12/10-20")
    chains: list[list[str]] = []
    for block in bare.split():
        chains.append([])
        for word in re.split(r"[/,]", block):
            if word == "0":
                if chains[-1]:
                    chains.append([])
            elif word:
                chains[-1].append(word)
    return [chain for chain in chains if chain]


def _segment(word: str) -> Fixed | Free:
    """One segment."""
    fixed = _FIXED.fullmatch(word)
    if fixed:
        start = int(fixed[2])
        return Fixed(fixed[1], start, start if fixed[3] is None else int(fixed[3]))
    free = _FREE.fullmatch(word)
    if free:
        low = int(free[1])
        high = low if free[2] is None else int(free[2])
        if high > _MOST:
            raise ConfigError(f"segment '{word}' asks for more than {_MOST} residues; give a smaller number")
        return Free(low, high)
    both = re.fullmatch(r"([A-Za-z]+)(\d+)-([A-Za-z]+)(\d+)", word)
    fix = f"write {both[1]}{both[2]}-{both[4]}" if both and both[1] == both[3] else "write A10-25, A10 or 5-15"
    raise ConfigError(f"segment '{word}' cannot be read; {fix}")


def _length(text: str) -> tuple[int, int] | None:
    """Total length."""
    if not text.strip():
        return None
    found = _FREE.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"length '{text}' cannot be read; write 60 or 60-80")
    low = int(found[1])
    return low, int(found[2] or low)


def _hidden(text: str, fixed: list[Fixed]) -> list[tuple[str, int]]:
    """Residues whose type may change; each has to be kept."""
    if not text.strip():
        return []
    found = []
    for word in (word for chain in _chains(text.replace(";", "/")) for word in chain):
        part = _segment(word)
        if isinstance(part, Free):
            raise ConfigError(f"hidden residue '{word}' has no chain; write A{word}")
        for number in range(part.start, part.stop + 1):
            if not any(p.chain == part.chain and p.start <= number <= p.stop for p in fixed):
                raise ConfigError(
                    f"hidden residue {part.chain}{number} is not kept by the design; keep it or leave it out"
                )
            found.append((part.chain, number))
    return found


def contigs(design: Design) -> str:
    """Write the segments of a design as contigs; `parse_contigs` reads them back."""
    return "/0 ".join("/".join(str(part) for part in piece) for piece in design.pieces)


def hidden_contigs(design: Design) -> str:
    """Write the hidden residues of a design, for ``hidden`` of `parse_contigs`."""
    return "/".join(f"{part.chain}{number}" for part in design.fixed for number in part.hidden)


@dataclass(frozen=True)
class MotifProblem:
    """A motif problem.

    Parameters
    ----------
    name
        Like ``04_5WN9``.
    pdb_id
        The entry it comes from.
    segments
        Motif segments.
    length
        Length of the scaffold.
    native
        Where the motif sits in the native protein: scaffold residues and chain letters in turn; empty if not given. Its
        total is the native length, not that of the scaffold.
    """

    name: str
    pdb_id: str
    segments: tuple[Fixed, ...]
    length: int
    native: tuple[int | str, ...] = ()

    @property
    def design(self) -> Design:
        """The design: placement and order free, relative pose fixed, total length exact."""
        spare = self.length - sum(map(len, self.segments))
        if spare < 0:
            raise ConfigError(
                f"motif {self.name} has {self.length - spare} residues, the scaffold {self.length}; lengthen it"
            )
        parts: list[Fixed | Free | Break] = [Free(0, max(spare, 1))]
        for part in self.segments:
            parts += [part, Free(0, max(spare, 1))]
        return Design(tuple(parts), (self.length, self.length), any_order=True)


def read_motifbench(path: str | Path) -> list[MotifProblem]:
    """Read MotifBench's table ``problem,pdb_id,motif_residues,redesign_idcs,length,group``.

    Parameters
    ----------
    path
        The CSV file. Its residue numbers are those of the PDB entry.

    Returns
    -------
    list of MotifProblem
        The problems.

    Raises
    ------
    DataError
        If the table lacks a column, or a row cannot be read.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [_problem(row, k + 2, Path(path)) for k, row in enumerate(rows)]


def _problem(row: Mapping[str, str], line: int, path: Path) -> MotifProblem:
    """One row of the table."""
    try:
        text, hidden = row["motif_residues"].replace(";", "/"), row["redesign_idcs"] or ""
        design = parse_contigs(text, hidden)
        return MotifProblem(f"{row['problem']}_{row['pdb_id']}", row["pdb_id"], design.fixed, int(row["length"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} line {line}: {error}; expected problem,pdb_id,motif_residues,...,length") from error


def read_motif_pdb(path: str | Path) -> MotifProblem:
    """Read the REMARK lines and segments of a motif file: one chain a segment, UNK where the type may change.

    Parameters
    ----------
    path
        The PDB file.

    Returns
    -------
    MotifProblem
        The problem; its segments speak of the file itself.

    Raises
    ------
    DataError
        If a REMARK is missing or does not fit the chains.
    """
    from .residues import UNKNOWN
    from .structures import read

    path = Path(path)
    chains = read(path).chains
    facts: dict[str, str] = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        found = re.fullmatch(r"REMARK\s+\d+\s+([^:]+):\s*(.*?)\s*", line)
        if found:
            facts[found[1].strip().lower()] = found[2]
    try:
        pdb_id = facts["reference pdb id"]
        words = facts["motif segment placement in reference pdb"].split(";")
        length = int(facts["length for designed scaffolds"])
        native = tuple(word if word.isalpha() else int(word) for word in words)
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: REMARK {error} cannot be read; expected entry, placement and length") from error
    segments = []
    for row, label in enumerate(chains.labels):
        numbers = chains.numbers[row, chains.mask[row]].tolist()
        open_ = [n for n, code in zip(numbers, chains.sequence[row].tolist(), strict=False) if code == UNKNOWN]
        segments.append(Fixed(label, numbers[0], numbers[-1], tuple(open_)))
    if {word for word in native if isinstance(word, str)} != set(chains.labels):
        raise DataError(f"{path}: the placement {';'.join(words)} does not name the chains {', '.join(chains.labels)}")
    return MotifProblem(path.stem, pdb_id, tuple(segments), length, native)
