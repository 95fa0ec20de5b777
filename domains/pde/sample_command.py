"""The command ``scidiff pde sample``: what a model draws, flows around obstacles or media and heads given sensors."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scidiff.errors import ConfigError
from scidiff.io.command import Device, Json, Seed, bar, tell

__all__ = ["sample"]


def sample(
    out: Annotated[
        Path, typer.Option(help="File: .npz, .nc, .zarr, .vtu (meshes), or .png for a picture of the first.")
    ],
    model: Annotated[
        str, typer.Option(help="A bundled model, a .safetensors file, or poisson, helmholtz, mesh_flow.")
    ] = "flow",
    count: Annotated[int, typer.Option(help="Number of samples.", min=1)] = 16,
    steps: Annotated[int | None, typer.Option(help="Network calls for each sample.", min=1)] = None,
    seed: Seed = 0,
    obstacles: Annotated[
        Path | None, typer.Option(help="Image in which dark is solid, for flow; random bodies without.")
    ] = None,
    sensors: Annotated[
        Path | None,
        typer.Option(help="Sensors: field,i,j,value (.csv) or .npz for darcy; i,j,value or x,y,u,v for fields."),
    ] = None,
    noise: Annotated[
        float | None, typer.Option(help="Deviation of the readings, for poisson, helmholtz and mesh_flow.", min=0)
    ] = None,
    refine: Annotated[
        int | None, typer.Option(help="Corrections of each sample by the sensors, for darcy.", min=0)
    ] = None,
    fixed: Annotated[
        float | None, typer.Option(help="What is fixed of the family, in (0, 1), for heat and burgers.")
    ] = None,
    relax: Annotated[
        float | None, typer.Option(help="Time that the equation carries flows on, in passages; 0 for none.", min=0)
    ] = None,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Draw samples of a model; every one obeys its equation or its constraints, and says how exactly."""
    from .models import load
    from .sample_files import ENDINGS, endings_of, save_samples

    _check_ending(out, "no samples", ENDINGS)
    drawn = load(model, device=device)
    _check_ending(out, f"no samples of model '{model}'", endings_of(drawn))
    given = {"steps": steps, "obstacles": obstacles, "sensors": sensors, "refine": refine, "fixed": fixed}
    given |= {"relax": relax, "noise": noise}
    given = {name: value for name, value in given.items() if value is not None}
    _check_taken(model, drawn.sample, given)
    with bar("sampling", count) as advance:
        samples = drawn.sample(count, seed=seed, progress=advance, **given)
    save_samples(samples, out)
    facts = {
        "count": len(samples),
        "ok": int(samples.ok.sum()),
        "out": str(out),
        "seed": seed,
        **{f"worst_{name}": float(values.max()) for name, values in samples.records.items()},
        **samples.provenance,
    }
    line = f"{facts['ok']} of {count} samples in {facts['seconds']:.2f} s to {out}; at most: "
    line += ", ".join(f"{name.replace('_', ' ')} {values.max():.1e}" for name, values in samples.records.items())
    tell(facts, to_json, [line])


def _check_ending(out: Path, none: str, endings: Sequence[str]) -> None:
    """Refuse a file that samples cannot be written to, before they are drawn."""
    if out.suffix not in endings:
        raise ConfigError(f"--out is {out}; {none} have this form: expected a name that ends in {', '.join(endings)}")


def _check_taken(model: str, function: Any, given: dict[str, Any]) -> None:
    """Refuse options that a model has no use for."""
    taken = inspect.signature(function).parameters
    other = sorted(given.keys() - taken.keys())
    if other:
        raise ConfigError(
            f"model '{model}' takes no {' and no '.join(other)}; leave --{other[0]} out, or choose another model"
        )
