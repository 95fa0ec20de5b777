"""Public data sets from a local copy, each with the hash of the files that were read. Nothing is fetched.

A loader says in its text which files it expects. Where it says *from the publication*, the layout was taken from the
paper or the programs of the authors and has not been verified on the files themselves; what does not agree is refused
with the file and the field. Give ``sha256=`` to be sure of the bytes: the hash of the file, or, for several files, of
the lines ``HASH  NAME`` sorted by name, as ``sha256sum`` prints them; it is in the facts of every result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .ldgc import load_ldgc as load_ldgc
    from .lodoind import load_lodoind as load_lodoind
    from .lodopab import Pair as Pair
    from .lodopab import load_lodopab as load_lodopab
    from .rocks import load_rock as load_rock
    from .two_detect import load_2detect as load_2detect
    from .walnut import load_walnut as load_walnut

__all__ = ["Pair", "load_2detect", "load_ldgc", "load_lodoind", "load_lodopab", "load_rock", "load_walnut"]

_LAZY = {
    "Pair": "lodopab",
    "load_2detect": "two_detect",
    "load_ldgc": "ldgc",
    "load_lodoind": "lodoind",
    "load_lodopab": "lodopab",
    "load_rock": "rocks",
    "load_walnut": "walnut",
}

__getattr__ = lazy(__name__, _LAZY)
