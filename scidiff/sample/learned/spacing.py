"""Grids as functions of free parameters.

The nodes between two fixed values are ``low + (high - low) cumsum(share)`` with

    share = (1 - least) softmax(theta) + least / count

so that every interval keeps a small share and no two nodes meet; ``theta = 0`` gives equal intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule

__all__ = ["LogSnrSpacing", "TimeSpacing"]

_LEAST = 0.02


def _inner(theta: Tensor, low: float, high: float) -> Tensor:
    """Nodes strictly between two values."""
    share = (1 - _LEAST) * torch.softmax(theta, 0) + _LEAST / len(theta)
    return low + (high - low) * share.cumsum(0)[:-1]


def _outer(values: Tensor) -> Tensor:
    """Parameters whose nodes are the given ones, as far as the least share allows; ends included."""
    share = values.diff() / (values[-1] - values[0])
    return ((share - _LEAST / len(share)) / (1 - _LEAST)).clamp_min(1e-4).log()


def _one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


@dataclass(frozen=True)
class TimeSpacing:
    """Nodes spaced in time.

    Parameters
    ----------
    first, last
        Ends of the grid.
    steps
        Number of intervals.
    """

    first: float
    last: float
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1 or self.first <= self.last:
            raise ConfigError(f"{self.steps} steps from t = {self.first} to {self.last}; expected one or more, falling")

    @property
    def start(self) -> Tensor:
        """Parameters of equal intervals."""
        return torch.zeros(self.steps, dtype=torch.float64)

    def nodes(self, theta: Tensor) -> Tensor:
        """Times, shape ``(steps + 1,)``."""
        return torch.cat([_one(self.first), _inner(theta, self.first, self.last), _one(self.last)])


@dataclass(frozen=True)
class LogSnrSpacing:
    """Nodes spaced in the log signal-to-noise ratio, where it is finite.

    A start without any signal is followed by a fixed node at the ratio `ceiling`, and an end at ``t = 0`` is preceded
    by one at the ratio `floor`; only what lies between moves.

    Parameters
    ----------
    schedule
        Noise schedule.
    first, last
        Ends of the grid.
    steps
        Number of intervals.
    floor, ceiling
        Noise-to-signal ratios next to an end where the log ratio is infinite.
    """

    schedule: Schedule
    first: float
    last: float
    steps: int
    floor: float = 0.002
    ceiling: float = 80.0

    def __post_init__(self) -> None:
        if self.count < 1 or self.first <= self.last or not self.low < self.high:
            raise ConfigError(
                f"{self.steps} steps from t = {self.first} to {self.last} leave {self.count} intervals between "
                f"lam = {self.low:.3g} and {self.high:.3g}; expected at least one"
            )

    def _lam(self, t: float) -> float:
        return float(self.schedule.lam(_one(t)))

    @property
    def low(self) -> float:
        """Log ratio of the first node where it is finite."""
        lam = self._lam(self.first)
        return lam if math.isfinite(lam) else -math.log(self.ceiling)

    @property
    def high(self) -> float:
        """Log ratio of the last node where it is finite."""
        lam = self._lam(self.last)
        return lam if math.isfinite(lam) else -math.log(self.floor)

    @property
    def _blind(self) -> bool:
        return not math.isfinite(self._lam(self.first))

    @property
    def _to_zero(self) -> bool:
        return not math.isfinite(self._lam(self.last))

    @property
    def count(self) -> int:
        """Number of intervals that can change."""
        return self.steps - int(self._blind) - int(self._to_zero)

    @property
    def start(self) -> Tensor:
        """Parameters of equal intervals."""
        return torch.zeros(self.count, dtype=torch.float64)

    def nodes(self, theta: Tensor) -> Tensor:
        """Times, shape ``(steps + 1,)``; the ends are those given, to the last bit."""
        before = [_one(self.first), self.schedule.t(_one(self.low))] if self._blind else [_one(self.first)]
        after = [self.schedule.t(_one(self.high)), _one(self.last)] if self._to_zero else [_one(self.last)]
        return torch.cat([*before, self.schedule.t(_inner(theta, self.low, self.high)), *after])

    def theta(self, nodes: Tensor) -> Tensor:
        """Parameters that give a grid back."""
        moving = nodes[int(self._blind) : len(nodes) - int(self._to_zero)]
        return _outer(self.schedule.lam(moving))
