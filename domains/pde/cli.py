"""Command line of the domain: ``scidiff pde problems | solve | validate | sample | train``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from scidiff.errors import ConfigError
from scidiff.io.command import Devices, Float32, MaxMinutes, RunFolder, Seed, Threads

from .problem_commands import problems, solve, validate
from .sample_command import sample

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Solutions of partial differential equations, with a certificate each.")


app.command()(problems)
app.command()(solve)
app.command()(validate)
app.command()(sample)


@app.command()
def train(
    out: RunFolder,
    recipe: Annotated[str, typer.Option("--recipe", "--data", help="burgers, darcy, flow, flow-tune, heat.")] = "flow",
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", min=2)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples per step and process.", min=2)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the cosine schedule.")] = None,
    start: Annotated[str | None, typer.Option(help="Model to go on from, for flow-tune.")] = None,
    seed: Seed = 0,
    float32: Float32 = False,
    threads: Threads = None,
    devices: Devices = 1,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train a model, or go on with a run that was interrupted."""
    from scidiff.train import Precision

    from .training import recipe as named

    run = named(recipe)
    _check_start(recipe, run, start)
    chosen: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "start": start}
    chosen["precision"] = Precision.FLOAT32 if float32 else None
    result = run(
        out,
        **{name: value for name, value in chosen.items() if value is not None},
        seed=seed,
        threads=threads,
        devices=devices,
        max_seconds=None if max_minutes is None else 60 * max_minutes,
        progress=True,
    )
    print(result.model)


def _check_start(recipe: str, run: Callable[..., Any], start: str | None) -> None:
    """Refuse a model to go on from where a recipe begins with new weights."""
    if start is not None and "start" not in inspect.signature(run).parameters:
        raise ConfigError(
            f"--start {start} came with recipe '{recipe}', which begins with new weights; leave it out, or choose "
            "--recipe flow-tune"
        )
