"""The command ``scidiff proteins train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scidiff.io.command import Float32, MaxMinutes, RunFolder, Seed, Threads

__all__ = ["train"]


def train(
    out: RunFolder,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of .cif, .bcif and .pdb files to train on; cgdms without.")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="torsions, the bundled formulation; frames, an SE(3) flow for a GPU, not bundled; "
            "sequence, residues for given backbones, not bundled."
        ),
    ] = "torsions",
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Chains of 64 residues per step.", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the cosine schedule.")] = None,
    seed: Seed = 0,
    float32: Float32 = False,
    threads: Threads = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train a model of backbones or sequences, or go on with a run that was interrupted."""
    from scidiff.train import Precision

    from ..recipes import recipe as named

    chosen = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    result = named(recipe)(
        out,
        folder=folder,
        **{name: value for name, value in chosen.items() if value is not None},
        seed=seed,
        precision=Precision.FLOAT32 if float32 else Precision.BF16,
        threads=threads,
        max_seconds=None if max_minutes is None else 60 * max_minutes,
    )
    print(result.model)
