"""Manifolds: the conformance kit over every space, in both precisions, and facts of each space by itself."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Noise
from scidiff.spaces import (
    SO3,
    Euclidean,
    Flat,
    Hyperbolic,
    Power,
    ProductManifold,
    Scaled,
    Simplex,
    SPDAffineInvariant,
    SPDLogEuclidean,
    Sphere,
    Torus,
    average_distortion,
    se3,
    worst_distortion,
)
from scidiff.spaces.so3 import from_matrix, multiply, rotate, rotation_vector, to_matrix, versor
from scidiff.testing import check_space

NOISE = Noise.range(5, 6)
COUNT = len(NOISE)


def normal(*shape: int, stream: str = "points") -> Tensor:
    return NOISE.normal(shape, step=0, stream=stream)


def matrices(size: int) -> Tensor:
    a = normal(size, size)
    return a @ a.mT + torch.eye(size, dtype=torch.float64)


def antipodes(size: int) -> tuple[Tensor, Tensor]:
    """Pairs at exactly half a turn, and 1e-9, 1e-6, 1e-3, ... from it."""
    x = Sphere(size).project(normal(size + 1))
    shift = torch.tensor([0.0, 0.0, 1e-9, 1e-6, 1e-3, 1e-1], dtype=torch.float64).unsqueeze(1)
    return x, Sphere(size).project(-x + shift * normal(size + 1, stream="shift"))


def half_turns() -> tuple[Tensor, Tensor]:
    """Rotations that differ by ``pi``, and nearly so."""
    x = SO3().project(normal(4))
    axis = Sphere(2).project(normal(3, stream="axis"))
    angle = math.pi - torch.tensor([0.0, 1e-12, -1e-9, 1e-7, -1e-4, 1e-1], dtype=torch.float64).unsqueeze(1)
    return x, SO3().exp(x, angle * axis)


def polar(size: int, radius: float) -> Tensor:
    u = Sphere(size - 1).project(normal(size))
    r = radius * torch.tensor([1e-3, 0.05, 0.3, 0.6, 0.8, 1.0], dtype=torch.float64).unsqueeze(1)
    return torch.cat((r, u), dim=1)


def rays(size: int) -> tuple[Tensor, Tensor]:
    """Points on one ray, on opposite rays, and the origin: where the polar chart is not smooth."""
    x = polar(size, 2.0)
    u = torch.cat((x[:2, 1:], -x[2:4, 1:], x[4:, 1:]))
    r = torch.tensor([0.5, 0.0, 1.0, 2.0, 0.0, 1.6], dtype=torch.float64).unsqueeze(1)
    return x, torch.cat((r, u), dim=1)


def cases() -> list[tuple]:
    circle = torch.linspace(-3, 1, COUNT, dtype=torch.float64).unsqueeze(1)
    return [
        (Flat(3), normal(3), None),
        (Torus(1), circle, (circle, circle + math.pi)),
        (Torus(4), normal(4), (normal(4), normal(4) - math.pi)),
        (Sphere(1), Sphere(1).project(normal(2)), antipodes(1)),
        (Sphere(2), Sphere(2).project(normal(3)), antipodes(2)),
        (Sphere(9), Sphere(9).project(normal(10)), antipodes(9)),
        (SO3(), SO3().project(normal(4)), half_turns()),
        (Hyperbolic(2), polar(2, 2.0), rays(2)),
        (Hyperbolic(3), polar(3, 3.0), rays(3)),
        (Hyperbolic(8), polar(8, 1e-3), None),
        (SPDLogEuclidean(3), matrices(3), None),
        (SPDAffineInvariant(3), matrices(3), None),
        (SPDAffineInvariant(1), matrices(1), None),
        (Simplex(2), Simplex(2).project(normal(2).abs()), None),
        (Simplex(5), Simplex(5).project(normal(5).clamp_min(0) + 1e-3), None),
        (Scaled(Sphere(2), math.log(3.0)), Sphere(2).project(normal(3)), antipodes(2)),
        (Scaled(Hyperbolic(2), torch.tensor(-1.0)), polar(2, 3.0), None),
        (Power(SO3(), (5,)), SO3().project(normal(5, 4)), None),
        (Power(Torus(1), (2, 3)), normal(2, 3, 1), None),
        (se3(), {"rotation": SO3().project(normal(4)), "translation": 10 * normal(3)}, None),
        (
            ProductManifold({"tree": Hyperbolic(2), "ring": Scaled(Torus(1), 0.5), "shape": SPDLogEuclidean(2)}),
            {"tree": polar(2, 1.0), "ring": circle, "shape": matrices(2)},
            None,
        ),
    ]


@pytest.mark.parametrize(("space", "points", "cut"), cases(), ids=[repr(case[0])[:30] for case in cases()])
def test_conformance(space, points, cut, dtype):
    check_space(space, points, dtype=dtype, cut=cut)
