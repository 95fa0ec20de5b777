"""The command ``scidiff ct train``: a prior from slices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scidiff.errors import ConfigError
from scidiff.io.command import Devices, Float32, MaxMinutes, RunFolder, Seed, Threads

__all__ = ["train"]


def train(
    out: RunFolder,
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of volumes: NIfTI, npz, folders of TIFF files, DICOM series.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Name of a set of volumes instead: totalseg.")] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps at most.", min=2)] = 24000,
    batch_size: Annotated[int, typer.Option(help="Crops per step and process.", min=2)] = 16,
    crop: Annotated[int, typer.Option(help="Edge of a crop, pixels.", min=8)] = 64,
    hold_out: Annotated[str, typer.Option(help="Volume to validate on, or a share of each volume's slices.")] = "0.12",
    drawn: Annotated[float, typer.Option(help="Share of phantoms among the crops.")] = 0.1,
    learning_rate: Annotated[float, typer.Option(help="Peak of the cosine schedule.")] = 1.5e-3,
    widths: Annotated[str, typer.Option(help="Channels of each level of the network, finest first.")] = "32,48,64",
    blocks: Annotated[int, typer.Option(help="Residual blocks of each level.", min=1)] = 2,
    voxel: Annotated[float | None, typer.Option(help="Edge of a pixel of TIFF files, mm.")] = None,
    seed: Seed = 0,
    float32: Float32 = False,
    threads: Threads = None,
    devices: Devices = 1,
    max_minutes: MaxMinutes = None,
) -> None:
    """Learn a prior from slices, or go on with a run that was interrupted."""
    from scidiff.train import Precision

    from .network import NetworkConfig
    from .training import Recipe, fit_prior

    if (folder is None) == (data is None):
        raise ConfigError(f"folder is {folder} and --data {data}; expected exactly one of them")
    recipe = Recipe(
        steps=steps,
        batch_size=batch_size,
        crop=crop,
        hold_out=_number(hold_out),
        drawn=drawn,
        network=NetworkConfig(widths=_widths(widths), blocks=blocks),
        learning_rate=learning_rate,
        voxel=voxel,
        seed=seed,
        precision=Precision.FLOAT32 if float32 else Precision.BF16,
    )
    seconds = None if max_minutes is None else 60 * max_minutes
    source = str(data) if folder is None else folder
    path = fit_prior(source, out, recipe, threads=threads, devices=devices, max_seconds=seconds)
    print(path)


def _number(text: str) -> str | float:
    """A share where the text is a number, else the name of a volume."""
    try:
        return float(text)
    except ValueError:
        return text


def _widths(text: str) -> tuple[int, ...]:
    """Numbers between commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"widths is '{text}'; expected whole numbers between commas, such as 32,48,64") from error
