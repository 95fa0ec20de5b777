"""Pictures of flows on a mesh: draws with their streamlines, the mean, and the deviation of the speed with sensors."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from .function_space import FieldSamples
from .mesh_sensors import MeshSensors

__all__ = ["mesh_flow_picture"]


def mesh_flow_picture(samples: FieldSamples, sensors: MeshSensors | None = None, draws: int = 2) -> bytes:
    """Draw the first samples, their mean, and the standard deviation of the velocity.

    Parameters
    ----------
    samples
        Samples of ``mesh_flow``, two or more.
    sensors
        Shown as dots.
    draws
        Number of samples that are shown.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.figure import Figure

    problem = samples.problem
    psi = _stream(problem, samples.state["w"].numpy())
    velocity = problem.velocity(samples.state["w"].numpy())
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    spread = np.sqrt(velocity.var(0).sum(0))
    mean = np.hypot(*velocity.mean(0))
    panels = [(f"draw {k + 1}: speed and streamlines", speed[k], psi[k]) for k in range(min(draws, len(speed)))]
    panels += [("mean", mean, psi.mean(0)), ("standard deviation of the velocity", spread, None)]
    figure = Figure(figsize=(3.3 * len(panels), 3.1), layout="constrained")
    most = float(speed[:draws].max())
    for axis, (title, values, lines) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _draw(figure, axis, problem, values, lines, most if lines is not None else None)
        axis.set_title(title, fontsize=9)
        if sensors is not None and not title.startswith("draw"):
            axis.plot(*sensors.points.T, ".r", markersize=4)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _draw(
    figure: Any, axis: Any, problem: Any, values: np.ndarray, lines: np.ndarray | None, most: float | None
) -> None:
    mesh = problem.mesh
    x, y = mesh.vertices[:, :2].T
    shown = axis.tripcolor(x, y, mesh.triangles, facecolors=values, vmin=0, vmax=most)
    if lines is not None:
        axis.tricontour(x, y, mesh.triangles, lines, levels=14, colors="white", linewidths=0.5)
    axis.set_aspect("equal")
    axis.set_axis_off()
    figure.colorbar(shown, ax=axis, shrink=0.7)


def _stream(problem: Any, w: np.ndarray) -> np.ndarray:
    """``psi`` of fluxes ``w = d0 psi``, 0 on the outer wall, walking along a spanning tree."""
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order

    mesh = problem.mesh
    i, j = mesh.edges.T
    count = len(mesh.vertices)
    number = sparse.csr_array((np.arange(1, len(i) + 1), (i, j)), shape=(count, count))
    root = int(np.flatnonzero(problem.wall == 0)[0])
    order, before = breadth_first_order(number, root, directed=False)
    table = (number + number.T).tocsr()
    psi = np.zeros((len(w), count))
    for vertex in order[1:]:
        last = before[vertex]
        edge = int(table[vertex, last]) - 1
        psi[:, vertex] = psi[:, last] + (w[:, edge] if i[edge] == last else -w[:, edge])
    return psi
