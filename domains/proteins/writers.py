"""Structure files out: mmCIF, BinaryCIF and PDB, one model or a trajectory of models.

A residue of known type is written with N, CA, C, O and, except for glycine, the ideal CB; an unknown one as UNK with N,
CA, C and O. The B factor column holds the confidence. What made the file stands in its header: a ``_scidiff`` category
in CIF, ``REMARK 99`` lines in PDB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import atomic_write

from .chains import Chains
from .errors import StructureError
from .residues import LETTERS, THREE

__all__ = ["WRITERS", "write"]

WRITERS = (".cif", ".mmcif", ".bcif", ".pdb", ".ent")
_GLY = LETTERS.index("G")
_UNK = LETTERS.index("X")


def write(path: str | Path, models: Chains | Sequence[Chains], header: Mapping[str, object] | None = None) -> Path:
    """Write chains; the ending decides the format.

    Parameters
    ----------
    path
        The file, with an ending of `WRITERS`.
    models
        The chains of one model, or several models with equal chains, e.g. a trajectory.
    header
        What made the file: names and values on one line each.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If the ending is another one, or the models differ in residues.
    StructureError
        If the chain labels repeat, the numbers of a chain repeat, or PDB cannot hold a label or a number.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"{path} ends in '{path.suffix}'; expected one of {', '.join(WRITERS)}")
    frames = [models] if isinstance(models, Chains) else list(models)
    if not frames:
        raise ConfigError("no model came; expected at least one")
    old = path.suffix.lower() in (".pdb", ".ent")
    _check(frames, old)
    from biotite.structure import stack

    atoms = [_atoms(frame) for frame in frames]
    joined = atoms[0] if len(atoms) == 1 else stack(atoms)
    facts = {str(key): " ".join(str(value).split()) for key, value in (header or {}).items()}
    if old:
        _write_pdb(path, joined, facts)
    else:
        _write_cif(path, joined, facts)
    return path


def _check(frames: list[Chains], old: bool) -> None:
    """Refuse what a file cannot hold without loss."""
    first = frames[0]
    for frame in frames[1:]:
        same = frame.labels == first.labels and frame.mask.equal(first.mask)
        if not (same and frame.sequence.equal(first.sequence) and frame.numbers.equal(first.numbers)):
            raise ConfigError("the models differ in chains, residues or numbers; write them to separate files")
    for row, label in enumerate(first.labels):
        numbers = first.numbers[row, first.mask[row]].tolist()
        if label in first.labels[:row]:
            raise StructureError("the label comes twice", "give every chain a label of its own", label)
        again = next((n for n, m in pairwise(numbers) if m <= n), None)
        if again is not None:
            raise StructureError("the next number is not larger", "renumber the chain", label, str(again))
        if old and (len(label) != 1 or numbers[-1] > 9999 or numbers[0] < -999):
            raise StructureError("PDB holds one letter and four digits", "write .cif instead", label, str(numbers[-1]))
    for frame in frames:
        if not bool(frame.xyz[frame.mask].isfinite().all()):
            raise DataError("a coordinate is not finite; only finite ones can be written")


def _atoms(chains: Chains) -> Any:
    """Build biotite's atoms."""
    from biotite.structure import Atom, array

    atoms, oxygen, cb = [], chains.oxygen, chains.cb
    for row, label in enumerate(chains.labels):
        for i in range(int(chains.lengths[row])):
            code = int(chains.sequence[row, i])
            places = [*zip(("N", "CA", "C"), chains.xyz[row, i], strict=True), ("O", oxygen[row, i])]
            if code not in (_GLY, _UNK):
                places.append(("CB", cb[row, i]))
            for name, place in places:
                atoms.append(
                    Atom(
                        place.detach().cpu().numpy().astype(np.float32),
                        chain_id=label,
                        res_id=int(chains.numbers[row, i]),
                        res_name=THREE[code],
                        atom_name=name,
                        element=name[0],
                        b_factor=float(chains.confidence[row, i]),
                        occupancy=1.0,
                    )
                )
    return array(atoms)


def _write_pdb(path: Path, atoms: Any, facts: dict[str, str]) -> None:
    """Write PDB with its header."""
    from biotite.structure.io.pdb import PDBFile

    file = PDBFile()
    file.set_structure(atoms)
    lines = [f"REMARK  99 {key}: {value}"[:80] for key, value in facts.items()]
    with atomic_write(path) as out:
        out.write("\n".join([*lines, *file.lines, "END"]) + "\n")


def _write_cif(path: Path, atoms: Any, facts: dict[str, str]) -> None:
    """Write mmCIF or BinaryCIF with its header."""
    from biotite.structure.io import pdbx

    binary = path.suffix.lower() == ".bcif"
    file = pdbx.BinaryCIFFile() if binary else pdbx.CIFFile()
    pdbx.set_structure(file, atoms, data_block="scidiff")
    if facts:
        category = pdbx.BinaryCIFCategory if binary else pdbx.CIFCategory
        file.block["scidiff"] = category({_item(key): value for key, value in facts.items()})
    with atomic_write(path, "wb" if binary else "w") as out:
        file.write(out)


def _item(key: str) -> str:
    """Name of a CIF item: letters, digits and underscores."""
    return "".join(letter if letter.isalnum() else "_" for letter in key)
