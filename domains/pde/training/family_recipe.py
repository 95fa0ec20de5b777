"""From a family of solutions to the flow that the constrained samplers are compared on.

``scidiff pde train --data heat --out runs/heat`` draws the family, fits the modes, and trains; the same with
``burgers``. The same command goes on with a run that was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scidiff.errors import ConfigError
from scidiff.io.checkpoint import load_model, save_model
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..constraints.cases import CASES
from ..constraints.family_model import packed_law, rounded_law
from ..constraints.functional import ModeNet
from ..constraints.reference_law import ReferenceLaw
from .family_task import FamilyTask, family_task

__all__ = ["made_task", "train_burgers", "train_heat"]

_ROWS = {"train": 6400, "valid": 900}
_BLOCKS = 3


def made_task(name: str, *, rows: int = _ROWS["train"], batch_size: int = 256, seed: int = 0) -> tuple[FamilyTask, Any]:
    """Draw a family, fit its reference law, and put a network to it; the task and the law."""
    case = CASES[name]
    data, valid = case.family.draw(rows, seed + 1), case.family.draw(_ROWS["valid"], seed + 2)
    law = rounded_law(ReferenceLaw.fit(data, case.modes, 1e-8))
    slices = (data - law.mean)[:, 0, :, 0]
    facts = {
        "domain": "pde/family",
        "family": name,
        "width": case.width,
        "blocks": _BLOCKS,
        "given": slices.shape[1],
        "modes": case.modes,
        "points": case.family.size,
    }
    network = ModeNet(law.variances, case.width, _BLOCKS, seed, given=slices.shape[1])
    size = case.family.size
    title = f"{name} family on {size} x {size} points, {rows} rows, {case.modes} modes"
    pair = law.coefficients(data), slices
    task = family_task(network, pair, law.coefficients(valid), title, facts, batch_size=batch_size, seed=seed)
    return task, law


def train_heat(folder: str | Path, **settings: Any) -> TrainResult:
    """Train the flow of the heat family; settings as for `train_family`."""
    return train_family("heat", folder, **settings)


def train_burgers(folder: str | Path, **settings: Any) -> TrainResult:
    """Train the flow of the Burgers family; settings as for `train_family`."""
    return train_family("burgers", folder, **settings)


def train_family(
    name: str,
    folder: str | Path,
    *,
    rows: int = _ROWS["train"],
    steps: int | None = None,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    seed: int = 0,
    precision: Precision = Precision.FLOAT32,
    threads: int | None = None,
    devices: int = 1,
    max_seconds: float | None = None,
    progress: bool = False,
) -> TrainResult:
    """Train the flow of a family, or go on with a run that was stopped; ``load(result.model)`` reads it.

    Parameters
    ----------
    name
        Name of the family.
    folder
        Folder of the run: checkpoint, log, and at the end the model file with its card.
    rows
        Solutions to learn from.
    steps, batch_size, learning_rate, seed, threads
        See `scidiff.train.TrainConfig`; the steps are those of the case by default.
    precision
        See `scidiff.train.TrainConfig`; float32 by default, since these networks are small.
    devices, max_seconds, progress
        See `scidiff.train.train`.

    Raises
    ------
    ConfigError
        If a number is out of range, or the folder holds a run with other settings.
    """
    steps = CASES[name].steps if steps is None else steps
    if rows <= CASES[name].modes or steps < 2:
        raise ConfigError(f"{rows} rows and {steps} steps came; expected more than {CASES[name].modes}, and at least 2")
    task, law = made_task(name, rows=rows, batch_size=batch_size, seed=seed)
    config = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(100, steps // 10),
        ema=0.998,
        precision=precision,
        seed=seed,
        checkpoint_every=1000,
        validate_every=2000,
        log_every=200,
        threads=threads,
    )
    result = run(task, config, folder, devices=devices, max_seconds=max_seconds, progress=progress or None)
    tensors, card = load_model(result.model)
    facts = {key: card[key] for key in ("weights", "task", "training", "validation") if key in card}
    save_model(result.model, {**tensors, **packed_law(law)}, facts)
    return result
