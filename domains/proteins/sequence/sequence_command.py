"""The command ``scidiff proteins sequence``: residue types for given backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scidiff.io.command import Device, Json, Seed, tell

__all__ = ["sequence"]


def sequence(
    file: Annotated[Path, typer.Argument(help="Structure file: .cif, .bcif, .pdb.")],
    model: Annotated[Path, typer.Option(help="A .safetensors file of scidiff proteins train --recipe sequence.")],
    out: Annotated[Path | None, typer.Option(help="File to write: .cif, .bcif or .pdb.")] = None,
    steps: Annotated[int, typer.Option(help="Network calls for each chain.", min=1)] = 20,
    seed: Seed = 0,
    temperature: Annotated[float, typer.Option(help="Below 1 sequences are more alike.")] = 0.5,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Draw a sequence for every chain of a file: proposals of a small model, no claim that they fold."""
    from ..structures import read
    from ..writers import write
    from .model import load

    loaded = load(model, device=device)
    done = loaded.design_sequence(read(file).chains, steps=steps, seed=seed, temperature=temperature)
    recovery = [None if value != value else float(value) for value in done.records["recovery"]]
    facts = {
        "file": file.name,
        "count": len(done),
        "sequences": done.sequences,
        "recovery": recovery,
        "metrics": loaded.card.get("validation", {}).get("metrics", {}),
        "seed": seed,
        **done.provenance,
    }
    if out is not None:
        source = {name: value for name, value in done.provenance.items() if isinstance(value, str | int | float)}
        facts["out"] = str(write(out, done.chains, {"made_by": "scidiff proteins sequence", "seed": seed, **source}))
    lines = [
        f">{name}" + ("" if value is None else f" recovers {value:.0%} of the given types") + f"\n{letters}"
        for name, letters, value in zip(done.chains.names, done.sequences, recovery, strict=True)
    ]
    tell(facts, to_json, lines)
