"""Drawing of a scan geometry: source, rays, detector, axis and the field of view, seen along the axis.

Everything is read off the rays of the first view, so that any geometry can be drawn. Where the lines of one view meet,
there is the source. Parallel rays have none; they start and end outside the field of view.
"""

from __future__ import annotations

import math

import numpy as np

from scidiff.io.html import card, facts, image

from .geometry import Fan, Geometry

__all__ = ["geometry_card", "geometry_svg"]

_SIZE = 300
_RAYS = 9
_MOST_VIEWS = 60
_INK, _RAY, _SEEN = "#1c2430", "#c8781e", "#1f5fa8"


def _first_view(geometry: Geometry) -> tuple[np.ndarray, np.ndarray, float]:
    """Points and directions of the rays of the middle row of the first view, in the plane, and the length of a ray."""
    points, directions = (part[0].numpy() for part in geometry.rays(slice(0, 1)))
    if points.ndim == 3:
        points, directions = points[len(points) // 2], directions[len(directions) // 2]
    points, directions = points[..., :2], directions[..., :2]
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return points, directions, geometry.field_of_view


def _ends(geometry: Geometry) -> tuple[np.ndarray, np.ndarray, bool]:
    """Start and end of each ray of the first view, and whether they start in one point."""
    points, directions, radius = _first_view(geometry)
    if len(points) > 1 and np.ptp(points, axis=0).max() > 1e-9:
        return points - 1.4 * radius * directions, points + 1.4 * radius * directions, False
    far = np.linalg.norm(points[0])
    length = getattr(geometry, "source_detector", far + 1.4 * radius)
    middle = -points[0] / max(far, 1e-9)
    return points, points + length * directions / np.abs(directions @ middle)[:, None], True


def geometry_svg(geometry: Geometry) -> str:
    """Draw a geometry.

    Parameters
    ----------
    geometry
        The geometry.

    Returns
    -------
    str
        SVG: the first view in full, the other views (at most sixty) as dots on the path of source or detector.
    """
    start, end, pointed = _ends(geometry)
    radius = geometry.field_of_view
    anchor = start[0] if pointed else end.mean(0)
    turns = (geometry.angles - geometry.angles[0]).numpy()
    chosen = turns[:: max(1, math.ceil(len(turns) / _MOST_VIEWS))]
    cos, sin = np.cos(chosen), np.sin(chosen)
    path = np.stack([anchor[0] * cos - anchor[1] * sin, anchor[0] * sin + anchor[1] * cos], -1)
    whole = np.concatenate([start, end, path, [[radius, radius], [-radius, -radius]]])
    reach = 1.06 * float(np.abs(whole).max())
    scale = _SIZE / (2 * reach)

    def at(point: np.ndarray) -> tuple[float, float]:
        return round(_SIZE / 2 + scale * float(point[0]), 1), round(_SIZE / 2 - scale * float(point[1]), 1)

    def line(a: np.ndarray, b: np.ndarray, colour: str, width: float) -> str:
        (x, y), (u, v) = at(a), at(b)
        return f'<line x1="{x}" y1="{y}" x2="{u}" y2="{v}" stroke="{colour}" stroke-width="{width}"/>'

    def dot(a: np.ndarray, colour: str, size: float) -> str:
        x, y = at(a)
        return f'<circle cx="{x}" cy="{y}" r="{size}" fill="{colour}"/>'

    middle = _SIZE / 2
    kept = np.unique(np.linspace(0, len(start) - 1, min(_RAYS, len(start))).round().astype(int))
    parts = [
        f'<rect width="{_SIZE}" height="{_SIZE}" fill="#fff"/>',
        f'<circle cx="{middle}" cy="{middle}" r="{round(scale * radius, 1)}" fill="{_SEEN}22" stroke="{_SEEN}"/>',
        *(dot(point, "#9aa4b0", 1.8) for point in path),
        *(line(start[k], end[k], _RAY, 0.7) for k in kept),
        line(end[0], end[-1], _INK, 4),
        *([dot(start[0], _RAY, 5)] if pointed else []),
        f'<path d="M{middle - 5} {middle}h10M{middle} {middle - 5}v10" stroke="{_INK}"/>',
    ]
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SIZE}" height="{_SIZE}">{"".join(parts)}</svg>'


def geometry_card(geometry: Geometry) -> str:
    """Draw a geometry with its lengths, for notebooks."""
    angles = np.rad2deg(geometry.angles.numpy())
    said = {
        "views": geometry.views,
        "detector": " x ".join(map(str, geometry.detector)),
        "angles": f"{angles.min():.4g} to {angles.max():.4g} degrees",
        "field of view": f"radius {geometry.field_of_view:.4g} mm",
    }
    for name, title in (("pitch", "pitch"), ("row_pitch", "pitch of rows"), ("axis", "axis at column")):
        value = getattr(geometry, name, None)
        if isinstance(value, float):
            said[title] = f"{value:.4g}" + ("" if name == "axis" else " mm")
    if isinstance(geometry, Fan):
        said["source to axis"] = f"{geometry.source_axis:g} mm"
        said["source to detector"] = f"{geometry.source_detector:g} mm (magnification {geometry.magnification:.3g})"
    legend = "<div>orange: rays of the first view, source; black: detector; cross: axis; blue: what all views see; "
    legend += "grey: the other views</div>"
    name = type(geometry).__name__
    return card(f"{name} geometry", facts(said), image(geometry_svg(geometry), f"{name} geometry from above"), legend)
