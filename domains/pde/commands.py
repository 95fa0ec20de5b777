"""Commands that need no model: ``scidiff pde problems | solve``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["problems", "solve"]


def problems() -> None:
    """List the problems, each with its equation, units and stated error."""
    from .problems import NAMES, problem

    for name in NAMES:
        one = problem(name)
        terms = ", ".join(term.text for term in one.terms)
        print(f"{name:18s} {one.title}; terms {terms} [{one.residual_unit}]; truth error {one.truth_error:g}")


def solve(
    name: Annotated[str, typer.Argument(help="Name of a problem, see 'scidiff pde problems'.")],
    out: Annotated[Path | None, typer.Option(help="File to write: .safetensors, or .png for the first sample.")] = None,
    count: Annotated[int, typer.Option(help="Number of samples.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the inputs.", min=0)] = 0,
    size: Annotated[int | None, typer.Option(help="Points along an axis, where the problem has such.", min=4)] = None,
    independent: Annotated[bool, typer.Option(help="Solve again by the independent method.")] = True,
    to_json: Annotated[Path | None, typer.Option("--json", help="Write one JSON object here; '-' prints it.")] = None,
) -> None:
    """Draw inputs, solve, and certify every solution."""
    from scidiff.errors import ConfigError

    from .certificate import certify
    from .problems import problem

    if out is not None and out.suffix not in (".safetensors", ".png"):
        raise ConfigError(f"--out is {out}; expected a name that ends in .safetensors or .png")
    one = problem(name, **({} if size is None else {"size": size}))
    state = one.truth(seed, count)
    facts = {**certify(one, state, independent=independent).as_json(), "seed": seed, "truth_error": one.truth_error}
    if out is not None:
        _write(out, one, state, facts)
        facts["out"] = str(out)
    if to_json is not None and str(to_json) != "-":
        from scidiff.io.files import atomic_write

        with atomic_write(to_json) as file:
            json.dump(facts, file, indent=2)
    lines = [f"{key}: {value:.3g}" if isinstance(value, float) else f"{key}: {value}" for key, value in facts.items()]
    sys.stdout.write((json.dumps(facts, indent=2) if str(to_json) == "-" else "\n".join(lines)) + "\n")


def _write(out: Path, problem: object, state: dict, facts: dict) -> None:
    """Fields as safetensors with the certificate in the header, or a picture."""
    from safetensors.torch import save

    from scidiff.io.files import atomic_write

    from .plot import picture

    if out.suffix == ".png":
        content = picture(problem, state)
    else:
        units = {name: str(unit) for name, unit in problem.units.items()}
        header = {"certificate": json.dumps(facts), "units": json.dumps(units)}
        content = save({name: value.contiguous() for name, value in state.items()}, header)
    with atomic_write(out, "wb") as file:
        file.write(content)
