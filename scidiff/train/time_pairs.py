"""Pairs of times ``t > s`` at which a flow map is trained.

Uniform pairs fill the triangle ``low <= s < t <= 1`` evenly, so that few lie near its corner ``(1, 0)``, which is what
a single call uses. A share `ends` of the pairs has ``t = 1``, and, drawn apart from it, the same share ``s = low``.
The data end is left out by `low`, where the velocity of most flows is a ratio of vanishing terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source

__all__ = ["DataPairs", "TimePairs"]

_APART = 1e-4


def _check_low(low: float) -> None:
    if not 0 < low < 1 - 2 * _APART:
        raise ConfigError(f"low is {low}; expected a time above 0 and below 1, e.g. 1e-3")


@dataclass(frozen=True)
class TimePairs:
    """Uniform pairs, with more of them at the ends of the clock.

    Parameters
    ----------
    low
        Least time, above 0.
    ends
        Share of the pairs that start at ``t = 1``; and, apart from it, of those that end at ``s = low``.
    """

    low: float = 1e-3
    ends: float = 0.25

    def __post_init__(self) -> None:
        _check_low(self.low)
        if not 0 <= self.ends <= 1:
            raise ConfigError(f"ends is {self.ends}; expected a share in [0, 1]")

    def __call__(self, noise: Source) -> tuple[Tensor, Tensor]:
        """Draw ``t`` and ``s``, float64, shape ``(batch,)``."""
        u = noise.uniform((4,), step=0, stream="time pairs")
        pair = self.low + (1 - self.low) * u[:, :2]
        t = torch.where(u[:, 2] < self.ends, 1.0, pair.amax(1)).clamp_min(self.low + _APART)
        s = torch.where(u[:, 3] < self.ends, self.low, pair.amin(1))
        return t, torch.minimum(s, t - _APART)


@dataclass(frozen=True)
class DataPairs:
    """Pairs that all end at the data, ``s = 0``: consistency models.

    Parameters
    ----------
    low
        Least time ``t``, above 0.
    """

    low: float = 1e-3

    def __post_init__(self) -> None:
        _check_low(self.low)

    def __call__(self, noise: Source) -> tuple[Tensor, Tensor]:
        """Draw ``t``, uniform, and ``s = 0``, float64, shape ``(batch,)``."""
        t = self.low + (1 - self.low) * noise.uniform((), step=0, stream="time pairs")
        return t, torch.zeros_like(t)
