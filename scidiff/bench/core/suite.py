"""The groups of claims. A new group is one line here: the import string of a function that yields `Claim` objects."""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.bench.report import TruthRow
from scidiff.domain import resolve

__all__ = ["GROUPS", "PROTOCOL", "rows"]

PROTOCOL = "1"

GROUPS = (
    "scidiff.bench.core.solvers:claims",
    "scidiff.bench.core.weak:claims",
    "scidiff.bench.core.invariance:claims",
    "scidiff.bench.core.kernels:claims",
    "scidiff.bench.core.rules:claims",
    "scidiff.bench.core.plans:claims",
    "scidiff.bench.core.canon:claims",
    "scidiff.bench.core.manifolds:claims",
    "scidiff.bench.core.rotations:claims",
    "scidiff.bench.core.retractions:claims",
    "scidiff.bench.core.networks:claims",
    "scidiff.bench.core.meshes:claims",
    "scidiff.bench.core.surfaces:claims",
    "scidiff.bench.core.analyses:claims",
    "scidiff.bench.core.dataset_denoiser:claims",
    "scidiff.bench.core.noise_allocation:claims",
    "scidiff.bench.core.calibration:claims",
    "scidiff.bench.core.tiles:claims",
    "scidiff.bench.core.curvature:claims",
    "scidiff.bench.core.flow_maps:claims",
    "scidiff.bench.core.learned:claims",
    "scidiff.bench.core.guidance:claims",
    "scidiff.bench.core.loop:claims",
    "scidiff.bench.core.policies:claims",
)


def rows(fast: bool, seed: int) -> Iterator[TruthRow]:
    """Measure the claims of all groups and yield their rows one by one.

    Parameters
    ----------
    fast
        Leave out the claims that take long.
    seed
        Seed of what is drawn.
    """
    for target in GROUPS:
        for claim in resolve(target)():
            if not (fast and claim.full):
                yield claim.row(seed)
