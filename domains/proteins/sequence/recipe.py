"""From chains to a trained sequence model: ``scidiff proteins train --recipe sequence --out runs/sequence``.

Chains are those of `torsion.recipe`, whose training list shares no sequence cluster with the validation list.
"""

from __future__ import annotations

from pathlib import Path

from scidiff.io.files import sha256_lines
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..chains import Chains
from ..torsion.recipe import chain_sets
from .network import SequenceConfig
from .task import SequenceTask

__all__ = ["build_task", "train"]


def build_task(
    train: Chains,
    valid: Chains,
    config: SequenceConfig | None = None,
    *,
    name: str = "chains",
    batch_size: int = 16,
    seed: int = 0,
) -> SequenceTask:
    """Put a network to chains.

    Parameters
    ----------
    train, valid
        Intact chains with sequences.
    config
        Size of the network.
    name
        Name of the data.
    batch_size, seed
        See `SequenceTask`.
    """
    facts = {
        "name": name,
        "train_count": len(train),
        "valid_count": len(valid),
        "train_sha256": sha256_lines([train.letters(k) for k in range(len(train))]),
    }
    return SequenceTask(train, valid, config or SequenceConfig(), facts, batch_size, seed)


def train(
    out: str | Path,
    *,
    folder: str | Path | None = None,
    steps: int = 4000,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    config: SequenceConfig | None = None,
    seed: int = 0,
    precision: Precision = Precision.BF16,
    threads: int | None = None,
    max_seconds: float | None = None,
) -> TrainResult:
    """Train a sequence model, or go on with a run that was interrupted; ``sequence.load(result.model)`` reads it.

    Parameters
    ----------
    out, folder, steps, batch_size, learning_rate
        As of `torsion.recipe.train`.
    config
        Size of the network.
    seed, precision, threads, max_seconds
        As of `torsion.recipe.train`.

    Raises
    ------
    ConfigError
        If the folder holds a run with other settings.
    DataError
        If there are no chains.
    """
    ours, held, name = chain_sets(folder)
    task = build_task(ours, held, config, name=name, batch_size=batch_size, seed=seed)
    settings = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(200, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=200,
        validate_every=500,
        threads=threads,
    )
    return run(task, settings, out, max_seconds=max_seconds)
