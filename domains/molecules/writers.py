"""Files of molecules: ``.smi``, ``.csv`` and ``.sdf``. Written whole or not at all.

A ``.smi`` file has one canonical SMILES a line and nothing else, in the order of the samples. A ``.csv`` file adds
index, status, calls and the recorded costs; an ``.sdf`` file two-dimensional coordinates and the same values as
properties. Beside each lies ``<name>.json`` with the provenance.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdkit import Chem
from rdkit.Chem import rdDepictor

from scidiff.errors import ConfigError
from scidiff.io.files import atomic_write
from scidiff.io.provenance import provenance

if TYPE_CHECKING:
    from .samples import MoleculeSamples

__all__ = ["check_ending", "write"]


def _columns(samples: MoleculeSamples) -> list[dict[str, Any]]:
    """Values of every sample, in the order of the columns."""
    names = sorted(samples.records)
    return [
        {
            "smiles": smiles or "",
            "index": int(samples.index[k]),
            "status": samples.status[k].value,
            "calls": int(samples.calls[k]),
            **{name: f"{samples.records[name][k]:.6g}" for name in names},
        }
        for k, smiles in enumerate(samples.smiles)
    ]


def _smi(samples: MoleculeSamples) -> str:
    return "".join(f"{smiles or ''}\n" for smiles in samples.smiles)


def _csv(samples: MoleculeSamples) -> str:
    names = ["smiles", "index", "status", "calls", *sorted(samples.records)]
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    table.writeheader()
    table.writerows(_columns(samples))
    return text.getvalue()


def _sdf(samples: MoleculeSamples) -> str:
    text = io.StringIO()
    with Chem.SDWriter(text) as writer:
        for molecule, values in zip(samples.items, _columns(samples), strict=True):
            if molecule is None:
                continue
            copy = Chem.Mol(molecule)
            rdDepictor.Compute2DCoords(copy)
            for name, value in values.items():
                copy.SetProp(name, str(value))
            writer.write(copy)
    return text.getvalue()


_WRITERS: dict[str, Callable[[MoleculeSamples], str]] = {".smi": _smi, ".csv": _csv, ".sdf": _sdf}


def check_ending(path: Path) -> None:
    """Raise `ConfigError` unless the file can be written in a known form."""
    if path.suffix not in _WRITERS:
        raise ConfigError(f"'{path.name}' ends in '{path.suffix}'; expected one of {', '.join(_WRITERS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"folder '{path.parent}' does not exist; make it, or choose another --out")


def write(samples: MoleculeSamples, path: Path) -> Path:
    """Write samples and their provenance; see `MoleculeSamples.save`."""
    check_ending(path)
    text = _WRITERS[path.suffix](samples)
    with atomic_write(path) as file:
        file.write(text)
    with atomic_write(path.with_suffix(path.suffix + ".json")) as file:
        json.dump(provenance(seed=samples.seed, count=len(samples), **samples.provenance), file, indent=2)
    return path
