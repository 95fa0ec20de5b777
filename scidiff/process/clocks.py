"""Clocks of geodesic paths: the share ``kbar(t)`` of the way from the data to the prior that is still to go.

``kbar(0) = 0`` at the data, ``kbar(1) = 1`` at the prior, and it rises strictly in between. `pace` is
``kbar / (d kbar / dt)``, smooth and 0 at the data, so that velocity and tangent are multiples of each other,
``dx_t/dt = -m / pace`` with ``m = log_x(x_0)``. Results are float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["ExponentialClock", "PathClock", "PowerClock"]


def _double(t: Tensor | float) -> Tensor:
    return torch.as_tensor(t, dtype=torch.float64)


class PathClock(ABC):
    """How the way that remains shrinks."""

    @abstractmethod
    def remaining(self, t: Tensor | float) -> Tensor:
        """Share ``kbar(t)`` of the way that remains."""

    @abstractmethod
    def pace(self, t: Tensor | float) -> Tensor:
        """Return ``kbar / kbar'``, in units of the clock."""


@dataclass(frozen=True)
class PowerClock(PathClock):
    """Clock ``kbar = t^power``; with the default the point moves at constant speed.

    Parameters
    ----------
    power
        Positive.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise ConfigError(f"power is {self.power}; expected a positive number, 1 is constant speed")

    def remaining(self, t: Tensor | float) -> Tensor:
        """Share ``t^power``."""
        return _double(t) ** self.power

    def pace(self, t: Tensor | float) -> Tensor:
        """Return ``t / power``."""
        return _double(t) / self.power


@dataclass(frozen=True)
class ExponentialClock(PathClock):
    """Clock ``kbar = (e^(rate t) - 1) / (e^rate - 1)``, which moves fast near the prior.

    The published clock of rotations [1]_ is ``e^(rate (t - 1))``, which stops ``e^-rate`` short of the data; this one
    differs from it by that much and arrives.

    Parameters
    ----------
    rate
        Positive; the published value is 10.

    References
    ----------
    .. [1] J. Yim et al., "Fast protein backbone generation with SE(3) flow matching", arXiv:2310.05297
    """

    rate: float = 10.0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ConfigError(f"rate is {self.rate}; expected a positive number, or PowerClock() for constant speed")

    def remaining(self, t: Tensor | float) -> Tensor:
        """Share of the way that remains."""
        return torch.expm1(self.rate * _double(t)) / torch.expm1(_double(self.rate))

    def pace(self, t: Tensor | float) -> Tensor:
        """Return ``(1 - e^(-rate t)) / rate``."""
        return -torch.expm1(-self.rate * _double(t)) / self.rate
