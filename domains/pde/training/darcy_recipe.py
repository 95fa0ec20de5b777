"""The recipe of the bundled pair model: draw media, solve, train.

Everything follows from the seed. Samples ``0, 1, ...`` of its stream are trained on, samples from `VALID_FIRST` on are
validated on, and the benchmark takes others again. The same command goes on with a run that was stopped.
"""

from __future__ import annotations

from pathlib import Path

from scidiff.errors import ConfigError
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..darcy.network import pair_unet
from .darcy_data import PairSet, fit_chart, pair_set
from .darcy_task import DarcyTask

__all__ = ["VALID_FIRST", "darcy_task", "train_darcy"]

VALID_FIRST = 10**6
"""Number of the first sample that is validated on."""

_WIDTH = 0.4


def darcy_task(train: PairSet, valid: PairSet, *, seed: int = 0, width: int = 32, batch_size: int = 16) -> DarcyTask:
    """Fit the chart, and put a network to the pairs."""
    facts = {
        "name": "Darcy flow in binary media, simulated",
        "law": "12 where N(0, 9 (-lap + 9)^-2), Neumann, without constant, is at least 0, else 3; source 1; u = 0",
        "shape": list(train.g.shape[1:]),
        "rows": [len(train), len(valid)],
        "seed": seed,
        "first": [0, VALID_FIRST],
        "sha256": train.sha256,
    }
    return DarcyTask(train, valid, fit_chart(train, _WIDTH), pair_unet(width), facts, batch_size=batch_size, seed=seed)


def train_darcy(
    folder: str | Path,
    *,
    pairs: int = 8000,
    steps: int = 12000,
    batch_size: int = 16,
    width: int = 32,
    size: int = 64,
    learning_rate: float = 1.5e-3,
    seed: int = 0,
    precision: Precision = Precision.BF16,
    threads: int | None = None,
    devices: int = 1,
    max_seconds: float | None = None,
    progress: bool = False,
) -> TrainResult:
    """Train a pair model, or go on with a run that was stopped; ``load(result.model)`` reads it.

    Parameters
    ----------
    folder
        Folder of the run: pairs, checkpoint, log, and at the end the model file with its card.
    pairs
        Pairs to learn from, each in eight positions.
    steps, batch_size
        See `scidiff.train.TrainConfig`; a batch is for one process.
    width
        Channels of the finest level of the network, a multiple of 8.
    size
        Cells along an axis, a multiple of 8.
    learning_rate, seed, precision, threads
        See `scidiff.train.TrainConfig`; a batch is for one process.
    devices, max_seconds
        See `scidiff.train.train`.
    progress
        Show bars on a terminal.

    Raises
    ------
    ConfigError
        If a number is out of range, or the folder holds a run with other settings.
    """
    folder = Path(folder)
    if pairs < 8 or steps < 2 or size < 8 or size % 8:
        raise ConfigError(
            f"pairs = {pairs}, steps = {steps}, size = {size}; expected at least 8, at least 2, and a multiple of 8"
        )
    train = pair_set(pairs, seed, size, path=folder / "pairs.npz", progress=progress)
    valid = pair_set(max(8, min(64, pairs // 8)), seed, size, first=VALID_FIRST, path=folder / "valid.npz")
    task = darcy_task(train, valid, seed=seed, width=width, batch_size=batch_size)
    config = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(300, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=250,
        validate_every=500,
        threads=threads,
    )
    return run(task, config, folder, devices=devices, max_seconds=max_seconds)
