"""The benchmark of the domain: ``scidiff bench ct``.

Rows in four groups: projectors against each other, against their adjoints and against exact integrals; speed against
loops over other projectors; classical methods on simulated counts; and, where the data are at hand, a measured tooth.
"""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.domain import Row

from .rows import classical_rows, operator_rows, speed_rows, tooth_rows

__all__ = ["rows"]


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure and yield the rows one by one."""
    yield from operator_rows(seed)
    yield from speed_rows(seed)
    yield from classical_rows(fast, seed)
    if not fast:
        yield from tooth_rows()
