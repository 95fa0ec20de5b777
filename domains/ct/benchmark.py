"""The benchmark of the domain: ``scidiff bench ct``.

Rows in groups: projectors against each other, against their adjoints and against exact integrals; speed against loops
over other projectors; classical methods on simulated counts; priors, exact and learned; posterior methods against
posteriors that are known in full; which lesions were measured; the protocol of DM4CT with its geometry as published and
set right; memory; all methods on one scan; and, where the data are at hand, slices of another scanner and a measured
tooth.
"""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.domain import Row

from .rows import (
    calibration_rows,
    classical_rows,
    dm4ct_rows,
    evidence_rows,
    memory_rows,
    method_rows,
    operator_rows,
    prior_rows,
    siemens_rows,
    speed_rows,
    tooth_rows,
)

__all__ = ["rows"]


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure and yield the rows one by one."""
    yield from operator_rows(seed)
    yield from speed_rows(seed)
    yield from classical_rows(fast, seed)
    yield from prior_rows(fast, seed)
    yield from calibration_rows(fast, seed)
    yield from evidence_rows(fast, seed)
    yield from dm4ct_rows(fast, seed)
    if not fast:
        yield from memory_rows(seed)
        yield from siemens_rows()
        yield from method_rows()
        yield from tooth_rows()
