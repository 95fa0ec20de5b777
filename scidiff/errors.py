"""Typed errors of the package.

Every message has three parts: what came, what was expected, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "IntegrityError",
    "MissingPackageError",
    "NumericalError",
    "ScidiffError",
    "ShapeError",
    "UnknownNameError",
]


class ScidiffError(Exception):
    """Root of all errors raised on purpose by the package."""


class ShapeError(ScidiffError, ValueError):
    """A tensor has the wrong shape or dtype."""


class ConfigError(ScidiffError, ValueError):
    """A parameter has a value outside its range, or parameters contradict each other."""


class DataError(ScidiffError, ValueError):
    """A file or a record cannot be used as it is."""


class UnknownNameError(ScidiffError, LookupError):
    """A name is not registered.

    Parameters
    ----------
    what
        The kind of thing looked up, e.g. ``"model"``.
    name
        The name that came.
    known
        The names that exist; the nearest one is suggested.
    """

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        listed = ", ".join(names) if names else "none"
        super().__init__(f"unknown {what} '{name}'; known: {listed}.{hint}")


class MissingPackageError(ScidiffError, ImportError):
    """An optional package is needed and not installed."""


class CheckpointError(ScidiffError, RuntimeError):
    """A checkpoint cannot be loaded: missing keys, wrong version, NaN weights."""


class IntegrityError(ScidiffError, RuntimeError):
    """A file does not have the hash it should have."""


class NumericalError(ScidiffError, ArithmeticError):
    """A computation left the range in which its result can be trusted."""


class NumericalWarning(UserWarning):
    """A result has fewer digits than it looks."""
