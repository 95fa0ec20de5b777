"""Hyperbolic space in polar coordinates against the hyperboloid in high precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scidiff.random import Noise
from scidiff.spaces import Hyperbolic, Scaled

NOISE = Noise.range(6, 500)


def pairs(space: Hyperbolic, radius: float, apart: float) -> tuple[Tensor, Tensor]:
    """Points at a radius and their neighbours at a given distance in random directions."""
    u = NOISE.normal((space.dim,), step=0, stream="u")
    x = space.project(torch.cat((torch.full((len(u), 1), radius, dtype=torch.float64), u), dim=1))
    v = space.random_tangent(x, NOISE, step=0, stream="v")
    return x, space.exp(x, apart * v / space.norm(x, v).unsqueeze(1))


def lorentz(x: Tensor) -> Tensor:
    """Point of the hyperboloid ``-y_0^2 + |y|^2 = -1``."""
    return torch.cat((x[:, :1].cosh(), x[:, :1].sinh() * x[:, 1:]), dim=1)


def pairing(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, 1:] * y[:, 1:]).sum(1) - x[:, 0] * y[:, 0]


@pytest.mark.parametrize("apart", [1e-3, 0.1, 1.0, 4.0, 15.0])
@pytest.mark.parametrize("radius", [1.0, 4.0, 8.0, 10.0])
def test_float32_distances(radius, apart):
    """Error below 1e-6, against the distance of the very same float32 points in float64; measured 7e-7 at most.

    The relative error of ``sinh^2(d/2)`` is a few roundings, hence that of ``d`` is absolute above 1.
    """
    space = Hyperbolic(2)
    x, y = (side.float() for side in pairs(space, radius, apart))
    error = (space.dist(x, y).double() - space.dist(x.double(), y.double())).abs().max()
    assert float(error) < 1e-6 * max(1.0, apart / 8)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_distance_and_geodesic_against_the_hyperboloid(size):
    """``cosh d = -<X, Y>`` and ``exp = cosh d X + sinh d / d V`` at radii where float64 has digits to spare."""
    space = Hyperbolic(size)
    x, y = pairs(space, 1.5, 2.0)
    assert torch.allclose(space.dist(x, y).cosh(), -pairing(lorentz(x), lorentz(y)), rtol=1e-12)
    v = space.log(x, y)
    radial = torch.cat((x[:, :1].sinh(), x[:, :1].cosh() * x[:, 1:]), dim=1)
    velocity = v[:, :1] * radial + torch.cat((torch.zeros(len(v), 1).double(), v[:, 1:]), dim=1)
    d = space.dist(x, y).unsqueeze(1)
    assert torch.allclose(d.cosh() * lorentz(x) + d.sinh() / d * velocity, lorentz(y), atol=1e-11)


def test_transport_against_the_hyperboloid():
    """``V + <Y, V> / (1 - <X, Y>) (X + Y)``, in the frame of the end point."""
    space = Hyperbolic(3)
    x, y = pairs(space, 1.2, 1.7)
    v = space.random_tangent(x, NOISE, step=1, stream="v")

    def ambient(p: Tensor, w: Tensor) -> Tensor:
        radial = torch.cat((p[:, :1].sinh(), p[:, :1].cosh() * p[:, 1:]), dim=1)
        return w[:, :1] * radial + torch.cat((torch.zeros(len(w), 1).double(), w[:, 1:]), dim=1)

    a, b, w = lorentz(x), lorentz(y), ambient(x, v)
    exact = w + (pairing(b, w) / (1 - pairing(a, b))).unsqueeze(1) * (a + b)
    assert torch.allclose(ambient(y, space.transport(x, y, v)), exact, atol=1e-11)


@pytest.mark.parametrize("radius", [0.0, 1e-12, 1e-3, 8.0, 20.0])
def test_maps_at_every_radius(radius):
    """``|log_x exp_x v| = |v|`` and ``dist = |v|``: round-off of the direction is magnified by sinh r and cosh d."""
    space = Hyperbolic(3)
    x, y = pairs(space, radius, 2.0)
    bound = 64 * 2.2e-16 * 3 * (math.cosh(radius) + math.cosh(2.0) + math.cosh(radius + 2))
    assert float((space.dist(x, y) - 2.0).abs().max()) < bound
    assert float((space.norm(x, space.log(x, y)) - 2.0).abs().max()) < bound


def test_right_triangles():
    """Pythagoras: ``cosh c = cosh a cosh b`` at the right angle, at the origin and away from it."""
    space = Hyperbolic(2)
    x = torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.6, 0.8]], dtype=torch.float64)
    across = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.8, -0.6]], dtype=torch.float64)
    along = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    p, q = space.exp(x, 1.3 * across), space.exp(x, 0.7 * along)
    assert torch.allclose(space.dist(p, q).cosh(), torch.full((2,), math.cosh(1.3) * math.cosh(0.7)).double())


def test_a_straight_line_through_the_origin():
    """Moving inwards by more than the radius comes out on the other side, without loss of digits, in float32 too."""
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([[8.0, 0.6, 0.8]], dtype=dtype)
        y = Hyperbolic(2).exp(x, torch.tensor([[-15.0, 0.0, 0.0]], dtype=dtype))
        assert torch.allclose(y, torch.tensor([[7.0, -0.6, -0.8]], dtype=dtype), atol=40 * torch.finfo(dtype).eps)


def test_curvature_is_the_scale():
    """The area of a thin ring: circumference ``2 pi R sinh(r / R)`` by the distance of two near directions."""
    radius, r, turn = 3.0, 4.0, 1e-4
    space = Scaled(Hyperbolic(2), math.log(radius))
    x = torch.tensor([[r / radius, 1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([[r / radius, math.cos(turn), math.sin(turn)]], dtype=torch.float64)
    assert float(space.dist(x, y)) == pytest.approx(radius * math.sinh(r / radius) * turn, rel=1e-7)


def test_project_gives_every_point_one_name():
    x = torch.tensor([[-2.0, 0.0, 3.0], [0.0, 5.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    wanted = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    assert torch.equal(Hyperbolic(2).project(x), wanted)
