"""A ribbon picture drawn with matplotlib alone.

The ribbon runs along a spline through CA. Its side at residue ``i`` lies in the peptide plane, perpendicular to CA(i+1)
- CA(i), with the sign that turns least from the residue before. Helices and strands, by hydrogen bonds, are wide,
strands end in an arrow, coil faces the viewer and is narrow. Facets are drawn from the back to the front, darker where
they turn away and paler where they are far.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch

from .chains import Chains
from .secondary import COIL, HELIX, STRAND, assign

__all__ = ["ribbon_png"]

_FINE = 8
_WIDTH = {COIL: 0.28, HELIX: 1.25, STRAND: 1.05}
_COLOUR = {COIL: (0.62, 0.64, 0.68), HELIX: (0.80, 0.33, 0.27), STRAND: (0.22, 0.47, 0.71)}
_LIGHT = np.array([0.35, 0.55, 0.76])


def _view(ca: np.ndarray) -> np.ndarray:
    """Axes of the picture: the two longest extents of the chain in the plane."""
    _, _, axes = np.linalg.svd(ca - ca.mean(0), full_matrices=False)
    axes[2] = np.cross(axes[0], axes[1])
    return axes


def _sides(ca: np.ndarray, oxygen: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Unit side of the ribbon at each residue."""
    forward = np.gradient(ca, axis=0)
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    side = oxygen - ca
    side -= (side * forward).sum(1, keepdims=True) * forward
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    for k in range(1, len(side)):
        if side[k] @ side[k - 1] < 0:
            side[k] = -side[k]
    smooth = side.copy()
    smooth[1:-1] = (side[:-2] + 2 * side[1:-1] + side[2:]) / 4
    strand = (states == STRAND)[:, None]
    side = np.where(strand, smooth, side)
    return side / np.linalg.norm(side, axis=1, keepdims=True)


def _centres(ca: np.ndarray, states: np.ndarray) -> np.ndarray:
    """CA, smoothed in strands, whose pleats would show."""
    smooth = ca.copy()
    smooth[1:-1] = (ca[:-2] + 2 * ca[1:-1] + ca[2:]) / 4
    return np.where((states == STRAND)[:, None], smooth, ca)


def _widths(states: np.ndarray) -> np.ndarray:
    """Half width at each fine sample; strands end in an arrow."""
    width = np.repeat([_WIDTH[int(s)] for s in states], _FINE).astype(float)
    for k in range(len(states)):
        last = states[k] == STRAND and (k + 1 == len(states) or states[k + 1] != STRAND)
        if last:
            width[k * _FINE : (k + 1) * _FINE] = np.linspace(1.9, 0.2, _FINE)
    soft = np.convolve(np.pad(width, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    arrow = np.repeat(states == STRAND, _FINE)
    return np.where(arrow, width, soft)


def _facets(chains: Chains, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners ``(facets, 4, 3)`` in the axes of the view, colours and depths."""
    from scipy.interpolate import CubicSpline

    size = int(chains.lengths[row])
    one = chains.take([row]).to(torch.float64)
    states = assign(one)[0, :size].numpy()
    ca, oxygen = one.ca[0, :size].numpy(), one.oxygen[0, :size].numpy()
    axes = _view(ca)
    centre, side = _centres(ca, states), _sides(ca, oxygen, states)
    place, fine = np.arange(size), (np.arange(size * _FINE) - _FINE / 2 + 0.5) / _FINE
    fine = fine.clip(0, size - 1)
    path = (CubicSpline(place, centre)(fine) - ca.mean(0)) @ axes.T
    across = CubicSpline(place, side)(fine) @ axes.T
    along = np.gradient(path, axis=0)
    facing = np.cross(along, [0.0, 0.0, 1.0])
    facing /= np.linalg.norm(facing, axis=1, keepdims=True) + 1e-9
    state = np.repeat(states, _FINE)
    across = np.where((state == COIL)[:, None], facing, across)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    reach = _widths(states)[:, None] * across
    left, right = path + reach, path - reach
    corners = np.stack((left[:-1], left[1:], right[1:], right[:-1]), axis=1)
    normal = np.cross(along[:-1], across[:-1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    depth = corners[:, :, 2].mean(1)
    shade = np.where(state[:-1] == COIL, 0.85, 0.45 + 0.55 * np.abs(normal @ _LIGHT))[:, None]
    near = ((depth - depth.min()) / (np.ptp(depth) + 1e-9))[:, None]
    colour = np.array([_COLOUR[int(s)] for s in state[:-1]]) * shade
    return corners, colour * (0.6 + 0.4 * near) + (1 - 0.6 - 0.4 * near) * 0.95, depth


def _draw(axis: Any, chains: Chains, row: int) -> None:
    """Draw one chain."""
    from matplotlib.collections import PolyCollection

    corners, colour, depth = _facets(chains, row)
    order = np.argsort(depth)
    shapes = [part for k in order for part in (corners[k, :, :2], corners[k, :2, :2], corners[k, 2:, :2])]
    faces = np.repeat(colour[order], 3, axis=0)
    edges = faces * np.tile([1.0, 0.45, 0.45], len(order))[:, None]
    widths = np.tile([0.4, 0.7, 0.7], len(order))
    axis.add_collection(PolyCollection(shapes, facecolors=faces, edgecolors=edges, linewidths=widths, capstyle="round"))
    points = corners[:, :, :2].reshape(-1, 2)
    low, high = points.min(0) - 1.5, points.max(0) + 1.5
    axis.set_xlim(low[0], high[0])
    axis.set_ylim(low[1], high[1])
    axis.set_aspect("equal")
    axis.set_axis_off()


def ribbon_png(chains: Chains, columns: int = 4, titles: tuple[str, ...] | None = None, dpi: int = 110) -> bytes:
    """Draw chains as ribbons in a grid: helices red, strands blue, coil grey.

    Parameters
    ----------
    chains
        Chains of at least four residues.
    columns
        Pictures in a row.
    titles
        A line under each; the names by default.
    dpi
        Pixels an inch.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(chains)
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.6 * columns, 2.5 * rows))
    FigureCanvasAgg(figure)
    for k in range(count):
        axis = figure.add_subplot(rows, columns, k + 1)
        _draw(axis, chains, k)
        axis.set_title((titles or chains.names)[k], fontsize=8, y=-0.08)
    figure.tight_layout()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()
