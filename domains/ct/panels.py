"""Panels side by side, each with its scale and unit: images in grey, uncertainties in colour, a map in words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .evidence import Evidence
from .grid import Grid

__all__ = ["Panel", "known_panel", "panels_png"]

_KNOWN = ("#ece6da", "#2c7a4b", "#b3412f")


@dataclass(frozen=True, eq=False)
class Panel:
    """One image.

    Parameters
    ----------
    title
        Above it.
    values
        Two-dimensional; y grows upwards.
    span
        Values shown as the ends of the scale.
    unit
        Unit of the scale; without one there is no scale.
    colours
        Name of a colour map.
    words
        Names of the whole numbers from 0, for a map of kinds.
    """

    title: str
    values: Tensor
    span: tuple[float, float]
    unit: str = "1/mm"
    colours: str = "gray"
    words: tuple[str, ...] = ()


def known_panel(told: Evidence, visible: float, length: str = "mm") -> Panel:
    """Map of the structures of an image: none, measured, invented.

    Parameters
    ----------
    told
        Evidence of the data.
    visible
        Least contrast of a structure, 1/mm.
    length
        Unit of lengths, where it is not mm.
    """
    seen = told.contrast.abs() >= visible
    kinds = torch.where(seen, torch.where(told.measured, 1.0, 2.0), 0.0)
    words = ("none", f"measured,\n|z| ≥ {told.threshold:g}", "invented")
    return Panel(f"visible structures of {told.diameter:.3g} {length}", kinds, (-0.5, 2.5), words=words)


def panels_png(panels: Sequence[Panel], grid: Grid, columns: int = 4, length: str = "mm") -> bytes:
    """Draw panels in rows.

    Parameters
    ----------
    panels
        What to draw.
    grid
        Two-dimensional grid of all of them.
    columns
        Panels in a row.
    length
        Unit of the axes.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.75 * rows), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    (half_y, half_x) = (0.5 * n * h for n, h in zip(grid.shape, grid.lengths, strict=True))
    for axis, panel in zip(axes, panels, strict=False):
        colours = ListedColormap(_KNOWN) if panel.words else panel.colours
        shown = axis.imshow(
            panel.values.numpy(), cmap=colours, vmin=panel.span[0], vmax=panel.span[1], origin="lower",
            interpolation="nearest", extent=(-half_x, half_x, -half_y, half_y),
        )  # fmt: skip
        axis.set_title(panel.title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel(length, fontsize=7)
        if panel.words:
            bar = figure.colorbar(shown, ax=axis, shrink=0.85, ticks=list(range(len(panel.words))))
            bar.ax.set_yticklabels(panel.words, fontsize=7)
        elif panel.unit:
            bar = figure.colorbar(shown, ax=axis, shrink=0.85)
            bar.ax.tick_params(labelsize=7)
            bar.set_label(panel.unit, fontsize=7)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
