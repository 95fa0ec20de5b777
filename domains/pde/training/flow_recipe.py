"""From simulated flows to a trained model file: the command that the bundled flow model comes from.

``scidiff pde train --recipe flow --out runs/flow`` simulates flows around random obstacles (kept in the folder of the
run), fits the spectrum of the noise, and trains. At the end noise and relaxation are calibrated around the obstacles of
the validation set. The same command goes on with a run that was stopped.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from rich.progress import track

from scidiff.errors import ConfigError, DataError
from scidiff.io.checkpoint import load_model, save_model
from scidiff.io.files import atomic_write
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..flow_evaluation import FlowTruth
from ..flow_fit import fit_calibration
from ..flow_geometry import FlowGeometry
from ..flow_model import load_flow
from ..flow_network import flow_unet
from ..flows import FlowLaw, flow_batches
from .flow_data import FlowSet, fit_profile
from .flow_task import FlowTask

__all__ = ["VALID_FIRST", "calibrate", "flow_set", "flow_task", "train_flow"]

VALID_FIRST = 10**6
"""Number of the first geometry that is validated on."""


def flow_set(
    geometries: int, seed: int, law: FlowLaw, *, first: int = 0, path: Path | None = None, progress: bool = False
) -> FlowSet:
    """Simulate flows, or read those of a file.

    Parameters
    ----------
    geometries
        Number of sets of obstacles.
    seed, law, first
        As for `scidiff.domains.pde.flows.flow_batches`.
    path
        Where they are kept, an ``.npz`` file; by default they are not.
    progress
        Show a bar on a terminal.

    Raises
    ------
    DataError
        If the file holds other flows than these.
    """
    facts = repr((geometries, seed, first, asdict(law)))
    if path is not None and path.exists():
        return _read(path, facts)
    masks, fields = [], []
    batches = islice(flow_batches(seed, law, first), geometries)
    for flows in track(batches, "flows", geometries, transient=True, disable=not progress):
        masks.append(np.array(flows.obstacles[0]))
        fields.append(flows.velocity.astype(np.float32))
    geometry = np.repeat(np.arange(geometries), law.each)
    made = FlowSet(np.stack(masks), np.concatenate(fields), geometry)
    if path is not None:
        with atomic_write(path, "wb") as file:
            np.savez(file, obstacles=made.obstacles, fields=made.fields, geometry=geometry, facts=np.array(facts))
    return made


def _read(path: Path, facts: str) -> FlowSet:
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["facts"]) != facts:
            raise DataError(
                f"'{path}' holds flows of {kept['facts']}; expected {facts}; remove the file, or choose another folder"
            )
        return FlowSet(kept["obstacles"], kept["fields"], kept["geometry"])


def flow_task(
    train: FlowSet,
    valid: FlowSet,
    law: FlowLaw,
    *,
    width: int = 32,
    batch_size: int = 16,
    map_after: int = 0,
    seed: int = 0,
) -> FlowTask:
    """Scale the flows, fit the noise, and put a network to them."""
    scale = train.centred().scale
    train, valid = train.centred(scale), valid.centred(scale)
    profile = fit_profile(train, seed)
    facts = {
        "name": "flows around random obstacles, simulated",
        "law": asdict(law),
        "shape": list(law.shape),
        "rows": [len(train), len(valid)],
        "geometries": [len(train.obstacles), len(valid.obstacles)],
        "sha256": train.sha256,
    }
    return FlowTask(
        train,
        valid,
        profile,
        flow_unet(width),
        scale,
        facts,
        batch_size=batch_size,
        map_after=map_after,
        seed=seed,
    )


def train_flow(
    folder: str | Path,
    *,
    geometries: int = 900,
    steps: int = 7000,
    batch_size: int = 16,
    width: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    precision: Precision = Precision.BF16,
    threads: int | None = None,
    devices: int = 1,
    max_seconds: float | None = None,
    law: FlowLaw | None = None,
    progress: bool = False,
) -> TrainResult:
    """Train a flow model, or go on with a run that was stopped; ``load(result.model)`` reads it.

    Parameters
    ----------
    folder
        Folder of the run: flows, checkpoint, log, and at the end the model file with its card.
    geometries
        Sets of obstacles to learn from.
    steps, batch_size, learning_rate, seed, precision, threads
        See `scidiff.train.TrainConfig`; a batch is for one process. The flow map is trained after two
        fifths of the steps.
    width
        Channels of the finest level of the network, a multiple of 8.
    devices, max_seconds
        See `scidiff.train.train`.
    law
        Law of the flows.
    progress
        Show bars on a terminal.

    Raises
    ------
    ConfigError
        If a number is out of range, or the folder holds a run with other settings.
    """
    law, folder = law or FlowLaw(), Path(folder)
    if geometries < 1 or steps < 2:
        raise ConfigError(f"{geometries} geometries and {steps} steps came; expected at least 1 and 2")
    train = flow_set(geometries, seed, law, path=folder / "flows.npz", progress=progress)
    valid = flow_set(max(2, min(16, geometries // 8)), seed, law, first=VALID_FIRST, path=folder / "valid.npz")
    task = flow_task(train, valid, law, width=width, batch_size=batch_size, map_after=2 * steps // 5, seed=seed)
    config = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(300, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=250,
        validate_every=1000,
        threads=threads,
    )
    result = run(task, config, folder, devices=devices, max_seconds=max_seconds)
    if result.finished:
        calibrate(result.model, valid)
    return result


def calibrate(path: Path, valid: FlowSet) -> None:
    """Fit noise and relaxation around the obstacles of the validation set, and write them on the card."""
    tensors, card = load_model(path)
    each = [valid.fields[valid.geometry == g] for g in range(len(valid.obstacles))]
    truth = FlowTruth([FlowGeometry.around(mask) for mask in valid.obstacles], np.stack(each).astype(np.float64))
    fitted = fit_calibration(load_flow(path), truth).to_card()
    facts = {name: card[name] for name in ("weights", "task", "training", "validation")}
    save_model(path, tensors, {**facts, "calibration": {**fitted, "geometries": len(each), "set": "validation"}})
