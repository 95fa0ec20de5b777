"""The section of the demonstration: equations solved and certified, flow around obstacles, an inversion."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from safetensors.torch import save

from scidiff.domain import DemoSection, Picture, Row
from scidiff.io.files import atomic_write

from .certificate import certify
from .demo_inversions import flow_between_holes, medium_from_sensors, source_from_sensors
from .flow_pictures import flow_picture
from .models import load
from .obstacles import random_obstacles
from .plot import picture
from .problems import problem

__all__ = ["demo"]

_SHOWN = {
    "darcy": ({"size": 64}, "Darcy flow through a binary medium: transmissivity, recharge and head."),
    "navier_stokes": ({"size": 64}, "Forced vorticity on a torus: first, middle and last frame."),
    "obstacle_flow": ({}, "Flow around random bodies: mask, first eddies, and the speed half a passage later."),
    "shallow_water": (
        {"size": 48},
        "A round dam breaks above a mound: bottom and start, then the depth in three frames.",
    ),
    "mesh_stokes": ({}, "Stokes flow in an annulus under a random force: force, speed at vertices, pressure."),
}
_CALLS = 4
_LEAD = (
    "Five equations were solved for random inputs by the domain's own solvers. Each solution carries a certificate: "
    "its residual by our operator, the defects of what is conserved, and its distance from the solution of the same "
    "inputs by an independent method. The flows around bodies that no training has seen come from the bundled model in "
    "four calls: their divergence and their flux through walls vanish by construction, their law is learned. The "
    "inversion is exact: a source is recovered from sensors of the potential by draws of the posterior of the "
    "linear-Gaussian problem, with a map of what remains uncertain, and a check of it on many other sources. A medium "
    "is recovered by a trained model, whose heads solve the equation but whose law is learned. The same call samples "
    "flows on a mesh with two holes, whose circulations are coordinates of their own."
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
    inversions = (
        source_from_sensors(seed, *((32, 60, 40) if fast else (48, 100, 100))),
        medium_from_sensors(seed, 100, 8 if fast else 32),
        flow_between_holes(seed, folder),
    )
    return DemoSection(
        "Partial differential equations",
        _LEAD,
        (*rows, *generated, *(row for part, _ in inversions for row in part)),
        (*pictures, drawn, *(shown for _, shown in inversions)),
        (
            "scidiff pde problems",
            "scidiff pde sample --count 8 --out flows.png",
            "scidiff pde solve darcy --count 4 --out darcy.nc",
            "scidiff pde validate darcy.nc",
            "scidiff pde solve shallow_water --out wave.gif",
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
