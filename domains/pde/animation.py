"""A short animation of a solution in time, as a GIF: curves on a line, colours in the plane, frames in one scale."""

from __future__ import annotations

import io

import numpy as np

from scidiff.errors import ConfigError

from .contract import Problem, State
from .evolution import Evolution

__all__ = ["animation"]

_MOST = 30
_SECONDS = 4.0


def animation(problem: Problem, state: State, row: int = 0) -> bytes:
    """Animate the solution of one sample; of a vector its first component.

    Parameters
    ----------
    problem
        A problem in time.
    state
        Its fields.
    row
        Number of the sample.

    Returns
    -------
    bytes
        A GIF file of at most 30 frames.

    Raises
    ------
    ConfigError
        If the problem has no time.
    """
    if not isinstance(problem, Evolution):
        raise ConfigError(f"problem '{problem.name}' has no time; an animation needs one: write a .png")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    values = state["u"][row].detach().cpu().numpy()
    values = values[:, 0] if values.ndim == 4 else values
    shown = np.unique(np.linspace(0, len(values) - 1, min(_MOST, len(values))).round().astype(int))
    field = next(each for each in problem.fields if each.name == "u")
    low, high = float(values.min()), float(values.max())
    figure = Figure(figsize=(4, 3.4), dpi=80, layout="constrained")
    canvas, axis = FigureCanvasAgg(figure), figure.add_subplot()
    if values.ndim == 2:
        (line,) = axis.plot(_places(problem, values.shape[1]), values[0])
        axis.set_ylim(low - 0.05 * (high - low) - 1e-12, high + 0.05 * (high - low) + 1e-12)
        draw = line.set_ydata
    else:
        image = axis.imshow(values[0].T, origin="lower", vmin=low, vmax=high, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        figure.colorbar(image, ax=axis, shrink=0.8)
        draw = lambda frame: image.set_data(frame.T)  # noqa: E731
    pictures = []
    for k in shown:
        draw(values[k])
        axis.set_title(f"{field.title} [{field.unit}], t = {float(problem.times[k]):.3f} s", fontsize=9)
        canvas.draw()
        figure.set_layout_engine("none")
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    buffer = io.BytesIO()
    pause = int(1000 * _SECONDS / len(pictures))
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=pause, loop=0)
    return buffer.getvalue()


def _places(problem: Problem, size: int) -> np.ndarray:
    x = getattr(problem, "x", None)
    return np.asarray(x) if x is not None and len(x) == size else (np.arange(size) + 0.5) / size
