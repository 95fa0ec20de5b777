"""Rows on projectors: adjoints, agreement, exact integrals, units.

Tolerances: a float32 product of ``k`` terms has a relative error near ``2^-24 sqrt(k)``, below 1e-6 here; float64 is
below 1e-12. The scheme is of second order on smooth objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from scidiff.domain import Row
from scidiff.random import Noise
from scidiff.spaces.linear import LinearOperator

from ..classical import fbp
from ..geometry import Cone, Fan, Parallel, even_angles
from ..grid import Grid
from ..operators import MatrixFree, system_matrix
from ..operators.astra_adapter import AstraProjector, has_astra
from ..phantoms import Blob, Ellipse, Phantom, water_disc
from ..simulation import simulate
from ..units import to_hu

__all__ = ["operator_rows"]


def operator_rows(seed: int) -> Iterator[Row]:
    """Measure projectors.

    Parameters
    ----------
    seed
        Seed of every draw.
    """
    grid = Grid.square(96, 2.0)
    parallel = Parallel(even_angles(30), 144, 2 / 96, 70.3)
    fan = Fan(even_angles(40, 2 * math.pi), 144, 0.04, 70.3, source_axis=6.0, source_detector=12.0)
    cone = Cone(even_angles(6, 2 * math.pi), 40, 0.1, source_axis=6.0, source_detector=12.0, rows=30)
    operators: dict[str, LinearOperator] = {
        "matrix, parallel, offset axis": system_matrix(parallel, grid),
        "matrix, fan": system_matrix(fan, grid),
        "matrix-free, parallel": MatrixFree(parallel, grid),
        "matrix-free, fan": MatrixFree(fan, grid),
        "matrix-free, cone": MatrixFree(cone, Grid((24, 24, 24), 2 / 24)),
    }
    if has_astra():
        operators["ASTRA linear, parallel"] = AstraProjector(parallel, grid)
        operators["ASTRA line, fan"] = AstraProjector(fan, grid)
    for name, operator in operators.items():
        yield Row(f"adjoint error: {name}", "exact", operator.adjoint_defect(seed), bar=1e-6, above=False)
    x = Noise.range(seed, 1).uniform(grid.shape, step=0, stream="ct/bench")
    for kind in ("parallel", "fan"):
        geometry = parallel if kind == "parallel" else fan
        gap = _gap(MatrixFree(geometry, grid).apply(x), system_matrix(geometry, grid, torch.float64).apply(x))
        yield Row(f"matrix against matrix-free: {kind}", "exact", gap, bar=1e-12, above=False, note="relative L2")
    if "ASTRA linear, parallel" in operators:
        gap = _gap(system_matrix(parallel, grid).apply(x), operators["ASTRA linear, parallel"].apply(x))
        yield Row("matrix against ASTRA linear", "exact", gap, bar=1e-4, above=False, note="relative L2, random image")
    yield from _integrals()
    yield from _units(seed)


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def _integrals() -> Iterator[Row]:
    """Projections of images of phantoms against exact line integrals."""
    ellipse = Phantom("ellipse", (Ellipse(1.0, (0.1, -0.15), (0.4, 0.6), 0.35),), 2.0)
    blob = Phantom("blob", (Blob(1.0, (0.1, -0.15), 0.2),), 2.0)
    errors: dict[str, list[float]] = {"ellipse": [], "blob": []}
    mass = 0.0
    for count in (64, 128, 256):
        grid, geometry = Grid.square(count, 2.0), Parallel(even_angles(20), 3 * count // 2, 2 / count)
        operator = system_matrix(geometry, grid, torch.float64)
        for phantom in (ellipse, blob):
            got, exact = operator.apply(phantom.image(grid, 8)[None])[0], phantom.project(geometry)
            errors[phantom.name].append(_gap(got, exact))
            if phantom is ellipse:
                area = math.pi * 0.4 * 0.6
                mass = float((got.sum(1) * geometry.pitch / area - 1.0).abs().max())
    order = math.log2(errors["blob"][1] / errors["blob"][2])
    note = "relative L2 errors " + ", ".join(f"{e:.2e}" for e in errors["blob"]) + " at 64, 128, 256 pixels"
    yield Row("smooth blob: order of the projector", "consistent(2)", order, bar=1.9, note=note)
    edge = "the edge limits the order to 1"
    yield Row(
        "ellipse, 256^2: error of the projector",
        "consistent(1)",
        errors["ellipse"][2],
        bar=0.01,
        above=False,
        note=edge,
    )
    yield Row(
        "ellipse, 256^2: mass in the worst view", "consistent(1)", mass, bar=1e-3, above=False, note="relative error"
    )


def _units(seed: int) -> Iterator[Row]:
    """Water is 0 HU at every pixel size, and the truth has chi^2/n = 1."""
    worst = 0.0
    for pixel in (0.1, 1.0, 4.0):
        phantom, grid = water_disc(35 * pixel), Grid((96, 96), pixel)
        inside = grid.points().norm(dim=-1) < 28 * pixel
        for geometry in (
            Parallel(even_angles(120), 144, pixel, 69.0),
            Fan(even_angles(240, 2 * math.pi), 144, 1.5 * pixel, source_axis=300 * pixel, source_detector=450 * pixel),
        ):
            image = fbp(phantom.project(geometry, 4), geometry, grid)
            worst = max(worst, abs(float(to_hu(image[inside]).mean())))
    note = "largest mean over pixels of 0.1, 1 and 4 mm, parallel and fan"
    yield Row("FBP of a water disc: distance from 0 HU", "measured", worst, bar=10.0, above=False, unit="HU", note=note)
    geometry = Parallel(even_angles(60), 128, 2.0)
    phantom = water_disc(80.0)
    scan = simulate(phantom, geometry, 1e5, seed)
    value, half = float(scan.chi2(phantom.project(geometry, 2))), 0.5 * (scan.interval[1] - scan.interval[0])
    note = f"n = {scan.used}; the bar is four standard deviations"
    yield Row(
        "chi^2/n of the truth: distance from 1", "exact", abs(value - 1.0), bar=4 / 1.96 * half, above=False, note=note
    )
