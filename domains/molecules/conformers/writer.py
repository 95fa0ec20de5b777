"""Conformers as an ``.sdf`` file with properties, and the provenance beside it. Written whole or not at all."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rdkit import Chem

from scidiff.errors import ConfigError
from scidiff.io.files import atomic_write
from scidiff.io.provenance import provenance

if TYPE_CHECKING:
    from .model import ConformerSamples

__all__ = ["check_ending", "write"]


def check_ending(path: Path) -> None:
    """Raise `ConfigError` unless conformers can be written there."""
    if path.suffix != ".sdf":
        raise ConfigError(f"'{path.name}' ends in '{path.suffix}'; conformers are written as .sdf: choose that ending")
    if not path.parent.is_dir():
        raise ConfigError(f"folder '{path.parent}' does not exist; make it, or choose another --out")


def write(samples: ConformerSamples, path: Path) -> Path:
    """Write samples and their provenance; see `ConformerSamples.save`."""
    check_ending(path)
    text = io.StringIO()
    with Chem.SDWriter(text) as writer:
        for k, molecule in enumerate(samples.items):
            if molecule is not None:
                writer.write(_labelled(molecule, k, samples))
    with atomic_write(path) as file:
        file.write(text.getvalue())
    with atomic_write(path.with_suffix(path.suffix + ".json")) as file:
        json.dump(provenance(seed=samples.seed, count=len(samples), **samples.provenance), file, indent=2)
    return path


def _labelled(molecule: Chem.Mol, k: int, samples: ConformerSamples) -> Chem.Mol:
    """Copy with the properties of one sample."""
    copy = Chem.Mol(molecule)
    copy.SetProp("smiles", Chem.MolToSmiles(molecule))
    copy.SetProp("index", str(int(samples.index[k])))
    copy.SetProp("calls", str(int(samples.calls[k])))
    copy.SetProp("attempts", str(int(samples.records["attempts"][k])))
    return copy
