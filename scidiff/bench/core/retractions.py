"""Claims of rules taken by the exponential map: their orders on curved spaces, and the round trip of BDIA."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.process import GaussianProcess, GeodesicFlow, contracted_uniform
from scidiff.random import Noise
from scidiff.sample import Bdia, Grid, Retracted, RunState, invert_bdia, run, uniform_grid
from scidiff.spaces import SO3, Euclidean, Manifold, Sphere
from scidiff.testing_targets.gaussian import VE, target_a
from scidiff.testing_targets.orders import log_grid, reference, slope, starts

__all__ = ["claims"]

_SPACES: dict[str, Manifold] = {"S^2": Sphere(2), "SO(3)": SO3()}
_START, _END = 0.95, 0.4
_COARSE, _FINE, _REFERENCE = 20, 60, 360
_GAMMA, _STEPS = 0.9, 50


def claims() -> Iterator[Claim]:
    """Yield the claims of retracted rules and of inversion."""
    for name in _SPACES:
        for order in (1, 2):
            yield Claim(
                f"order/retracted {order}/{name}",
                f"consistent({order})",
                lambda seed, name=name, order=order: slope(*_errors(name, order, seed), _FINE / _COARSE),
                truth=order,
                tolerance=0.25,
                why=f"median distance to {_REFERENCE} steps of order 2, {_COARSE} to {_FINE} steps, four data; 0.25 "
                "separates orders",
                full=True,
            )
    yield Claim(
        "BDIA, gamma 0.9/median error on Target A",
        "consistent(1)",
        lambda _seed: float((_bdia().x - reference()).norm(dim=1).median()),
        truth=0,
        tolerance=0.005,
        why="50 steps against Runge-Kutta; reference figure 0.002",
        calls=_STEPS,
    )
    yield Claim(
        "BDIA, gamma 0.9/typical round trip",
        "exact",
        lambda _seed: _round_trip(),
        truth=0,
        tolerance=1e-10,
        why="median distance to the start; round-off of |x| ~ 80 enlarged by gamma^-49 = 175 is 2e-12",
        calls=2 * _STEPS - 1,
    )


def _errors(name: str, order: int, seed: int) -> tuple[float, float]:
    space, exact = _SPACES[name], _end(name, 2, _REFERENCE, seed)
    coarse, fine = (float(space.dist(_end(name, order, n, seed), exact).median()) for n in (_COARSE, _FINE))
    return coarse, fine


@cache
def _end(name: str, order: int, steps: int, seed: int) -> Tensor:
    """States where the flow of four data leads from 30 states."""
    space = _SPACES[name]
    flow = GeodesicFlow(space)
    denoiser = ManifoldDatasetDenoiser(flow, contracted_uniform, _cloud(space, 4, 2 * seed)).denoiser
    start = RunState.at(_cloud(space, 30, 2 * seed + 1), _START, Noise.range(0, 30))
    plan = Grid(uniform_grid(steps, start=_START, end=_END))
    return run(denoiser, flow, Retracted(order), plan, state=start).x


def _cloud(space: Manifold, count: int, seed: int) -> Tensor:
    """Points so near to a centre that every datum can have led to every state."""
    centre = space.uniform(Noise.range(1, 1), space.shape, step=0, stream="centre").expand(count, *space.shape)
    xi = space.random_tangent(centre, Noise.range(seed, count), step=0, stream="cloud").clamp(-2, 2)
    return space.exp(centre, 0.25 * xi)


@cache
def _bdia() -> RunState:
    state = RunState.at(starts(), 1.0, Noise.range(0, len(starts())))
    return run(target_a().denoiser, _process(), Bdia(_GAMMA), Grid(log_grid(_STEPS)), state=state)


def _round_trip() -> float:
    back = invert_bdia(target_a().denoiser, _process(), log_grid(_STEPS), _bdia(), gamma=_GAMMA)
    return float((back.x - starts().to(torch.float64)).norm(dim=1).median())


def _process() -> GaussianProcess:
    return GaussianProcess(Euclidean((4,)), VE)
