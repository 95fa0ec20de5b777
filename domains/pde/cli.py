"""Command line of the domain: ``scidiff pde problems | solve | validate | sample | train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .commands import problems, solve, validate
from .flow_commands import sample

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Solutions of partial differential equations, with a certificate each.")


app.command()(problems)
app.command()(solve)
app.command()(validate)
app.command()(sample)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on from it.")],
    recipe: Annotated[str, typer.Option("--recipe", "--data", help="burgers, darcy, flow, flow-tune, heat.")] = "flow",
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", min=2)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples per step and process.", min=2)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the cosine schedule.")] = None,
    start: Annotated[str | None, typer.Option(help="Model to go on from, for the recipes that do.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.", min=0)] = 0,
    float32: Annotated[bool, typer.Option("--float32", help="Train in float32 instead of bf16.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each process.", min=1)] = None,
    devices: Annotated[int, typer.Option(help="Processes on this machine; torchrun decides otherwise.", min=1)] = 1,
    max_minutes: Annotated[float | None, typer.Option(help="Stop, resumable, after this time.")] = None,
) -> None:
    """Train a model, or go on with a run that was interrupted."""
    from scidiff.train import Precision

    from .training import recipe as named

    chosen = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "start": start}
    result = named(recipe)(
        out,
        **{name: value for name, value in chosen.items() if value is not None},
        seed=seed,
        precision=Precision.FLOAT32 if float32 else Precision.BF16,
        threads=threads,
        devices=devices,
        max_seconds=None if max_minutes is None else 60 * max_minutes,
        progress=True,
    )
    print(result.model)
