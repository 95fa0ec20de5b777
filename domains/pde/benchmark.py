"""Rows of the benchmark: operators, solvers against independent methods, and exact posteriors.

Every truth here is made anew from the seed by the solvers of the domain; what other methods reached on their own data
is quoted beside it, with that said. ``--fast`` takes smaller grids, fewer fields and one set of sensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from scidiff.domain import Row
from scidiff.random import Noise

from .certificate import certify
from .constraints.family_rows import family_rows
from .constraints.rows import constraint_rows
from .darcy.rows import rows as darcy_rows
from .flow_evaluation import flow_rows
from .grids import MacGrid
from .leray import leray, spectral_divergence, spectral_leray
from .manufactured import darcy_error, elasticity_error, poisson_fem_error, stokes_error
from .mesh_rows import mesh_rows
from .models import load
from .obstacles import disc
from .posterior_rows import posterior_rows
from .problems import NAMES, problem
from .problems.burgers import Burgers
from .refinement import observed_orders
from .uncertainty_rows import uncertainty_rows

__all__ = ["rows"]

_ROUND = 1e-12
_SMALL = {
    "poisson": 64,
    "helmholtz": 64,
    "darcy": 32,
    "darcy_lognormal": 32,
    "darcy_wells": 32,
    "navier_stokes": 32,
    "kolmogorov": 32,
    "porous_medium": 50,
    "shallow_water": 32,
}


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure and yield the rows one by one."""
    yield from _projections(seed)
    yield _cole_hopf(seed)
    yield from _truths(fast, seed)
    yield from _orders(fast)
    yield from posterior_rows(fast, seed)
    yield from uncertainty_rows(fast, seed)
    yield from mesh_rows(fast, seed)
    yield from constraint_rows(fast, seed)
    yield from family_rows(fast, seed)
    yield from darcy_rows(fast, seed)
    yield from flow_rows(load("flow"), 2 if fast else 24, (4,) if fast else (1, 4, 20), seed)


def _least(name: str, value: float, bar: float, note: str = "", **more: object) -> Row:
    """A row that passes if the value is at most the bar."""
    return Row(name, "measured", value, bar=bar, above=False, note=note, **more)


def _projections(seed: int) -> Iterator[Row]:
    """Divergence after projection, and what a second projection changes."""
    rng = np.random.default_rng(seed)
    w = torch.from_numpy(rng.normal(size=(2, 4, 64, 64)))
    before = float(spectral_divergence(w[0], w[1]).abs().max())
    u, v = spectral_leray(w[0], w[1])
    size = 64 * float(u.abs().max())
    note = "white noise, 64 x 64, 4 fields; over max |w| / h"
    left = float(spectral_divergence(u, v).abs().max()) / size
    was = {"baseline": before / size, "baseline_name": "before"}
    yield _least("Leray, Fourier: relative divergence", left, _ROUND, note, **was)
    again = spectral_leray(u, v)
    change = float((again[0] - u).abs().max() / u.abs().max())
    yield _least("Leray, Fourier: change by a second projection", change, _ROUND, note)
    grid = MacGrid(disc((64, 64), (0.3, 0.4), 0.12) | disc((64, 64), (0.7, 0.65), 0.1))
    x = rng.normal(size=(2, 4, 64, 64))
    before = grid.relative_divergence(x[0], x[1])
    a, b = leray(grid).project(x[0], x[1])
    note = "white noise, 64 x 64 cells with two discs, 4 fields; over max |w| / h"
    left = grid.relative_divergence(a, b)
    yield _least("Leray, staggered: relative divergence", left, _ROUND, note, baseline=before, baseline_name="before")
    c, d = leray(grid).project(a, b)
    change = max(abs(c - a).max(), abs(d - b).max()) / abs(a).max()
    yield _least("Leray, staggered: change by a second projection", float(change), _ROUND, note)
    wall = max(abs(a[:, ~grid.free[0]]).max(), abs(b[:, ~grid.free[1]]).max())
    yield _least("Leray, staggered: flux through walls", float(wall), _ROUND, note)


def _cole_hopf(seed: int) -> Row:
    """ETDRK4 against Cole-Hopf at 1024 points."""
    begun = time.perf_counter()
    one = Burgers(size=1024, frames=6, substeps=200)
    error = float(one.deviation(one.truth(seed, 2)).max())
    note = "1024 points, 1000 steps to t = 1, viscosity 0.01, 2 fields; relative L2 over all frames"
    return _least("ETDRK4 against Cole-Hopf", error, 1e-10, note, seconds=time.perf_counter() - begun)


def _truths(fast: bool, seed: int) -> Iterator[Row]:
    """Residual and constraints of the truth, and its distance from the independent solution."""
    count = 2 if fast else 8
    for name in NAMES:
        settings = {"size": _SMALL[name]} if fast and name in _SMALL else {}
        begun, one = time.perf_counter(), problem(name, **settings)
        state = one.truth(seed, count)
        certificate = certify(one, state, independent=False)
        seconds = time.perf_counter() - begun
        note = f"{one.title}; n = {count}, shape {one.shape}; over the largest term"
        yield _least(f"{name}: residual of the truth", float(certificate.relative.max()), 1e-10, note, seconds=seconds)
        if certificate.constraints:
            worst = max(float(value.max()) for value in certificate.constraints.values())
            yield _least(f"{name}: constraints of the truth", worst, 1e-10, f"{', '.join(certificate.constraints)}")
        if not np.isfinite(one.order):
            other = one.reference(one.draw(Noise.range(seed, count)))
            left = float(certify(one, other, independent=False).relative.max())
            note = "the solution of the other method under our operator, over the largest term; derivatives amplify"
            yield Row(f"{name}: residual of the independent solution", "measured", left, note=note)
        distance = float(one.deviation(state).max())
        coarse = 4.0 if settings and np.isfinite(one.order) else 1.0
        note = f"relative L2; n = {count}, shape {one.shape}; stated {one.truth_error:g} on the standard grid"
        yield _least(f"{name}: distance from the independent solution", distance, coarse * one.truth_error, note)


def _orders(fast: bool) -> Iterator[Row]:
    """Orders of convergence on manufactured solutions."""
    sizes = (8, 16, 32) if fast else (16, 32, 64)
    cases = (
        ("Darcy, finite volumes", darcy_error, 2.0),
        ("Poisson, quadratic elements, L2", poisson_fem_error, 3.0),
        ("Stokes, Taylor-Hood, velocity, L2", stokes_error, 3.0),
        ("elasticity, quadratic elements, L2", elasticity_error, 3.0),
    )
    for name, error, order in cases:
        found = observed_orders(error, sizes)[-1]
        note = f"manufactured solution, {sizes[-2]} to {sizes[-1]} cells along an axis; theory {order:g}"
        yield Row(f"order: {name}", f"consistent({order:g})", found, bar=order - 0.1, note=note)
