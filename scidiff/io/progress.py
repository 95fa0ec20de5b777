"""One progress bar: on a terminal when it is wanted, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["track"]

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, text: str, progress: bool = True) -> Iterator[Item]:
    """Yield the items and move a bar on standard error.

    Parameters
    ----------
    items
        What to go through.
    total
        Number of items, for the bar.
    text
        What is being done.
    progress
        False shows nothing; True shows the bar only where standard error is a terminal.

    Yields
    ------
    item
        Each item in turn.
    """
    from rich.console import Console
    from rich.progress import track as bar

    console = Console(stderr=True)
    if progress and console.is_terminal:
        yield from bar(items, description=text, total=total, console=console, transient=True)
    else:
        yield from items
