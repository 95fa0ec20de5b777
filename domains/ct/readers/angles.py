"""Angles of files in radians, with the two confusions of degrees and radians recognised.

Radians that are said to be degrees make a short arc of many views: 180 of them span 3.1. Degrees that are said to be
radians make many turns in steps that are round numbers: 0, 0.5, 1, ..., which no arc in radians has.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scidiff.errors import DataError

from .places import numbers

__all__ = ["to_radians"]

_MANY = 20
_TURNS = 4


def to_radians(values: Any, unit: str, place: str, views: int | None = None) -> np.ndarray:
    """Check the angles of a file and give them in radians.

    Parameters
    ----------
    values
        The angles.
    unit
        What the file says their unit is.
    place
        File and field, for the message.
    views
        Number of views that they belong to.

    Returns
    -------
    numpy.ndarray
        Float64, ``(views,)``.

    Raises
    ------
    DataError
        If they are no numbers, there is not one finite angle for each view, or the unit is unknown or not the one that
        is stated.
    """
    angles = numbers(values, place).reshape(-1)
    if views is not None and len(angles) != views:
        raise DataError(
            f"{place}: {len(angles)} angles for {views} projections; expected one angle for each: was the scan stopped "
            "before its end, or are flats counted among the angles?"
        )
    if not len(angles) or not np.isfinite(angles).all():
        bad = np.flatnonzero(~np.isfinite(angles))
        raise DataError(f"{place} holds {len(angles)} angles, {len(bad)} not finite{_at(bad)}; expected finite ones")
    span, stated = float(np.ptp(angles)), unit.strip().lower()
    if stated.startswith(("deg", "°")):
        if span < 2 * math.pi and len(angles) > _MANY:
            raise DataError(
                f"{place} spans {span:.3f} in {len(angles)} steps and is said to be in degrees; these look like "
                "radians: correct the attribute 'units'"
            )
        return np.deg2rad(angles)
    if not stated.startswith("rad"):
        raise DataError(f"{place} has the unit '{unit}'; expected degrees or radians")
    round_numbers = np.allclose(angles * 20, np.round(angles * 20), atol=1e-6)
    if span > 2 * math.pi * _TURNS or (span > 2 * math.pi * 1.01 and round_numbers):
        raise DataError(
            f"{place} spans {span:g} and is said to be in radians; these look like degrees: correct the attribute "
            "'units'"
        )
    return angles


def _at(bad: np.ndarray) -> str:
    return f", first at {int(bad[0])}" if len(bad) else ""
