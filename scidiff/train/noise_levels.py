r"""The axis on which noise levels are drawn, and the densities of published samplers on it.

A noise level is a number ``u``: for Gaussian noise ``u = log s`` with ``s = sigma / alpha`` (minus the half log
signal-to-noise ratio), for discrete noise the clock itself. A density ``q`` lives on an interval ``[low, high]`` of the
axis and gives its distribution function and quantiles, so that a batch is drawn evenly: row ``i`` of ``B`` has the
position

    v_i = (pi(i) + w) / B,        w ~ U(0, 1),   pi a random permutation,

and the level ``u_i = Q(v_i)``. Every row has the law ``q``, hence every mean over a batch is unbiased; the levels of a
batch cover the axis.

References
----------
.. [1] T. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv:2206.00364
.. [2] D. Kingma et al., "Variational Diffusion Models", arXiv:2107.00630 (evenly spread times)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule

__all__ = ["Axis", "ClockAxis", "Density", "LogNormalNoise", "LogNoiseAxis", "UniformLevels", "even_positions"]


def even_positions(count: int, generator: torch.Generator) -> Tensor:
    """Positions in (0, 1), spread evenly over a batch in random order.

    Parameters
    ----------
    count
        Rows of the batch.
    generator
        Source of the draws; its device is that of the result.

    Returns
    -------
    Tensor
        Float64, shape ``(count,)``; each row alone is uniform.
    """
    device = generator.device
    shift = torch.rand((), generator=generator, dtype=torch.float64, device=device).clamp(2.0**-40, 1 - 2.0**-40)
    return (torch.randperm(count, generator=generator, device=device) + shift) / count


class Axis(ABC):
    """Coordinate of noise levels.

    Attributes
    ----------
    low, high
        Ends of the interval that is trained.
    """

    low: float
    high: float

    @abstractmethod
    def time(self, u: Tensor) -> Tensor:
        """Clock of a level."""


@dataclass(frozen=True)
class LogNoiseAxis(Axis):
    """Axis ``u = log(sigma / alpha)`` of Gaussian noise.

    Parameters
    ----------
    schedule
        Schedule that turns a level into a time.
    least, most
        Noise-to-signal ratios of the ends, in the unit of the data.

    Raises
    ------
    ConfigError
        If the ratios are not ``0 < least < most``, or the schedule does not reach `most`.
    """

    schedule: Schedule
    least: float = 0.002
    most: float = 80.0

    def __post_init__(self) -> None:
        """Check the ends once."""
        top = float((-self.schedule.lam(1.0)).exp())
        if not 0 < self.least < self.most or self.most > top * (1 + 1e-9):
            raise ConfigError(
                f"least = {self.least}, most = {self.most} on a schedule that ends at {top:.6g}; expected "
                "0 < least < most, and most no larger than that end"
            )

    @property
    def low(self) -> float:
        """Logarithm of the least ratio."""
        return math.log(self.least)

    @property
    def high(self) -> float:
        """Logarithm of the largest ratio."""
        return math.log(self.most)

    def time(self, u: Tensor) -> Tensor:
        """Time at which ``log(sigma / alpha) = u``."""
        return self.schedule.t(-u)


@dataclass(frozen=True)
class ClockAxis(Axis):
    """Axis ``u = t``, for noise that has no signal-to-noise ratio.

    Parameters
    ----------
    low, high
        Ends of the interval, within [0, 1].

    Raises
    ------
    ConfigError
        If they are not ``0 <= low < high <= 1``.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        """Check the ends once."""
        if not 0 <= self.low < self.high <= 1:
            raise ConfigError(f"low = {self.low}, high = {self.high}; expected 0 <= low < high <= 1")

    def time(self, u: Tensor) -> Tensor:
        """The level itself."""
        return u


class Density(ABC):
    """Law of a level on an axis."""

    @abstractmethod
    def pdf(self, axis: Axis, u: Tensor) -> Tensor:
        """Density per unit of the axis."""

    @abstractmethod
    def cdf(self, axis: Axis, u: Tensor) -> Tensor:
        """Probability of a level of at most ``u``."""

    @abstractmethod
    def quantile(self, axis: Axis, v: Tensor) -> Tensor:
        """Level of a probability; the inverse of `cdf`."""

    @abstractmethod
    def describe(self) -> dict[str, float | str]:
        """Name and numbers, in JSON values."""


@dataclass(frozen=True)
class UniformLevels(Density):
    """Uniform on the axis: in ``log s`` the likelihood's own spacing, in ``t`` that of discrete diffusion."""

    def pdf(self, axis: Axis, u: Tensor) -> Tensor:
        """Density ``1 / (high - low)``."""
        return torch.full_like(u, 1.0 / (axis.high - axis.low))

    def cdf(self, axis: Axis, u: Tensor) -> Tensor:
        """Share of the axis below ``u``."""
        return ((u - axis.low) / (axis.high - axis.low)).clamp(0.0, 1.0)

    def quantile(self, axis: Axis, v: Tensor) -> Tensor:
        """Level at a share of the axis."""
        return axis.low + v * (axis.high - axis.low)

    def describe(self) -> dict[str, float | str]:
        """Name, in JSON values."""
        return {"density": "uniform"}


@dataclass(frozen=True)
class LogNormalNoise(Density):
    """Normal in ``log s``, cut at the ends of the axis: EDM's sampler of training noise [1]_.

    Parameters
    ----------
    mean, std
        Of ``log s``; the published values are for data of standard deviation 0.5.

    Raises
    ------
    ConfigError
        If the standard deviation is not positive.

    References
    ----------
    .. [1] T. Karras et al., arXiv:2206.00364, table 1
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        """Check the width once."""
        if not self.std > 0:
            raise ConfigError(f"std is {self.std}; expected a positive number, the published value is 1.2")

    def _normal(self, u: Tensor | float) -> Tensor:
        return torch.special.ndtr((torch.as_tensor(u, dtype=torch.float64) - self.mean) / self.std)

    def _ends(self, axis: Axis) -> tuple[Tensor, Tensor]:
        return self._normal(axis.low), self._normal(axis.high)

    def pdf(self, axis: Axis, u: Tensor) -> Tensor:
        """Density, normalised on the axis."""
        low, high = self._ends(axis)
        norm = self.std * math.sqrt(2 * math.pi) * float(high - low)
        return torch.exp(-0.5 * ((u - self.mean) / self.std) ** 2) / norm

    def cdf(self, axis: Axis, u: Tensor) -> Tensor:
        """Distribution function, 0 and 1 at the ends of the axis."""
        low, high = (float(end) for end in self._ends(axis))
        return ((self._normal(u) - low) / (high - low)).clamp(0.0, 1.0)

    def quantile(self, axis: Axis, v: Tensor) -> Tensor:
        """Level of a probability."""
        low, high = (float(end) for end in self._ends(axis))
        u = self.mean + self.std * torch.special.ndtri(low + v * (high - low))
        return u.clamp(axis.low, axis.high)

    def describe(self) -> dict[str, float | str]:
        """Name and numbers, in JSON values."""
        return {"density": "log-normal", "mean": self.mean, "std": self.std}
