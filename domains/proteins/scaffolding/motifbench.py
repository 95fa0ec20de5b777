"""MotifBench on files: problems in, scaffolds out in the layout of a submission, a check of that layout, and scores.

    <out>/NN_PDBID/NN_PDBID_k.pdb        k = 0, 1, ...; one chain A, residues 1 ... length
    <out>/NN_PDBID/scaffold_info.csv     sample_num,motif_placements       such as 0,12/B/15/A/29

A placement counts scaffold residues and names motif segments, by their chain in the motif file, in turn. The published
score needs sequences and a folding network; the package brings none and claims no designability. Whoever has one plugs
it in as a `Refolder`; without it, the motif RMSD and the report on the backbones are what is said.

References
----------
Z. Zheng et al., "MotifBench: A standardized protein design benchmark for motif-scaffolding problems", arXiv:2502.12479
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from scidiff.errors import DataError
from scidiff.io.files import atomic_write

from ..chains import Chains
from ..contigs import MotifProblem, read_motif_pdb, read_motifbench
from ..design import Layout
from ..structures import read
from ..writers import write
from .closure import Kept
from .placing import kept_rmsd

__all__ = ["BenchProblem", "Refolder", "check_layout", "motif_scores", "placement", "problems", "write_submission"]

_COLUMNS = ["sample_num", "motif_placements"]


class Refolder(Protocol):
    """What turns backbones into designability: sequences for them, and the structures that these fold into."""

    def __call__(self, backbones: Chains, fixed: Tensor) -> Sequence[Chains]:
        """Refold each backbone.

        Parameters
        ----------
        backbones
            The scaffolds.
        fixed
            True where the type of a residue is part of the condition, shape ``(batch, length)``.

        Returns
        -------
        Sequence of Chains
            For each backbone the predicted structures of its designed sequences.
        """
        ...


@dataclass(frozen=True, eq=False)
class BenchProblem:
    """A problem with its motif.

    Parameters
    ----------
    problem
        Segments and length, in terms of the motif file.
    motif
        The motif, one chain a segment.
    """

    problem: MotifProblem
    motif: Chains

    @property
    def name(self) -> str:
        """Like ``04_5WN9``."""
        return self.problem.name


def problems(folder: str | Path) -> list[BenchProblem]:
    """Read the problems of a folder with ``test_cases.csv`` and ``motif_pdbs/NN_PDBID.pdb``.

    Parameters
    ----------
    folder
        The folder.

    Returns
    -------
    list of BenchProblem
        Those whose motif file is there.

    Raises
    ------
    DataError
        If the table or a motif file cannot be read, or the two disagree.
    """
    folder, found = Path(folder), []
    table = folder / "test_cases.csv"
    if not table.is_file():
        raise DataError(f"{folder} has no test_cases.csv; give the folder of MotifBench's problems")
    for row in read_motifbench(table):
        path = folder / "motif_pdbs" / f"{row.name}.pdb"
        if not path.is_file():
            continue
        problem = read_motif_pdb(path)
        sizes = sorted(map(len, problem.segments)), sorted(map(len, row.segments))
        if sizes[0] != sizes[1] or problem.length != row.length:
            raise DataError(f"{path} and {table} disagree: segments {sizes}, length {problem.length} and {row.length}")
        found.append(BenchProblem(problem, read(path).chains))
    return found


def placement(layout: Layout, motif: Chains) -> str:
    """Write the placement of a layout, such as ``12/B/15/A/29``."""
    words: list[str] = []
    free, last = 0, None
    for row, place in layout.source.tolist():
        if row < 0:
            free += 1
        elif last is None or last[0] != row or place != last[1] + 1:
            words += [str(free), motif.labels[row]]
            free = 0
        last = (row, place) if row >= 0 else None
    return "/".join([*words, str(free)])


def write_submission(
    folder: str | Path, problem: BenchProblem, chains: Chains, layouts: Sequence[Layout], first: int = 0
) -> Path:
    """Write the scaffolds of one problem.

    Parameters
    ----------
    folder
        Where the folder of the problem goes.
    problem
        The problem.
    chains, layouts
        Scaffolds and their layouts.
    first
        Number of the first scaffold.

    Returns
    -------
    Path
        The folder of the problem.
    """
    target = Path(folder) / problem.name
    target.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for k, layout in enumerate(layouts):
        one = chains.take([k])
        plain = Chains(one.xyz, one.mask, one.sequence, one.names, ("A",), confidence=one.confidence)
        write(target / f"{problem.name}_{first + k}.pdb", plain)
        rows.writerow([first + k, placement(layout, problem.motif)])
    with atomic_write(target / "scaffold_info.csv") as file:
        file.write(table.getvalue())
    return target


def _parse(text: str, motif: Chains) -> tuple[list[tuple[int, int]], int]:
    """Start in the scaffold and chain row of each segment, and the total length."""
    place, found = 0, []
    for word in text.split("/"):
        if word.isdigit():
            place += int(word)
        elif word in motif.labels:
            row = motif.labels.index(word)
            found.append((place, row))
            place += int(motif.lengths[row])
        else:
            raise DataError(f"placement '{text}' names segment '{word}'; the motif has {', '.join(motif.labels)}")
    return found, place


def _rows(folder: Path, name: str) -> list[tuple[int, str]]:
    path = folder / "scaffold_info.csv"
    if not path.is_file():
        raise DataError(f"{folder} has no scaffold_info.csv; write the scaffolds of {name} with write_submission")
    with open(path, newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if table.fieldnames != _COLUMNS:
            raise DataError(f"{path} has the columns {table.fieldnames}; expected {_COLUMNS}")
        return [(int(row["sample_num"]), row["motif_placements"]) for row in table]


def check_layout(folder: str | Path, problem: BenchProblem, expected: int | None = None) -> list[str]:
    """Check the folder of one problem.

    Parameters
    ----------
    folder
        Folder ``NN_PDBID``.
    problem
        The problem.
    expected
        Number of scaffolds; a submission has 100.

    Returns
    -------
    list of str
        What is wrong, one line each; empty where the layout is right.
    """
    folder, wrong = Path(folder), []
    if folder.name != problem.name:
        wrong.append(f"the folder is {folder.name}; expected {problem.name}")
    try:
        rows = _rows(folder, problem.name)
    except (DataError, ValueError) as error:
        return [*wrong, str(error)]
    if sorted(number for number, _ in rows) != list(range(len(rows))):
        wrong.append("the samples are not numbered 0, 1, 2, ...")
    if expected is not None and len(rows) != expected:
        wrong.append(f"{len(rows)} scaffolds; expected {expected}")
    for number, text in rows:
        wrong += _check_one(folder / f"{problem.name}_{number}.pdb", text, problem)
    return wrong


def _check_one(path: Path, text: str, problem: BenchProblem) -> list[str]:
    """Check one scaffold."""
    try:
        segments, total = _parse(text, problem.motif)
        chains = read(path).chains
    except DataError as error:
        return [f"{path.name}: {error}"]
    size, wrong = problem.problem.length, []
    if sorted(row for _, row in segments) != list(range(len(problem.motif))):
        wrong.append(f"{path.name}: placement {text} does not name every segment once")
    if total != size or chains.lengths.tolist() != [size]:
        wrong.append(
            f"{path.name}: {chains.lengths.tolist()} residues, placement {total}; expected one chain of {size}"
        )
    if chains.numbers[0, : int(chains.lengths[0])].tolist() != list(range(1, int(chains.lengths[0]) + 1)):
        wrong.append(f"{path.name}: residues are not numbered from 1")
    return wrong


def motif_scores(folder: str | Path, problem: BenchProblem) -> dict[int, float]:
    """RMSD of N, CA and C of the motif in each scaffold file, Å.

    Parameters
    ----------
    folder
        Folder of the problem.
    problem
        The problem.

    Returns
    -------
    dict
        RMSD by number of the scaffold.
    """
    folder, scores = Path(folder), {}
    for number, text in _rows(folder, problem.name):
        segments, _ = _parse(text, problem.motif)
        chains = read(folder / f"{problem.name}_{number}.pdb").chains
        size = int(chains.lengths[0])
        group, xyz = torch.zeros(1, size, dtype=torch.int64), torch.zeros(1, size, 3, 3, dtype=torch.float64)
        for start, row in segments:
            length = int(problem.motif.lengths[row])
            group[0, start : start + length] = 1
            xyz[0, start : start + length] = problem.motif.xyz[row, :length]
        scores[number] = float(kept_rmsd(chains.xyz[:1, :size], Kept(group, xyz))[0])
    return scores
