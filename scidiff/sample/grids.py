"""Time grids, and the plan that follows one.

A grid is a 1-D float64 tensor of times; a run makes one step per interval. It may run backward (from the prior to the
data, the usual case), forward (inversion), or over a part of the clock. The last node may be ``t = 0`` exactly: the
step into it returns the denoised mean ("denoise to zero"). Or it may stop at a floor, given as the noise-to-signal
ratio ``sigma / alpha`` in the unit of the data: below the precision of the data there is nothing to resolve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule
from scidiff.sample.state import RunState
from scidiff.spaces import State, first, state_map

__all__ = ["Grid", "check_grid", "edm_grid", "log_snr_grid", "uniform_grid"]


def uniform_grid(steps: int, *, start: float = 1.0, end: float = 0.0) -> Tensor:
    """Grid with equal intervals of the clock.

    Parameters
    ----------
    steps
        Number of intervals.
    start, end
        First and last time.

    Returns
    -------
    Tensor
        Times, shape ``(steps + 1,)``.
    """
    _check_steps(steps)
    return torch.linspace(start, end, steps + 1, dtype=torch.float64)


def log_snr_grid(
    schedule: Schedule,
    steps: int,
    *,
    start: float = 1.0,
    floor: float = 0.002,
    ceiling: float = 80.0,
    to_zero: bool = True,
) -> Tensor:
    """Grid with equal intervals of ``lam = log(alpha / sigma)``, the coordinate of the exponential solvers.

    Parameters
    ----------
    schedule
        Gives `lam` and its inverse.
    steps
        Number of intervals.
    start
        First time.
    floor
        Noise-to-signal ratio of the last noisy node, in the unit of the data.
    ceiling
        Noise-to-signal ratio of the second node where the first one holds no signal at all.
    to_zero
        Whether the last interval leads from the floor to ``t = 0``.

    Returns
    -------
    Tensor
        Times, shape ``(steps + 1,)``.
    """
    return _spaced(schedule, steps, start, floor, ceiling, to_zero, torch.log, torch.exp)


def edm_grid(
    schedule: Schedule,
    steps: int,
    *,
    start: float = 1.0,
    floor: float = 0.002,
    ceiling: float = 80.0,
    rho: float = 7.0,
    to_zero: bool = True,
) -> Tensor:
    """Grid with equal intervals of ``(sigma / alpha)^(1 / rho)`` [1]_.

    Made for single-step methods; multistep methods do better on `log_snr_grid`.

    Parameters
    ----------
    schedule, steps, start, floor, ceiling
        As for `log_snr_grid`.
    rho
        Power of the spacing.
    to_zero
        As for `log_snr_grid`.

    Returns
    -------
    Tensor
        Times, shape ``(steps + 1,)``.

    References
    ----------
    .. [1] T. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv:2206.00364,
       eq. 5
    """
    if not rho > 0:
        raise ConfigError(f"rho is {rho}; expected a positive power, the published value is 7")
    return _spaced(
        schedule, steps, start, floor, ceiling, to_zero, lambda ratio: ratio ** (1 / rho), lambda value: value**rho
    )


def _spaced(
    schedule: Schedule,
    steps: int,
    start: float,
    floor: float,
    ceiling: float,
    to_zero: bool,
    forth: Callable[[Tensor], Tensor],
    back: Callable[[Tensor], Tensor],
) -> Tensor:
    """Equal intervals of a function `forth` of the noise-to-signal ratio, whose inverse is `back`."""
    _check_steps(steps)
    first_time = torch.tensor([start], dtype=torch.float64)
    top = float((-schedule.lam(first_time)).exp())
    blind = math.isinf(top)
    inner = steps - int(to_zero) - int(blind)
    high = ceiling if blind else top
    if inner < 1 or not 0 < floor < high:
        raise ConfigError(
            f"steps = {steps} leave {inner} intervals between the noise-to-signal ratios {high:.4g} and {floor:.4g}; "
            "expected at least one, and floor below the ratio of the start"
        )
    ends = forth(torch.tensor([high, floor], dtype=torch.float64))
    ratios = back(torch.linspace(float(ends[0]), float(ends[1]), inner + 1, dtype=torch.float64))
    times = schedule.t(-ratios.log())
    times = torch.cat([first_time, times if blind else times[1:]])
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)]) if to_zero else times


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"steps is {steps}; expected at least 1")


def check_grid(times: Tensor, *, returns: bool = False) -> None:
    """Raise `ConfigError` unless the times are a float64 vector in [0, 1] that goes one way, or `returns`."""
    fits = times.ndim == 1 and len(times) >= 2 and times.dtype == torch.float64
    if not fits or not bool(((times >= 0) & (times <= 1)).all()):
        raise ConfigError(f"grid is {times}; expected a float64 vector of at least two times in [0, 1]")
    gaps = times.diff()
    if not (returns or bool((gaps <= 0).all()) or bool((gaps >= 0).all())):
        raise ConfigError(f"grid {times.tolist()} goes both ways; expected times that only fall, or only rise")


@dataclass(frozen=True, eq=False)
class Grid:
    """Plan in which all free sites follow one grid, or those of each factor their own.

    Parameters
    ----------
    times
        Times, shape ``(steps + 1,)``; or one vector per factor of a product, all of one length. A repeated time is a
        stage of a multi-stage rule.
    offset
        Number of steps that the run has made when this grid begins.
    returns
        Whether the times may go both ways, as those of a restart do.
    """

    times: Tensor | Mapping[str, Tensor]
    offset: int = 0
    returns: bool = False

    def __post_init__(self) -> None:
        grids = list(self.times.values()) if isinstance(self.times, Mapping) else [self.times]
        for times in grids:
            check_grid(times, returns=self.returns)
        if len({len(times) for times in grids}) != 1:
            raise ConfigError(f"the factors have grids of {[len(g) for g in grids]} nodes; expected one length")

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(first(self.times)) - 1

    def done(self, state: RunState) -> bool:
        """Whether the last node is reached."""
        return state.i - self.offset >= self.steps

    def start(self, state: RunState) -> RunState:
        """Return the state as it is: a new run begins at ``t = 1``.

        Raises
        ------
        ConfigError
            If the grid begins elsewhere.
        """
        grids = self.times.values() if isinstance(self.times, Mapping) else [self.times]
        begins = [float(times[0]) for times in grids]
        if any(t != 1.0 for t in begins):
            raise ConfigError(
                f"the grid begins at t = {begins} but a new run begins with the prior at t = 1; "
                "pass state=RunState.at(x, t, noise) to start elsewhere"
            )
        return state

    def next(self, state: RunState, m: State) -> State:
        """Next node at the free sites, 0 at the others."""
        k = state.i - self.offset + 1
        return state_map(lambda f, times: torch.where(f, times[k].to(f.device), 0.0), state.free, self.times)
