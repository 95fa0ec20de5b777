"""From chains to a trained model: the command that the bundled model comes from.

``scidiff proteins train --out runs/proteins`` trains on the compact intact chains of the training list, none of which
shares a sequence cluster with a validation chain (`scidiff.domains.proteins.data`). With ``--folder`` it trains on the
structure files of a folder; one cluster in ten is then held out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scidiff.errors import DataError
from scidiff.io.files import sha256_lines
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..chains import Chains
from ..clusters import cluster
from ..data import load, read_folder, select
from .data import TrainingChains
from .network import NetworkConfig
from .task import TorsionTask

__all__ = ["build_task", "chain_sets", "train"]

SHORTEST, LONGEST = 30, 100
_HELD_OUT = 10


def chain_sets(folder: str | Path | None = None) -> tuple[Chains, Chains, str]:
    """Training chains, validation chains, and the name of their source.

    Parameters
    ----------
    folder
        Folder of structure files; the published lists by default.

    Raises
    ------
    DataError
        If there are too few chains to hold a cluster out.
    """
    if folder is None:
        parts = [select(load(split), shortest=SHORTEST, longest=LONGEST) for split in ("train", "valid")]
        return parts[0], parts[1], "cgdms"
    chains = select(read_folder(folder), shortest=SHORTEST, longest=LONGEST)
    label = torch.from_numpy(cluster([chains.letters(k) for k in range(len(chains))])).long()
    held = label % _HELD_OUT == label.max() % _HELD_OUT
    if bool(held.all()):
        raise DataError(f"the {len(chains)} chains of {folder} are one sequence cluster; give chains that differ")
    return chains.take(~held), chains.take(held), str(Path(folder).name)


def build_task(
    train: Chains,
    valid: Chains,
    config: NetworkConfig | None = None,
    *,
    name: str = "chains",
    batch_size: int = 16,
    seed: int = 0,
) -> TorsionTask:
    """Put a network to chains.

    Parameters
    ----------
    train, valid
        Intact chains.
    config
        Size of the network.
    name
        Name of the data.
    batch_size, seed
        See `TorsionTask`.
    """
    facts: dict[str, Any] = {
        "name": name,
        "train_count": len(train),
        "valid_count": len(valid),
        "train_sha256": sha256_lines([train.letters(k) for k in range(len(train))]),
        "lengths": [int(train.lengths.min()), int(train.lengths.max())],
    }
    sets = TrainingChains(train), TrainingChains(valid)
    return TorsionTask(*sets, config or NetworkConfig(), facts, batch_size, seed)


def train(
    out: str | Path,
    *,
    folder: str | Path | None = None,
    steps: int = 9000,
    batch_size: int = 12,
    learning_rate: float = 1.5e-3,
    config: NetworkConfig | None = None,
    seed: int = 0,
    precision: Precision = Precision.BF16,
    threads: int | None = None,
    max_seconds: float | None = None,
) -> TrainResult:
    """Train a model, or go on with a run that was interrupted; ``load(result.model)`` reads it.

    Parameters
    ----------
    out
        Folder of the run: checkpoint, log, and at the end the model file with its card.
    folder
        Structure files to train on; the published chains by default.
    steps, batch_size, learning_rate
        See `scidiff.train.TrainConfig`.
    config
        Size of the network.
    seed, precision, threads
        See `scidiff.train.TrainConfig`.
    max_seconds
        See `scidiff.train.train`.

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
        warmup=min(300, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=200,
        validate_every=1000,
        threads=threads,
    )
    return run(task, settings, out, max_seconds=max_seconds)
