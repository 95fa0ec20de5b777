"""Training runs that differ in nothing but the allocation of noise levels, and how many steps each needs.

A small network learns code words as ``+-1`` bits in Gaussian noise, against EDM's weight and log-normal levels, or
paths of a slow Markov chain under uniform or mask noise, against uniform times. All runs of a seed share weights at the
start, batches and validation noise. The measure is the integral of the entropy rate over the whole axis, which does not
depend on the allocation; its least value is the entropy of the data, which is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from scidiff.process import (
    DiscreteProcess,
    EDMSchedule,
    EDMWeight,
    GaussianProcess,
    Kernel,
    Kind,
    mask,
    sample_time,
    uniform,
)
from scidiff.spaces import Categorical, Euclidean
from scidiff.testing_targets.bits import code_words
from scidiff.train import Ema
from scidiff.train.denoising import DenoisingTask
from scidiff.train.draws import draw_seed
from scidiff.train.noise_allocation import FixedNoise, InfoNoise
from scidiff.train.noise_levels import ClockAxis, LogNoiseAxis, LogNormalNoise, UniformLevels

__all__ = [
    "ENTROPY",
    "Trial",
    "bits_task",
    "chain_paths",
    "masked_task",
    "run_trial",
    "steps_to_equal_loss",
    "uniform_task",
]

SITES, CLASSES, STAY = 8, 4, 0.95
ENTROPY = math.log(16)
CHAIN_ENTROPY = math.log(CLASSES) - (SITES - 1) * (
    STAY * math.log(STAY) + (1 - STAY) * math.log((1 - STAY) / (CLASSES - 1))
)
RATE, WIDTH = 3e-3, 64
AXIS = LogNoiseAxis(EDMSchedule())
SAMPLERS = {
    "baseline": lambda axis, density, dimension: FixedNoise(axis, density),
    "reweighted": lambda axis, density, dimension: InfoNoise(axis, density, dimension=dimension, refresh=50),
    "free": lambda axis, density, dimension: InfoNoise(axis, density, dimension=dimension, refresh=50, reweight=False),
}
"""The baseline's levels; InfoNoise with the baseline's objective; InfoNoise whose levels are the objective."""


class _Bits(nn.Module):
    """Denoised mean of bits, ``tanh(x / s^2 + F(c_in x, log s / 4))``: exact for independent bits at ``F = 0``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = _body(SITES + 1, width, SITES)

    def forward(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        """Predict the mean."""
        s = AXIS.schedule.sigma(sample_time(t, x)).unsqueeze(1)
        scaled = x / (s**2 + 1).sqrt()
        return torch.tanh(x / s**2 + self.body(torch.cat([scaled, s.log() / 4], 1).float()))


class _Classes(nn.Module):
    """Logits of all classes at every site, from one of `states` states."""

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        self.states = states
        self.body = _body(states * SITES + 1, width, CLASSES * SITES)

    def forward(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        """Predict the logits."""
        seen = nn.functional.one_hot(x, self.states).flatten(1)
        return self.body(torch.cat([seen, sample_time(t, x).unsqueeze(1)], 1).float()).reshape(-1, SITES, CLASSES)


def _body(inputs: int, width: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def bits_task(sampler: str, seed: int, rows: int = 2048) -> DenoisingTask:
    """Code words as ``+-1`` in Gaussian noise.

    Parameters
    ----------
    sampler
        Name in `SAMPLERS`.
    seed
        Seed of weights, data order and validation noise.
    rows
        Training and validation rows.
    """
    process = GaussianProcess(Euclidean((SITES,)), AXIS.schedule, EDMWeight(1.0))
    words = 2.0 * code_words(rows, 1).double() - 1.0
    levels = SAMPLERS[sampler](AXIS, LogNormalNoise(), float(SITES))
    network = _seeded(lambda: _Bits(WIDTH), seed)
    return DenoisingTask(words, words, process, network, Kind.MEAN, levels, "Hamming code", 256, seed)


def uniform_task(sampler: str, seed: int, rows: int = 2048) -> DenoisingTask:
    """Paths of a slow chain under uniform noise; parameters as for `bits_task`."""
    return _chain_task(uniform(CLASSES), ClockAxis(0.002, 1.0), Kind.LOO_LOGITS, sampler, seed, rows)


def masked_task(sampler: str, seed: int, rows: int = 2048) -> DenoisingTask:
    """Paths of a slow chain under masks; parameters as for `bits_task`."""
    return _chain_task(mask(CLASSES), ClockAxis(), Kind.LOGITS, sampler, seed, rows)


def _chain_task(kernel: Kernel, axis: ClockAxis, kind: Kind, sampler: str, seed: int, rows: int) -> DenoisingTask:
    process = DiscreteProcess(Categorical(kernel.states, (SITES,)), kernel)
    paths = chain_paths(rows, 1)
    network = _seeded(lambda: _Classes(WIDTH, kernel.states), seed)
    levels = SAMPLERS[sampler](axis, UniformLevels(), None)
    return DenoisingTask(paths, paths, process, network, kind, levels, "slow chain", 256, seed)


def chain_paths(count: int, seed: int) -> Tensor:
    """Paths of a chain that keeps its class with probability `STAY`, else takes another at random."""
    generator = torch.Generator().manual_seed(seed)
    jump = torch.rand(count, SITES, generator=generator) > STAY
    step = torch.where(jump, torch.randint(1, CLASSES, (count, SITES), generator=generator), 0)
    step[:, 0] = torch.randint(CLASSES, (count,), generator=generator)
    return step.cumsum(1) % CLASSES


@dataclass(frozen=True)
class Trial:
    """Validation of a run.

    Parameters
    ----------
    steps
        Steps at which the run was validated.
    losses
        Entropy in nats at these steps.
    levels
        The allocation after the run.
    """

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    levels: FixedNoise | InfoNoise


@cache
def run_trial(task: Callable[..., DenoisingTask], sampler: str, seed: int, steps: int, every: int) -> Trial:
    """Train, and validate every so many steps.

    Parameters
    ----------
    task
        `bits_task`, `uniform_task` or `masked_task`.
    sampler
        Name in `SAMPLERS`.
    seed
        Seed of the run.
    steps, every
        Steps in all, and between validations.
    """
    made = task(sampler, seed)
    generator = torch.Generator()
    optimizer = torch.optim.Adam(made.network.parameters(), lr=RATE)
    average = Ema(made.network, 0.98)
    seen: list[tuple[int, float]] = []
    for step in range(1, steps + 1):
        generator.manual_seed(draw_seed(seed, step, 0, 1))
        optimizer.zero_grad()
        made.loss(made.network, made.batch(step, 0, 1), generator)[0].backward()
        optimizer.step()
        average.update(step)
        if step % every == 0:
            with average.applied():
                seen.append((step, made.validate(made.network)["entropy"]))
    return Trial(tuple(s for s, _ in seen), tuple(v for _, v in seen), made.levels)


def steps_to_equal_loss(trial: Trial, baseline: Trial) -> float:
    """Steps that a run needs for a loss that both reach, as a share of the baseline's.

    The loss is the best one of the run whose best is worse; between validations it is interpolated linearly. The
    measure is symmetric: exchanging the runs gives the inverse.

    Parameters
    ----------
    trial
        The run.
    baseline
        The run that it is compared with.
    """
    goal = max(min(trial.losses), min(baseline.losses))
    return _reached(trial, goal) / _reached(baseline, goal)


def _reached(trial: Trial, goal: float) -> float:
    """First step at which the interpolated loss is at most `goal`."""
    before, loss_before = 0.0, math.inf
    for step, loss in zip(trial.steps, trial.losses, strict=True):
        if loss <= goal:
            part = (loss_before - goal) / (loss_before - loss) if loss < loss_before < math.inf else 1.0
            return before + part * (step - before)
        before, loss_before = float(step), loss
    return math.inf
