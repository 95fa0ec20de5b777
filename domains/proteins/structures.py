"""Structure files in: mmCIF, BinaryCIF and PDB, through biotite. What is not plain is refused, or chosen and reported.

| in the file | what happens |
|---|---|
| gap: two neighbours without a C-N bond of at most 1.8 Å | `StructureError`; with ``split_gaps`` two chains and a note
|
| jump in numbering across a bond | kept as numbered, noted |
| residue without N, CA or C | `StructureError`; with ``drop_incomplete`` left out (thus a gap), noted |
| alternate locations | the one of highest occupancy, the first letter among equals; noted |
| insertion codes | order of the file, the chain is renumbered 1, 2, ...; noted |
| chain label of any case or length | kept as it is: ``a`` is not ``A`` |
| modified residue (`residues.MODIFIED`) | the standard residue it was made from; noted |
| other non-standard residue with N, CA, C | unknown, written as UNK, never as glycine; noted |
| water, ligands, nucleic acids | left out |

A note names the chain and the residue.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import DataError

from .chains import Chains
from .errors import StructureError
from .residues import LETTERS, MODIFIED, THREE

__all__ = ["PERMISSIVE", "READERS", "STRICT", "Note", "Reading", "Structure", "read", "read_models"]

READERS = (".cif", ".mmcif", ".bcif", ".pdb", ".ent")
_BOND = 1.8
_ATOMS = ("N", "CA", "C")
_SIZE_LIMIT = 1 << 30


@dataclass(frozen=True)
class Note:
    """A choice that was made while reading.

    Parameters
    ----------
    chain, residue
        Where, as in the file.
    what
        What was found and chosen.
    """

    chain: str
    residue: str
    what: str

    def __str__(self) -> str:
        return f"chain '{self.chain}' residue {self.residue}: {self.what}"


@dataclass(frozen=True)
class Reading:
    """What a reader may do by itself.

    Parameters
    ----------
    split_gaps
        Divide a chain at a gap instead of refusing it.
    drop_incomplete
        Leave out residues that lack N, CA or C instead of refusing them.
    """

    split_gaps: bool = False
    drop_incomplete: bool = False


STRICT = Reading()
PERMISSIVE = Reading(split_gaps=True, drop_incomplete=True)


@dataclass(frozen=True)
class Structure:
    """What a file holds.

    Parameters
    ----------
    chains
        The chains.
    notes
        Choices made.
    cb
        CB as found, Å, NaN where a residue has none, shape ``(batch, length, 3)``; the handedness is judged by it.
    """

    chains: Chains
    notes: tuple[Note, ...]
    cb: Tensor


@dataclass
class _Residue:
    label: str
    number: int
    inserted: str
    name: str
    xyz: np.ndarray
    confidence: float
    cb: np.ndarray
    place: str = field(init=False)

    def __post_init__(self) -> None:
        self.place = f"{self.number}{self.inserted}"


def read(path: str | Path, reading: Reading = STRICT, model: int = 1) -> Structure:
    """Read the protein chains of one model of a file.

    Parameters
    ----------
    path
        File with an ending of `READERS`.
    reading
        What may be done about gaps and missing atoms.
    model
        Number of the model, from 1.

    Returns
    -------
    Structure
        Chains and notes; chain names are ``file_chain``, and ``file_chain/2`` for the second piece of a divided one.

    Raises
    ------
    DataError
        If the file cannot be read, or holds no protein chain.
    StructureError
        If a residue cannot be used; names chain and residue.
    """
    path = Path(path)
    atoms, notes = _load(path, model), []
    groups: dict[str, list[_Residue]] = {}
    for residue in _residues(atoms, reading, notes):
        groups.setdefault(residue.label, []).append(residue)
    pieces: list[tuple[str, list[_Residue]]] = []
    for label, residues in groups.items():
        pieces += _pieces(f"{path.stem}_{label}", _renumbered(residues, notes), reading, notes)
    if not pieces:
        raise DataError(f"{path} holds no residue with N, CA and C; give a file with a protein chain")
    chains = _chains(pieces)
    cb = torch.full_like(chains.ca, torch.nan)
    for row, (_, piece) in enumerate(pieces):
        cb[row, : len(piece)] = torch.from_numpy(np.stack([residue.cb for residue in piece]))
    return Structure(chains, tuple(notes), cb)


def read_models(path: str | Path, reading: Reading = STRICT) -> list[Chains]:
    """Read all models of a file, e.g. a trajectory; parameters and errors as of `read`."""
    path = Path(path)
    count = _open(path)[1]
    return [read(path, reading, model).chains for model in range(1, count + 1)]


def _open(path: Path) -> tuple[Any, int]:
    """Open a file and count its models."""
    from biotite import InvalidFileError
    from biotite.structure.io import pdb, pdbx

    ending = path.suffix.lower()
    if ending not in READERS:
        raise DataError(f"{path} ends in '{ending}'; expected one of {', '.join(READERS)}")
    try:
        if path.stat().st_size > _SIZE_LIMIT:
            raise DataError(f"{path} is larger than {_SIZE_LIMIT} bytes; give a smaller structure")
        if ending in (".pdb", ".ent"):
            file = pdb.PDBFile.read(path)
            return file, file.get_model_count()
        file = (pdbx.BinaryCIFFile if ending == ".bcif" else pdbx.CIFFile).read(path)
        return file, pdbx.get_model_count(file)
    except DataError:
        raise
    except (OSError, ValueError, KeyError, IndexError, TypeError, InvalidFileError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}: {error}); give a valid structure file") from error


def _load(path: Path, model: int) -> Any:
    """Atoms of one model, with alternate locations, occupancy and B factor."""
    from biotite import InvalidFileError
    from biotite.structure import BadStructureError
    from biotite.structure.io import pdb, pdbx

    file, count = _open(path)
    if not 1 <= model <= count:
        raise DataError(f"{path} has {count} models; model {model} was asked for")
    settings: dict[str, Any] = {"model": model, "altloc": "all", "extra_fields": ["b_factor", "occupancy"]}
    try:
        with warnings.catch_warnings():
            # elements are not used
            warnings.filterwarnings("ignore", message=".*elements were guessed", category=UserWarning)
            if isinstance(file, pdb.PDBFile):
                return file.get_structure(**settings)
            return pdbx.get_structure(file, **settings)
    except (ValueError, KeyError, IndexError, TypeError, InvalidFileError, BadStructureError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}: {error}); give a valid structure file") from error


def _residues(atoms: Any, reading: Reading, notes: list[Note]) -> Iterator[_Residue]:
    """Amino-acid residues in the order of the file."""
    keys = list(zip(atoms.chain_id, atoms.res_id, atoms.ins_code, strict=True))
    starts = [k for k in range(len(keys)) if not k or keys[k] != keys[k - 1]] + [len(keys)]
    for start, stop in pairwise(starts):
        label, number, inserted = (str(keys[start][0]), int(keys[start][1]), str(keys[start][2]).strip())
        place, rows = (
            f"{number}{inserted}",
            _one_location(atoms, range(start, stop), label, f"{number}{inserted}", notes),
        )
        name, found = str(atoms.res_name[rows[0]]), {str(atoms.atom_name[k]): k for k in rows}
        known = name in THREE or name in MODIFIED
        missing = [atom for atom in _ATOMS if atom not in found]
        if missing and not known:
            continue
        if missing:
            text = f"{name} lacks {', '.join(missing)}"
            if not reading.drop_incomplete:
                raise StructureError(text, "complete it, delete it, or read with drop_incomplete=True", label, place)
            notes.append(Note(label, place, f"{text}; left out"))
            continue
        if name in MODIFIED:
            notes.append(Note(label, place, f"{name} read as {MODIFIED[name]}"))
        elif not known:
            notes.append(Note(label, place, f"{name} is no standard residue; read as UNK"))
        standard = MODIFIED.get(name, name if known else "UNK")
        xyz = np.array([atoms.coord[found[atom]] for atom in _ATOMS], dtype=np.float64)
        if not np.isfinite(xyz).all():
            raise StructureError("a coordinate is not finite", "correct or delete the residue", label, place)
        cb = np.array(atoms.coord[found["CB"]], dtype=np.float64) if "CB" in found else np.full(3, np.nan)
        yield _Residue(label, number, inserted, standard, xyz, float(atoms.b_factor[found["CA"]]), cb)


def _one_location(atoms: Any, rows: range, label: str, place: str, notes: list[Note]) -> list[int]:
    """Rows of the residue with the alternate location of highest occupancy."""
    plain = (".", "?", " ", "")
    mass: dict[str, float] = {}
    for k in rows:
        letter = str(atoms.altloc_id[k])
        if letter not in plain and str(atoms.atom_name[k]) in _ATOMS:
            mass[letter] = mass.get(letter, 0.0) + float(atoms.occupancy[k])
    if not mass:
        seen = sorted({str(atoms.altloc_id[k]) for k in rows} - set(plain))[:1]
        return [k for k in rows if str(atoms.altloc_id[k]) in (*plain, *seen)]
    best = min(mass, key=lambda letter: (-mass[letter], letter))
    if len(mass) > 1:
        notes.append(Note(label, place, f"alternate locations {', '.join(sorted(mass))}; {best} taken"))
    return [k for k in rows if str(atoms.altloc_id[k]) in (*plain, best)]


def _renumbered(residues: list[_Residue], notes: list[Note]) -> list[_Residue]:
    """Number a chain with insertion codes 1, 2, ..."""
    inserted = [residue for residue in residues if residue.inserted]
    if inserted:
        first = inserted[0]
        notes.append(Note(first.label, first.place, f"insertion code; the chain is renumbered 1 to {len(residues)}"))
        for k, residue in enumerate(residues):
            residue.number = k + 1
    return residues


def _pieces(
    name: str, residues: list[_Residue], reading: Reading, notes: list[Note]
) -> Iterator[tuple[str, list[_Residue]]]:
    """Divide a chain at its gaps."""
    piece, count = residues[:1], 1
    for before, after in pairwise(residues):
        length = float(np.linalg.norm(after.xyz[0] - before.xyz[2]))
        if length > _BOND:
            text = f"no bond to residue {after.place} (C-N is {length:.2f} Å)"
            if not reading.split_gaps:
                fix = "model the gap, cut the chain there, or read with split_gaps=True"
                raise StructureError(text, fix, before.label, before.place)
            notes.append(Note(before.label, before.place, f"{text}; the chain is divided"))
            yield (name if count == 1 else f"{name}/{count}"), piece
            piece, count = [], count + 1
        elif after.number != before.number + 1:
            text = f"bonded to residue {after.place}: a jump in numbering; kept"
            notes.append(Note(before.label, before.place, text))
        piece = [*piece, after]
    yield (name if count == 1 else f"{name}/{count}"), piece


def _chains(pieces: list[tuple[str, list[_Residue]]]) -> Chains:
    """Make the batch."""
    letters = dict(zip(THREE, LETTERS, strict=True))
    sequences = ["".join(letters[residue.name] for residue in piece) for _, piece in pieces]
    chains = Chains.of([np.stack([residue.xyz for residue in piece]) for _, piece in pieces], sequences)
    numbers, confidence = chains.numbers.clone(), chains.confidence.clone()
    for row, (_, piece) in enumerate(pieces):
        numbers[row, : len(piece)] = torch.tensor([residue.number for residue in piece])
        confidence[row, : len(piece)] = torch.tensor([residue.confidence for residue in piece], dtype=confidence.dtype)
    labels = tuple(piece[0].label for _, piece in pieces)
    names = tuple(name for name, _ in pieces)
    return Chains(chains.xyz, chains.mask, chains.sequence, names, labels, numbers, confidence)
