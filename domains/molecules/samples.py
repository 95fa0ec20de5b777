"""Molecules that a model returned, with their costs and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

from scidiff.errors import DataError
from scidiff.random import Noise
from scidiff.sample.samples import Samples, Status
from scidiff.sample.state import RunState

from .graphs import decode, pair_count
from .vocabulary import Vocabulary

__all__ = ["MoleculeSamples", "build_samples"]


@dataclass(frozen=True)
class MoleculeSamples(Samples):
    """Samples whose items are RDKit molecules, ``None`` where the status is not ok."""

    @property
    def smiles(self) -> list[str | None]:
        """Canonical SMILES, ``None`` where the status is not ok."""
        return [None if molecule is None else Chem.MolToSmiles(molecule) for molecule in self.items]

    def save(self, path: str | Path) -> Path:
        """Write the molecules; the ending decides: ``.smi``, ``.csv`` or ``.sdf``.

        Raises
        ------
        ConfigError
            If the ending is another one, or the folder does not exist.
        DataError
            If the disk does not take the file; nothing is left half-written.
        """
        from .writers import write

        return write(self, Path(path))

    def _repr_html_(self) -> str:
        """Card for notebooks: the first valid molecules drawn, with their SMILES and what validity cost."""
        from .display import molecules_card

        return molecules_card(self)


def build_samples(
    done: Sequence[tuple[np.ndarray, RunState]],
    noise: Noise,
    sizes: np.ndarray,
    vocabulary: Vocabulary,
    provenance: dict[str, Any],
) -> MoleculeSamples:
    """Decode the final states of all batches and put them in the order of the samples."""
    count = len(noise)
    items: list[Chem.Mol | None] = [None] * count
    status = [Status.INVALID] * count
    calls = np.zeros(count, dtype=np.int64)
    records: dict[str, np.ndarray] = {"size": sizes.copy()}
    kept = {"size": "size", "cost": "cost", "cost_last": "cost_last", "log_z": "particles/log_z"}
    for rows, state in done:
        calls[rows] = state.calls.numpy()
        for name, key in kept.items():
            if key in state.records:
                records.setdefault(name, np.zeros(count))[rows] = state.records[key].numpy()
        atoms, bonds, free = state.x["atoms"].numpy(), state.x["bonds"].numpy(), state.free["atoms"].numpy()
        for k, row in enumerate(rows):
            size = int(records["size"][row])
            given = np.flatnonzero(~free[k, :size])
            try:
                items[row] = decode(atoms[k, :size], bonds[k, : pair_count(size)], vocabulary, given)
                status[row] = Status.OK
            except DataError:
                continue
    return MoleculeSamples(items, status, noise.samples, noise.seed, calls, records, provenance)
