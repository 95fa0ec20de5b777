"""Two implementations side by side: paired repeats, ratios, and 95 % intervals of the mean log-ratio.

Every row is a number of the peer divided by the same number of scidiff: seconds, or an error. Above 1, scidiff needs
less time or errs less. Repeats alternate, the one that goes first changes from repeat to repeat, and only ratios within
a repeat enter. Seconds are those of the processor, of all threads of the process: with one thread they are the seconds
of an idle machine, whatever else runs.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata

from scipy.stats import t as student

from scidiff.domain import Row

__all__ = ["absent", "error_row", "paired", "ratio_interval", "time_row", "versions"]

Task = Callable[[], object]
_LEAST = 0.05


def paired(ours: Task, theirs: Task, repeats: int) -> list[tuple[float, float]]:
    """Processor seconds of one call of both, repeat by repeat; short calls are made several times in a repeat."""
    counts = [_count(task) for task in (ours, theirs)]
    found = []
    for k in range(repeats):
        pair = [0.0, 0.0]
        for side in (0, 1) if k % 2 else (1, 0):
            pair[side] = _each((ours, theirs)[side], counts[side])
        found.append((pair[0], pair[1]))
    return found


def _each(task: Task, count: int) -> float:
    begun = time.process_time()
    for _ in range(count):
        task()
    return (time.process_time() - begun) / count


def _count(task: Task) -> int:
    """Calls that take about `_LEAST` together, found after two that warm up."""
    _each(task, 2)
    return max(1, min(200, round(_LEAST / max(_each(task, 1), 1e-6))))


def ratio_interval(pairs: Sequence[tuple[float, float]]) -> tuple[float, tuple[float, float] | None]:
    """Geometric mean of theirs over ours, and its interval by Student's t on the logarithms."""
    logs = [math.log(theirs) - math.log(ours) for ours, theirs in pairs]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), None
    half = float(student.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), (math.exp(mean - half), math.exp(mean + half))


def time_row(name: str, peer: str, ours: Task, theirs: Task, *, repeats: int, note: str) -> Row:
    """Row of a ratio of seconds."""
    pairs = paired(ours, theirs, repeats)
    value, interval = ratio_interval(pairs)
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    text = f"{note}; median {_seconds(mine)} scidiff, {_seconds(other)} {peer}; {repeats} paired repeats"
    return Row(f"{name}: seconds, {peer} / scidiff", "measured", value, interval, unit="ratio", seconds=mine, note=text)


def error_row(
    name: str, peer: str, ours: Sequence[float], theirs: Sequence[float], *, note: str, floor: float = 1e-18
) -> Row:
    """Row of a ratio of errors, one pair for each seed; errors below `floor`, that of rounding, count as that."""
    pairs = [(max(a, floor), max(b, floor)) for a, b in zip(ours, theirs, strict=True)]
    value, interval = ratio_interval(pairs)
    mine, other = (statistics.fmean(side) for side in zip(*pairs, strict=True))
    seeds = f"{len(pairs)} seeds" if len(pairs) > 1 else "one number"
    text = f"{note}; mean {mine:.3g} scidiff, {other:.3g} {peer}; {seeds}"
    return Row(f"{name}: error, {peer} / scidiff", "measured", value, interval, unit="ratio", note=text)


def absent(peer: str) -> Row:
    """Row of a peer that cannot be imported."""
    return Row(
        f"{peer}: installed", "measured", 0.0, note="not installed, so not compared; see the README of this folder"
    )


def versions(names: Sequence[str]) -> dict[str, str]:
    """Installed versions of the peers."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _seconds(value: float) -> str:
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
