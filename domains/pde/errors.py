"""What can be wrong with a problem, each with the place where it is wrong.

All are `scidiff.errors.DataError`, so that one handler catches them; `where` holds the place: index arrays of cells,
nodes or sensors, numbers of components, or names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from scidiff.errors import DataError

__all__ = [
    "CellError",
    "CoefficientError",
    "ConstraintError",
    "DimensionError",
    "FieldError",
    "FluxError",
    "PlacedError",
    "SensorError",
    "check_finite",
]


class PlacedError(DataError):
    """An error with a place.

    Parameters
    ----------
    message
        What came, what was expected, what to do.
    where
        The place.
    """

    def __init__(self, message: str, where: Any = None) -> None:
        super().__init__(message)
        self.where = where


class FluxError(PlacedError):
    """The prescribed boundary flux and the sources of a component do not balance: there is no solution."""


class CoefficientError(PlacedError):
    """A coefficient that has to be positive is not."""


class SensorError(PlacedError):
    """A sensor lies outside the domain, or twice at the same place."""


class ConstraintError(PlacedError):
    """Linear constraints contradict each other."""


class FieldError(PlacedError):
    """A field holds NaN or an infinity."""


class CellError(PlacedError):
    """A mesh holds cells that no operator here knows."""


class DimensionError(PlacedError):
    """The terms of an equation have different units."""


def check_finite(field: np.ndarray | Tensor, name: str) -> None:
    """Refuse a field with NaN or infinities.

    Parameters
    ----------
    field
        Any shape.
    name
        What it is called in the message.

    Raises
    ------
    FieldError
        With the index of the first such entry.
    """
    values = field.detach().cpu().numpy() if isinstance(field, Tensor) else np.asarray(field)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        first = tuple(int(i) for i in bad[0])
        raise FieldError(
            f"{name} holds {values[first]} at {first} ({len(bad)} such entries); expected finite numbers: "
            "look for a step that is too large, or for a division by 0, before it",
            bad,
        )
