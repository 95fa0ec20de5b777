"""Brownian motion by geodesic random walks: one exact number per space, for the walk and for its limit.

From a point, a walk of ``N`` steps multiplies the first eigenfunction by ``E f(sqrt(h) chi_n)`` at each, whatever the
step before: the walk is compared with that power within Monte-Carlo error, and the power with its limit without any.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.random_walk import geodesic_random_walk
from scidiff.random import Noise
from scidiff.spaces import (
    SO3,
    Flat,
    Hyperbolic,
    Manifold,
    Scaled,
    Simplex,
    SPDAffineInvariant,
    SPDLogEuclidean,
    Sphere,
    Torus,
    se3,
)
from scidiff.spaces.so3 import to_matrix

COUNT = 20_000


def chi_mean(function, n: int, h: float) -> float:
    """``E function(sqrt(h) |xi|)`` for a standard normal ``xi`` in R^n, by quadrature."""
    scale = 2 ** (1 - n / 2) / math.gamma(n / 2)
    return quad(
        lambda r: function(math.sqrt(h) * r) * scale * r ** (n - 1) * math.exp(-r * r / 2), 0, 12, epsabs=1e-13
    )[0]


def one_step(space: Manifold, h: float) -> float:
    """Factor by which one step multiplies the observable, exactly."""
    if isinstance(space, Hyperbolic):
        return chi_mean(math.cosh, space.dim, h)
    if isinstance(space, SO3):
        return chi_mean(lambda r: (1 + 2 * math.cos(r)) / 3, 3, h)
    return chi_mean(math.cos, space.dim, h)


def limit(space: Manifold, t: float) -> float:
    """Mean of the observable under Brownian motion."""
    if isinstance(space, Hyperbolic):
        return math.exp(space.dim * t / 2)
    return math.exp(-t) if isinstance(space, SO3) else math.exp(-space.dim * t / 2)


def observable(space: Manifold, x0: Tensor, x: Tensor) -> Tensor:
    """Cosine of the distance, normalised trace, or hyperbolic cosine of the distance."""
    if isinstance(space, SO3):
        return torch.einsum("nij,nij->n", to_matrix(x0), to_matrix(x)) / 3
    d = space.dist(x0, x)
    return d.cosh() if isinstance(space, Hyperbolic) else d.cos()


def start(space: Manifold, dtype: torch.dtype = torch.float64) -> Tensor:
    """One fixed point, the same in every row, not special in its chart."""
    row = 0.3 + 0.1 * torch.arange(space.shape[0], dtype=dtype)
    return space.project(row.expand(COUNT, -1))


SPACES = [Sphere(1), Sphere(2), Sphere(5), SO3(), Hyperbolic(2), Hyperbolic(3), Torus(1)]


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_the_walk_has_its_exact_mean(space, steps):
    """Within five standard errors of the power of the one-step factor, at t = 0.7."""
    t, x0 = 0.7, start(space)
    x = geodesic_random_walk(space, x0, t, Noise.range(21, COUNT), steps=steps)
    value = observable(space, x0, x)
    error = float(value.std()) / math.sqrt(COUNT)
    assert abs(float(value.mean()) - one_step(space, t / steps) ** steps) < 5 * error


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_the_walk_converges_with_weak_order_one(space):
    """The bias halves when the steps double, within 15 % between 32 and 64 steps; it is zero in one dimension."""
    t = 0.7
    bias = [one_step(space, t / steps) ** steps - limit(space, t) for steps in (32, 64)]
    if space.dim == 1:
        assert max(map(abs, bias)) < 1e-11
    else:
        assert 0.85 < math.log2(bias[0] / bias[1]) < 1.15
        assert abs(bias[1]) > 1e-5


@pytest.mark.parametrize(
    ("space", "steps", "value"),
    [
        (Sphere(2), 1, 0.4424),
        (Sphere(2), 4, 0.4870),
        (Sphere(2), 16, 0.4941),
        (Hyperbolic(2), 1, 1.8847),
        (Hyperbolic(2), 4, 1.9791),
        (Hyperbolic(2), 16, 2.0088),
    ],
)
def test_the_bias_of_few_steps(space, steps, value):
    """Numbers of walks measured once by Monte Carlo, to their three digits; the limits are 0.4966 and 2.0138."""
    assert one_step(space, 0.7 / steps) ** steps == pytest.approx(value, rel=4e-3)


@pytest.mark.parametrize("space", [Sphere(2), SO3(), Hyperbolic(2)], ids=repr)
def test_many_steps_reach_the_limit(space):
    """32 steps from float32 points, float64 inside: within five standard errors and 1 % of bias."""
    t, x0 = 0.7, start(space, torch.float32)
    x = geodesic_random_walk(space, x0, t, Noise.range(22, COUNT), steps=32)
    assert x.dtype == torch.float32
    value = observable(space, x0.double(), x.double())
    error = 5 * float(value.std()) / math.sqrt(COUNT)
    assert abs(float(value.mean()) - limit(space, t)) < error + 0.01 * limit(space, t)


def test_affine_invariant_matrices_grow():
    """``E X_t = e^((n+1) t/4) X_0``: a step multiplies the mean by ``E exp(sqrt(h) xi) = 1 + (n+1) h/4 + O(h^2)``."""
    space, t = SPDAffineInvariant(2), 0.3
    x0 = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64).expand(COUNT, 2, 2)
    x = geodesic_random_walk(space, x0, t, Noise.range(23, COUNT), steps=16)
    error = 5 * x.std(0) / math.sqrt(COUNT)
    # bias of weak order one: (n+1) t/4 = 0.225 in 16 steps leaves less than 0.225^2 / 16
    assert bool(((x.mean(0) - math.exp(3 * t / 4) * x0[0]).abs() < error + 0.0032 * x0[0].abs()).all())


@pytest.mark.parametrize("space", [Flat(3), SPDLogEuclidean(2)], ids=repr)
def test_flat_spaces_need_one_step(space):
    """``E d^2 = dim t`` for any number of steps, within five standard errors of the chi-square law."""
    x0 = (
        torch.eye(2, dtype=torch.float64).expand(COUNT, 2, 2) if "SPD" in repr(space) else torch.ones(COUNT, 3).double()
    )
    for steps in (1, 3):
        x = geodesic_random_walk(space, x0, 0.5, Noise.range(24, COUNT), steps=steps)
        mean = float(space.dist(x0, x).square().mean())
        assert abs(mean - space.dim * 0.5) < 5 * 0.5 * math.sqrt(2 * space.dim / COUNT)


def test_a_larger_sphere_is_walked_more_slowly():
    """On a sphere of radius R the mean cosine decays with ``t / R^2``."""
    x0 = start(Sphere(2))
    x = geodesic_random_walk(Scaled(Sphere(2), math.log(2.0)), x0, 2.0, Noise.range(25, COUNT), steps=8)
    value = observable(Sphere(2), x0, x)
    assert abs(float(value.mean()) - one_step(Sphere(2), 2.0 / 8 / 4) ** 8) < 5 * float(value.std()) / math.sqrt(COUNT)


def test_the_simplex_walk_stays_on_the_simplex():
    space = Simplex(4)
    x0 = space.from_probs(torch.tensor([0.7, 0.1, 0.1, 0.1]).double().expand(200, 4))
    x = geodesic_random_walk(space, x0, 3.0, Noise.range(26, 200), steps=20)
    assert bool((x >= 0).all())
    assert torch.allclose(space.to_probs(x).sum(1), torch.ones(200, dtype=torch.float64))


def test_products_walk_factor_by_factor():
    """A rigid motion: the translation is normal, the rotation has its own mean trace; times may differ per sample."""
    noise = Noise.range(27, COUNT)
    x0 = {"rotation": start(SO3()), "translation": torch.zeros(COUNT, 3, dtype=torch.float64)}
    t = torch.full((COUNT,), 0.4)
    x = geodesic_random_walk(se3(), x0, t, noise, steps=2)
    trace = observable(SO3(), x0["rotation"], x["rotation"])
    assert abs(float(trace.mean()) - one_step(SO3(), 0.2) ** 2) < 5 * float(trace.std()) / math.sqrt(COUNT)
    assert abs(float(x["translation"].square().mean()) - 0.4) < 5 * 0.4 * math.sqrt(2 / (3 * COUNT))
    corner = (x["translation"][:, 0] * SO3().log(x0["rotation"], x["rotation"])[:, 0]).mean()
    assert abs(float(corner)) < 5 * 0.4 / math.sqrt(COUNT)


def test_a_walk_does_not_depend_on_the_batch():
    noise, x0 = Noise.range(28, 6), start(Sphere(2))[:6]
    x = geodesic_random_walk(Sphere(2), x0, 0.5, noise, steps=3)
    part = geodesic_random_walk(Sphere(2), x0[2:4], 0.5, noise.take([2, 3]), steps=3)
    assert torch.allclose(x[2:4], part, atol=1e-15)


@pytest.mark.parametrize("wrong", [{"steps": 0, "t": 1.0}, {"steps": 1, "t": 0.0}])
def test_what_is_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        geodesic_random_walk(Flat(2), torch.zeros(3, 2), noise=Noise.range(0, 3), **wrong)
