"""Complete enumerated universes of small molecules: a target distribution that is known exactly.

Two independent enumerations (`growth`, `skeletons`) and a count that makes no graph at all (`burnside`) agree; the
tests hold them together.
"""

from __future__ import annotations

from .build import enumerate_universe, universe, universe_path, universe_split

__all__ = ["enumerate_universe", "universe", "universe_path", "universe_split"]
