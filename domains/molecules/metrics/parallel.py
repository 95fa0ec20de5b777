"""An order-preserving map over molecules: the same result for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from typing import TypeVar

from scidiff.errors import ConfigError

__all__ = ["parallel_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@lru_cache(maxsize=1)
def _pool(workers: int) -> ProcessPoolExecutor:
    """Workers that stay for the next call; Python ends them when it exits."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int = 1, chunk: int = 256
) -> list[Result]:
    """Apply a pure function to each item, in order.

    Workers are spawned, never forked, because a fork copies the locks of the thread pools of torch. A script that asks
    for more than one worker therefore guards its entry with ``if __name__ == "__main__":``.

    Parameters
    ----------
    function
        A function that a worker can import by name; it depends on its argument only.
    items
        The arguments.
    workers
        Number of processes; 1 works in this one. No process is started for `chunk` items or fewer.
    chunk
        Items sent to a worker at a time.

    Returns
    -------
    results
        One result for each item.

    Raises
    ------
    ConfigError
        If `workers` or `chunk` is below 1, or the workers cannot be started.
    """
    if workers < 1 or chunk < 1:
        raise ConfigError(f"workers is {workers} and chunk is {chunk}; both must be 1 or more")
    if workers == 1 or len(items) <= chunk:
        return [function(item) for item in items]
    try:
        return list(_pool(workers).map(function, items, chunksize=chunk))
    except BrokenProcessPool as error:
        _pool.cache_clear()
        raise ConfigError(
            f"{workers} workers were asked for and one of them died; guard the entry of the script with "
            "'if __name__ == \"__main__\":', or use workers=1"
        ) from error
