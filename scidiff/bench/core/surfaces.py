"""Claims of surfaces: straightest paths, premetrics that fall as the clock says, noise without eigenvectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from scidiff.bench.core.check import Claim
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.mesh import (
    HodgeChebyshev,
    HodgeLaplacian,
    Premetric,
    SurfacePoints,
    barycentric_stars,
    bumpy_sphere,
    spectrum,
    square,
    torus,
    whitney_stars,
)
from scidiff.process import MatrixFreeNoising, OperatorSchedule, PremetricFlow, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Grid, Retracted, run, uniform_grid
from scidiff.spaces import MeshSurface
from scidiff.testing_targets.caps import blobs, cap_density, chord_sphere

__all__ = ["claims"]

_SAMPLES, _STEPS = 400, 40


def claims() -> Iterator[Claim]:
    """Yield the claims of points on surfaces."""
    yield Claim(
        "straightest paths are walked back/bumpy sphere",
        "exact",
        _walk_back,
        truth=0,
        tolerance=1e-10,
        why="60 paths of length 2 over all edges, and home along the carried vector; round-off that edges spread",
    )
    yield Claim(
        "premetric path in the plane is straight/square",
        "exact",
        _straight,
        truth=0,
        tolerance=1e-13,
        why="coordinates as the map, t = 0.3, against x_0 + t (x_1 - x_0); round-off",
    )
    for name, make in (("bumpy sphere", lambda: bumpy_sphere(3)), ("torus", lambda: torus(24, 12))):
        yield Claim(
            f"biharmonic distance falls as the clock says/{name}",
            "exact",
            lambda seed, make=make: _fall(make, seed),
            truth=0,
            tolerance=2e-12,
            why="largest relative error of d(x_t, x_0) over kbar d(x_1, x_0), 40 pairs, t = 0.3; levels met to 1e-12",
        )
    yield Claim(
        "noise of edges without eigenvectors/torus",
        "exact",
        _matrix_free,
        truth=0,
        tolerance=1e-8,
        why="three functions at three times against all eigenvectors, in the norm of the mass; the tolerance asked for",
    )
    yield Claim(
        "share of a blob after premetric flow matching/sphere",
        "consistent(1)",
        _blob_share,
        truth=0.3,
        tolerance=4 * (0.3 * 0.7 / _SAMPLES) ** 0.5 + 0.02,
        why=f"exact posterior of 60 data, {_SAMPLES} samples: four binomial standard errors, 0.02 for {_STEPS} steps",
        calls=_STEPS,
        full=True,
    )


def _points(space: MeshSurface, seed: int, count: int, stream: str) -> torch.Tensor:
    return space.uniform(Noise.range(seed, count), (4,), step=0, stream=stream)


def _walk_back(seed: int) -> float:
    """Distance in space between starts and ends of paths there and back."""
    points = SurfacePoints(bumpy_sphere(2))
    space = MeshSurface(Premetric(points, points.complex.vertices.copy()))
    x = _points(space, seed, 60, "starts")
    v = space.random_tangent(x, Noise.range(seed, 60), step=0, stream="directions")
    v = 2 * v / v.norm(dim=1, keepdim=True)
    face, bary = x[:, 0].long().numpy(), x[:, 1:].numpy()
    there = points.trace(face, bary, v.numpy())
    back = points.trace(there[0], there[1], -there[2])
    return float(np.abs(points.positions(back[0], back[1]) - points.positions(face, bary)).max())


def _straight(seed: int) -> float:
    complex = square(7, 5)
    space = MeshSurface(Premetric(SurfacePoints(complex), complex.vertices[:, :2].copy()))
    x0, x1 = (_points(space, seed, 80, stream) for stream in ("data", "prior"))
    a, b = space.positions(x0), space.positions(x1)
    return float((space.positions(PremetricFlow(space).path(x0, x1, 0.3)) - (a + 0.3 * (b - a))).abs().max())


def _fall(make, seed: int) -> float:
    space = MeshSurface.spectral(spectrum(HodgeLaplacian(whitney_stars(make()), 0), 40))
    x0, x1 = (_points(space, seed, 40, stream) for stream in ("data", "prior"))
    x_t = PremetricFlow(space).path(x0, x1, 0.3)
    return float((space.dist(x_t, x0) / (0.3 * space.dist(x1, x0)) - 1).abs().max())


def _matrix_free(seed: int) -> float:
    """Worst error of signal and noise over three times, each relative to its input times the largest gain."""
    laplacian = HodgeLaplacian(barycentric_stars(torus(9, 6)), 1)
    modes, mass, fast = spectrum(laplacian), laplacian.mass.diagonal(), HodgeChebyshev(laplacian)
    noising = MatrixFreeNoising(laplacian, OperatorSchedule(VPSchedule(), 0.1))
    u = Noise.range(seed, 1).normal((laplacian.size,), step=0, stream="cochain")[0].numpy()
    worst = 0.0
    for t in (0.05, 0.3, 1.0):
        levels = noising.levels(t)
        for level in (levels.signal, levels.white, levels.rough):
            gains = level(modes.values)
            rest = fast.apply(fast.coefficients(level, tolerance=1e-8), u) - modes.apply(gains, u)
            worst = max(worst, float(np.sqrt(mass @ rest**2 / (mass @ u**2)) / gains.max()))
    return worst


def _blob_share(seed: int) -> float:
    """Share of samples whose nearest datum is of the first blob."""
    space = chord_sphere(3)
    flow, data = PremetricFlow(space), blobs(space, (18, 42))
    denoiser = ManifoldDatasetDenoiser(flow, cap_density, data).denoiser
    noise = Noise.range(seed, _SAMPLES)
    end = run(denoiser, flow, Retracted(order=1), Grid(uniform_grid(_STEPS)), noise=noise, shape=(4,))
    nearest = torch.cdist(space.positions(end.x), space.positions(data)).argmin(1)
    return float((nearest < 18).double().mean())
