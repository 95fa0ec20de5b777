"""What the commands of all domains share: options with one meaning, what is printed, and a bar for what takes long.

A command prints lines for people, or one JSON object with ``--json -``; bars go to standard error, and only where that
is a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from scidiff.io.files import atomic_write
from scidiff.io.json_values import json_value

__all__ = [
    "Device",
    "Devices",
    "Float32",
    "Json",
    "MaxMinutes",
    "RunFolder",
    "Seed",
    "Threads",
    "bar",
    "tell",
]

Seed = Annotated[int, typer.Option(help="Seed of every random draw.", min=0)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Json = Annotated[Path | None, typer.Option("--json", help="Write one JSON object to this file; '-' prints it.")]
RunFolder = Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on from it.")]
Float32 = Annotated[bool, typer.Option("--float32", help="Train in float32 instead of bf16.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of each process.", min=1)]
Devices = Annotated[int, typer.Option(help="Processes on this machine; torchrun decides otherwise.", min=1)]
MaxMinutes = Annotated[float | None, typer.Option(help="Stop, resumable, after this time.")]


def tell(facts: Mapping[str, Any], to_json: Path | None, lines: Sequence[str]) -> None:
    """Print lines, or the facts as JSON where that was asked for.

    Parameters
    ----------
    facts
        JSON values by name; a number that is not finite is written as null.
    to_json
        File for the facts beside the lines; ``-`` prints the facts instead of the lines.
    lines
        What people read.
    """
    text = "" if to_json is None else json.dumps(json_value(facts), indent=2, allow_nan=False)
    if to_json is not None and str(to_json) != "-":
        with atomic_write(to_json) as file:
            file.write(text)
    sys.stdout.write(text + "\n" if str(to_json) == "-" else "\n".join(lines) + "\n")


@contextmanager
def bar(text: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Progress on a terminal, silence in a pipe.

    Parameters
    ----------
    text
        What is being done.
    total
        Number of things to do, where it is known before.

    Yields
    ------
    Callable
        ``advance(count)`` after `count` more are done; ``advance(done, total)`` where the total is known by then.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=total)

        def advance(count: int, of: int | None = None) -> None:
            if of is None:
                progress.advance(task, count)
            else:
                progress.update(task, completed=count, total=of)

        yield advance
