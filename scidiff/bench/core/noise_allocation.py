"""Claims of the allocation of training noise: closed-form profiles, and steps against EDM's default."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import mean, stdev

import torch
from scipy.stats import t as student

from scidiff.bench.core.allocation_trial import (
    AXIS,
    Trial,
    bits_task,
    masked_task,
    run_trial,
    steps_to_equal_loss,
    uniform_task,
)
from scidiff.bench.core.check import Claim
from scidiff.testing_targets.bits import bit_rate, information_band
from scidiff.train.noise_allocation import InfoNoise
from scidiff.train.noise_levels import LogNoiseAxis, LogNormalNoise

__all__ = ["claims"]

_BAND = math.log(0.42), math.log(2.12)
_STEPS = {"bits": (bits_task, 600), "uniform classes": (uniform_task, 300), "masked classes": (masked_task, 200)}
_SEEDS = 4


def claims() -> Iterator[Claim]:
    """Yield the claims of the allocation."""
    yield from _profile()
    for task in _STEPS:
        yield from _steps(task)
    yield Claim(
        "noise allocation/share of draws in the band, trained/bits",
        "exact",
        lambda seed: _trial("bits", "reweighted", seed * _SEEDS).levels.share(*_BAND),
        truth=0.339,
        least=0.6,
        why="InfoNoise after 600 steps on code words; truth: the share of EDM's log-normal(-1.2, 1.2); 0.9 of the "
        "draws follow the profile, of which 0.82 lie in the band for independent bits",
        full=True,
    )


def _profile() -> Iterator[Claim]:
    yield Claim(
        "noise allocation/information of one bit",
        "exact",
        lambda _seed: _integral(-5.0, 14.0),
        truth=math.log(2),
        tolerance=1e-9,
        why="integral of mmse(s) / s^2 over log s is H = ln 2 (I-MMSE); trapezoidal rule, tail beyond s = e^14 of "
        "1 / (2 s^2) < 4e-13",
    )
    yield Claim(
        "noise allocation/share of information with s in [0.42, 2.12]",
        "exact",
        lambda _seed: _integral(*_BAND) / math.log(2),
        truth=0.80,
        tolerance=0.025,
        why="closed form, independent bits; reference figure 80 %, rounded as are the ends of the band",
    )
    yield Claim(
        "noise allocation/share of EDM's draws with s in [0.42, 2.12]",
        "exact",
        lambda _seed: float(LogNormalNoise().cdf(AXIS, torch.tensor(_BAND, dtype=torch.float64)).diff()),
        truth=0.34,
        tolerance=0.005,
        why="log-normal(-1.2, 1.2); reference figure 34 %, rounded",
    )
    yield Claim(
        "noise allocation/share of draws in the shortest band of 80 %, closed-form profile",
        "exact",
        lambda _seed: _ideal_share(),
        truth=0.9 * 0.8 + 0.1 * 0.34,
        tolerance=0.04,
        why="InfoNoise with floor 0.1: 0.9 of the draws follow the profile, 0.1 the log-normal; the band ends at edges "
        "of bins of width 0.17, which hold up to 0.04 of the profile",
    )


def _integral(low: float, high: float) -> float:
    u = torch.linspace(low, high, 801, dtype=torch.float64)
    return float(torch.trapezoid(bit_rate(u), u))


def _ideal_share() -> float:
    levels = InfoNoise(LogNoiseAxis(AXIS.schedule), LogNormalNoise(), refresh=1, memory=1e9)
    middle = 0.5 * (levels.edges[1:] + levels.edges[:-1])
    levels.record(middle, bit_rate(middle))
    return levels.share(*information_band(levels.edges, bit_rate(middle), 0.8))


def _trial(task: str, sampler: str, seed: int) -> Trial:
    make, steps = _STEPS[task]
    return run_trial(make, sampler, seed, steps, steps // 12)


def _ratios(task: str, sampler: str, seed: int) -> list[float]:
    seeds = range(seed * _SEEDS, (seed + 1) * _SEEDS)
    return [steps_to_equal_loss(_trial(task, sampler, s), _trial(task, "baseline", s)) for s in seeds]


def _steps(task: str) -> Iterator[Claim]:
    """Steps to equal validation loss: the mean over seeds, and the end of its interval that is nearer to no gain."""
    make, steps = _STEPS[task]
    against = "EDM's log-normal levels" if make is bits_task else "uniform times"
    for sampler, label, objective in (
        ("reweighted", "exact", "the baseline's objective, by importance weights"),
        ("free", "biased", "the objective moves with the profile"),
    ):
        why = f"steps of {against} over those of InfoNoise, {steps} steps, {_SEEDS} seeds, {objective}; 1 is no gain"
        parts: tuple[tuple[str, Callable[[list[float]], float]], ...] = (
            ("speed-up", lambda r: 1 / mean(r)),
            ("speed-up, 95 % low", lambda r: 1 / (mean(r) + _half_width(r))),
            ("speed-up, 95 % high", lambda r: 1 / max(mean(r) - _half_width(r), 1e-9)),
        )
        for name, part in parts:
            yield Claim(
                f"noise allocation/{name}/{task}, {sampler}",
                label,
                lambda seed, part=part, sampler=sampler: part(_ratios(task, sampler, seed)),
                truth=1.0,
                least=1.0 if (name, task) == ("speed-up", "bits") else None,
                why=why,
                full=True,
            )


def _half_width(ratios: list[float]) -> float:
    """Half of the 95 % t interval of the mean."""
    return float(student.ppf(0.975, len(ratios) - 1)) * stdev(ratios) / math.sqrt(len(ratios))
