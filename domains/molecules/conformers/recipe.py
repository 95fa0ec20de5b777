"""From the enumerated universe to a trained conformer model: the command that the bundled model comes from.

``scidiff molecules train-conformers --out runs/conformers`` splits the molecules of the universe by the hash of their
SMILES, four fifths for training, makes conformers with RDKit, and trains. No conformer of a held-out molecule is seen.
"""

from __future__ import annotations

from pathlib import Path

from rdkit import __version__ as rdkit_version

from scidiff.io.files import sha256_lines
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..datasets.splits import unit_hash
from ..universe import universe, universe_split
from .data import conformer_set
from .network import ConformerConfig
from .task import ConformerTask

__all__ = ["build_task", "held_out", "train"]

TRAIN_SHARE = 0.8
_VALIDATION = 500
_EACH = 4


def held_out(count: int, first: int = 0, folder: str | Path | None = None) -> list[str]:
    """Held-out molecules of the universe, in an arbitrary fixed order.

    Parameters
    ----------
    count
        Number of molecules.
    first
        Place of the first one in the order; validation while training uses the last ones.
    folder
        Where the list of the universe is kept.
    """
    rest = universe_split(universe(folder=folder), TRAIN_SHARE)[1]
    return sorted(rest, key=lambda smiles: unit_hash(smiles, 1))[first:][:count]


def build_task(
    smiles: list[str],
    valid: list[str],
    config: ConformerConfig | None = None,
    *,
    each: int = _EACH,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = True,
) -> ConformerTask:
    """Make conformers of training and validation molecules, and put a network to them.

    Parameters
    ----------
    smiles, valid
        Molecules without stereo marks.
    config
        Size of the network.
    each
        Conformers of each training molecule.
    batch_size, seed
        See `ConformerTask`.
    progress
        Show a bar on a terminal.
    """
    found = conformer_set(smiles, each, 0, progress=progress)
    facts = {
        "name": "universe",
        "train_share": TRAIN_SHARE,
        "train_count": len(found),
        "train_left_out": found.left_out,
        "train_sha256": sha256_lines(smiles),
        "conformers_each": each,
        "method": "ETKDGv3, MMFF94",
        "rdkit": rdkit_version,
    }
    checked = conformer_set(valid, 1, 0, progress=progress)
    return ConformerTask(found, checked, config or ConformerConfig(), facts, batch_size, seed)


def train(
    folder: str | Path,
    *,
    steps: int = 16000,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    seed: int = 0,
    precision: Precision = Precision.FLOAT32,
    threads: int | None = None,
    max_seconds: float | None = None,
) -> TrainResult:
    """Train a model, or go on with a run that was interrupted; ``load(result.model)`` reads it.

    Parameters
    ----------
    folder
        Folder of the run: checkpoint, log, and at the end the model file with its card.
    steps, batch_size, learning_rate, seed, precision, threads
        See `scidiff.train.TrainConfig`.
    max_seconds
        See `scidiff.train.train`.

    Raises
    ------
    ConfigError
        If the folder holds a run with other settings.
    """
    smiles = universe_split(universe(), TRAIN_SHARE)[0]
    task = build_task(smiles, held_out(_VALIDATION, -_VALIDATION), batch_size=batch_size, seed=seed)
    config = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(500, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=250,
        validate_every=1000,
        threads=threads,
    )
    return run(task, config, folder, max_seconds=max_seconds)
