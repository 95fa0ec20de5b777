"""A bar on a terminal, with rate, time left, valid and accepted counts; nothing in a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

__all__ = ["bar"]

Told = Callable[[int, int, int], None]


@contextlib.contextmanager
def bar(total: int, before: int, progress: bool = True) -> Iterator[Told]:
    """Show how far a run is.

    Parameters
    ----------
    total
        Rows of the campaign.
    before
        Rows that earlier runs made; they do not count in the rate.
    progress
        False shows nothing; True shows the bar only where standard error is a terminal.

    Yields
    ------
    Callable
        ``tell(rows, valid, accepted)``, with the sums of all shards that are done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not (progress and console.is_terminal):
        yield lambda _rows, _valid, _accepted: None
        return
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total:,} rows"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("valid {task.fields[valid]}  accepted {task.fields[accepted]:,}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=total, completed=before, rate="", valid="", accepted=0)

        def tell(rows: int, valid: int, accepted: int) -> None:
            seconds = shown.tasks[0].elapsed or 0.0
            rate = f"{(rows - before) / seconds:,.1f} rows/s" if seconds > 0 and rows > before else ""
            share = f"{valid / rows:.1%}" if rows else ""
            shown.update(task, completed=rows, rate=rate, valid=share, accepted=accepted)

        yield tell
