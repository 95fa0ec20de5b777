"""The section of the demonstration: equations solved and certified, flow around obstacles, an inversion."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
from safetensors.torch import save

from scidiff.domain import DemoSection, Picture, Row
from scidiff.io.files import atomic_write
from scidiff.random import Noise

from .certificate import certify
from .flow_pictures import flow_picture
from .models import load
from .obstacles import random_obstacles
from .plot import picture
from .problems import problem
from .problems.poisson import Poisson
from .sensors import Sensors, random_sensors

__all__ = ["demo"]

_SHOWN = {
    "darcy": ({"size": 64}, "Darcy flow through a binary medium: transmissivity, recharge and head."),
    "navier_stokes": ({"size": 64}, "Forced vorticity on a torus: first, middle and last frame."),
    "obstacle_flow": ({}, "Flow around random bodies: mask, first eddies, and the speed half a passage later."),
    "mesh_stokes": ({}, "Stokes flow in an annulus under a random force: force, speed at vertices, pressure."),
}
_CALLS = 4
_LEAD = (
    "Four equations were solved for random inputs by the domain's own solvers. Each solution carries a certificate: "
    "its residual by our operator, the defects of what is conserved, and its distance from the solution of the same "
    "inputs by an independent method. The flows around bodies that no training has seen come from the bundled model in "
    "four calls: their divergence and their flux through walls vanish by construction, their law is learned. The "
    "inversion is exact: a source is recovered from sensors of the potential by the posterior mean of the "
    "linear-Gaussian problem, and the map beside it is the posterior standard deviation."
)


def demo(folder: Path, seed: int, fast: bool) -> DemoSection:
    """Solve, certify and invert; files go into `folder`."""
    begun, rows, pictures = time.perf_counter(), [], []
    for name, (settings, caption) in _SHOWN.items():
        one = problem(name, **settings)
        state = one.truth(seed, 1 if fast else 4)
        found = certify(one, state, independent=name != "obstacle_flow" or not fast)
        rows.append(_row(f"{name}: residual over the largest term", float(found.relative.max()), 1e-10))
        if found.independent is not None:
            note = f"by an independent method; stated {one.truth_error:g}"
            rows.append(Row(f"{name}: distance from the truth", "measured", float(found.independent.max()), note=note))
        pictures.append(Picture(caption, picture(one, state)))
        with atomic_write(folder / f"{name}.safetensors", "wb") as file:
            file.write(save({key: value.contiguous() for key, value in state.items()}))
    generated, drawn = _generated(seed, 4 if fast else 8, folder)
    inversion, shown = _inversion(seed, 48 if fast else 128, 60 if fast else 500)
    return DemoSection(
        "Partial differential equations",
        _LEAD,
        (*rows, *generated, *inversion),
        (*pictures, drawn, shown),
        (
            "scidiff pde problems",
            "scidiff pde sample --count 8 --out flows.png",
            "scidiff pde solve darcy --count 4 --out darcy.png",
            "scidiff bench pde --fast",
        ),
        calls=_CALLS,
        seconds=time.perf_counter() - begun,
    )


def _generated(seed: int, count: int, folder: Path) -> tuple[list[Row], Picture]:
    """Flows of the bundled model around random bodies."""
    bodies = np.stack([random_obstacles((64, 64), seed, 1000 + k) for k in range(count)])
    samples = load("flow").sample(count, obstacles=bodies, steps=_CALLS, seed=seed)
    samples.save(folder / "flows.npz")
    rows = [
        _row(f"generated flow: largest {name.replace('_', ' ')}", float(samples.records[name].max()), 1e-12)
        for name in ("divergence", "wall_flux")
    ]
    caption = f"Vorticity of flows drawn by the bundled model in {_CALLS} calls around bodies that it has not seen."
    return rows, Picture(caption, flow_picture(samples))


def _row(name: str, value: float, bar: float) -> Row:
    return Row(name, "measured", value, bar=bar, above=False)


def _inversion(seed: int, size: int, count: int) -> tuple[list[Row], Picture]:
    """Recover a source from sensors of the potential."""
    one = Poisson(size)
    state = one.solve(one.draw(Noise.range(seed, 1)))
    f, u = state["f"][0].numpy(), state["u"][0].numpy()
    inner = np.zeros((size, size), dtype=bool)
    inner[1:-1, 1:-1] = True
    sensors = random_sensors((size, size), count, seed, inner)
    data = u[tuple(sensors.index.T)][None]
    posterior = one.gaussian.observe_solution(sensors)
    mean = posterior.mean(data)[0][0]
    draws = posterior.draw(np.repeat(data, 64, 0), seed)[0]
    error = 100 * float(np.linalg.norm(mean - f) / np.linalg.norm(f))
    again = float(abs(one.solve_array(mean)[tuple(sensors.index.T)] - data).max() / abs(data).max())
    note = f"{count} sensors of {size} x {size} nodes, relative L2 of one field; no method can expect less"
    rows = [
        Row("source from sensors: error of the posterior mean", "exact", error, unit="%", calls=0, note=note),
        _row("source from sensors: data met by the mean", again, 1e-5),
    ]
    caption = "A source, its posterior mean from sensors of the potential (dots), and the posterior standard deviation."
    return rows, Picture(caption, _maps(f, mean, draws.std(0), sensors))


def _maps(f: np.ndarray, mean: np.ndarray, deviation: np.ndarray, sensors: Sensors) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    most = abs(f).max()
    for axis, (title, field) in zip(
        figure.subplots(1, 3), (("source", f), ("posterior mean", mean), ("standard deviation", deviation)), strict=True
    ):
        limits = {} if field is deviation else {"vmin": -most, "vmax": most, "cmap": "RdBu_r"}
        shown = axis.imshow(field.T, origin="lower", **limits)
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        if field is not f:
            axis.plot(*sensors.index.T, ".k", markersize=1.5)
        figure.colorbar(shown, ax=axis, shrink=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
