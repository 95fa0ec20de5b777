"""Claims of the rotations: characters and semigroup of the heat kernel, its score and limits, the cost of exp and log.

With ``D^l`` the irreducible representation of degree ``l`` and the generator of half the Laplacian,

    E D^l(R) = exp(-l (l + 1) t / 2) 1,        E tr D^2 = 5 exp(-3 t),      tr D^l = sin((l + 1/2) w) / sin(w / 2)

and the square of a character is the sum of those of degree 0 to 2 l, which gives the error of a mean of draws.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from scipy.stats import ks_2samp
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.process.igso3 import IGSO3
from scidiff.random import Noise
from scidiff.spaces.so3 import SO3

__all__ = ["claims"]

_COUNT = 4000
_MANY = 100_000
_RARE = 1e-5


def claims() -> Iterator[Claim]:
    """Yield the claims of the rotations."""
    for t in (0.3, 1.0):
        square = sum((2 * l + 1) * math.exp(-l * (l + 1) * t / 2) for l in range(5))
        yield Claim(
            f"IGSO(3)/E tr D^2 of draws/t = {t:g}",
            "exact",
            lambda seed, t=t: _second_character(seed, t),
            truth=5 * math.exp(-3 * t),
            tolerance=5 * ((square - 25 * math.exp(-6 * t)) / _COUNT) ** 0.5,
            why=f"5 exp(-3t); five standard errors of {_COUNT} draws, the square of a character in characters",
        )
    yield Claim(
        "IGSO(3)/semigroup, two samples of angles",
        "exact",
        _semigroup,
        truth=0,
        tolerance=(-math.log(_RARE / 2) / _COUNT) ** 0.5,
        why=f"Kolmogorov-Smirnov distance of draws for 0.4 then 0.7 and for 1.1, {_COUNT} each; level {_RARE:g}",
    )
    yield Claim(
        "IGSO(3)/score against finite differences",
        "exact",
        _score_defect,
        truth=0,
        tolerance=1e-6,
        why="largest relative error in three directions, t = 0.05 to 3; steps of 1e-4 err by h^2 / t, below 1e-6",
    )
    yield from _limits()
    yield Claim(
        f"SO(3)/processor seconds of exp and log of {_MANY} rotations",
        "measured",
        _seconds,
        truth=0,
        tolerance=0.3,
        why="float64, best of three; one exp and one log",
    )


def _limits() -> Iterator[Claim]:
    yield Claim(
        "IGSO(3)/distance to the uniform law, t = 20",
        "exact",
        lambda _seed: _uniform_limit(20.0),
        truth=1,
        tolerance=1e-6,
        why="sup |f - 1| over 9 exp(-t), the first character; the next one is smaller by exp(-2t)",
    )
    yield Claim(
        "IGSO(3)/mean square of the angle over 3t, t = 0.001",
        "exact",
        lambda _seed: _maxwell_limit(1e-3),
        truth=1,
        tolerance=1e-3,
        why="Maxwell's law of three coordinates of variance t; the curvature changes it by less than t",
    )


def _identity(count: int) -> Tensor:
    return torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(count, 4)


def _angles(x: Tensor) -> Tensor:
    return SO3().dist(_identity(len(x)), x)


def _second_character(seed: int, t: float) -> float:
    w = _angles(IGSO3().sample(_identity(_COUNT), t, Noise.range(seed, _COUNT), step=0, stream="character"))
    return float((1 + 2 * w.cos() + 2 * (2 * w).cos()).mean())


def _semigroup(seed: int) -> float:
    """Distance of the laws of two short steps and of one long one."""
    kernel, noise, again = IGSO3(), Noise.range(seed, _COUNT), Noise.range(seed, _COUNT, _COUNT)
    half = kernel.sample(_identity(_COUNT), 0.4, noise, step=0, stream="first")
    two = kernel.sample(half, 0.7, noise, step=1, stream="second")
    one = kernel.sample(_identity(_COUNT), 1.1, again, step=0, stream="whole")
    return float(ks_2samp(_angles(two).numpy(), _angles(one).numpy()).statistic)


def _score_defect(seed: int) -> float:
    """Worst error of the score in the coordinate directions, relative to its length."""
    kernel, space, noise, h = IGSO3(), SO3(), Noise.range(seed, 40), 1e-4
    t = torch.logspace(math.log10(0.05), math.log10(3.0), 40, dtype=torch.float64)
    x0 = space.uniform(noise, (4,), step=0, stream="x0")
    x = kernel.sample(x0, t, noise, step=0, stream="x")
    score = kernel.score(x0, x, t)
    worst = torch.zeros(40, dtype=torch.float64)
    for v in torch.eye(3, dtype=torch.float64):
        up, down = (kernel.log_density(x0, space.exp(x, size * v.expand(40, 3)), t) for size in (h, -h))
        worst = torch.maximum(worst, ((up - down) / (2 * h) - space.inner(x, score, v.expand(40, 3))).abs())
    return float((worst / space.norm(x, score)).max())


def _uniform_limit(t: float) -> float:
    w = torch.linspace(0, math.pi, 101, dtype=torch.float64)
    return float((IGSO3().log_haar(w, torch.full_like(w, t)).expm1()).abs().max()) / (9 * math.exp(-t))


def _maxwell_limit(t: float) -> float:
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(200))
    half = 6 * math.sqrt(t)
    w = half * (nodes + 1)
    law = IGSO3().log_haar(w, torch.full_like(w, t)).exp() * (1 - w.cos()) * weights
    return float((law * w**2).sum() / law.sum()) / (3 * t)


def _seconds(seed: int) -> float:
    space, noise = SO3(), Noise.range(seed, _MANY)
    x, v = space.uniform(noise, (4,), step=0, stream="x"), noise.normal((3,), step=0, stream="v")
    taken = []
    for _ in range(3):
        start = time.process_time()
        space.log(x, space.exp(x, v))
        taken.append(time.process_time() - start)
    return min(taken)
