"""Command line: ``scidiff crystals sample | validate | train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from scidiff.errors import DataError
from scidiff.io.command import Json, RunFolder, Seed, tell

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="AB crystals: sample, validate, train.")


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="JSON file for fractional coordinates and certificates.")],
    count: Annotated[int, typer.Option(help="Number of cells.", min=1)] = 100,
    steps: Annotated[int, typer.Option(help="Network calls for each.", min=1)] = 20,
    seed: Seed = 0,
    model: Annotated[str, typer.Option(help="'crystals', or a model file.")] = "crystals",
    to_json: Json = None,
) -> None:
    """Draw cells, each with its certificate."""
    from scidiff.io.files import atomic_write

    from .model import load

    drawn = load(model).sample(count, steps=steps, seed=seed)
    content = {
        "provenance": {**drawn.provenance, "seed": seed},
        "status": [status.value for status in drawn.status],
        **{name: values.tolist() for name, values in drawn.records.items()},
        "cells": [cell.tolist() for cell in drawn.items],
    }
    with atomic_write(out) as file:
        json.dump(content, file)
    _told({**shares(drawn.ok, content["phase"]), "out": str(out)}, to_json)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="File that 'sample' wrote.")],
    to_json: Json = None,
) -> None:
    """Certify the cells of a file anew."""
    import torch

    from .crystals import certify

    try:
        cells = torch.tensor(json.loads(file.read_text(encoding="utf-8"))["cells"], dtype=torch.float64)
        found = certify(2 * torch.pi * cells.reshape(-1, 8, 3))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"cannot read cells from {file}: {error}; expected a file that 'sample' wrote") from error
    _told(shares(found.valid.numpy(), found.phase), to_json)


@app.command()
def train(
    out: RunFolder,
    steps: Annotated[int, typer.Option(help="Steps of the optimizer.", min=200)] = 5000,
    seed: Seed = 0,
    to_json: Json = None,
) -> None:
    """Train on crystals that are drawn for the purpose; about ten minutes on one core."""
    from .model import train as work

    result = work(out, steps=steps, seed=seed)
    _told({"model": str(result.model), "finished": result.finished, **result.metrics}, to_json)


def shares(valid: Any, phase: Any) -> dict[str, Any]:
    """Share of valid cells, with its interval, and of each phase among them."""
    good = [name for name, fine in zip(phase, valid, strict=True) if fine]
    told = {name: good.count(name) / max(1, len(good)) for name in sorted(set(good))}
    return {
        "count": len(valid),
        "valid": len(good) / len(valid),
        "valid_interval": wilson(len(good), len(valid)),
        **told,
    }


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share, 95 %."""
    share, extra = hits / count, z * z / count
    middle, half = share + extra / 2, z * (share * (1 - share) / count + extra / (4 * count)) ** 0.5
    return max(0.0, (middle - half) / (1 + extra)), min(1.0, (middle + half) / (1 + extra))


def _told(facts: dict[str, Any], to_json: Path | None) -> None:
    tell(facts, to_json, [f"{name}: {value}" for name, value in facts.items()])
