"""Crystals of the composition AB as atoms on a torus: a domain of scidiff in a package of its own.

from scidiff_crystals import load, validate
cells = load().sample(100, steps=20, seed=0)      # fractional coordinates of 4 A and 4 B atoms
validate(cells)                                   # rock salt, zinc blende, neither
"""

from __future__ import annotations

from pathlib import Path

from scidiff.domain import Domain, deferred

from .crystals import CrystalModel, load, train, validate

__all__ = ["DOMAIN", "CrystalModel", "load", "train", "validate"]

DOMAIN = Domain(
    name="crystals",
    title="AB crystals",
    home=Path(__file__).parent,
    cli="scidiff_crystals.faces:app",
    demo=deferred("scidiff_crystals.faces:demo"),
    bench_rows=deferred("scidiff_crystals.faces:rows"),
    campaign="scidiff_crystals.faces:CAMPAIGN",
)
