"""Crystals of the composition AB as atoms on a torus: a domain of scidiff in a package of its own.

from scidiff_crystals import load
cells = load().sample(100, steps=20, seed=0)      # fractional coordinates of four A and four B atoms
cells.records["phase"]                            # with a certificate for each
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scidiff.domain import Domain, deferred, lazy

if TYPE_CHECKING:
    from .crystals import certify as certify
    from .crystals import draw_cells as draw_cells
    from .crystals import energy as energy
    from .model import load as load
    from .model import train as train

__all__ = ["DOMAIN", "certify", "draw_cells", "energy", "load", "train"]

DOMAIN = Domain(
    name="crystals",
    title="AB crystals",
    home=Path(__file__).parent,
    cli="scidiff_crystals.commands:app",
    demo=deferred("scidiff_crystals.faces:demo"),
    bench_rows=deferred("scidiff_crystals.faces:rows"),
    campaign="scidiff_crystals.faces:CAMPAIGN",
)

__getattr__ = lazy(
    __name__,
    {"certify": "crystals", "draw_cells": "crystals", "energy": "crystals", "load": "model", "train": "model"},
)
