"""The log of a training run: one JSON object a line, flushed at once, and a display for people.

A line is the mean over the steps since the line before it, so a noisy loss is read without smoothing. The sums of an
unfinished window are part of the checkpoint; a resumed run therefore writes the lines that an unbroken one would.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scidiff.io.files import atomic_write
from scidiff.io.json_values import json_value

__all__ = ["Display", "LogFile", "Window", "finite_or_none"]


class Window:
    """Sums of named numbers over the steps since the last line of the log.

    Parameters
    ----------
    state
        What :meth:`state` returned, to go on from there.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._sums: dict[str, list[float]] = {n: [float(s), c] for n, (s, c) in (state or {}).items()}

    def add(self, values: Mapping[str, float]) -> None:
        """Add the numbers of one step."""
        for name, value in values.items():
            pair = self._sums.setdefault(name, [0.0, 0])
            pair[0] += value
            pair[1] += 1

    def mean(self) -> dict[str, float]:
        """Means over the steps that had the name."""
        return {name: total / count for name, (total, count) in self._sums.items()}

    def clear(self) -> None:
        """Begin a new window."""
        self._sums = {}

    def state(self) -> dict[str, Any]:
        """Sum (its exact decimal text, which may be ``nan``) and count of each name, in JSON values."""
        return {name: [repr(total), count] for name, (total, count) in self._sums.items()}


def finite_or_none(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Make numbers fit for JSON, which has no NaN and no infinity.

    Parameters
    ----------
    values
        Numbers by name.

    Returns
    -------
    dict
        The numbers as floats, ``None`` for one that is not finite.
    """
    return json_value({name: float(value) for name, value in values.items()})


class LogFile:
    """A JSON-lines file that is cut back to a step before it grows again.

    Parameters
    ----------
    path
        The file.
    step
        Step of the checkpoint from which the run goes on; lines of later steps are removed. 0 empties the file.

    Attributes
    ----------
    earlier
        Records of the lines that stay.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = _lines_until(path, step)
        with atomic_write(path) as file:
            file.writelines(kept)
        self.earlier: list[dict[str, Any]] = [json.loads(line) for line in kept]
        self._stream = path.open("a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one line and hand it to the operating system."""
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _lines_until(path: Path, step: int) -> list[str]:
    if step == 0 or not path.exists():
        return []
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:
            break
        if record["step"] > step:
            break
        kept.append(line)
    return kept


class Display:
    """Progress for people: a bar on a terminal, one line for each validation otherwise.

    Parameters
    ----------
    steps
        Steps in all.
    done
        Steps already taken.
    bar
        Whether to draw a bar; ``None`` draws one when standard error is a terminal.
    quiet
        Whether to print nothing at all.
    """

    def __init__(self, steps: int, done: int, *, bar: bool | None = None, quiet: bool = False) -> None:
        self._quiet = quiet
        self._progress: Any = None
        if not quiet and (sys.stderr.isatty() if bar is None else bar):
            self._progress, self._row = _bar(steps, done)
            self._progress.start()

    def advance(self, step: int, loss: float) -> None:
        """Show that ``step`` steps are done."""
        if self._progress is not None:
            self._progress.update(self._row, completed=step, loss=f"{loss:.4g}")

    def say(self, text: str) -> None:
        """Print one line."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.stop()


def _bar(steps: int, done: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps per second."""

        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f} it/s" if task.speed else "- it/s")

    progress = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    return progress, progress.add_task("train", total=steps, completed=done, loss="-")
