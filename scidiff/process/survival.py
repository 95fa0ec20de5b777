"""Survival curves ``a(t)``: the probability that a level of the hierarchy has not been left at time ``t``.

``a(0) = 1``, ``a(1) = 0``, decreasing. Each curve gives its value, its complement ``1 - a`` without cancellation near
``t = 0``, its slope ``da/dt``, and the time at which the complement takes a given value; all in closed form, float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["Cosine", "Linear", "Power", "Survival"]


class Survival(ABC):
    """A decreasing curve from 1 at ``t = 0`` to 0 at ``t = 1``."""

    @abstractmethod
    def value(self, t: Tensor) -> Tensor:
        """Survival ``a(t)``."""

    @abstractmethod
    def complement(self, t: Tensor) -> Tensor:
        """Complement ``1 - a(t)``, accurate near ``t = 0``."""

    @abstractmethod
    def slope(self, t: Tensor) -> Tensor:
        """Derivative ``da/dt``, not positive."""

    @abstractmethod
    def inverse(self, complement: Tensor) -> Tensor:
        """Time at which ``1 - a(t)`` equals `complement`."""


@dataclass(frozen=True)
class Linear(Survival):
    """Survival ``a = 1 - t``."""

    def value(self, t: Tensor) -> Tensor:
        """Survival ``1 - t``."""
        return 1.0 - t

    def complement(self, t: Tensor) -> Tensor:
        """Complement ``t``."""
        return t.clone()

    def slope(self, t: Tensor) -> Tensor:
        """Derivative ``-1``."""
        return torch.full_like(t, -1.0)

    def inverse(self, complement: Tensor) -> Tensor:
        """Time of a complement."""
        return complement.clone()


@dataclass(frozen=True)
class Power(Survival):
    """Survival ``a = 1 - t^p``.

    Parameters
    ----------
    exponent
        ``p > 0``; larger keeps the data longer.
    """

    exponent: float

    def __post_init__(self) -> None:
        if not self.exponent > 0:
            raise ConfigError(f"exponent is {self.exponent}; expected a number > 0, e.g. Power(2)")

    def value(self, t: Tensor) -> Tensor:
        """Survival ``1 - t^p``."""
        return 1.0 - t**self.exponent

    def complement(self, t: Tensor) -> Tensor:
        """Complement ``t^p``."""
        return t**self.exponent

    def slope(self, t: Tensor) -> Tensor:
        """Derivative ``-p t^(p-1)``."""
        return -self.exponent * t ** (self.exponent - 1.0)

    def inverse(self, complement: Tensor) -> Tensor:
        """Time of a complement."""
        return complement ** (1.0 / self.exponent)


@dataclass(frozen=True)
class Cosine(Survival):
    """Survival ``a = cos^2(pi t / 2)``."""

    def value(self, t: Tensor) -> Tensor:
        """Survival, written as ``sin^2(pi (1 - t) / 2)`` so that it vanishes exactly at ``t = 1``."""
        return torch.sin(0.5 * math.pi * (1.0 - t)) ** 2

    def complement(self, t: Tensor) -> Tensor:
        """Complement ``sin^2(pi t / 2)``."""
        return torch.sin(0.5 * math.pi * t) ** 2

    def slope(self, t: Tensor) -> Tensor:
        """Derivative ``-(pi/2) sin(pi t)``."""
        return -0.5 * math.pi * torch.sin(math.pi * t)

    def inverse(self, complement: Tensor) -> Tensor:
        """Time of a complement."""
        return torch.asin(complement.sqrt()) * (2.0 / math.pi)
