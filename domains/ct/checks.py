"""Is a scan what it says? Plausibility of data against geometry.

Each check returns at most one `Finding`; what makes every result wrong raises `DataError` instead. A unit is judged by
what it makes of the object: the largest line integral over the width of the shadow is near the mean attenuation,
``mu = max y / width``, which no known material puts outside a range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import DataError

from .geometry import Fan, Geometry, Parallel
from .units import MU_WATER

__all__ = [
    "BODY",
    "Finding",
    "ScanWarning",
    "check_counts",
    "check_projections",
    "check_units",
    "findings",
    "saturated",
]

BODY = (0.25 * MU_WATER, 2.5 * MU_WATER)
_ANY = (1e-4, 50.0)
_EDGE = 2
_MANY_VIEWS, _SHORT_ARC = 20, 0.112


class ScanWarning(UserWarning):
    """Something about a scan that the reader of its images should know."""


@dataclass(frozen=True)
class Finding:
    """One remark on a scan.

    Parameters
    ----------
    code
        Short name: ``truncated``, ``duplicate-views``, ``negative-background``, ``angle-unit``, ``saturated``,
        ``starved``.
    message
        What is the matter and what to do.
    """

    code: str
    message: str


def check_counts(counts: Tensor, field: str = "counts") -> None:
    """Refuse counts that are NaN, infinite or negative.

    Parameters
    ----------
    counts
        Any shape.
    field
        Name for the message.

    Raises
    ------
    DataError
        With the number of bad values and the place of the first.
    """
    bad = ~counts.isfinite()
    if bool(bad.any()):
        raise DataError(f"{field} hold {int(bad.sum())} values that are not finite, first at {_first(bad)}; mask them")
    if bool((counts < 0).any()):
        bad = counts < 0
        raise DataError(
            f"{field} hold {int(bad.sum())} negative values, first at {_first(bad)}; expected counts: were darks "
            "subtracted already, or are these log-projections (Scan.from_projections)?"
        )


def check_projections(y: Tensor, geometry: Geometry) -> None:
    """Refuse log-projections of the wrong shape or with values that are not finite.

    Raises
    ------
    DataError
        With what came and what was expected.
    """
    if tuple(y.shape) != geometry.shape:
        raise DataError(
            f"data have shape {tuple(y.shape)}; the geometry has {geometry.views} angles and a detector of "
            f"{geometry.detector}: expected {geometry.shape}"
        )
    bad = ~y.isfinite()
    if bool(bad.any()):
        raise DataError(f"projections hold {int(bad.sum())} values that are not finite, first at {_first(bad)}")


def check_units(y: Tensor, geometry: Geometry, plausible: tuple[float, float] | None = None) -> float:
    """Estimate the mean attenuation, and refuse lengths that make it absurd.

    Parameters
    ----------
    y
        Log-projections.
    geometry
        Their geometry.
    plausible
        Least and largest mean attenuation of the object, 1/mm; `BODY` for people. Without it only what no material
        reaches is refused.

    Returns
    -------
    float
        ``max y / width``, 1/mm, median over the views; NaN where nothing attenuates.

    Raises
    ------
    DataError
        If it is out of range, with the unit that would bring it in.
    """
    low, high = _ANY if plausible is None else plausible
    pitch = getattr(geometry, "pitch", None)
    if pitch is None:
        return math.nan
    if isinstance(geometry, Fan):
        pitch = pitch / geometry.magnification
    top = y.flatten(1).amax(1)
    rows = y.reshape(len(y), -1, y.shape[-1]).amax(1)
    width = (rows > 0.05 * top[:, None]).sum(1).clamp_min(1) * pitch
    good = top > 0
    if not bool(good.any()):
        return math.nan
    mu = float((top / width)[good].median())
    if not low <= mu <= high:
        factor = next((f for f in (10.0, 0.1, 1000.0, 0.001) if low <= mu / f <= high), None)
        unit = {10.0: "cm", 0.1: "tenths of a mm", 1000.0: "m", 0.001: "micrometres"}.get(factor or 0.0)
        hint = f"the lengths look like {unit}: give them in mm" if unit else "check pitch, I0 and the logarithm"
        raise DataError(f"the object would attenuate {mu:.3g} per mm; expected {low:.3g} to {high:.3g}: {hint}")
    return mu


def findings(y: Tensor, weights: Tensor, geometry: Geometry) -> list[Finding]:
    """Look for truncation, views that come twice, a negative background, and angles of another unit.

    Parameters
    ----------
    y, weights
        Log-projections and their weights.
    geometry
        Their geometry.

    Returns
    -------
    list of Finding
        What was found.
    """
    found = (_truncated(y, weights), _duplicates(geometry), _negative(y, weights), _angle_unit(geometry))
    return [finding for finding in found if finding is not None]


def saturated(counts: Tensor, level: float | None) -> tuple[Tensor, Finding | None]:
    """Find pixels at the upper end of the detector.

    Parameters
    ----------
    counts
        Counts.
    level
        Count at which the detector saturates; by default the largest count, where it comes too often for chance.

    Returns
    -------
    mask, finding
        True where saturated, and the remark.
    """
    top = float(counts.max()) if level is None else level
    mask = counts >= top
    share = float(mask.double().mean())
    if not bool(mask.any()) or (level is None and (share < 1e-3 or int(mask.sum()) < 4 or top < 200)):
        return torch.zeros_like(mask), None
    message = f"{int(mask.sum())} readings ({share:.2%}) stand at {top:g}: saturated; they get weight 0"
    return mask, Finding("saturated", message)


def _truncated(y: Tensor, weights: Tensor) -> Finding | None:
    """Views whose shadow does not end on the detector."""
    used = weights > 0
    sd = torch.where(used, weights, 1.0).rsqrt()
    top = float(torch.where(used, y.abs(), 0.0).max())
    rows = y.reshape(len(y), -1, y.shape[-1])
    noise = sd.reshape(rows.shape)
    cut = torch.zeros(len(y), dtype=torch.bool)
    for edge in (slice(None, _EDGE), slice(-_EDGE, None)):
        level, limit = rows[..., edge].mean(-1), noise[..., edge].mean(-1)
        cut |= ((level.abs() > 0.03 * top) & (level.abs() > 4 * limit)).any(1)
    if not bool(cut.any()):
        return None
    return Finding(
        "truncated",
        f"in {int(cut.sum())} of {len(y)} views the object reaches beyond the detector; images are biased near the "
        "edge and in level: use a wider detector, or a grid that holds the whole object",
    )


def _duplicates(geometry: Geometry) -> Finding | None:
    """Views that measure the same lines."""
    angles = geometry.angles.double()
    span = float(angles.max() - angles.min()) if len(angles) else 0.0
    half = isinstance(geometry, Parallel) and span < math.pi * 1.001
    turn = math.pi if half else 2 * math.pi
    if not half and not isinstance(geometry, Fan | Parallel):
        return None
    folded = torch.remainder(angles + 1e-7, turn).sort().values
    gaps = torch.diff(folded, append=folded[:1] + turn)
    count = int((gaps < 1e-5).sum()) if len(angles) > 1 else 0
    if not count:
        return None
    return Finding(
        "duplicate-views",
        f"{count} views measure the same lines as another one; leave the end point of the arc out (even_angles), or "
        "accept that these lines count twice",
    )


def _negative(y: Tensor, weights: Tensor) -> Finding | None:
    """Rays that would gain intensity."""
    used = weights > 0
    sd = torch.where(used, weights, 1.0).rsqrt()
    top = float(torch.where(used, y.abs(), 0.0).max())
    share = float((used & (y < -torch.maximum(6 * sd, sd.new_tensor(0.01 * top)))).double().mean())
    if share < 0.01:
        return None
    return Finding(
        "negative-background",
        f"{share:.0%} of the rays leave brighter than they came; the background is not 0: check the flats, or shift "
        "the image so that air is 0",
    )


def _angle_unit(geometry: Geometry) -> Finding | None:
    """Many views within a few degrees, or turns in steps of round numbers."""
    angles = geometry.angles.double()
    span = float(angles.max() - angles.min()) if len(angles) else 0.0
    if len(angles) > _MANY_VIEWS and 0 < span < _SHORT_ARC:
        return Finding(
            "angle-unit",
            f"{len(angles)} views span {math.degrees(span):.2g} degrees, too few to see depth: were radians taken for "
            "degrees and converted once more?",
        )
    whole = bool(((angles * 20).round() - angles * 20).abs().max() < 1e-6) if len(angles) else False
    if whole and span > 2 * math.pi * 1.01:
        return Finding(
            "angle-unit",
            f"the angles are round numbers up to {float(angles.max()):g} and make {span / (2 * math.pi):.1f} turns: "
            "are they degrees? convert them with torch.deg2rad",
        )
    return None


def _first(bad: Tensor) -> tuple[int, ...]:
    return tuple(torch.nonzero(bad)[0].tolist())
