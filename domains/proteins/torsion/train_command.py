"""The command ``scidiff proteins train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["train"]


def train(
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on from it.")],
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
    seed: Annotated[int, typer.Option(help="Seed of every random draw.", min=0)] = 0,
    float32: Annotated[bool, typer.Option("--float32", help="Train in float32 instead of bf16.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop, resumable, after this time.")] = None,
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
