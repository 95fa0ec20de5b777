"""`FlowMap` as a denoiser and the rule `Jump`: they land where the map does, per site, both ways, under transforms."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.denoise.flow_map import FlowMap
from scidiff.errors import ConfigError, ShapeError
from scidiff.nets.two_time import TwoTimeMLP
from scidiff.process import (
    IGSO3,
    AccuracySchedule,
    GaussianProcess,
    GeodesicFlow,
    HeatProcess,
    Kind,
    LinearFlowSchedule,
    LogBridge,
    OneHotFlow,
    VPSchedule,
    WrappedNormal,
)
from scidiff.process.straight import between
from scidiff.random import Noise
from scidiff.sample import Grid, Retracted, RetractedHeat, RunState, TableRule, ddim, run, uniform_grid
from scidiff.sample.jump import Jump
from scidiff.spaces import SO3, Euclidean, Power, Sphere, Torus

COUNT = 10
NOISE = Noise.range(5, COUNT)
PROCESSES = {
    "straight": GaussianProcess(Euclidean((3,)), LinearFlowSchedule()),
    "VP": GaussianProcess(Euclidean((2, 2)), VPSchedule()),
    "one-hot": OneHotFlow(Euclidean((2, 4)), AccuracySchedule(4)),
    "torus": GeodesicFlow(Torus(2)),
    "sphere": GeodesicFlow(Sphere(2)),
    "rotations": GeodesicFlow(Power(SO3(), (3,))),
    "heat torus": HeatProcess(WrappedNormal(Torus(2)), Torus(2), 4.0),
    "heat rotations": HeatProcess(IGSO3(), SO3(), 2.0),
}
CASES = pytest.mark.parametrize("process", PROCESSES.values(), ids=list(PROCESSES))
GRIDS = {
    "one step": [1.0, 0.0],
    "uneven": [1.0, 0.7, 0.65, 0.1, 0.0],
    "part": [1.0, 0.5, 0.2],
}


def flow_of(process: object) -> FlowMap:
    """A random smooth map; no data stand behind it."""
    return FlowMap(TwoTimeMLP(process.space, width=8, depth=1, frequencies=1, seed=4).double(), process)


def gap(process: object, x: Tensor, y: Tensor) -> float:
    return float(between(process.space, x, y).abs().max())


@CASES
@pytest.mark.parametrize("times", GRIDS.values(), ids=list(GRIDS))
def test_the_loop_lands_where_the_map_does(process, times):
    """Composition of the map over the grid, to round-off of the two inversions; one call a step."""
    flow, grid = flow_of(process), torch.tensor(times, dtype=torch.float64)
    state = run(flow.denoiser(grid), process, Jump(), Grid(grid), noise=NOISE, shape=process.space.shape)
    x = process.prior(NOISE, process.space.shape)
    with torch.no_grad():
        for t, s in itertools.pairwise(grid):
            x = flow(x, t.expand(COUNT), s.expand(COUNT))
    assert gap(process, x, state.x) < 1e-11
    assert state.x.dtype == torch.float64
    assert state.calls.tolist() == [len(times) - 1] * COUNT


@CASES
def test_grids_may_rise_and_start_anywhere(process):
    flow, grid = flow_of(process), torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    start = process.prior(NOISE, process.space.shape)
    state = run(flow.denoiser(grid), process, Jump(), Grid(grid), state=RunState.at(start, 0.2, NOISE))
    with torch.no_grad():
        x = start
        for t, s in ((0.2, 0.5), (0.5, 0.9)):
            x = flow(x, *(torch.full((COUNT,), time, dtype=torch.float64) for time in (t, s)))
    assert gap(process, x, state.x) < 1e-11


def test_last_jump_is_the_prediction_so_that_projections_hold():
    """At ``s = 0`` the state is the transformed ``m`` itself, bit for bit up to one rounding."""
    process = PROCESSES["straight"]
    grid = uniform_grid(3)

    def onto_plane(m: Tensor, *state: object) -> object:
        flat = m - m.mean(1, keepdim=True)
        return flat, state[0]

    denoiser = flow_of(process).denoiser(grid)
    bounded = Denoiser(lambda x, t, c=None: onto_plane(denoiser(x, t, c), None)[0], Kind.MEAN)
    x = run(bounded, process, Jump(), Grid(grid), noise=NOISE, shape=(3,)).x
    assert float(x.sum(1).abs().max()) < 1e-14
    free = run(denoiser, process, Jump(), Grid(grid), noise=NOISE, shape=(3,)).x
    assert float(free.sum(1).abs().max()) > 1e-3


@CASES
def test_lookahead_is_the_jump_to_the_data_and_has_a_gradient(process):
    flow, x = flow_of(process), process.prior(NOISE, process.space.shape)
    t = torch.full((COUNT,), 0.6, dtype=torch.float64)
    at = x.clone().requires_grad_()
    end = flow.lookahead(at, t)
    assert gap(process, end.detach(), flow(x, t, 0 * t).detach()) < 1e-15
    (slope,) = torch.autograd.grad(end.sum(), at)
    assert bool(slope.isfinite().all()) and float(slope.abs().max()) > 0


def test_clean_sites_stay_and_times_are_per_site():
    """A map of per-site times moves every coordinate as if it were alone; clamped ones keep their value to the bit."""
    process = PROCESSES["straight"]

    def network(x: Tensor, t: Tensor, s: Tensor, condition: object = None) -> Tensor:
        return torch.sin(x) + t * s

    flow, grid = FlowMap(network, process), uniform_grid(4)
    free = torch.tensor([True, False, True]).expand(COUNT, 3)
    clean = NOISE.normal((3,), step=0, stream="clean")
    state = run(flow.denoiser(grid), process, Jump(), Grid(grid), noise=NOISE, shape=(3,), free=free, clean=clean)
    alone = run(flow.denoiser(grid), process, Jump(), Grid(grid), noise=NOISE, shape=(3,))
    assert torch.equal(state.x[:, 1], clean[:, 1])
    assert torch.equal(state.x[:, ::2], alone.x[:, ::2])


def test_at_the_last_node_it_is_the_denoiser_of_the_flow():
    """With the exact velocity on the diagonal, the exact denoised mean, to round-off."""
    process = PROCESSES["straight"]
    data = GaussianMixture.gaussian(process.schedule, torch.zeros(3), torch.tensor(0.5))
    flow = FlowMap(lambda x, t, s, c=None: (x - data(x, t)) / t, process)
    x, grid = process.prior(NOISE, (3,)), torch.tensor([1.0, 0.4], dtype=torch.float64)
    t = torch.full((COUNT, 3), 0.4, dtype=torch.float64)
    assert torch.allclose(flow.denoiser(grid)(x, t), data(x, t), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["straight", "VP"])
def test_with_a_plain_denoiser_it_is_ddim(name):
    process, grid = PROCESSES[name], uniform_grid(6)
    guess = Denoiser(lambda x, t, c=None: torch.sin(2 * x) + 0.3 * t, Kind.MEAN)
    rule = TableRule(ddim(process.schedule, grid))
    table = run(guess, process, rule, rule.plan, noise=NOISE, shape=process.space.shape).x
    jumped = run(guess, process, Jump(), Grid(grid), noise=NOISE, shape=process.space.shape).x
    assert torch.allclose(table, jumped, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "rule"), [("sphere", Retracted(1)), ("heat torus", RetractedHeat())], ids=str)
def test_with_a_plain_denoiser_it_is_the_retracted_rule(name, rule):
    process, grid = PROCESSES[name], uniform_grid(6, end=0.1)
    pull = lambda x, t, c=None: process.space.project_tangent(x, torch.sin(x.roll(1, -1)))  # noqa: E731
    guess = Denoiser(pull, process.kind)
    one, two = (
        run(guess, process, each, Grid(grid), noise=NOISE, shape=process.space.shape).x for each in (rule, Jump())
    )
    assert gap(process, one, two) < 1e-12


def test_what_does_not_fit_is_refused():
    process = PROCESSES["straight"]
    flow, grid = flow_of(process), uniform_grid(2)
    with pytest.raises(ConfigError, match="strictly fall"):
        flow.denoiser(torch.tensor([1.0, 0.5, 0.5, 0.0], dtype=torch.float64))
    with pytest.raises(ConfigError, match="float64"):
        flow.denoiser(grid.float())
    rising = torch.tensor([0.0, 0.5], dtype=torch.float64)
    state = RunState.at(process.prior(NOISE, (3,)), 0.0, NOISE)
    with pytest.raises(ConfigError, match="clean site"):
        run(flow.denoiser(rising), process, Jump(), Grid(rising), state=state)
    bridge = LogBridge(Torus(2), variance=1.0)
    denoiser = Denoiser(lambda x, t, c=None: torch.zeros_like(x), Kind.TANGENT)
    with pytest.raises(ConfigError, match="LogBridge"):
        run(denoiser, bridge, Jump(), Grid(grid), noise=NOISE, shape=(2,))
    with pytest.raises(ShapeError, match="one time per sample"):
        TwoTimeMLP(Euclidean((3,)))(torch.zeros(2, 3), torch.tensor([[0.1, 0.2, 0.1]] * 2), torch.zeros(2))
    with pytest.raises(ShapeError, match="condition"):
        TwoTimeMLP(Euclidean((3,)), conditions=2)(torch.zeros(2, 3), torch.ones(2), torch.zeros(2))
    with pytest.raises(ConfigError, match="sizes of all axes"):
        TwoTimeMLP(Euclidean((None, 3)))


@pytest.mark.parametrize("space", [Torus(2), SO3(), Power(SO3(), (2,)), Sphere(2), Euclidean((3,))], ids=repr)
def test_network_is_a_function_on_the_space(space):
    """Whole turns and the sign of a quaternion change nothing; the output is tangent; conditions act."""
    network = TwoTimeMLP(space, conditions=1, frequencies=2, seed=1).double()
    noise = Noise.range(1, 6)
    is_flat = isinstance(space, Euclidean)
    x = (
        noise.normal(space.shape, step=0, stream="x")
        if is_flat
        else space.uniform(noise, space.shape, step=0, stream="x")
    )
    t, s, c = torch.full((6,), 0.7), torch.full((6,), 0.2), torch.ones(6, 1)
    v = network(x, t, s, c)
    same = x + 2 * torch.pi if isinstance(space, Torus) else -x if "SO3" in repr(space) else x
    assert torch.allclose(network(same, t, s, c), v, rtol=1e-12, atol=1e-12)
    if not is_flat:
        assert torch.allclose(space.project_tangent(x, v), v, rtol=1e-14, atol=1e-14)
    assert not torch.allclose(network(x, t, s, 0 * c), v)
    assert not torch.allclose(network(x, t, 0 * s, c), v)
