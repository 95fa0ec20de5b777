"""Filtered back-projection for parallel, fan and cone beam (FDK).

With filtered data ``q`` and the share ``dth_i`` of the arc that belongs to a view:

* parallel: ``x(r) = sum_i dth_i q_i(r . e_u)``;
* fan: data are weighted by ``R / sqrt(R^2 + u^2)`` on a detector moved to the axis (``R = R_so``), filtered, and
  summed as ``x(r) = sum_i dth_i U^-2 q_i(u(r))`` with ``U = (R + r . e_s) / R`` and ``u(r) = r . e_u / U``; lines
  measured twice share their weight, ``c(th) / (c(th) + c(th'))`` with a smooth window ``c`` on the arc and the opposite
  view ``th' = th + pi - 2 gamma``, which serves full, short and shorter scans alike;
* off-centre detectors, parallel or fan, over a full turn: lines that both sides see share their weight, from 1/2 in the
  middle to 0 at the near edge and 1 at the same distance on the other side; lines beyond are seen once and count 1. The
  near side is filled up with zeros, as the filtered data do not end there;
* cone: the fan formula for each row, with ``R / sqrt(R^2 + u^2 + v^2)`` and ``v(r) = z / U``; exact in the plane of the
  source only.

References
----------
L. A. Feldkamp, L. C. Davis and J. W. Kress, J. Opt. Soc. Am. A 1 (1984) 612, doi:10.1364/JOSAA.1.000612;
F. Noo et al., Phys. Med. Biol. 47 (2002) 2525, doi:10.1088/0031-9155/47/14/311;
G. Wang, Med. Phys. 29 (2002) 1634, doi:10.1118/1.1489043, for off-centre detectors
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from scidiff.errors import ConfigError, ShapeError

from ..geometry import Cone, Fan, Geometry, Parallel
from ..grid import Grid
from ..operators.placement import check_placement
from .filters import Window, ram_lak, ramp

__all__ = ["arc_shares", "fbp", "off_centre_weights", "redundancy"]

_TAPER = math.radians(10.0)
_WIDE = 3.0
_FULL = 2 * math.pi * 0.999
_BLEND = 8


def fbp(projections: Tensor, geometry: Geometry, grid: Grid, window: Window = ram_lak) -> Tensor:
    """Reconstruct by filtered back-projection.

    Parameters
    ----------
    projections
        Line integrals, shape of the geometry, with or without a batch axis in front.
    geometry
        Parallel, fan, or cone (then this is FDK).
    grid
        Image grid of the same dimension.
    window
        Damping of high frequencies.

    Returns
    -------
    Tensor
        Attenuation, 1/mm, float64; values may be negative.

    Raises
    ------
    ConfigError
        If the geometry has no filtered back-projection here, or a source stands inside the grid.
    """
    if not isinstance(geometry, Parallel | Fan) or geometry.dimension != grid.dimension:
        raise ConfigError(
            f"{type(geometry).__name__} in {geometry.dimension}-D on a {grid.dimension}-D grid has no filtered "
            "back-projection; use an iterative method"
        )
    check_placement(geometry, grid)
    if tuple(projections.shape[-1 - len(geometry.detector) :]) != geometry.shape:
        raise ShapeError(f"data have shape {tuple(projections.shape)}; expected (..., *{geometry.shape})")
    y = projections.double().reshape(-1, *geometry.shape)
    if isinstance(geometry, Parallel):
        y, geometry = _filled(y * _parallel_weights(geometry), geometry)
        image = _parallel(ramp(y, geometry.pitch, window), geometry, grid)
    else:
        image = _divergent(y, geometry, grid, window)
    return image.reshape(*projections.shape[: projections.ndim - len(geometry.shape)], *grid.shape)


def arc_shares(angles: Tensor, turn: float) -> Tensor:
    """Share of the arc that belongs to each view: half the gaps on both sides, modulo `turn`.

    A view that comes twice gets half each time. A gap of more than three times the 90th percentile of gaps is
    unmeasured and not given to its neighbours: the gaps of golden angles, and of arcs beyond half a turn, are none.

    Parameters
    ----------
    angles
        Radians, ``(views,)``.
    turn
        Period, ``pi`` or ``2 pi``.

    Returns
    -------
    Tensor
        Radians, ``(views,)``.
    """
    if len(angles) == 1:
        return torch.full_like(angles, turn)
    folded, order = torch.remainder(angles.double() + 1e-9, turn).sort()
    gaps = torch.diff(folded, append=folded[:1] + turn)
    measured = gaps[gaps > 1e-6]
    widest = _WIDE * measured.quantile(0.9, interpolation="lower")
    gaps = torch.where(gaps > widest, measured.median(), gaps)
    shares = torch.empty_like(gaps)
    shares[order] = 0.5 * (gaps + gaps.roll(1))
    return shares


def redundancy(geometry: Fan) -> Tensor:
    """Weights of fan lines, so that a line and its opposite add to 1; shape ``(views, columns)``."""
    if float(arc_shares(geometry.angles, 2 * math.pi).sum()) > _FULL:
        return off_centre_weights(geometry).expand(geometry.views, -1)
    folded = torch.remainder(geometry.angles, 2 * math.pi).sort().values
    gaps = torch.diff(folded, append=folded[:1] + 2 * math.pi)
    start = folded[(int(gaps.argmax()) + 1) % len(folded)]
    span = 2 * math.pi - float(gaps.max())
    taper = min(_TAPER, 0.25 * span)

    def c(th: Tensor) -> Tensor:
        inside = torch.remainder(th - start + 1e-9, 2 * math.pi)
        edge = torch.minimum(inside, span - inside).clamp(0.0, taper) + 1e-3 * taper
        return torch.where(inside <= span + 1e-6, torch.sin(0.5 * math.pi * edge / (1.001 * taper)) ** 2, 0.0)

    gamma = torch.atan(geometry.u / geometry.source_detector)
    th = geometry.angles[:, None].expand(-1, geometry.columns)
    own, opposite = c(th), c(th + math.pi - 2 * gamma)
    return own / (own + opposite)


def off_centre_weights(geometry: Parallel | Fan) -> Tensor:
    """Weights of columns over a full turn: opposite columns add to 1, those without an opposite count 1.

    Parameters
    ----------
    geometry
        With an axis anywhere on the detector; 1/2 everywhere where it is in the middle.

    Returns
    -------
    Tensor
        ``(columns,)``.
    """
    u, near = geometry.u, max(geometry.reach, 0.0)
    u = u if float(u.sum()) > 0 else -u
    beyond = float(u.max()) + 0.5 * geometry.pitch - near
    if beyond < 1.5 * geometry.pitch:
        return torch.full_like(u, 0.5)
    blend = max(min(near, max(_BLEND * geometry.pitch, beyond)), 1e-9 * geometry.pitch)
    share = ((u.abs() - (near - blend)) / blend).clamp(0.0, 1.0)
    return 0.5 * (1.0 + u.sign() * torch.sin(0.5 * math.pi * share) ** 2)


def _parallel_weights(geometry: Parallel) -> Tensor:
    """Shares of the arc, over half a turn; over a full one, lines that come twice share them, ``(views, columns)``."""
    turned = arc_shares(geometry.angles, 2 * math.pi)
    if float(turned.sum()) > _FULL:
        return turned[:, None] * off_centre_weights(geometry)
    return arc_shares(geometry.angles, math.pi)[:, None]


Ring = TypeVar("Ring", bound=Parallel | Fan)


def _filled(y: Tensor, geometry: Ring) -> tuple[Tensor, Ring]:
    """Zeros beyond the near side of an off-centre detector of a full turn, until the axis is in its middle."""
    missing = 2 * geometry.axis - (geometry.columns - 1)
    if abs(missing) < 1 or float(arc_shares(geometry.angles, 2 * math.pi).sum()) <= _FULL:
        return y, geometry
    count = math.ceil(abs(missing))
    left, right = (0, count) if missing > 0 else (count, 0)
    wide = replace(geometry, columns=geometry.columns + count, centre=geometry.axis + left)
    return pad(y, (left, right)), wide


def _interpolate(rows: Tensor, at: Tensor) -> Tensor:
    """Values of rows ``(batch, columns)`` at fractional columns, 0 outside."""
    columns = rows.shape[-1]
    low = at.floor()
    fraction = at - low
    low = low.long()
    inside = (low >= 0) & (low < columns - 1) | (at == columns - 1)
    low = low.clamp(0, columns - 2)
    fraction = torch.where(at == columns - 1, 1.0, fraction)
    return torch.where(inside, rows[:, low] * (1.0 - fraction) + rows[:, low + 1] * fraction, 0.0)


def _parallel(q: Tensor, geometry: Parallel, grid: Grid) -> Tensor:
    """Back-project filtered parallel data."""
    x, y = grid.points().unbind(-1)
    image = q.new_zeros(len(q), *grid.shape)
    for view, th in enumerate(geometry.angles.tolist()):
        t = x * math.cos(th) + y * math.sin(th)
        image += _interpolate(q[:, view], t / geometry.pitch + geometry.axis)
    return image


def _divergent(y: Tensor, geometry: Fan, grid: Grid, window: Window) -> Tensor:
    """Weight, filter and back-project fan or cone data."""
    radius, pitch = geometry.source_axis, geometry.pitch / geometry.magnification
    weight = redundancy(geometry) * arc_shares(geometry.angles, 2 * math.pi)[:, None]
    y, geometry = _filled(y * (weight[:, None] if isinstance(geometry, Cone) else weight), geometry)
    u = geometry.u / geometry.magnification
    if isinstance(geometry, Cone):
        v = geometry.v / geometry.magnification
        cosine = radius / torch.sqrt(radius**2 + u**2 + v[:, None] ** 2)
    else:
        cosine = radius / torch.sqrt(radius**2 + u**2)
    q = ramp(y * cosine, pitch, window)
    points = grid.points() if grid.dimension == 2 else Grid(grid.shape[1:], grid.lengths[1:]).points()
    image = q.new_zeros(len(q), *grid.shape)
    for view, th in enumerate(geometry.angles.tolist()):
        across = points[..., 0] * math.cos(th) + points[..., 1] * math.sin(th)
        along = -points[..., 0] * math.sin(th) + points[..., 1] * math.cos(th)
        scale = radius / (radius + along)
        column = across * scale / pitch + geometry.axis
        if isinstance(geometry, Cone):
            _add_volume(image, q[:, view], column, scale, geometry, grid)
        else:
            image += scale**2 * _interpolate(q[:, view], column)
    return image


def _add_volume(image: Tensor, q: Tensor, column: Tensor, scale: Tensor, geometry: Cone, grid: Grid) -> None:
    """Add one cone view, slice by slice: bilinear on the detector, 0 outside."""
    rows = q.shape[1]
    row_pitch = float(geometry.row_pitch or geometry.pitch) / geometry.magnification
    for k, z in enumerate(grid.coordinates(0).tolist()):
        row = z * scale / row_pitch + float(geometry.row_centre or 0.0)
        low = row.floor()
        inside = (low >= 0) & (low <= rows - 2) | (row == rows - 1)
        low = low.clamp(0, max(rows - 2, 0)).long()
        fraction = row - low
        part = torch.zeros_like(image[:, k])
        for shift, share in ((0, 1.0 - fraction), (1, fraction)):
            at = (low + shift).clamp_max(rows - 1)
            first = column.floor().long().clamp(0, geometry.columns - 2)
            f = column - first
            value = q[:, at, first] * (1.0 - f) + q[:, at, first + 1] * f
            part += share * value
        good = inside & (column >= 0) & (column <= geometry.columns - 1)
        image[:, k] += torch.where(good, scale**2 * part, 0.0)
