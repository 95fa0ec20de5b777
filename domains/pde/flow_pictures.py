"""Pictures of flows: vorticity in colour, obstacles in grey."""

from __future__ import annotations

import io

import numpy as np

from .flow_samples import FlowSamples

__all__ = ["flow_picture"]

_COLUMNS = 4


def flow_picture(samples: FlowSamples, most: int = 8, dpi: int = 100) -> bytes:
    """PNG of the first samples, all in one scale.

    Parameters
    ----------
    samples
        Flows.
    most
        Largest number of panels.
    dpi
        Pixels an inch.

    Returns
    -------
    bytes
        Content of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = min(most, len(samples))
    omega = samples.vorticity[:count]
    level = float(np.percentile(np.abs(omega[np.isfinite(omega)]), 98)) or 1.0
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.4 * columns, 2.4 * rows), dpi=dpi, layout="constrained")
    for k, axes in enumerate(np.ravel(figure.subplots(rows, columns))):
        axes.set_axis_off()
        if k < count:
            solid = samples.obstacles[k]
            axes.imshow(omega[k].T, origin="lower", cmap="RdBu_r", vmin=-level, vmax=level, interpolation="bilinear")
            axes.imshow(np.ma.masked_where(~solid, solid).T, origin="lower", cmap="gray", vmin=0, vmax=2)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()
