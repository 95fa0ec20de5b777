"""Multiresolution denoising: a coarse grid while the noise hides everything finer.

On the fine grid of ``N`` sites an axis noise has variance ``sigma^2`` in every unitary Fourier mode, and data have the
spectrum ``S(k)``, which falls with ``k``. While the signal-to-noise ratio ``alpha^2 S(k) / sigma^2`` at the Nyquist
band ``k = n / 2`` of a grid of ``n`` sites is below a threshold, 1 by default, what that grid cannot hold is mostly
noise, and the step is made on it. There the process is

    x_c = alpha x_0c + (n / N)^(d/2) sigma eps,

which is a schedule (`CoarseSchedule`), so that every solver runs on it. A network of another schedule is asked at the
time of equal signal-to-noise ratio (`retimed`).

*Refinement.* With ``R`` of `scidiff.sample.continuous.bands`, ``x <- (N / n)^(d/2) R^T x_c + sigma (1 - R^T R) xi``
with the ``xi`` of the fine prior: the band that was left out has the law ``N(0, sigma^2)`` instead of
``N(0, alpha^2 S + sigma^2)``, and no dependence on the rest. Its variance is short by a factor of at most
``1 + threshold``; `matched` adds what is missing by the spectrum, which is exact for Gaussian fields. Dependence on the
coarse modes is left to the steps that follow.

All noise of a coarse grid is ``R`` of that of the fine one (`NestedNoise`): runs of different resolution are coupled,
and share their large scales sample by sample. A solver with memory starts anew after each refinement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import GaussianProcess, Kind
from scidiff.process.schedule import Schedule
from scidiff.random import Noise
from scidiff.sample.continuous.bands import NestedNoise, Spectrum, coarsen, refine, wavenumber
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from scidiff.spaces import Euclidean, State

__all__ = [
    "CoarseSchedule",
    "Level",
    "MultiresolutionRun",
    "levels_of_steps",
    "multiresolution",
    "retimed",
]


@dataclass(frozen=True)
class CoarseSchedule(Schedule):
    """Schedule of a coarse grid: the same signal, and noise smaller by a factor.

    Parameters
    ----------
    base
        Schedule of the fine grid.
    factor
        ``(n / N)^(d/2)``.
    """

    base: Schedule
    factor: float

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level at time ``t``."""
        return self.base.alpha(t)

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``."""
        return self.factor * self.base.sigma(t)

    def lam(self, t: Tensor | float) -> Tensor:
        """Half log signal-to-noise ratio."""
        return self.base.lam(t) - math.log(self.factor)

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which `lam` has the given value."""
        return self.base.t(torch.as_tensor(lam, dtype=torch.float64) + math.log(self.factor))


def retimed(denoiser: Denoiser, native: Schedule, schedule: Schedule) -> Denoiser:
    """Use a denoiser of one schedule on another: at the time of equal signal-to-noise ratio, on the state in its unit.

    The unit is the ratio of the signals, and that of the noises, which is the same, where there is no signal.

    Parameters
    ----------
    denoiser
        Denoiser of kind MEAN or EPS; those mean the same on every schedule.
    native
        Schedule that it was made for.
    schedule
        Schedule that it is wanted on.
    """
    if denoiser.kind not in (Kind.MEAN, Kind.EPS):
        raise ConfigError(f"a denoiser of kind {denoiser.kind} came; expected MEAN or EPS, convert it first")

    def function(x: State, t: State, condition: Any = None) -> State:
        if not isinstance(x, Tensor) or not isinstance(t, Tensor | float):
            raise ShapeError(f"a state of type {type(x).__name__} came; expected one tensor")
        s = native.t(schedule.lam(t))
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        unit = torch.where(alpha > 0, native.alpha(s) / alpha, native.sigma(s) / sigma)
        return denoiser((x * unit).to(x.dtype), s, condition)

    return Denoiser(function, denoiser.kind)


@dataclass(frozen=True)
class Level:
    """One resolution.

    Parameters
    ----------
    sites
        Sites on every spatial axis.
    denoiser
        Denoiser of fields of these sites on the schedule ``CoarseSchedule(base, (n / N)^(d/2))``; see `retimed`.
    """

    sites: tuple[int, ...]
    denoiser: Denoiser


@dataclass(frozen=True, eq=False)
class MultiresolutionRun:
    """What a run gave.

    Parameters
    ----------
    state
        Last state, on the finest grid.
    levels
        Level of every step, ascending.
    cost
        Sites that were denoised, over those of as many steps on the finest grid.
    """

    state: RunState
    levels: tuple[int, ...]
    cost: float


def levels_of_steps(
    sites: Sequence[Sequence[int]], schedule: Schedule, grid: Tensor, spectrum: Spectrum, threshold: float = 1.0
) -> tuple[int, ...]:
    """Coarsest level that each step may use: the ratio at its Nyquist band is below the threshold at the *end*.

    Parameters
    ----------
    sites
        Sites of the levels, from coarse to fine.
    schedule
        Schedule of the finest grid.
    grid
        Times, shape ``(steps + 1,)``, descending.
    spectrum
        Variance of a unitary Fourier mode of the fine grid at a number of periods in the domain.
    threshold
        Largest signal-to-noise ratio that is neglected.
    """
    nyquist = torch.tensor([min(each) / 2 for each in sites[:-1]], dtype=torch.float64)
    alpha, sigma = schedule.alpha(grid[1:]), schedule.sigma(grid[1:])
    hidden = alpha[:, None] ** 2 * spectrum(nyquist) < threshold * sigma[:, None] ** 2
    found, least = [], 0
    for row in hidden.tolist():
        least = max(least, row.index(True) if True in row else len(row))
        found.append(least)
    return tuple(found)


def multiresolution(
    levels: Sequence[Level],
    schedule: Schedule,
    grid: Tensor,
    solver: Callable[[Schedule, Tensor], Table],
    spectrum: Spectrum,
    noise: Noise,
    *,
    channels: int = 1,
    threshold: float = 1.0,
    matched: bool = False,
    condition: Any = None,
) -> MultiresolutionRun:
    """Sample a field from coarse to fine.

    Parameters
    ----------
    levels
        Resolutions, from coarse to fine; the last is that of the result.
    schedule
        Schedule of the finest grid.
    grid
        Times, shape ``(steps + 1,)``.
    solver
        Takes a schedule and times, e.g. `dpmpp_2m` or ``functools.partial(ddim, eta=1.0)``.
    spectrum
        See `levels_of_steps`.
    noise
        Noise of the samples.
    channels
        Channels of the field.
    threshold
        Largest signal-to-noise ratio that is neglected; 0 is a run on the finest grid.
    matched
        Whether a band that is added has the variance ``alpha^2 S + sigma^2``, and not ``sigma^2``.
    condition
        Handed to every denoiser as it is.
    """
    _check(levels, threshold)
    fine = levels[-1].sites
    used = levels_of_steps([level.sites for level in levels], schedule, grid, spectrum, threshold)
    nested = noise if isinstance(noise, NestedNoise) else NestedNoise.of(noise, fine)
    state = None
    for number in sorted(set(used)):
        level, first, count = levels[number], used.index(number), used.count(number)
        coarse = CoarseSchedule(schedule, math.sqrt(math.prod(level.sites) / math.prod(fine)))
        process = GaussianProcess(Euclidean((channels, *level.sites)), coarse)
        rule = TableRule(solver(coarse, grid[first : first + count + 1]), first)
        if state is None:
            state = rule.plan.start(RunState.start(process, nested, (channels, *level.sites)))
        else:
            t = grid[first]
            variance = schedule.sigma(t) ** 2 * torch.ones(level.sites, dtype=torch.float64)
            if matched:
                variance = variance + schedule.alpha(t) ** 2 * spectrum(wavenumber(level.sites))
            state = _refined(state, process, coarse.factor * variance.sqrt(), float(t))
        state = run(level.denoiser, process, rule, rule.plan, state=state, condition=condition)
    if state is None:
        raise ConfigError(f"the grid has {len(grid)} times; expected two or more")
    cost = sum(math.prod(levels[number].sites) for number in used) / (len(used) * math.prod(fine))
    return MultiresolutionRun(state, used, cost)


def _refined(state: RunState, process: GaussianProcess, spread: Tensor, t: float) -> RunState:
    """Bring a state to a finer grid: its own band, and the rest of the prior noise at the spread of every mode."""
    sites = spread.shape
    axes = tuple(range(2, state.x.ndim))
    xi = process.eps(state.noise, (state.x.shape[1], *sites), step=0, stream="prior")
    rest = xi - refine(coarsen(xi, state.x.shape[2:], white=True), sites, white=True)
    rest = torch.fft.ifftn(torch.fft.fftn(rest, dim=axes) * spread, dim=axes).real
    x = refine(state.x, sites) + rest.to(state.x.device)
    return replace(RunState.at(x, t, state.noise), i=state.i, calls=state.calls, log_w=state.log_w)


def _check(levels: Sequence[Level], threshold: float) -> None:
    sites = [level.sites for level in levels]
    rising = all(
        len(a) == len(b) and a != b and all(n <= m for n, m in zip(a, b, strict=False)) for a, b in pairwise(sites)
    )
    if not sites or not rising or threshold < 0:
        raise ConfigError(
            f"levels of {sites} sites and a threshold of {threshold}; expected grids from coarse to fine with equally "
            "many axes, and a threshold of at least 0"
        )
