"""Commands that need no model: ``scidiff pde problems | solve | validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from scidiff.io.command import Json, tell

__all__ = ["problems", "solve", "validate"]


def problems() -> None:
    """List the problems, each with its equation, units and stated error."""
    from .problems import NAMES, problem

    for name in NAMES:
        one = problem(name)
        terms = ", ".join(term.text for term in one.terms)
        print(f"{name:18s} {one.title}; terms {terms} [{one.residual_unit}]; truth error {one.truth_error:g}")


_ENDINGS = (".safetensors", ".nc", ".zarr", ".vtu", ".png", ".gif")


def solve(
    name: Annotated[str, typer.Argument(help="Name of a problem, see 'scidiff pde problems'.")],
    out: Annotated[
        Path | None, typer.Option(help="File: .safetensors, .nc, .zarr, .vtu (meshes), .png or .gif (first sample).")
    ] = None,
    count: Annotated[int, typer.Option(help="Number of samples.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the inputs.", min=0)] = 0,
    size: Annotated[int | None, typer.Option(help="Points along an axis, where the problem has such.", min=4)] = None,
    mesh: Annotated[Path | None, typer.Option(help="Mesh file, for the problems on meshes.")] = None,
    independent: Annotated[bool, typer.Option(help="Solve again by the independent method.")] = True,
    to_json: Json = None,
) -> None:
    """Draw inputs, solve, and certify every solution."""
    from scidiff.errors import ConfigError

    from .certificate import certify
    from .problems import problem

    if out is not None and out.suffix not in _ENDINGS:
        raise ConfigError(f"--out is {out}; expected a name that ends in one of {', '.join(_ENDINGS)}")
    settings: dict[str, Any] = {} if size is None else {"size": size}
    if mesh is not None:
        from scidiff.mesh import read_mesh

        settings["mesh"] = read_mesh(mesh)
    one = problem(name, **settings)
    state = one.truth(seed, count)
    found = certify(one, state, independent=independent)
    facts = {**found.as_json(), "seed": seed, "truth_error": one.truth_error}
    if out is not None:
        _write(out, one, state, found, facts)
        facts["out"] = str(out)
    lines = [f"{key}: {value:.3g}" if isinstance(value, float) else f"{key}: {value}" for key, value in facts.items()]
    tell(facts, to_json, lines)


def validate(
    file: Annotated[Path, typer.Argument(help="Fields: .nc, .zarr, .npz or .safetensors.")],
    independent: Annotated[bool, typer.Option(help="Solve again by the independent method.")] = True,
    to_json: Json = None,
) -> int:
    """Compute the certificate of a file anew; the exit code is 1 if it does not hold."""
    from .validation import validate as check

    found = check(file, independent=independent)
    tell(found.as_json(), to_json, [found.table()])
    return 0 if found.passed else 1


def _write(out: Path, problem: Any, state: dict, certificate: Any, facts: dict) -> None:
    """Labelled fields, fields as safetensors with the certificate in the header, or a picture."""
    from scidiff.io.files import atomic_write

    if out.suffix in (".nc", ".zarr"):
        from .datasets import save_dataset, to_dataset

        save_dataset(to_dataset(problem, state, certificate, seed=facts["seed"]), out)
        return
    if out.suffix == ".vtu":
        from .datasets import save_mesh

        save_mesh(problem, state, out)
        return
    with atomic_write(out, "wb") as file:
        file.write(_content(out.suffix, problem, state, facts))


def _content(suffix: str, problem: Any, state: dict, facts: dict) -> bytes:
    if suffix == ".png":
        from .plot import picture

        return picture(problem, state)
    if suffix == ".gif":
        from .animation import animation

        return animation(problem, state)
    from safetensors.torch import save

    from .layout import settings_of

    header = {
        "problem": problem.name,
        "settings": json.dumps(settings_of(problem)),
        "certificate": json.dumps(facts),
        "units": json.dumps({name: str(unit) for name, unit in problem.units.items()}),
    }
    return save({name: value.contiguous() for name, value in state.items()}, header)
