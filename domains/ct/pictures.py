"""Images side by side as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from torch import Tensor

__all__ = ["panel_png"]


def panel_png(images: Sequence[tuple[str, Tensor]], span: tuple[float, float]) -> bytes:
    """Draw images in one row with one grey scale.

    Parameters
    ----------
    images
        Titles and two-dimensional images; y grows upwards.
    span
        Values shown as black and white.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(images), 2.7), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (title, image) in zip(figure.subplots(1, len(images), squeeze=False)[0], images, strict=True):
        axis.imshow(image.numpy(), cmap="gray", vmin=span[0], vmax=span[1], origin="lower", interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
