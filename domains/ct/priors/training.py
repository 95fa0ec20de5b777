"""From slices to a model file: the command that the bundled prior comes from.

``scidiff ct train --data totalseg --out runs/prior`` resamples the slices, trains on crops, validates on slices (or a
volume) that are held out, keeps the best weights, and stops early when they no longer improve. The same command goes on
with a run that was stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.io.checkpoint import save_model
from scidiff.train import Precision, TrainConfig
from scidiff.train import train as run

from ..units import MU_WATER
from ..volume import Volume
from .network import NetworkConfig
from .objects import phantoms
from .sections import Sections
from .slices import SliceSet, Source, check_volumes, sections_of, sha256_of, split, stacks_of
from .sources import named_volumes, read_folder
from .task import PriorTask

__all__ = ["Recipe", "fit_prior", "prior_task"]

_DRAWN = 16


@dataclass(frozen=True)
class Recipe:
    """How a prior is learned.

    Parameters
    ----------
    steps, batch_size
        Optimizer steps at most, and crops in each.
    crop
        Edge of a crop, pixels; steps take crops of 3/4, 1 and 3/2 of it in turn, as many as have about the same area.
    hold_out
        Name of the volume that is validated on, or the share of slices in the middle of each volume.
    drawn
        Share of phantoms among the crops, so that the prior is not blind to objects other than those of the slices.
    patience
        Validations without a better one after which the run ends; the best weights are kept in any case.
    network
        Size of the network; what it says of the data is replaced by what they are.
    unit, upper
        Attenuation of ``x = 1`` in 1/mm, and the largest ``x``; what is above is clipped.
    voxel
        Edge of a pixel of TIFF files, mm.
    learning_rate, validate_every, precision, seed
        See `scidiff.train.TrainConfig`.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    steps: int = 24000
    batch_size: int = 16
    crop: int = 64
    hold_out: str | float = 0.12
    drawn: float = 0.1
    patience: int = 12
    network: NetworkConfig = field(default_factory=NetworkConfig)
    unit: float = MU_WATER
    upper: float = 2.5
    voxel: float | None = None
    learning_rate: float = 1.5e-3
    validate_every: int = 500
    precision: Precision = Precision.BF16
    seed: int = 0

    def __post_init__(self) -> None:
        whole = (self.steps - 1, self.batch_size, self.crop, self.patience, self.validate_every)
        if min(whole) < 1:
            raise ConfigError(
                f"steps {self.steps}, batch_size {self.batch_size}, crop {self.crop}, patience {self.patience}, "
                f"validate_every {self.validate_every}; expected at least 2 steps, and 1 of the others"
            )
        if not (0 <= self.drawn < 1 and self.unit > 0 and self.upper > 0):
            raise ConfigError(
                f"drawn {self.drawn}, unit {self.unit}, upper {self.upper}; expected a share below 1, positive numbers"
            )

    def config(self, threads: int | None) -> TrainConfig:
        """Settings of the run."""
        return TrainConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            warmup=min(300, self.steps // 10),
            weight_decay=0.0,
            precision=self.precision,
            seed=self.seed,
            checkpoint_every=500,
            validate_every=self.validate_every,
            threads=threads,
            prefetch=2,
        )


def prior_task(
    volumes: Mapping[str, Volume], recipe: Recipe, folder: Path | None = None, remark: str = ""
) -> PriorTask:
    """Set up a training run.

    Parameters
    ----------
    volumes
        Volumes by name.
    recipe
        How they are learned.
    folder
        Where the best weights are kept.
    remark
        What is known of the volumes, for the card.
    """
    check_volumes(volumes, recipe.crop, recipe.unit)
    known, held = split(volumes, recipe.hold_out)
    finest = min(max(volume.grid.lengths[-2:]) for volume in known.values())
    sections = [sections_of(volume, recipe.unit, recipe.upper, finest) for volume in known.values()]
    sources: list[Source] = [*sections]
    low, high = zip(*(one.pixels(min(SliceSet([one], recipe.crop).edges)) for one in sections), strict=True)
    centre, spread = _moments(sections)
    shown = {"centre": centre, "spread": spread, "pixels": (min(low), max(high))}
    if recipe.drawn:
        total = sum(one.weight for one in sections) * recipe.drawn / (1 - recipe.drawn)
        more = phantoms(_DRAWN, recipe.seed, max(128, 2 * recipe.crop), recipe.upper, shown["pixels"])
        sources += [replace(one, weight=one.weight * total) for one in more]
    facts = {
        "volumes": {name: list(volume.grid.shape) for name, volume in volumes.items()},
        "sha256": sha256_of(volumes),
        "held_out": recipe.hold_out,
        "drawn_share": recipe.drawn,
        "unit": recipe.unit,
        "range": [0.0, recipe.upper],
        "remark": remark,
    }
    return PriorTask(
        SliceSet(sources, recipe.crop, varied=True),
        _validation(held, recipe),
        replace(recipe.network, **shown),
        facts,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        folder=folder,
    )


def _validation(held: Mapping[str, Volume], recipe: Recipe) -> SliceSet:
    """Slices that are held out, at the smallest edge of crops, each volume weighed by the number of its slices."""
    edge = min(SliceSet([sections_of(one, recipe.unit, recipe.upper) for one in held.values()], recipe.crop).edges)
    stacks = []
    for volume in held.values():
        count = volume.grid.shape[0] if volume.grid.dimension == 3 else 1
        found = stacks_of(volume, edge, recipe.unit, recipe.upper)
        stacks += [replace(stack, weight=stack.weight * count) for stack in found]
    return SliceSet(stacks, edge)


def _moments(sections: Sequence[Sections]) -> tuple[float, float]:
    """Mean and standard deviation of the voxels, to two digits."""
    weights = torch.tensor([one.weight for one in sections], dtype=torch.float64)
    weights /= weights.sum()
    moment = lambda power: sum(  # noqa: E731
        float(w) * float(one.values.double().pow(power).mean()) for w, one in zip(weights, sections, strict=True)
    )
    mean = moment(1)
    return round(mean, 2), max(round((moment(2) - mean**2) ** 0.5, 2), 0.01)


def fit_prior(
    source: Mapping[str, Volume] | str | Path,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    threads: int | None = None,
    devices: int = 1,
    max_seconds: float | None = None,
    progress: bool | None = None,
) -> Path:
    """Learn a prior from slices, or go on with a run that was stopped; ``load(path)`` reads the result.

    Parameters
    ----------
    source
        Volumes by name; a folder of volumes (see `scidiff.domains.ct.priors.sources.read_folder`); or the name of a
        set, ``"totalseg"``.
    out
        Folder of the run: checkpoint, log, best weights, and the model file with its card.
    recipe
        How it is learned; that of the bundled prior by default.
    threads, devices, max_seconds, progress
        See `scidiff.train.TrainConfig` and `scidiff.train.train`.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    DataError
        If the source holds no usable volume.
    ConfigError
        If the folder holds a run with other settings.
    """
    recipe, folder = recipe or Recipe(), Path(out)
    volumes, remark = _volumes(source, recipe.voxel)
    task, config = prior_task(volumes, recipe, folder, remark), recipe.config(threads)
    patient = _Patience(recipe.patience)
    result = run(task, config, folder, devices=devices, max_seconds=max_seconds, progress=progress, on_log=patient)
    facts = {
        "config": config.record(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "step": result.step,
        "stopped": result.reason,
        "seconds": round(result.seconds),
    }
    return _write(task, folder, facts)


def _volumes(source: Mapping[str, Volume] | str | Path, voxel: float | None) -> tuple[Mapping[str, Volume], str]:
    if isinstance(source, Mapping):
        return source, ""
    if isinstance(source, str) and not Path(source).exists() and "/" not in source:
        return named_volumes(source)
    return read_folder(source, voxel), ""


class _Patience:
    """Counts validations since the best one, and asks to stop after enough of them."""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.since = patience, float("inf"), 0

    def __call__(self, step: int, record: dict[str, Any]) -> str | None:
        metrics = record.get("validation")
        if metrics is None:
            return None
        error = metrics["error"]
        self.since = 0 if error is not None and error < self.best else self.since + 1
        self.best = self.best if error is None else min(self.best, error)
        return "no more progress" if self.since >= self.patience else None


def _write(task: PriorTask, folder: Path, training: dict[str, Any]) -> Path:
    """Write the best weights in half precision, with their card."""
    weights: dict[str, Tensor] = {name: value.half() for name, value in task.best_weights().items()}
    known, path = task.best(), folder / "model.safetensors"
    card = {
        "weights": "exponential moving average, best of all validations, float16",
        "task": task.card(),
        "training": training,
        "validation": {} if known is None else known["metrics"],
    }
    save_model(path, weights, card)
    return path
