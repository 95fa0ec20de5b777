"""Cards of images for notebooks: mean, deviation and interval of every pixel with a scale in 1/mm and HU."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from scidiff.io.html import card, facts, image, table

from .units import to_hu

if TYPE_CHECKING:
    from .classical.result import Reconstruction
    from .grid import Grid
    from .reconstruction import PosteriorImages

__all__ = ["image_card", "images_card"]

Panel = tuple[str, Tensor, tuple[float, float], str]
"""Title, image, least and largest value shown, name of the colours."""


def _plane(values: Tensor) -> Tensor:
    """The image itself, or the middle slice of a volume."""
    return values if values.ndim == 2 else values[len(values) // 2]


def _picture(found: PosteriorImages) -> bytes:
    """Mean and a sample in one scale; deviation, width of the interval and what was measured, each with its own."""
    mean, one = _plane(found.mean), _plane(found.samples[found.ok][0])
    span = _span_of(mean)
    panels: list[Panel] = [("mean", mean, span, "gray"), ("one sample", one, span, "gray")]
    if int(found.ok.sum()) > 1:
        below, above = found.interval(0.9)
        width = _plane(above - below)
        panels += [
            ("standard deviation", _plane(found.sd), (0.0, float(_plane(found.sd).max()) or 1.0), "magma"),
            ("width of the 90 % interval", width, (0.0, float(width.max()) or 1.0), "magma"),
        ]
    panels.append(("measured part of the mean", _plane(found.measured), span, "gray"))
    return _drawn(panels, found.grid)


def _span_of(values: Tensor) -> tuple[float, float]:
    """Grey scale of an image, from 0 or what is below to nearly its largest value."""
    low, top = (float(np.quantile(values.numpy(), q)) for q in (0.005, 0.995))
    return min(low, 0.0), max(top, low + 1e-9)


def _drawn(panels: Sequence[Panel], grid: Grid) -> bytes:
    """Images side by side with axes in mm, each with its scale, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = panels[0][1].shape
    dy, dx = grid.lengths[-2:]
    extent = (-columns * dx / 2, columns * dx / 2, -rows * dy / 2, rows * dy / 2)
    figure = Figure(figsize=(2.6 * len(panels), 2.5), dpi=80)
    FigureCanvasAgg(figure)
    for axis, (title, values, limits, colours) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        low, high = limits
        shown = axis.imshow(values.numpy(), cmap=colours, vmin=low, vmax=high, origin="lower", extent=extent)
        axis.set_title(title, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.set_xlabel("mm", fontsize=7)
        figure.colorbar(shown, ax=axis, shrink=0.75).ax.tick_params(labelsize=6)
    figure.subplots_adjust(left=0.03 if len(panels) > 1 else 0.1, right=0.97, bottom=0.12, top=0.95, wspace=0.25)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def image_card(result: Reconstruction) -> str:
    """Draw the one image of a classical method; it has no deviation."""
    said = {"chi²/n": float(result.chi2), "iterations": result.iterations, "converged": result.converged}
    plane = _plane(result.image)
    drawn = _drawn([(result.method, plane, _span_of(plane), "gray")], result.grid)
    rows = [
        (
            "least and largest value",
            f"{_both(result.image.min())} to {_both(result.image.max())}",
            "1/mm, in brackets HU",
        )
    ]
    numbers = [(name, value, "") for name, value in result.facts.items() if isinstance(value, str | int | float)]
    body = table(["number", "value", "unit"], [*rows, *numbers])
    return card(f"{result.method}, one image", facts(said), image(drawn, f"image by {result.method}, 1/mm"), body)


def images_card(found: PosteriorImages) -> str:
    """Draw the images of one method, and say whether they explain the data."""
    good, words = int(found.ok.sum()), {"label": found.label, "calls each": float(found.calls)}
    title = f"{found.method}, {len(found)} image{'s' if len(found) > 1 else ''}"
    line = facts({"ok": f"{good} of {len(found)}", **words, "seconds": float(found.seconds)})
    if not good:
        return card(title, line, "<div>no sample is finite</div>")
    rows = [
        ("chi²/n of a sample, mean", float(found.chi2[found.ok].mean()), _span(found.band)),
        ("chi²/n of the mean", float(found.chi2_mean), _span(found.band_mean)),
    ]
    if found.held_out is not None:
        rows.append(("chi²/n of held-out views", float(found.held_out), ""))
    mean, unit = found.mean, "1/mm, in brackets HU"
    rows += [
        ("least and largest mean", f"{_both(mean.min())} to {_both(mean.max())}", unit),
        (
            "mean and largest standard deviation",
            f"{float(found.sd.mean()):.3g} and {float(found.sd.max()):.3g}",
            "1/mm",
        ),
    ]
    rows += [("remark", remark, "") for remark in found.remarks]
    return card(title, line, image(_picture(found), f"images by {found.method}, colour scales in 1/mm"),
                table(["number", "value", "exact posterior, or unit"], rows))  # fmt: skip


def _both(value: Tensor) -> str:
    return f"{float(value):.4g} ({float(to_hu(value)):.0f})"


def _span(band: tuple[float, float]) -> str:
    return f"{band[0]:.3f} to {band[1]:.3f}"
