"""Command line of the domain: ``scidiff molecules ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Generate molecules that are valid by construction.")

Seed = Annotated[int, typer.Option(help="Seed of every random draw.", min=0)]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on from it.")],
    data: Annotated[str, typer.Option(help="Name of a data set (scidiff data list), or a SMILES file.")] = "universe",
    size: Annotated[str, typer.Option(help="tiny, small, medium or large.")] = "small",
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = 16000,
    batch_size: Annotated[int, typer.Option(help="Molecules per step and process.", min=1)] = 256,
    learning_rate: Annotated[float, typer.Option(help="Peak of the cosine schedule.")] = 1e-3,
    seed: Seed = 0,
    float32: Annotated[bool, typer.Option("--float32", help="Train in float32 instead of bf16.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each process.", min=1)] = None,
    devices: Annotated[int, typer.Option(help="Processes on this machine; torchrun decides otherwise.", min=1)] = 1,
    max_minutes: Annotated[float | None, typer.Option(help="Stop, resumable, after this time.")] = None,
) -> None:
    """Train a model, or go on with a run that was interrupted."""
    from scidiff.domains.molecules.recipes import build_task, training_data
    from scidiff.train import Precision, TrainConfig
    from scidiff.train import train as run

    task = build_task(training_data(data), size, batch_size=batch_size, seed=seed)
    config = TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(500, steps // 10),
        precision=Precision.FLOAT32 if float32 else Precision.BF16,
        seed=seed,
        checkpoint_every=500,
        validate_every=1000,
        threads=threads,
    )
    result = run(task, config, out, devices=devices, max_seconds=None if max_minutes is None else 60 * max_minutes)
    print(result.model)
