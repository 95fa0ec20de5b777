"""From chains to a trained model of frames: ``scidiff proteins train --recipe frames --out runs/frames``.

Chains, plans and motifs are those of `torsion.recipe`. The defaults are meant for one GPU in bf16,
an estimated half an hour; a CPU is some hundred times slower, and a shorter run gives chains that are valid and not yet
folded.
"""

from __future__ import annotations

from pathlib import Path

from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..chains import Chains
from ..torsion.recipe import build_task as torsion_task
from ..torsion.recipe import chain_sets
from .network import FrameConfig
from .rotations import RotationFlow, RotationLaw
from .task import FrameTask

__all__ = ["build_task", "train"]


def build_task(
    train: Chains,
    valid: Chains,
    config: FrameConfig | None = None,
    law: RotationLaw | None = None,
    *,
    name: str = "chains",
    batch_size: int = 64,
    seed: int = 0,
) -> FrameTask:
    """Put a network to chains.

    Parameters
    ----------
    train, valid
        Intact chains.
    config
        Size of the network.
    law
        Law of the noise of rotations; geodesics by default.
    name
        Name of the data.
    batch_size, seed
        See `FrameTask`.
    """
    like = torsion_task(train, valid, name=name, batch_size=batch_size, seed=seed)
    return FrameTask(
        like.train, like.valid, config or FrameConfig(), like.data, batch_size, seed, law=law or RotationFlow()
    )


def train(
    out: str | Path,
    *,
    folder: str | Path | None = None,
    steps: int = 20000,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    config: FrameConfig | None = None,
    law: RotationLaw | None = None,
    seed: int = 0,
    precision: Precision = Precision.BF16,
    threads: int | None = None,
    max_seconds: float | None = None,
) -> TrainResult:
    """Train a model of frames, or go on with a run that was interrupted; ``load(result.model)`` reads it.

    Parameters
    ----------
    out, folder, steps, batch_size, learning_rate
        As of `torsion.recipe.train`.
    config
        Size of the network.
    law
        Law of the noise of rotations; geodesics by default.
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
    task = build_task(ours, held, config, law, name=name, batch_size=batch_size, seed=seed)
    settings = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(500, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=200,
        validate_every=1000,
        threads=threads,
    )
    return run(task, settings, out, max_seconds=max_seconds)
