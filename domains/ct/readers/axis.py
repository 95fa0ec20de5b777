"""The rotation axis of a full turn, from views that look along the same lines from both sides.

In a parallel beam the view at ``th + pi`` is the mirror image of the view at ``th``: ``y(th + pi, 2 c - k) = y(th, k)``
for the axis at column ``c``. The best ``c`` minimises

    r(c) = sum (a - b)^2 / sum (a^2 + b^2)

over the columns that both views see, where these hold a fiftieth of the whole sum. So it is found also where the axis
lies near the edge of the detector and each view sees little more than half of the object (half acquisition), which has
no centre of mass.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scidiff.errors import DataError

from ..preprocess import find_axis

__all__ = ["axis_of", "find_axis_opposite"]

_PAIRS = 48
_OVERLAP = 8
_SHARE = 0.02
_FULL = math.radians(350)


def axis_of(projections: Tensor, angles: Tensor) -> float:
    """Detector column of the rotation axis: by opposite views over a full turn, else by the centre of mass.

    Parameters
    ----------
    projections
        Line integrals of a parallel beam, ``(views, columns)``.
    angles
        Radians, ``(views,)``.

    Returns
    -------
    float
        Column, fractional.

    Raises
    ------
    DataError
        If the axis cannot be found.
    """
    if float(angles.max() - angles.min()) >= _FULL:
        return find_axis_opposite(projections, angles)
    return find_axis(projections, angles)


def find_axis_opposite(projections: Tensor, angles: Tensor) -> float:
    """Detector column of the rotation axis of a parallel-beam scan over a full turn.

    Parameters
    ----------
    projections
        Line integrals, ``(views, columns)``; the object may reach beyond one edge of the detector.
    angles
        Radians, ``(views,)``.

    Returns
    -------
    float
        Column; between whole and half columns from a parabola through the least ``r`` and its neighbours.

    Raises
    ------
    DataError
        If no two views are half a turn apart.
    """
    first, second = _opposite(angles)
    y = projections.double()
    columns = y.shape[1]
    a, b = y[first], y[second].flip(1)
    shifts = range(_OVERLAP - columns, columns - _OVERLAP + 1)
    if not len(first) or len(shifts) < 3:
        raise DataError(
            f"{len(first)} pairs of opposite views on {columns} columns came; expected a full turn on at least "
            f"{_OVERLAP + 2} columns: give centre"
        )
    r = torch.stack([_mismatch(a, b, shift) for shift in shifts])
    best = int(r[1:-1].argmin()) + 1
    low, least, high = (float(v) for v in r[best - 1 : best + 2])
    bend = low - 2 * least + high
    offset = 0.5 * (low - high) / bend if bend > 0 else 0.0
    return 0.5 * (columns - 1 + shifts[best] + offset)


def _opposite(angles: Tensor) -> tuple[Tensor, Tensor]:
    """Views and those half a turn later, at most some dozens, spread over the turn."""
    step = float(torch.diff(angles.sort().values).median()) if len(angles) > 1 else math.pi
    gap = torch.remainder(angles[None, :] - angles[:, None], 2 * math.pi) - math.pi
    near = gap.abs()
    nearest = near.argmin(1)
    first = torch.nonzero(near.amin(1) < 0.51 * step)[:, 0]
    first = first[torch.linspace(0, len(first) - 1, min(_PAIRS, len(first))).round().long()] if len(first) else first
    return first, nearest[first]


def _mismatch(a: Tensor, b: Tensor, shift: int) -> Tensor:
    """``r`` where column ``k`` of `a` lies on column ``k - shift`` of the mirrored `b`."""
    columns = a.shape[1]
    one, other = a[:, max(shift, 0) : columns + min(shift, 0)], b[:, max(-shift, 0) : columns + min(-shift, 0)]
    energy = (one**2 + other**2).sum()
    if energy <= _SHARE * (a**2 + b**2).sum():
        return energy.new_tensor(1.0)
    return ((one - other) ** 2).sum() / energy
