"""The command ``scidiff proteins evaluate``: a folder of structures beside real chains, or the real chains alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scidiff.io.command import Json, tell

if TYPE_CHECKING:
    from .chains import Chains

__all__ = ["evaluate"]


def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of .cif, .bcif and .pdb files; where it has a report.json of samples, the files that this "
            "names. The held-out real chains without."
        ),
    ] = None,
    reference: Annotated[
        bool, typer.Option(help="Compare with held-out and training chains (fetches them once).")
    ] = True,
    novelty: Annotated[bool, typer.Option(help="Nearest training chain; about half a second a chain.")] = True,
    paired: Annotated[int, typer.Option(help="Chains compared pair by pair; 0 for none.", min=0)] = 48,
    to_json: Json = None,
) -> None:
    """Measure a set of chains: validity, gates, secondary structure, distributions, diversity, novelty."""
    from .data import load, select
    from .evaluation import evaluate as measure

    chains = select(load("valid")) if folder is None else _read(folder)
    held_out = select(load("train" if folder is None else "valid")) if reference else None
    library = select(load("train")) if reference and novelty else None
    done = measure(chains, held_out, library, paired=paired)
    tell({**done.as_json(), "folder": str(folder or "held-out chains")}, to_json, done.lines())


def _read(folder: Path) -> Chains:
    """All chains of a folder."""
    from .chains import Chains
    from .run_folder import structure_files
    from .structures import read

    return Chains.cat([read(path).chains for path in structure_files(folder)])
