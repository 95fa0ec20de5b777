"""Geodesic paths and log-bridges: their laws in closed form, time per point, symmetry, and what they refuse."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.process import (
    ExponentialClock,
    GeodesicFlow,
    Kind,
    LogBridge,
    NormalAround,
    PowerClock,
    contracted_uniform,
)
from scidiff.random import Noise
from scidiff.spaces import SO3, Flat, Hyperbolic, Manifold, Power, Scaled, Sphere, Torus
from scidiff.spaces.so3 import multiply

COUNT = 6
NOISE = Noise.range(5, COUNT)
CLOSED = [Sphere(2), Sphere(4), SO3(), Torus(2)]
names = lambda value: repr(value)[:24]  # noqa: E731


def uniform(space: Manifold, shape: tuple[int, ...], stream: str, noise: Noise = NOISE) -> Tensor:
    return space.uniform(noise, shape, step=0, stream=stream)


def flat(size: int = 3) -> GeodesicFlow:
    space = Flat(size)
    return GeodesicFlow(space, base=NormalAround(space, torch.zeros(size)))


@pytest.mark.parametrize("clock", [PowerClock(), PowerClock(2.0), ExponentialClock(), ExponentialClock(0.5)], ids=names)
def test_clocks(clock):
    """Ends are 0 and 1; the pace is kbar / kbar' by a central difference, whose error is below 1e-6 of it."""
    ends = clock.remaining(torch.tensor([0.0, 1.0]))
    assert torch.equal(ends, torch.tensor([0.0, 1.0], dtype=torch.float64)) and float(clock.pace(0.0)) == 0
    t, h = torch.linspace(0.1, 0.9, 9, dtype=torch.float64), 1e-5
    slope = (clock.remaining(t + h) - clock.remaining(t - h)) / (2 * h)
    assert torch.allclose(clock.pace(t) * slope, clock.remaining(t), rtol=1e-6)


@pytest.mark.parametrize("space", CLOSED, ids=names)
def test_path_stays_on_the_geodesic(space, dtype):
    """Ends are data and prior, distances are shared as kbar says, and dx_t/dt = -m/pace by a central difference."""
    flow, eps = GeodesicFlow(space, clock=PowerClock(1.5)), torch.finfo(dtype).eps
    x0, x1 = (uniform(space, space.shape, s).to(dtype) for s in "ab")
    x0 = space.exp(x1, 0.6 * space.log(x1, x0))
    assert float(space.dist(flow.path(x0, x1, 0.0), x0).max()) < 16 * eps
    assert float(space.dist(flow.path(x0, x1, 1.0), x1).max()) < 16 * eps
    t = torch.tensor([0.1, 0.2, 0.4, 0.5, 0.7, 0.9], dtype=torch.float64)
    x = flow.path(x0, x1, t)
    assert x.dtype == dtype
    share = flow.clock.remaining(t).to(dtype)
    assert torch.allclose(space.dist(x, x0), share * space.dist(x0, x1), atol=16 * eps)
    if dtype == torch.float64:
        assert float((space.project(x) - x).abs().max()) < 1e-12
        h = 1e-5
        ahead, behind = (space.log(x, flow.path(x0, x1, t + step)) for step in (h, -h))
        assert torch.allclose((ahead - behind) / (2 * h), flow.target(x0, x, t, Kind.V), atol=1e-6)
    else:
        assert float((space.project(x) - x).abs().max()) < 1e-6


@pytest.mark.parametrize("process", [GeodesicFlow, LogBridge])
def test_time_per_point_is_time(process):
    """A number, one per sample, one per point and the full shape give one state to the last bit."""
    space = Power(SO3(), (3,))
    law, x0 = process(space), uniform(space, (3, 4), "x")
    times = [0.25, torch.full((COUNT,), 0.25), torch.full((COUNT, 3), 0.25), torch.full((COUNT, 3, 4), 0.25)]
    drawn = [law.noise(x0, t, NOISE) for t in times]
    assert all(torch.equal(drawn[0], one) for one in drawn[1:])
    mixed = torch.full((COUNT, 3), 0.25)
    mixed[:, 1] = 0
    part = law.noise(x0, mixed, NOISE)
    assert float(space.factor.dist(part[:, 1], x0[:, 1]).max()) < 1e-14
    assert torch.equal(part[:, ::2], drawn[0][:, ::2])
    m = torch.zeros(COUNT, 3, 3, dtype=torch.float64)
    loss = law.loss(m, x0, part, mixed)
    assert loss.shape == (COUNT, 3) and bool((loss[:, 1] == 0).all()) and bool((loss[:, 0] > 0).all())


def test_one_point_has_one_time():
    flow, x0 = GeodesicFlow(Sphere(2)), uniform(Sphere(2), (3,), "x")
    t = torch.full((COUNT, 3), 0.5)
    t[0, 1] = 0.4
    with pytest.raises(ShapeError, match="different times"):
        flow.noise(x0, t, NOISE)
    with pytest.raises(ShapeError, match="expected one number"):
        flow.noise(x0, torch.ones(COUNT, 3, 1, 1), NOISE)


def turn(space: Manifold, x: Tensor) -> Tensor:
    """Move points by one fixed isometry."""
    if isinstance(space, SO3):
        q = torch.tensor([0.5, -0.5, 0.5, 0.5], dtype=torch.float64)
        return space.project(multiply(q.expand_as(x), x))
    generator = torch.Generator().manual_seed(0)
    matrix, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    return x @ matrix.T


@pytest.mark.parametrize("space", [Sphere(2), SO3()], ids=names)
def test_isometries_commute_with_the_path(space):
    """Turning both ends turns the path; the body frame of a rotation does not change under turns from the left."""
    flow = GeodesicFlow(space)
    x0, x1 = (uniform(space, space.shape, s) for s in "ab")
    x, turned = flow.path(x0, x1, 0.4), flow.path(turn(space, x0), turn(space, x1), 0.4)
    assert float(space.dist(turned, turn(space, x)).max()) < 1e-13
    m, image = flow.target(x0, x, 0.4), flow.target(turn(space, x0), turned, 0.4)
    assert torch.allclose(image, m if isinstance(space, SO3) else turn(space, m), atol=1e-13)
    assert torch.allclose(contracted_uniform(flow, x0, x, 0.4), contracted_uniform(flow, turn(space, x0), turned, 0.4))


def test_flat_path_is_the_straight_line():
    """In R^n: x_t = (1 - t) x_0 + t x_1, m = x_0 - x_t and dx/dt = x_1 - x_0."""
    flow = flat()
    x0, x1 = (NOISE.normal((3,), step=0, stream=s) for s in "ab")
    x = flow.path(x0, x1, 0.3)
    assert torch.allclose(x, 0.7 * x0 + 0.3 * x1, atol=1e-15)
    assert torch.allclose(flow.target(x0, x, 0.3), x0 - x, atol=1e-15)
    assert torch.allclose(flow.target(x0, x, 0.3, Kind.V), x1 - x0, atol=1e-14)


@pytest.mark.parametrize("space", CLOSED[:3], ids=names)
@pytest.mark.parametrize("kbar", [0.2, 0.7, 1.0])
def test_density_of_the_contraction_integrates_to_one(space, kbar):
    """Over spheres around the datum, of area known in closed form, by 4000 midpoints: error of order 1e-7."""
    flow, count = GeodesicFlow(space), 4000
    r = (torch.arange(count, dtype=torch.float64) + 0.5) / count * math.pi * kbar
    x0 = uniform(space, space.shape, "x", Noise.range(0, 1)).expand(count, *space.shape)
    v = space.random_tangent(x0[:1], Noise.range(1, 1), step=0, stream="v")
    x = space.exp(x0, r.unsqueeze(1) * v / v.norm())
    n = space.dim
    unit_area = 2 * math.pi ** (n / 2) / math.gamma(n / 2)
    radial = 2 * (r / 2).sin() if isinstance(space, SO3) else r.sin()
    density = contracted_uniform(flow, x0, x, kbar).exp()
    assert float((density * unit_area * radial ** (n - 1)).sum() * math.pi * kbar / count) == pytest.approx(1, abs=1e-6)
    beyond = space.exp(x0[:1], (math.pi * min(1.0, kbar * 1.01)) * v / v.norm())
    assert kbar == 1 or float(contracted_uniform(flow, x0[:1], beyond, kbar)) == -math.inf


@pytest.mark.parametrize("space", [Sphere(2), SO3(), Torus(2)], ids=names)
def test_draws_have_that_density(space):
    """Importance weights ``1/(vol p)`` of draws have the mean ``vol(support)/vol`` within five standard errors."""
    count, kbar = 20000, 0.6
    noise, flow = Noise.range(3, count), GeodesicFlow(space)
    x0 = uniform(space, space.shape, "x", Noise.range(0, 1)).expand(count, *space.shape)
    density = contracted_uniform(flow, x0, flow.noise(x0, kbar, noise), kbar)
    volume = {"Sphere(size=2)": 4 * math.pi, "SO3()": 8 * math.pi**2}.get(repr(space), (2 * math.pi) ** 2)
    top = math.pi * kbar
    share = {"Sphere(size=2)": (1 - math.cos(top)) / 2, "SO3()": (top - math.sin(top)) / math.pi}.get(
        repr(space), kbar**2
    )
    weight = (-density).exp() / volume
    assert abs(float(weight.mean()) - share) <= 5 * float(weight.std()) / math.sqrt(count) + 1e-12


def test_loss_is_least_at_the_mean():
    """Two data seen from one state: the mean of their logarithms beats both, by the variance exactly."""
    flow, space = GeodesicFlow(Sphere(2)), Sphere(2)
    x = uniform(space, (3,), "x")[:1].expand(2, 3)
    data = space.exp(x, space.random_tangent(x, Noise.range(0, 2), step=0, stream="v"))
    logs = space.log(x, data)
    mean = logs.mean(0, keepdim=True).expand(2, 3)
    spread = (logs[0] - logs[1]).square().sum() / 4
    assert torch.allclose(flow.loss(mean, data, x, 0.5).mean(), spread / 0.5**2, rtol=1e-12)
    assert torch.allclose(flow.loss(logs, data, x, 0.5), torch.zeros(2, dtype=torch.float64), atol=1e-25)


def test_loss_is_measured_in_the_metric():
    space = Scaled(Sphere(2), math.log(3.0))
    x0, x = (uniform(space, (3,), s) for s in "ab")
    zero = torch.zeros_like(x)
    loss = GeodesicFlow(space).loss(zero, x0, x, 1.0)
    assert torch.allclose(loss, 9 * GeodesicFlow(Sphere(2)).loss(zero, x0, x, 1.0))
    assert torch.allclose(loss, space.dist(x0, x) ** 2)


def test_kinds_are_converted():
    flow, space = GeodesicFlow(Sphere(2), clock=PowerClock(2.0)), Sphere(2)
    x0 = uniform(space, (3,), "x")
    x = flow.noise(x0, 0.6, NOISE)
    m, v = (flow.target(x0, x, 0.6, kind) for kind in (Kind.TANGENT, Kind.V))
    assert torch.allclose(flow.convert(v, Kind.V, x, 0.6), m, atol=1e-14)
    assert torch.allclose(flow.convert(m + 7 * x, Kind.TANGENT, x, 0.6), m, atol=1e-14)
    with pytest.raises(ConfigError, match="expected TANGENT or V"):
        flow.convert(m, Kind.EPS, x, 0.6)
    with pytest.raises(ShapeError, match="tangent vector"):
        flow.convert(m[:, :2], Kind.TANGENT, x, 0.6)
    with pytest.raises(ConfigError, match="t = 0"):
        flow.target(x0, x0, 0.0, Kind.V)


@pytest.mark.parametrize("process", [GeodesicFlow, LogBridge])
def test_renoising_is_defined_from_clean_sites(process):
    law = process(Torus(1))
    x0 = uniform(Torus(1), (1,), "x")
    assert torch.equal(law.renoise(x0, 0.0, 0.4, NOISE, stream="n"), law.noise(x0, 0.4, NOISE, stream="n"))
    assert torch.equal(law.renoise(x0, 0.4, 0.4, NOISE), x0)
    with pytest.raises(ConfigError, match="no law of x_t given x_s"):
        law.renoise(x0, 0.2, 0.4, NOISE)


def test_open_spaces_want_a_base():
    with pytest.raises(ConfigError, match="no uniform law"):
        GeodesicFlow(Hyperbolic(2)).prior(NOISE, (3,))
    space = Hyperbolic(2)
    centre = torch.tensor([0.0, 0.0, 1.0])
    flow = GeodesicFlow(space, base=NormalAround(space, centre, 0.5))
    x1 = flow.prior(NOISE, (3,))
    x0 = centre.double().expand(COUNT, 3)
    assert torch.allclose(space.dist(flow.path(x0, x1, 0.25), x0), space.dist(x1, x0) / 4, atol=1e-13)
    with pytest.raises(ConfigError, match="uniform law on"):
        contracted_uniform(flow, x1, x1, 0.5)


def test_walk_of_the_bridge_composes():
    """In R^n any division of a step gives one step: the mean by products, the variance by recursion, to round-off."""
    bridge = LogBridge(Flat(1), variance=2.0)
    levels = torch.tensor([2.0, 1.7, 0.9, 0.33, 0.2], dtype=torch.float64)
    keep, variance = 1.0, 0.0
    for now, then in itertools.pairwise(levels):
        c1, c2 = bridge.coefficients(now, then)
        keep, variance = keep * float(1 - c1), variance * float(1 - c1) ** 2 + float(c2) ** 2
    c1, c2 = bridge.coefficients(levels[0], levels[-1])
    assert keep == pytest.approx(float(1 - c1), rel=1e-14) and variance == pytest.approx(float(c2) ** 2, rel=1e-14)
    assert variance == pytest.approx(0.2 * 1.8 / 2.0, rel=1e-14)
    assert [float(c) for c in bridge.coefficients(torch.tensor(0.5), torch.tensor(0.0))] == [1.0, 0.0]


@pytest.mark.parametrize("walk", [1, 5])
def test_bridge_moments_in_flat_space(walk):
    """Mean x0 + k (x1 - x0) and variance V k (1 - k) of ``count`` draws within five standard errors."""
    count, k, variance = 20000, 0.3, 1.5
    bridge = LogBridge(Flat(1), variance=variance, walk=walk)
    x0, x1 = torch.full((count, 1), 2.0, dtype=torch.float64), torch.full((count, 1), -1.0, dtype=torch.float64)
    x = bridge.bridge(x0, x1, k, Noise.range(0, count))
    wanted = variance * k * (1 - k)
    assert abs(float(x.mean()) - (2 - 3 * k)) < 5 * math.sqrt(wanted / count)
    assert abs(float(x.var()) / wanted - 1) < 5 * math.sqrt(2 / count)


@pytest.mark.parametrize("bad", [{"variance": 0.0}, {"walk": 0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(ConfigError, match="expected variance"):
        LogBridge(Sphere(2), **bad)
    for clock in (PowerClock, ExponentialClock):
        with pytest.raises(ConfigError, match="positive"):
            clock(0.0)
