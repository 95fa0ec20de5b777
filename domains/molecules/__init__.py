"""Molecules as two-dimensional graphs: generation that is valid by construction."""

from __future__ import annotations

from pathlib import Path

from scidiff.domain import Domain, deferred

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="molecules",
    title="Molecules as two-dimensional graphs",
    home=Path(__file__).parent,
    cli="scidiff.domains.molecules.cli:app",
    datasets="scidiff.domains.molecules.data:DATASETS",
    demo=deferred("scidiff.domains.molecules.demo:demo"),
    bench_rows=deferred("scidiff.domains.molecules.benchmark:rows"),
)
