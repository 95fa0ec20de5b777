"""From a data set to a trained model file: the command that the bundled models come from.

``scidiff molecules train --data qm9 --out runs/qm9`` reads the training part of a data set, derives the vocabulary and
the size prior from it, and trains. A data set is one known by name or a SMILES file; a tenth of a file is held out by
hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rdkit import __version__ as rdkit_version

from scidiff.errors import DataError, UnknownNameError
from scidiff.nets.graph_transformer import GraphTransformerConfig
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from .data import DATASETS, load, read_smiles
from .datasets.splits import split_by_hash
from .encoding import encode_known, encode_training, usable
from .network import GraphDenoiserConfig
from .training import MoleculeTask, smiles_hash
from .vocabulary import Bond

__all__ = ["SIZES", "TrainingData", "build_task", "reference_data", "train", "training_data"]

SIZES = MappingProxyType(
    {
        "tiny": GraphTransformerConfig(layers=4, width=96, pair_width=24, product=16),
        "small": GraphTransformerConfig(layers=6, width=128, pair_width=32, product=16),
        "medium": GraphTransformerConfig(layers=8, width=256, pair_width=64, product=32),
        "large": GraphTransformerConfig(layers=12, width=384, pair_width=96, product=48),
    }
)
"""Networks of about 0.35, 0.9, 4.9 and 16 million parameters."""

_HELD_OUT = 2000
_PARTS = {"qm9": ("train", "valid"), "universe": ("train", "rest"), "moses": ("train", "test")}
_REFERENCE = {"qm9": "test", "universe": "all", "moses": "test"}


@dataclass(frozen=True)
class TrainingData:
    """SMILES to learn from and to validate on, with the name they came under."""

    name: str
    train: list[str]
    valid: list[str]


def training_data(source: str, folder: Path | None = None, *, progress: bool = True) -> TrainingData:
    """Read training and validation molecules.

    Parameters
    ----------
    source
        Name of a data set, or path of a SMILES file.
    folder
        Folder of the data sets known by name.
    progress
        Show bars on a terminal.

    Raises
    ------
    UnknownNameError
        If there is neither a data set nor a file of that name.
    """
    if source in DATASETS:
        train, valid = (load(source, part, folder=folder, progress=progress) for part in _PARTS[source])
        return TrainingData(source, train, sorted(valid, key=smiles_hash_of_one)[:_HELD_OUT])
    if not Path(source).exists():
        raise UnknownNameError("data set or file", source, DATASETS)
    smiles = usable(read_smiles(source).smiles)
    valid, train = split_by_hash(smiles, (0.1, 0.9))
    if not train or not valid:
        raise DataError(
            f"{source} has {len(smiles)} usable different molecules; expected at least some dozens to train on"
        )
    return TrainingData(Path(source).stem, train, valid[:_HELD_OUT])


def reference_data(source: str, folder: Path | None = None) -> TrainingData:
    """Read the held-out part of a data set, as ``valid``, and its training part, for an evaluation.

    Parameters
    ----------
    source
        Name of a data set.
    folder
        Folder of the data sets.

    Raises
    ------
    UnknownNameError
        If there is no such data set.
    """
    if source not in DATASETS:
        raise UnknownNameError("data set", source, DATASETS)
    parts = (load(source, part, folder=folder) for part in (_PARTS[source][0], _REFERENCE[source]))
    return TrainingData(f"{source}/{_REFERENCE[source]}", *parts)


def smiles_hash_of_one(smiles: str) -> str:
    """Key of a reproducible, arbitrary order."""
    return smiles_hash([smiles])


def build_task(
    data: TrainingData, size: str, *, batch_size: int = 256, given_share: float = 0.15, seed: int = 0
) -> MoleculeTask:
    """Encode the data and put a network of the named size to it.

    Raises
    ------
    UnknownNameError
        If the size is not in `SIZES`.
    """
    if size not in SIZES:
        raise UnknownNameError("network size", size, SIZES)
    vocabulary, train = encode_training(data.train)
    valid = encode_known(data.valid, vocabulary, int(train.sizes.max()))
    if not len(valid):
        raise DataError(f"no held-out molecule of {data.name} fits the training set's atoms and sizes; bring more data")
    config = GraphDenoiserConfig(
        atom_states=len(vocabulary) + len(set(vocabulary.groups)) + 1,
        bond_states=len(Bond),
        atom_classes=len(vocabulary),
        bond_classes=len(Bond),
        largest=int(train.sizes.max()),
        trunk=SIZES[size],
    )
    facts = {
        "name": data.name,
        "train_count": len(data.train),
        "train_sha256": smiles_hash(data.train),
        "valid_count": len(valid),
        "valid_outside_vocabulary": len(data.valid) - len(valid),
        "rdkit": rdkit_version,
    }
    return MoleculeTask(train, valid, vocabulary, config, facts, batch_size, given_share, seed)


def train(
    data: str,
    folder: str | Path,
    *,
    size: str = "small",
    steps: int = 14000,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    seed: int = 0,
    precision: Precision = Precision.BF16,
    threads: int | None = None,
    devices: int = 1,
    max_seconds: float | None = None,
) -> TrainResult:
    """Train a model, or go on with a run that was interrupted; ``load(result.model)`` reads it.

    Parameters
    ----------
    data
        Name of a data set, or path of a SMILES file.
    folder
        Folder of the run: checkpoint, log, and at the end the model file with its card.
    size
        A key of `SIZES`.
    steps, batch_size, learning_rate, seed, precision, threads
        See `scidiff.train.TrainConfig`; a batch is for one process.
    devices, max_seconds
        See `scidiff.train.train`.

    Raises
    ------
    UnknownNameError
        If there is no such data set or size.
    ConfigError
        If the folder holds a run with other settings.
    """
    task = build_task(training_data(str(data)), size, batch_size=batch_size, seed=seed)
    config = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(500, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=500,
        validate_every=1000,
        threads=threads,
    )
    return run(task, config, folder, devices=devices, max_seconds=max_seconds)
