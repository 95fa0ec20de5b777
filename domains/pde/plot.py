"""The picture of a state, made from what its problem says of its fields.

A number and a constant field go into the title; a line over a grid is a curve, or colours on triangles where the
problem has a mesh; two axes are an image; two components are a speed; of frames of a plane the first, middle and last
are shown.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from .contract import Problem, State

__all__ = ["picture"]

_INCH = 2.8


def picture(problem: Problem, state: State, row: int = 0) -> bytes:
    """Draw one sample of a state.

    Parameters
    ----------
    problem
        The problem.
    state
        Its fields.
    row
        Number of the sample.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.figure import Figure

    panels: list[tuple[str, np.ndarray]] = []
    words = []
    for field in problem.fields:
        values = state[field.name][row].detach().cpu().numpy()
        if np.ptp(values) == 0:
            words.append(f"{field.name} = {values.flat[0]:.3g}")
        elif values.size < 8:
            words.append(f"{field.name} = {', '.join(f'{number:.3g}' for number in values.ravel())}")
        else:
            panels += _panels(problem, f"{field.title} [{field.unit}]", values)
    figure = Figure(figsize=(_INCH * 1.25 * len(panels), _INCH + 0.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, values) in zip(axes, panels, strict=True):
        _draw(figure, axis, problem, values)
        axis.set_title(title, fontsize=8)
    figure.suptitle("; ".join([problem.title, *words]), fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _panels(problem: Problem, title: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Pieces of a field that one panel each can show."""
    if values.ndim == 4:
        return _panels(problem, f"{title}, first component", values[:, 0])
    if values.ndim == 3 and len(values) == 2:
        return [(f"|{title}|", np.hypot(*values))]
    if values.ndim == 3:
        return [(f"{title}, frame {k}", values[k]) for k in sorted({0, len(values) // 2, len(values) - 1})]
    mesh = getattr(problem, "mesh", None)
    if mesh is not None and values.ndim == 2:
        return [(f"|{title}|", np.hypot(*values))]
    if mesh is not None and values.shape == (len(mesh.edges),) and hasattr(problem, "velocity"):
        return [("speed [m s^-1]", np.hypot(*problem.velocity(values[None])[0]))]
    corners = getattr(problem, "corners", None)
    if corners is not None and values.shape == problem.shape:
        return [(f"|{title}|", np.hypot(*values[corners]))]
    return [(title, values)]


def _draw(figure: Any, axis: Any, problem: Problem, values: np.ndarray) -> None:
    mesh = getattr(problem, "mesh", None)
    if mesh is not None:
        x, y = mesh.vertices[:, :2].T
        flat = len(values) == len(mesh.triangles)
        colours = {"facecolors": values} if flat else {"shading": "gouraud"}
        shown = axis.tripcolor(x, y, mesh.triangles, *(() if flat else (values[: len(x)],)), **colours)
        axis.set_aspect("equal")
    elif values.ndim == 1:
        axis.plot(np.linspace(0, 1, len(values)), values, linewidth=1)
        return
    else:
        shown = axis.imshow(values.T, origin="lower", aspect="auto", interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    figure.colorbar(shown, ax=axis, shrink=0.8)
