"""What the package shows: commands, a section of the demonstration, rows of a benchmark, a part in campaigns."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from scidiff.domain import CampaignAdapter, Candidates, DemoSection, Picture, Row
from scidiff.errors import UnknownNameError
from scidiff.random import Noise

from .crystals import PHASES, load, train, validate

app = typer.Typer(no_args_is_help=True, help="AB crystals: sample, train.")


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="JSON file of fractional coordinates.")],
    count: int = 100,
    steps: int = 20,
    seed: int = 0,
) -> None:
    """Draw cells and say what they are."""
    cells = load().sample(count, steps=steps, seed=seed)
    found = {name: float(yes.double().mean()) for name, yes in validate(cells).items()}
    out.write_text(
        json.dumps({"seed": seed, "steps": steps, "found": found, "cells": cells.tolist()}), encoding="utf-8"
    )
    typer.echo(", ".join(f"{name} {share:.3f}" for name, share in found.items()))


@app.command("train")
def train_command(
    out: Annotated[Path, typer.Option(help="Folder of the run.")], steps: int = 3000, seed: int = 0
) -> None:
    """Train on cells that are made for the purpose."""
    typer.echo(train(out, steps=steps, seed=seed))


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Share of valid cells, beside uniform atoms."""
    count, begun = (200 if fast else 1000), time.perf_counter()
    valid = int(validate(load().sample(count, steps=20, seed=seed))["valid"].sum())
    random = validate(Noise.range(seed, count).uniform((8, 3), step=0, stream="random"))["valid"]
    yield Row(
        "valid, 20 steps", "measured", valid / count, _wilson(valid, count), baseline=float(random.double().mean()),
        baseline_name="uniform atoms", calls=20, seconds=time.perf_counter() - begun, note=f"n = {count}, seed {seed}",
    )  # fmt: skip


def demo(folder: Path, seed: int, fast: bool) -> DemoSection:
    """Four cells as a picture."""
    import matplotlib.pyplot as plt

    begun, cells = time.perf_counter(), load().sample(4, seed=seed)
    figure, axes = plt.subplots(1, 4, figsize=(12, 3), subplot_kw={"projection": "3d"})
    for axis, cell in zip(axes, cells, strict=True):
        axis.scatter(*cell[:4].T, s=120)
        axis.scatter(*cell[4:].T, s=60)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    picture = Picture("Four cells; A atoms large, B atoms small.", buffer.getvalue())
    lead = "Polymorphs of an AB crystal, drawn by a flow on the torus."
    return DemoSection(
        "Crystals", lead, tuple(rows(True, seed)), (picture,), calls=20, seconds=time.perf_counter() - begun
    )


def _wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    share, extra = hits / count, z * z / count
    middle, half = share + extra / 2, z * (share * (1 - share) / count + extra / (4 * count)) ** 0.5
    return max(0.0, (middle - half) / (1 + extra)), min(1.0, (middle + half) / (1 + extra))


def _fingerprint(model: str) -> str:
    if model != "crystals":
        raise UnknownNameError("model", model, ["crystals"])
    return str(load().card["sha256"])


def _candidates(model: Any, condition: Mapping[str, Any], indices: range, steps: int, seed: int) -> Candidates:
    cells = model.sample(len(indices), steps=steps, seed=seed, first=indices.start)
    found = validate(cells)
    phase = [
        "rock salt" if a else "zinc blende" if b else "none" for a, b in zip(*(found[p] for p in PHASES), strict=True)
    ]
    status = ["ok" if yes else "invalid" for yes in found["valid"]]
    reason = ["" if yes else "neither phase" for yes in found["valid"]]
    return Candidates(status, reason, {"phase": phase, "cell": [cell.numpy() for cell in cells]})


def _closeness(columns: Mapping[str, Any]) -> list[float]:
    """Least distance between an A and a B atom, in cell edges."""
    least = []
    for cell in columns["cell"]:
        apart = torch.as_tensor(cell).reshape(8, 3)
        difference = apart[:4, None] - apart[None, 4:]
        least.append(float((difference - difference.round()).norm(dim=-1).min()))
    return least


CAMPAIGN = CampaignAdapter(
    fingerprint=_fingerprint,
    load=lambda model, device: load(),
    sample=_candidates,
    scores={"closeness": _closeness},
    group="phase",
)
