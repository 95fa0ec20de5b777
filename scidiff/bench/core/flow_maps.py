"""Claims of flow maps: few calls against many, after a minute of training on one core, and the map of two tokens.

Every network is trained once, by the training run of the package, with a fixed number of steps; the rows of one network
share it. Distances are sliced Wasserstein distances of order 2 to an independent draw of the data, in the plane, or in
the plane of each angle, or in the matrices of rotations; the row of two exact draws says what can be reached.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from safetensors.torch import load_file as load_tensors
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.denoise.flow_map import FlowMap
from scidiff.nets.two_time import TwoTimeMLP
from scidiff.process import GaussianProcess, Kind, LinearFlowSchedule, OneHotFlow
from scidiff.random import Noise
from scidiff.sample import Grid, RetractedHeat, TableRule, exponential_adams, log_snr_grid, run, uniform_grid
from scidiff.sample.jump import Jump
from scidiff.spaces import Euclidean
from scidiff.testing_targets.flow_maps import (
    PAIRS,
    GaussianMap,
    HeatMixture,
    invalid_pairs,
    plane_mixture,
    rotation_mixture,
    sliced_distance,
    torus_mixture,
)
from scidiff.train import TrainConfig, train
from scidiff.train.flow_map_task import DiagonalTask, FlowMapTask, diagonal_denoiser
from scidiff.train.flow_maps import FlowMapLoss, Lagrangian, MeanFlow, Semigroup
from scidiff.train.time_pairs import TimePairs

__all__ = ["claims"]

_COUNT = 20000
_CURVED_COUNT = 4000
_CALLS = (1, 2, 4, 8)
_ROWS = 20000
_DRAW, _DATA, _REFERENCE, _AGAIN = 0, 10**6, 2 * 10**6, 3 * 10**6


@dataclass(frozen=True)
class _Recipe:
    """A loss and how long it is trained."""

    loss: type[FlowMapLoss]
    steps: int
    size: int = 256
    rate: float = 2e-3


_PLANE = {
    "LSD": _Recipe(Lagrangian, 5000),
    "MeanFlow": _Recipe(MeanFlow, 2000),
    "PSD": _Recipe(Semigroup, 9000, rate=4e-3),
}
_CURVED: dict[str, Callable[[], HeatMixture]] = {"torus": torus_mixture, "SO(3)": rotation_mixture}


def claims() -> Iterator[Claim]:
    """Yield the claims of flow maps."""
    yield from _plane()
    yield from _curved()
    yield from _pairs()
    yield Claim(
        "flow map/PSD without a teacher, a few seconds of training",
        "biased",
        _short,
        least=3.0,
        why="distance of the prior over that of one call to N(0.8, 0.09) data; 400 steps of 64 rows, untrained 1",
        calls=1,
    )


def _plane() -> Iterator[Claim]:
    """Six separated Gaussians: distances of maps, of the exact score, of exact draws."""
    for name in _PLANE:
        for calls in _CALLS:
            yield Claim(
                f"flow map, SW2/plane/{name}/{calls}",
                "biased",
                lambda seed, name=name, calls=calls: _plane_distance(name, calls, seed),
                why=f"learnt from the exact velocity in {_PLANE[name].steps} steps of {_PLANE[name].size} rows",
                calls=calls,
                full=True,
            )
    for calls in (4, 8, 16):
        yield Claim(
            f"flow map, SW2/plane/exact score, exponential Adams 2/{calls}",
            "consistent(2)",
            lambda seed, calls=calls: _multistep(calls, seed),
            truth=0,
            why="what the maps are compared with; log-SNR grid from 10 to 0.05, the best of five grids that were tried",
            calls=calls,
            full=True,
        )
    yield Claim(
        "flow map, SW2/plane/two exact draws",
        "exact",
        lambda seed: sliced_distance(_exact_draw(seed, _AGAIN), _exact_draw(seed, _REFERENCE)),
        truth=0,
        why=f"the floor: independent draws of {_COUNT}",
        full=True,
    )
    yield Claim(
        "flow map/one call of PSD against eight of the exact score",
        "biased",
        lambda seed: _multistep(8, seed) / _plane_distance("PSD", 1, seed),
        least=1.0,
        why="ratio of the two distances above",
        calls=1,
        full=True,
    )


def _curved() -> Iterator[Claim]:
    """Mixtures of heat kernels on the torus and on rotations, PSD from the exact score."""
    for name, mixture in _CURVED.items():
        for calls in (1, 2, 4):
            yield Claim(
                f"flow map, SW2/{name}/PSD/{calls}",
                "biased",
                lambda seed, name=name, calls=calls: _curved_distance(name, calls, seed),
                why="learnt from the exact score in 2000 steps of 256 rows",
                calls=calls,
                full=True,
            )
        for calls in (4, 8):
            yield Claim(
                f"flow map, SW2/{name}/exact score, DDIM by the exponential map/{calls}",
                "consistent(1)",
                lambda seed, mixture=mixture, calls=calls: _geodesic_steps(mixture(), calls, seed),
                truth=0,
                why="what the map is compared with; equal steps of the standard deviation",
                calls=calls,
                full=True,
            )
        yield Claim(
            f"flow map, SW2/{name}/two exact draws",
            "exact",
            lambda seed, mixture=mixture: _curved_floor(mixture(), seed),
            truth=0,
            why=f"the floor: independent draws of {_CURVED_COUNT}",
            full=True,
        )
        yield Claim(
            f"flow map/one call against four of the exact score/{name}",
            "biased",
            lambda seed, name=name, mixture=mixture: (
                _geodesic_steps(mixture(), 4, seed) / _curved_distance(name, 1, seed)
            ),
            least=1.0,
            why="ratio of the two distances above",
            calls=1,
            full=True,
        )


def _pairs() -> Iterator[Claim]:
    """Two correlated tokens, {New York, San Diego}."""
    for calls in (1, 2):
        yield Claim(
            f"flow map, invalid pairs/one-hot flow/{calls}",
            "biased",
            lambda seed, calls=calls: _invalid(calls, seed),
            truth=0,
            tolerance=0.01,
            why="share of 20000 draws; denoiser by cross-entropy, PSD from it; a denoiser that factorises has 1/2",
            calls=calls,
            full=True,
        )


def _exact_draw(seed: int, first: int) -> Tensor:
    return plane_mixture()[1].draw(Noise.range(seed, _COUNT, first))


def _plane_distance(name: str, calls: int, seed: int) -> float:
    """Distance of the samples of a trained map from the data."""
    flow = _plane_map(name, seed)
    return sliced_distance(_jumped(flow, uniform_grid(calls), _COUNT, (2,), seed), _exact_draw(seed, _REFERENCE))


def _multistep(calls: int, seed: int) -> float:
    """Distance of the samples of the exact score from the data."""
    process, mixture = plane_mixture()
    rule = TableRule(
        exponential_adams(process.schedule, log_snr_grid(process.schedule, calls, floor=0.05, ceiling=10.0), order=2)
    )
    noise = Noise.range(seed, _COUNT, _DRAW)
    x = run(mixture.denoiser, process, rule, rule.plan, noise=noise, shape=(2,)).x
    return sliced_distance(x, _exact_draw(seed, _REFERENCE))


@cache
def _plane_map(name: str, seed: int) -> FlowMap:
    process, mixture = plane_mixture()
    recipe = _PLANE[name]
    network = TwoTimeMLP(process.space, frequencies=3, seed=seed)
    data = mixture.draw(Noise.range(seed, _ROWS, _DATA)).float()
    objective, times = recipe.loss(mixture.denoiser), TimePairs(ends=0.4)
    task = FlowMapTask(network, process, objective, data, size=recipe.size, times=times, seed=seed)
    return _trained(task, recipe.steps, recipe.rate)


@cache
def _curved_map(name: str, seed: int) -> FlowMap:
    mixture = _CURVED[name]()
    network = TwoTimeMLP(mixture.process.space, frequencies=3, seed=seed)
    rows = (Noise.range(seed, _ROWS, _DATA).uniform((), step=0, stream="row") * len(mixture.centres)).long()
    objective, times = Semigroup(mixture.teacher.denoiser), TimePairs(mixture.start, ends=0.4)
    data = mixture.centres[rows].float()
    task = FlowMapTask(network, mixture.process, objective, data, size=256, times=times, seed=seed)
    return _trained(task, 2000, 4e-3)


@cache
def _pair_map(seed: int) -> FlowMap:
    """One-hot flow of two tokens: cross-entropy first, then the map of its flow."""
    process = OneHotFlow(Euclidean((2, 4)), LinearFlowSchedule())
    data = process.encode(PAIRS).float()
    teacher = TwoTimeMLP(process.space, width=64, depth=2, frequencies=2, seed=seed)
    options = {"size": 256, "seed": seed}
    _trained(DiagonalTask(teacher, process, Kind.LOGITS, data, times=TimePairs(ends=0.0), **options), 400, 5e-3)
    teacher.requires_grad_(False)
    network = TwoTimeMLP(process.space, width=64, frequencies=2, seed=seed + 1)
    objective, times = Semigroup(diagonal_denoiser(teacher, Kind.LOGITS)), TimePairs(0.02, ends=0.4)
    return _trained(FlowMapTask(network, process, objective, data, times=times, **options), 3500, 4e-3)


def _curved_distance(name: str, calls: int, seed: int) -> float:
    """Distance of the samples of a trained map from the mixture, in the embedding."""
    mixture, flow = _CURVED[name](), _curved_map(name, seed)
    grid = uniform_grid(calls, end=mixture.start)
    x = _jumped(flow, grid, _CURVED_COUNT, mixture.process.space.shape, seed)
    return _curved_gap(mixture, x, seed)


def _geodesic_steps(mixture: HeatMixture, calls: int, seed: int) -> float:
    plan = Grid(uniform_grid(calls, end=mixture.start))
    process, noise = mixture.process, Noise.range(seed, _CURVED_COUNT, _DRAW)
    x = run(mixture.teacher.denoiser, process, RetractedHeat(), plan, noise=noise, shape=process.space.shape).x
    return _curved_gap(mixture, x, seed)


def _curved_floor(mixture: HeatMixture, seed: int) -> float:
    return _curved_gap(mixture, mixture.draw(Noise.range(seed, _CURVED_COUNT, _AGAIN)), seed)


def _curved_gap(mixture: HeatMixture, x: Tensor, seed: int) -> float:
    exact = mixture.draw(Noise.range(seed, _CURVED_COUNT, _REFERENCE))
    return sliced_distance(mixture.embed(x), mixture.embed(exact))


def _invalid(calls: int, seed: int) -> float:
    x = _jumped(_pair_map(seed), uniform_grid(calls), _COUNT, (2, 4), seed)
    return invalid_pairs(x.argmax(-1))


def _jumped(flow: FlowMap, grid: Tensor, count: int, shape: tuple[int, ...], seed: int) -> Tensor:
    noise = Noise.range(seed, count, _DRAW)
    return run(flow.denoiser(grid), flow.process, Jump(), Grid(grid), noise=noise, shape=shape).x


def _trained(task: FlowMapTask | DiagonalTask, steps: int, rate: float) -> FlowMap:
    """Train on one thread and return the map with the averaged weights."""
    config = TrainConfig(
        steps=steps,
        learning_rate=rate,
        warmup=min(100, steps // 4),
        weight_decay=0.0,
        ema=0.995,
        checkpoint_every=steps,
        log_every=500,
        threads=1,
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        result = train(task, config, folder, accelerator="cpu", progress=False)
        task.network.load_state_dict(load_tensors(result.model))
    task.network.eval()
    return FlowMap(task.network, task.process)


def _short(seed: int) -> float:
    """Gain of one call of a briefly trained map over the prior, on a Gaussian whose map is known."""
    process = GaussianProcess(Euclidean((1,)), LinearFlowSchedule())
    exact = GaussianMap(process, torch.tensor([0.8]).double(), torch.tensor([0.09]).double())
    data = exact.mixture.draw(Noise.range(seed, 2000, _DATA)).float()
    network = TwoTimeMLP(process.space, width=32, depth=2, frequencies=1, seed=seed)
    flow = _trained(FlowMapTask(network, process, Semigroup(), data, size=64, seed=seed), 400, 5e-3)
    x, t = process.prior(Noise.range(seed, 2000, _DRAW), (1,)), torch.ones(2000, dtype=torch.float64)
    end = exact.at(x, t, 0 * t)
    with torch.no_grad():
        return float((x - end).square().mean().sqrt() / (flow.lookahead(x, t) - end).square().mean().sqrt())
