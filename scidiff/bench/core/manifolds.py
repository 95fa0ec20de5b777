"""Claims of the manifolds: Brownian identities, heat kernels, distances in single precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.process.heat import HyperbolicHeatKernel
from scidiff.process.igso3 import IGSO3, igso3_images, igso3_spectral
from scidiff.process.radial import RadialHeatKernel
from scidiff.process.sphere_heat import SphereHeatKernel
from scidiff.random import Noise
from scidiff.spaces.hyperbolic import Hyperbolic
from scidiff.spaces.sphere import Sphere
from scidiff.testing_targets.orders import slope
from scidiff.testing_targets.walks import WALKS, Walk

__all__ = ["claims"]

_TIME = 0.7
_COUNT = 4000
_HEAT: dict[str, tuple[RadialHeatKernel, Callable[[Tensor], Tensor], float, tuple[float, ...]]] = {
    "S^2": (SphereHeatKernel(), torch.cos, 1.0, (0.05, 0.5, 3.0)),
    "S^3": (SphereHeatKernel(Sphere(3)), torch.cos, 1.5, (0.5, 3.0)),
    "H^3": (HyperbolicHeatKernel(), torch.cosh, -1.5, (0.05, 0.5, 3.0)),
    "SO(3)": (IGSO3(), lambda w: (1 + 2 * w.cos()) / 3, 1.0, (0.05, 0.5, 3.0)),
}


def claims() -> Iterator[Claim]:
    """Yield the claims of the manifolds."""
    yield from _steps()
    yield from _heat()
    yield from _rotations()
    for distance in (1e-3, 1.0, 10.0):
        yield Claim(
            f"hyperbolic distance in float32 at r = 8/d = {distance:g}",
            "exact",
            lambda seed, distance=distance: _single_precision(seed, distance),
            truth=0,
            tolerance=1e-6,
            why="largest relative error of 500 pairs against float64; 8 units of round-off of the half-angle formula",
        )


def _steps() -> Iterator[Claim]:
    for name, walk in WALKS.items():
        yield Claim(
            f"geodesic step multiplies the eigenfunction/{name}",
            "exact",
            lambda seed, walk=walk: _factor_defect(walk, seed),
            truth=0,
            tolerance=1e-13,
            why="six points, variance 0.3, against the closed form; Gauss-Hermite with 24 nodes an axis",
        )
        if name == "T^1":
            continue
        yield Claim(
            f"Brownian identity, order of the geodesic walk/{name}",
            "consistent(1)",
            lambda seed, walk=walk: slope(*(abs(_walked(walk, seed, n) - _limit(walk)) for n in (16, 64)), 4),
            truth=1,
            tolerance=0.1,
            why=f"to {_limit(walk):.4f} at t = {_TIME}, 16 to 64 steps; the next order leaves a few per cent",
        )
    flat = WALKS["T^1"]
    yield Claim(
        "Brownian identity, one step/T^1",
        "exact",
        lambda seed: _walked(flat, seed, 1),
        truth=_limit(flat),
        tolerance=1e-13,
        why="E cos of the angle is exp(-t/2) whatever the number of steps: the torus is flat",
    )


def _limit(walk: Walk) -> float:
    return math.exp(-walk.rate * _TIME)


def _factor_defect(walk: Walk, seed: int) -> float:
    """Worst deviation of the factor of a step from its closed form."""
    points = walk.points(seed, 6)
    return max(abs(walk.factor(x, points[0], 0.3) - walk.kappa(0.3)) for x in points)


def _walked(walk: Walk, seed: int, steps: int) -> float:
    """Eigenfunction after a walk of `steps` steps from the pole, relative to the start."""
    points = walk.points(seed, 2)
    return walk.factor(points[1], points[0], _TIME / steps) ** steps


def _rotations() -> Iterator[Claim]:
    yield Claim(
        "IGSO(3)/series overlap",
        "exact",
        lambda _seed: _overlap(),
        truth=0,
        tolerance=1e-11,
        why="largest difference of log f between images and degrees, 0.5 <= t <= 3; round-off over the least f, 1e-5",
    )
    for t in (0.5, 3.0):
        variance = 1 + 3 * math.exp(-t) + 5 * math.exp(-3 * t) - 9 * math.exp(-2 * t)
        yield Claim(
            f"IGSO(3)/E tr R of draws/t = {t:g}",
            "exact",
            lambda seed, t=t: _drawn_trace(seed, t),
            truth=3 * math.exp(-t),
            tolerance=5 * (variance / _COUNT) ** 0.5,
            why=f"3 exp(-t); five standard errors of {_COUNT} draws, var tr R = 1 + 3 e^-t + 5 e^-3t - 9 e^-2t",
        )


def _overlap() -> float:
    """Largest difference of the two series where both converge."""
    w, t = (
        part.flatten()
        for part in torch.meshgrid(
            torch.linspace(0, math.pi, 201, dtype=torch.float64),
            torch.linspace(0.5, 3, 26, dtype=torch.float64),
            indexing="ij",
        )
    )
    return float((igso3_images(w, t)[0] - igso3_spectral(w, t)[0]).abs().max())


def _heat() -> Iterator[Claim]:
    for name, (kernel, zonal, rate, times) in _HEAT.items():
        for t in times:
            yield Claim(
                f"heat kernel, first eigenfunction by quadrature/{name}/t = {t:g}",
                "exact",
                lambda _seed, kernel=kernel, zonal=zonal, t=t: _radial_mean(kernel, zonal, t),
                truth=math.exp(-rate * t),
                tolerance=1e-10 * max(1.0, math.exp(-rate * t)),
                why="E cos r = exp(-nt/2), E cosh r = exp(nt/2), E tr R / 3 = exp(-t); 300 Gauss nodes and a cut tail",
            )


def _radial_mean(kernel: RadialHeatKernel, zonal: Callable[[Tensor], Tensor], t: float) -> float:
    """Mean of a function of the distance under a heat kernel."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(300))
    half = 0.5 * float(kernel.horizon(torch.tensor(t, dtype=torch.float64)))
    r = half * (nodes + 1)
    density = (kernel.log_radial(r, torch.full_like(r, t)) + kernel.log_area(r)).exp()
    return float((density * zonal(r) * weights * half).sum())


def _drawn_trace(seed: int, t: float) -> float:
    """Mean trace of draws around the identity."""
    identity = torch.zeros(_COUNT, 4, dtype=torch.float64)
    identity[:, 0] = 1.0
    kernel = IGSO3()
    x = kernel.sample(identity, t, Noise.range(seed, _COUNT), step=0, stream="trace")
    return float((1 + 2 * kernel.space.dist(identity, x).cos()).mean())


def _single_precision(seed: int, distance: float) -> float:
    """Largest relative error of the distance of pairs at radius 8 whose coordinates are float32."""
    noise, space = Noise.range(seed, 500), Hyperbolic(2)
    angle = 2 * math.pi * noise.uniform((), step=0, stream="angle")
    far = torch.stack([torch.full_like(angle, 8.0), angle.cos(), angle.sin()], dim=-1)
    v = space.random_tangent(far, noise, step=0, stream="direction")
    near = space.exp(far, distance * v / space.norm(far, v).unsqueeze(-1))
    one, two = far.float(), near.float()
    exact = space.dist(one.double(), two.double())
    return float(((space.dist(one, two).double() - exact) / exact).abs().max())
