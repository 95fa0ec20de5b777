"""The command ``scidiff pde sample``: flows around obstacles, drawn by hand or at random."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from scidiff.errors import ConfigError

__all__ = ["sample"]


def sample(
    out: Annotated[Path, typer.Option(help="File to write: .npz, or .png for a picture of the first samples.")],
    model: Annotated[str, typer.Option(help="Name of a bundled model, or a .safetensors file.")] = "flow",
    count: Annotated[int, typer.Option(help="Number of flows.", min=1)] = 16,
    steps: Annotated[int, typer.Option(help="Network calls for each flow.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.", min=0)] = 0,
    obstacles: Annotated[Path | None, typer.Option(help="Image in which dark is solid; random bodies without.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    to_json: Annotated[Path | None, typer.Option("--json", help="Write one JSON object here; '-' prints it.")] = None,
) -> None:
    """Draw flows; every one is incompressible and tangential to its obstacles, and says how exactly."""
    from .models import load

    if out.suffix not in (".npz", ".png"):
        raise ConfigError(f"--out is {out}; expected a name that ends in .npz or .png")
    samples = load(model, device=device).sample(count, obstacles=obstacles, steps=steps, seed=seed)
    samples.save(out)
    facts = {
        "count": len(samples),
        "ok": int(samples.ok.sum()),
        "out": str(out),
        "seed": seed,
        **{f"worst_{name}": float(values.max()) for name, values in samples.records.items()},
        **samples.provenance,
    }
    if to_json is not None and str(to_json) != "-":
        from scidiff.io.files import atomic_write

        with atomic_write(to_json) as file:
            json.dump(facts, file, indent=2)
    line = f"{facts['ok']} of {count} flows in {facts['seconds']:.2f} s to {out}; relative divergence at most "
    line += f"{facts['worst_divergence']:.1e}, flux through walls at most {facts['worst_wall_flux']:.1e}"
    sys.stdout.write((json.dumps(facts, indent=2) if str(to_json) == "-" else line) + "\n")
