"""Motif scaffolding: layouts, samples around a motif, loop closure, twisted particles, MotifBench on files.

    from scidiff.domains.proteins.scaffolding import scaffold
    done = scaffold(proteins.load("chains"), design, reference, 32)

`closure` makes kept residues exact, `placing` relaxes the rest around them, `twisted` weighs samples as particles,
`effect` says whether the motif acted. Names load when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .scaffolds import Scaffolds as Scaffolds
    from .scaffolds import ScaffoldSettings as ScaffoldSettings
    from .scaffolds import scaffold as scaffold
    from .twisted import TwistSettings as TwistSettings
    from .vary import vary as vary

__all__ = ["ScaffoldSettings", "Scaffolds", "TwistSettings", "scaffold", "vary"]

_LAZY = {
    "ScaffoldSettings": "scaffolds",
    "Scaffolds": "scaffolds",
    "TwistSettings": "twisted",
    "scaffold": "scaffolds",
    "vary": "vary",
}

__getattr__ = lazy(__name__, _LAZY)
