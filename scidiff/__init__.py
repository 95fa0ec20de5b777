"""scidiff: diffusion models whose samples a scientist can trust.

Importing this package loads neither torch nor any domain. The names below are loaded when they are used; everything
else is imported from its own module, e.g. ``from scidiff.spaces import Euclidean``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scidiff.errors import ScidiffError as ScidiffError
    from scidiff.random import Noise as Noise
    from scidiff.registry import load_domain as load_domain

__version__ = "0.1.0"

_LAZY = {
    "Noise": "scidiff.random",
    "ScidiffError": "scidiff.errors",
    "load_domain": "scidiff.registry",
}

__all__ = ["Noise", "ScidiffError", "__version__", "load_domain"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'scidiff' has no attribute '{name}'; it has {', '.join(__all__)}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
