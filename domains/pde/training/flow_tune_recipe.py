"""From a trained flow model to one whose runs of few jumps have the law of the flows.

``scidiff pde train --recipe flow-tune --start runs/flow/model.safetensors --out runs/flow-tune`` goes on from a model
of the recipe ``flow``, on the flows that it learned from, with the energy score of whole runs beside its losses. At
the end noise and relaxation are calibrated around the obstacles of the validation set.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from scidiff.errors import ConfigError
from scidiff.io.checkpoint import load_into, load_model
from scidiff.nets.unet import UNetConfig
from scidiff.train import Precision, TrainConfig, TrainResult
from scidiff.train import train as run

from ..flows import FlowLaw
from ..models import bundled
from ..solenoidal import Profile
from .flow_data import FlowSet
from .flow_recipe import VALID_FIRST, calibrate, flow_set
from .flow_tune_task import FlowTuneTask

__all__ = ["tune_flow", "tune_task"]


def tune_task(train: FlowSet, valid: FlowSet, law: FlowLaw, start: str | Path, **settings: int) -> FlowTuneTask:
    """Unit, spectrum, network and weights of a model, to go on with.

    Parameters
    ----------
    train, valid, law
        Flows in the unit of the solver, and their law.
    start
        Model file, or name of a bundled model.
    **settings
        Members of `FlowTuneTask`.
    """
    path = bundled().get(str(start), Path(start))
    tensors, card = load_model(path)
    task = card["task"]
    scale, profile = float(task["scale"]), Profile(tuple(task["profile"]))
    facts = {
        "name": "flows around random obstacles, simulated",
        "law": asdict(law),
        "shape": list(law.shape),
        "rows": [len(train), len(valid)],
        "geometries": [len(train.obstacles), len(valid.obstacles)],
    }
    train, valid = train.centred(scale), valid.centred(scale)
    config = UNetConfig.from_json(task["network"])
    made = FlowTuneTask(
        train, valid, profile, config, scale, {**facts, "sha256": train.sha256}, start=card["sha256"], **settings
    )
    load_into(made.network, tensors, card)
    return made


def tune_flow(
    folder: str | Path,
    *,
    start: str | Path | None = None,
    geometries: int = 900,
    steps: int = 5000,
    batch_size: int = 8,
    learning_rate: float = 4e-4,
    seed: int = 0,
    precision: Precision = Precision.BF16,
    threads: int | None = None,
    devices: int = 1,
    max_seconds: float | None = None,
    law: FlowLaw | None = None,
    progress: bool = False,
) -> TrainResult:
    """Go on from a flow model, or with a run that was stopped; ``load(result.model)`` reads it.

    Parameters
    ----------
    folder
        Folder of the run; flows in it, ``flows.npz`` and ``valid.npz``, are read and not simulated again.
    start
        Model file, or name of a bundled model.
    geometries, steps, batch_size, learning_rate, seed, precision, threads, devices, max_seconds, law, progress
        As for `scidiff.domains.pde.training.flow_recipe.train_flow`.

    Raises
    ------
    ConfigError
        If a number is out of range, no model to start from was named, or the folder holds another run.
    """
    law, folder = law or FlowLaw(), Path(folder)
    if start is None:
        raise ConfigError("no model to start from came; pass one, e.g. --start runs/flow/model.safetensors")
    if geometries < 1 or steps < 2:
        raise ConfigError(f"{geometries} geometries and {steps} steps came; expected at least 1 and 2")
    train = flow_set(geometries, seed, law, path=folder / "flows.npz", progress=progress)
    valid = flow_set(max(2, min(16, geometries // 8)), seed, law, first=VALID_FIRST, path=folder / "valid.npz")
    task = tune_task(train, valid, law, start, batch_size=batch_size, seed=seed)
    config = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(100, steps // 10),
        precision=precision,
        seed=seed,
        checkpoint_every=250,
        validate_every=500,
        threads=threads,
    )
    result = run(task, config, folder, devices=devices, max_seconds=max_seconds)
    if result.finished:
        calibrate(result.model, valid)
    return result
