"""Flow matching with torchcfm: the same network, the same batches, the same couplings, the same calls.

Noise is normal in the plane, data lie near eight points of a circle. Both sides couple a batch by optimal transport,
train the same multilayer perceptron from the same weights on the same draws by plain Adam, and sample by the method of
Euler. torchcfm draws pairs *from* the transport plan, with replacement; scidiff takes each row once. The error is the
energy distance to fresh data, unbiased. Seconds: the coupling alone, training, and sampling (the examples of torchcfm
use the solver of torchdyn).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from measure import absent, error_row, time_row
from torch import Tensor, nn

from scidiff.denoise import Denoiser
from scidiff.domain import Row
from scidiff.process import GaussianProcess, Kind, LinearFlowSchedule
from scidiff.random import Noise
from scidiff.sample import ddim, uniform_grid
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import follow
from scidiff.train.couplings import OptimalTransportCoupling

__all__ = ["rows"]

SPACE, SCHEDULE = Euclidean((2,)), LinearFlowSchedule()
PROCESS = GaussianProcess(SPACE, SCHEDULE)
COUPLING = OptimalTransportCoupling()
BATCH, ITERATIONS, WIDTH = 256, 600, 64


def _data(count: int, generator: torch.Generator) -> Tensor:
    angle = torch.randint(8, (count,), generator=generator) * (math.pi / 4)
    centre = 2 * torch.stack([angle.cos(), angle.sin()], -1)
    return centre + 0.15 * torch.randn(count, 2, generator=generator)


class _Velocity(nn.Module):
    """Velocity from noise to data on torchcfm's clock, which ends at the data."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(3, WIDTH), nn.SELU(), nn.Linear(WIDTH, WIDTH), nn.SELU(), nn.Linear(WIDTH, 2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, t: Tensor, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return self.layers(torch.cat([x, t.reshape(-1, 1).expand(len(x), 1)], -1))


def _network(seed: int) -> _Velocity:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _Velocity()


def _ours(x0: Tensor, eps: Tensor, t: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """State and target on scidiff's clock: ``x_t = (1 - t) x_0 + t eps`` and ``v = eps - x_0`` of coupled rows."""
    i, j = COUPLING(SPACE, x0, eps, generator)
    time = t.unsqueeze(1)
    x_t = (SCHEDULE.alpha(time) * x0[i] + SCHEDULE.sigma(time) * eps[j]).to(x0.dtype)
    return x_t, PROCESS.target(x0[i], x_t, t, Kind.V).to(x0.dtype)


def _train(matcher: Any, seed: int, iterations: int) -> _Velocity:
    """Train on the batches of a seed; without a matcher by scidiff's parts."""
    generator, network = torch.Generator().manual_seed(seed), _network(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    np.random.seed(seed)  # noqa: NPY002  the peer draws its pairs from this generator
    for _ in range(iterations):
        x0, eps = _data(BATCH, generator), torch.randn(BATCH, 2, generator=generator)
        t = 0.001 + 0.999 * torch.rand(BATCH, generator=generator)
        if matcher is None:
            x_t, v = _ours(x0, eps, t, generator)
            loss = (network(1 - t, x_t) + v).square().mean()
        else:
            _, x_t, u = matcher.sample_location_and_conditional_flow(eps, x0, 1 - t)
            loss = (network(1 - t, x_t) - u).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def _sample_ours(network: _Velocity, start: Tensor, steps: int) -> Tensor:
    denoiser = Denoiser(lambda x, t, _: -network(1 - t[:, 0].float(), x.float()), Kind.V)
    return follow(ddim(SCHEDULE, uniform_grid(steps)), denoiser, SCHEDULE, start).x


def _sample_theirs(network: _Velocity, start: Tensor, steps: int) -> Tensor:
    from torchdyn.core import NeuralODE

    node = NeuralODE(network, solver="euler", sensitivity="adjoint")
    with torch.no_grad():
        return node.trajectory(start, t_span=torch.linspace(0, 1, steps + 1))[-1]


def _energy(x: Tensor, y: Tensor) -> float:
    """Energy distance of two samples, unbiased."""
    count = len(x)
    own = sum(float(torch.cdist(z, z).sum()) / (count * (count - 1)) for z in (x, y))
    return 2 * float(torch.cdist(x, y).mean()) - own


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of couplings, of training and of sampling."""
    try:
        from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher
        from torchcfm.optimal_transport import OTPlanSampler
    except ImportError:
        yield absent("torchcfm")
        return
    matcher, planner = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0), OTPlanSampler(method="exact")
    repeats = 5 if fast else 25
    generator = torch.Generator().manual_seed(seed)
    for batch in (64, 256, 1024):
        x0, eps = _data(batch, generator), torch.randn(batch, 2, generator=generator)
        i, j = COUPLING(SPACE, x0, eps, generator)
        cost = float((x0[i] - eps[j]).square().sum(-1).mean())
        best = float((planner.get_map(eps, x0) * torch.cdist(eps, x0).square().numpy()).sum())
        yield time_row(
            f"coupling of {batch} pairs",
            "torchcfm",
            lambda x0=x0, eps=eps: COUPLING(SPACE, x0, eps, generator),
            lambda x0=x0, eps=eps: planner.sample_plan(eps, x0),
            repeats=repeats,
            note=f"optimal transport in the plane; cost {cost:.6f} scidiff, {best:.6f} torchcfm",
        )
    yield time_row(
        "ten training steps",
        "torchcfm",
        lambda: _train(None, seed, 10),
        lambda: _train(matcher, seed, 10),
        repeats=repeats,
        note=f"batch of {BATCH}, coupling and Adam included",
    )
    yield from _quality(matcher, range(seed, seed + (2 if fast else 6)), 100 if fast else ITERATIONS)
    network, start = _network(seed), torch.randn(4096, 2, generator=generator)
    with torch.no_grad():
        yield time_row(
            "Euler, 20 calls, 4096 samples",
            "torchcfm",
            lambda: _sample_ours(network, start, 20),
            lambda: _sample_theirs(network, start, 20),
            repeats=repeats,
            note=f"network of {WIDTH} units; the peer's solver is torchdyn's",
        )


def _quality(matcher: Any, seeds: range, iterations: int) -> Iterator[Row]:
    """Energy distance of both, from the same start, at 8 and 50 calls."""
    found: dict[int, list[tuple[float, float]]] = {8: [], 50: []}
    with torch.no_grad():
        difference = 0.0
        for seed in seeds:
            with torch.enable_grad():
                networks = _train(None, seed, iterations), _train(matcher, seed, iterations)
            start = Noise.range(seed, 4096).normal((2,), step=0, stream="start").float()
            truth = _data(4096, torch.Generator().manual_seed(1000 + seed)).double()
            for steps, pairs in found.items():
                ends = _sample_ours(networks[0], start, steps), _sample_theirs(networks[1], start, steps)
                pairs.append((_energy(ends[0].double(), truth), _energy(ends[1].double(), truth)))
            same = _sample_theirs(networks[0], start, 8) - _sample_ours(networks[0], start, 8)
            difference = max(difference, float(same.abs().max()))
    for steps, pairs in found.items():
        note = f"energy distance to data, {iterations} training steps; one network by both solvers: {difference:.1e}"
        yield error_row(f"flow matching, {steps} calls", "torchcfm", *zip(*pairs, strict=True), note=note)
