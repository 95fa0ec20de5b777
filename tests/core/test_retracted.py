"""Rules on manifolds: flat space against tables, points stay points, time per point, symmetry, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import (
    EDMSchedule,
    GaussianProcess,
    GeodesicFlow,
    Kind,
    LinearFlowSchedule,
    LogBridge,
    NormalAround,
    PowerClock,
    contracted_uniform,
)
from scidiff.random import Noise
from scidiff.sample import (
    Grid,
    Retracted,
    RetractedBridge,
    RunState,
    TableRule,
    ddim,
    exponential_adams,
    run,
    uniform_grid,
)
from scidiff.spaces import SO3, Euclidean, Flat, Hyperbolic, Power, Sphere, Torus
from scidiff.spaces.so3 import multiply

COUNT = 12
NOISE = Noise.range(4, COUNT)
names = lambda value: repr(value)[:24]  # noqa: E731


def guess(x: Tensor, t: Tensor, condition: object = None) -> Tensor:
    """A smooth denoised mean of R^n that bends with state and time; no data stand behind it."""
    return torch.sin(2 * x.roll(1, -1)) + 0.3 * t * x


def tangent(x: Tensor, t: Tensor, condition: object = None) -> Tensor:
    return guess(x, t) - x


def flat(power: float = 1.0) -> GeodesicFlow:
    space = Flat(3)
    return GeodesicFlow(space, base=NormalAround(space, torch.zeros(3)), clock=PowerClock(power))


@pytest.mark.parametrize("end", [0.0, 0.2])
def test_flat_order_one_is_ddim(end):
    """On the straight path, from the same start, to round-off."""
    process = GaussianProcess(Euclidean((3,)), LinearFlowSchedule())
    rule = TableRule(ddim(process.schedule, uniform_grid(9, end=end)))
    table = run(Denoiser(guess, Kind.MEAN), process, rule, rule.plan, noise=NOISE, shape=(3,)).x
    start = RunState.at(process.prior(NOISE, (3,)), 1.0, NOISE)
    moved = run(Denoiser(tangent, Kind.TANGENT), flat(), Retracted(1), rule.plan, state=start).x
    assert torch.allclose(moved, table, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("power", [1.0, 3.0])
@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.9, 0.3), (0.2, 0.8)], ids=["whole", "part", "forward"])
def test_flat_is_exponential_adams(order, power, ends):
    """The table of ``alpha = 1, sigma = kbar``, backward and forward, to round-off."""
    process = GaussianProcess(Euclidean((3,)), EDMSchedule(1.0, power))
    grid = 1.0 * uniform_grid(8, start=ends[0], end=ends[1])
    grid[3] = 0.4 * grid[2] + 0.6 * grid[4]
    rule = TableRule(exponential_adams(process.schedule, grid, order=order))
    start = RunState.at(process.prior(NOISE, (3,)), ends[0], NOISE)
    table = run(Denoiser(guess, Kind.MEAN), process, rule, rule.plan, state=start).x
    moved = run(Denoiser(tangent, Kind.TANGENT), flat(power), Retracted(order), Grid(grid), state=start).x
    assert torch.allclose(moved, table, rtol=1e-12, atol=1e-12)


def pull(space: object, towards: Tensor) -> Denoiser:
    """A field that turns as it goes: towards a datum, and away from it along a fixed vector."""

    def function(x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        m = space.log(x, towards.to(x).expand_as(x))
        return m + 0.3 * space.project_tangent(x, torch.ones_like(m))

    return Denoiser(function, Kind.TANGENT)


@pytest.mark.parametrize("space", [Sphere(2), SO3(), Torus(3), Hyperbolic(2)], ids=names)
@pytest.mark.parametrize("rule", [Retracted(1), Retracted(2), RetractedBridge()], ids=names)
def test_points_stay_points(space, rule, dtype):
    """After 30 steps from a state of each precision; the state is float64 from the first step on."""
    centre = space.project(torch.linspace(0.3, 0.9, space.shape[0], dtype=torch.float64))
    base = NormalAround(space, centre, 0.7)
    process = (LogBridge if isinstance(rule, RetractedBridge) else GeodesicFlow)(space, base=base)
    start = RunState.at(process.prior(NOISE, space.shape).to(dtype), 1.0, NOISE)
    x = run(pull(space, centre), process, rule, Grid(uniform_grid(30)), state=start).x
    assert x.dtype == torch.float64
    assert float((space.project(x) - x).abs().max()) < 1e-12
    single = x.float()
    assert float((space.project(single) - single).abs().max()) < 1e-6


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("space", [Sphere(3), SO3(), Torus(2)], ids=names)
def test_a_single_datum_is_reached_exactly(order, space):
    """The path is a geodesic: every node is the point of the path, whatever the steps."""
    flow = GeodesicFlow(space)
    x0 = space.uniform(Noise.range(0, 1), space.shape, step=0, stream="x").expand(COUNT, *space.shape)
    x1 = space.exp(x0, 0.8 * space.log(x0, flow.prior(NOISE, space.shape)))
    denoiser = Denoiser(lambda x, t, condition: space.log(x, x0), Kind.TANGENT)
    grid = torch.tensor([1.0, 0.7, 0.6, 0.15, 0.05, 0.0], dtype=torch.float64)
    for until in (2, 4, 5):
        state = RunState.at(x1, 1.0, NOISE)
        x = run(denoiser, flow, Retracted(order), Grid(grid), state=state, until=until).x
        assert float(space.dist(x, flow.path(x0, x1, grid[until])).max()) < 1e-13


def test_velocity_networks_give_the_same_path():
    space = Sphere(2)
    flow = GeodesicFlow(space, clock=PowerClock(2.0))
    centre = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    tangents = pull(space, centre)
    velocities = Denoiser(lambda x, t, c: -tangents(x, t) / (t[..., :1] / 2), Kind.V)
    ends = [
        run(d, flow, Retracted(2), Grid(uniform_grid(10)), noise=NOISE, shape=(3,)).x for d in (tangents, velocities)
    ]
    assert torch.allclose(*ends, atol=1e-13)


def two_points(space: SO3 | Sphere) -> tuple[GeodesicFlow, Denoiser]:
    flow = GeodesicFlow(space)
    data = space.uniform(Noise.range(8, 2), space.shape, step=0, stream="data")
    return flow, ManifoldDatasetDenoiser(flow, contracted_uniform, data).denoiser


@pytest.mark.parametrize("order", [1, 2])
def test_turning_the_world_turns_the_samples(order):
    """Prior draws and data turned by one rotation of the frame give turned samples."""
    flow = GeodesicFlow(SO3())
    q = torch.tensor([0.5, -0.5, 0.5, 0.5], dtype=torch.float64)
    turn = lambda x: SO3().project(multiply(q.expand_as(x), x))  # noqa: E731
    data = SO3().uniform(Noise.range(8, 3), (4,), step=0, stream="data")
    x1 = flow.prior(NOISE, (4,))
    ends = []
    for points, start in ((data, x1), (turn(data), turn(x1))):
        denoiser = ManifoldDatasetDenoiser(flow, contracted_uniform, points).denoiser
        state = RunState.at(start, 1.0, NOISE)
        ends.append(run(denoiser, flow, Retracted(order), Grid(uniform_grid(12, end=0.3)), state=state).x)
    assert float(SO3().dist(turn(ends[0]), ends[1]).max()) < 1e-10


@pytest.mark.parametrize("rule", [Retracted(1), Retracted(2), RetractedBridge()], ids=names)
def test_sites_have_their_own_time(rule):
    """Clamped sites stay to the last bit, and free sites move as they do without them."""
    space = Power(Sphere(2), (3,))
    process = (LogBridge if isinstance(rule, RetractedBridge) else GeodesicFlow)(space)
    clean = space.uniform(NOISE, (3, 3), step=0, stream="clean")
    free = torch.ones(COUNT, 3, 3, dtype=torch.bool)
    free[:, 1] = False
    denoiser = pull(space, torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64))
    whole = run(denoiser, process, rule, Grid(uniform_grid(7)), noise=NOISE, shape=(3, 3)).x
    part = run(denoiser, process, rule, Grid(uniform_grid(7)), noise=NOISE, shape=(3, 3), free=free, clean=clean).x
    assert torch.equal(part[:, 1], clean[:, 1])
    assert torch.allclose(part[:, ::2], whole[:, ::2], atol=1e-14)


@pytest.mark.parametrize("rule", [Retracted(2), RetractedBridge()], ids=names)
def test_cut_and_resume(rule):
    """Stopped, cut in two, stored and joined, a run ends where it would have."""
    process = (LogBridge if isinstance(rule, RetractedBridge) else GeodesicFlow)(SO3())
    denoiser = pull(SO3(), torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64))
    plan = Grid(uniform_grid(8))
    whole = run(denoiser, process, rule, plan, noise=NOISE, shape=(4,)).x
    half = run(denoiser, process, rule, plan, noise=NOISE, shape=(4,), until=3)
    parts = [RunState.from_bytes(half.take(rows).to_bytes()) for rows in (range(5), range(5, COUNT))]
    ends = [run(denoiser, process, rule, plan, state=part) for part in parts]
    assert torch.allclose(RunState.cat(ends).x, whole, atol=1e-14)


def test_bridge_to_a_datum_in_flat_space():
    """Every node has the moments of the Brownian bridge: mean and variance of 20000 draws within five errors."""
    count, variance, space = 20000, 2.0, Flat(1)
    bridge = LogBridge(space, variance=variance, base=NormalAround(space, torch.tensor([-1.0]), 0.0))
    denoiser = Denoiser(lambda x, t, condition: 3 - x, Kind.TANGENT)
    grid = torch.tensor([1.0, 0.8, 0.5, 0.1, 0.0], dtype=torch.float64)
    for until in (1, 2, 3, 4):
        x = run(
            denoiser,
            bridge,
            RetractedBridge(),
            Grid(grid),
            noise=Noise.range(0, count),
            shape=(1,),
            until=until,
        ).x
        k = float(grid[until])
        wanted = variance * k * (1 - k)
        assert abs(float(x.mean()) - (3 - 4 * k)) <= 5 * math.sqrt(wanted / count) + 1e-12
        assert abs(float(x.var()) - wanted) <= 5 * wanted * math.sqrt(2 / count) + 1e-20


def test_refusals():
    flow, denoiser = two_points(Sphere(2))
    state = RunState.at(flow.prior(NOISE, (3,)), 0.5, NOISE)
    zero, low, high = (torch.full((COUNT, 3), value, dtype=torch.float64) for value in (0.0, 0.4, 0.6))
    m = denoiser(state.x, state.t)
    with pytest.raises(ConfigError, match="order is 3"):
        Retracted(3)
    with pytest.raises(ConfigError, match="expected a GeodesicFlow"):
        Retracted(1)(LogBridge(Sphere(2)), state, m, low)
    with pytest.raises(ConfigError, match="expected a LogBridge"):
        RetractedBridge()(flow, state, m, low)
    with pytest.raises(ConfigError, match="leads to the data only"):
        RetractedBridge()(LogBridge(Sphere(2)), state, m, high)
    with pytest.raises(ConfigError, match="cannot leave"):
        Retracted(1)(flow, RunState.at(state.x, 0.0, NOISE), m, high)
    with pytest.raises(ShapeError, match="different times"):
        Retracted(1)(flow, state, m, torch.cat((low[:, :1], zero[:, 1:]), dim=1))
    assert torch.equal(Retracted(2)(flow, state, m, state.t), state.x)
