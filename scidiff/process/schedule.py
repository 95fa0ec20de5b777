"""Noise schedules: ``x_t = alpha(t) x_0 + sigma(t) eps`` on the clock ``t`` in [0, 1].

Every schedule is clean at the start of its clock, ``alpha(0) = 1`` and ``sigma(0) = 0``, so that a site at ``t = 0`` is
data without a special case. The coordinate in which solvers work is the half log signal-to-noise ratio

    lam(t) = log(alpha(t) / sigma(t)),    lam(0) = +inf,    snr(t) = exp(2 lam(t)),

which falls strictly with ``t``; each schedule inverts it in closed form. Times are taken in float64, whatever dtype
comes, and results are float64 tensors of the shape and on the device of ``t``.

Near an end of the clock the inverse is limited by round-off alone: an error ``e`` in ``lam`` moves ``t`` by
``e |dt/dlam|``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["CosineSchedule", "EDMSchedule", "LinearFlowSchedule", "Schedule", "VESchedule", "VPSchedule"]


def _double(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)


class Schedule(ABC):
    """Signal level, noise level and log signal-to-noise ratio of a clock."""

    @abstractmethod
    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level at time ``t``."""

    @abstractmethod
    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level (standard deviation) at time ``t``."""

    @abstractmethod
    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which `lam` has the given value; the inverse of `lam`.

        Values outside the range of the clock give the nearest end, and ``+inf`` gives 0.
        """

    def lam(self, t: Tensor | float) -> Tensor:
        """Half log signal-to-noise ratio ``log(alpha / sigma)``: +inf where there is no noise, -inf where no signal."""
        return self.alpha(t).log() - self.sigma(t).log()

    def snr(self, t: Tensor | float) -> Tensor:
        """Signal-to-noise ratio ``alpha^2 / sigma^2``."""
        return (self.alpha(t) / self.sigma(t)) ** 2

    def velocity(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Coefficients ``(a, b)`` of the velocity ``v = a x_0 + b eps`` that a network of kind V predicts.

        By default ``v = alpha eps - sigma x_0`` [1]_, the derivative along the circle ``alpha^2 + sigma^2 = 1`` with
        respect to its angle.

        References
        ----------
        .. [1] T. Salimans, J. Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", arXiv:2202.00512
        """
        return -self.sigma(t), self.alpha(t)


@final
@dataclass(frozen=True)
class VPSchedule(Schedule):
    """Variance-preserving schedule with a linear rate ``beta(t) = beta_min + t (beta_max - beta_min)`` [1]_.

    ``log alpha = -beta_min t / 2 - (beta_max - beta_min) t^2 / 4`` and ``sigma^2 = 1 - alpha^2``.

    Parameters
    ----------
    beta_min, beta_max
        Rate at the data and at the prior; per unit of the clock.

    References
    ----------
    .. [1] Y. Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations",
       arXiv:2011.13456

    Examples
    --------
    >>> from scidiff.process import VPSchedule
    >>> schedule = VPSchedule()
    >>> round(float(schedule.alpha(0.5) ** 2 + schedule.sigma(0.5) ** 2), 12)
    1.0
    >>> round(float(schedule.sigma(1.0)), 4)
    1.0
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        _require(
            0 < self.beta_min <= self.beta_max,
            f"beta_min = {self.beta_min}, beta_max = {self.beta_max}; expected 0 < beta_min <= beta_max",
        )

    def _log_alpha(self, t: Tensor | float) -> Tensor:
        t = _double(t)
        return -0.5 * t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level at time ``t``."""
        return self._log_alpha(t).exp()

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``."""
        return (-torch.expm1(2 * self._log_alpha(t))).sqrt()

    def lam(self, t: Tensor | float) -> Tensor:
        """Half log signal-to-noise ratio."""
        log_alpha = self._log_alpha(t)
        return log_alpha - 0.5 * (-torch.expm1(2 * log_alpha)).log()

    def t(self, lam: Tensor | float) -> Tensor:
        """Positive root of ``beta_min t + (beta_max - beta_min) t^2 / 2 = log(1 + exp(-2 lam))``."""
        lam = _double(lam)
        level = torch.logaddexp(-2 * lam, torch.zeros_like(lam)).clamp(max=0.5 * (self.beta_min + self.beta_max))
        root = (self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * level).sqrt()
        return 2 * level / (self.beta_min + root)


@final
@dataclass(frozen=True)
class CosineSchedule(Schedule):
    """Cosine schedule [1]_: ``alpha = cos(theta(t)) / cos(theta(0))``, ``sigma^2 = 1 - alpha^2``.

    The angle ``theta = pi/2 (u + offset) / (1 + offset)`` is linear in the clock. The published curve ends without any
    signal at ``u = 1``, where ``lam = -inf``; here the clock ends at ``lam_min`` instead, that is ``u = t u_max`` with
    ``lam(1) = lam_min``. The default leaves a signal of 5e-5 at the prior.

    Parameters
    ----------
    offset
        Shift of the angle that keeps the noise near the data from vanishing too fast.
    lam_min
        Half log signal-to-noise ratio at the prior.

    References
    ----------
    .. [1] A. Nichol, P. Dhariwal, "Improved Denoising Diffusion Probabilistic Models", arXiv:2102.09672, eq. 17
    """

    offset: float = 0.008
    lam_min: float = -10.0

    def __post_init__(self) -> None:
        _require(
            self.offset > 0 and -30 <= self.lam_min < 0,
            f"offset = {self.offset}, lam_min = {self.lam_min}; expected offset > 0 and -30 <= lam_min < 0",
        )

    @property
    def _start(self) -> float:
        return 0.5 * math.pi * self.offset / (1 + self.offset)

    def _turn(self, lam: Tensor) -> Tensor:
        """Angle ``theta - theta(0)`` as a function of ``lam``, without cancellation at either end."""
        cos0, sin0 = math.cos(self._start), math.sin(self._start)
        alpha2, sigma2 = torch.sigmoid(2 * lam), torch.sigmoid(-2 * lam)
        cos = alpha2.sqrt() * cos0
        sin = (sin0**2 + sigma2 * cos0**2).sqrt()
        return torch.atan2(sigma2 * cos0**2 / (sin * cos0 + cos * sin0), cos * cos0 + sin * sin0)

    @property
    def _range(self) -> float:
        return float(self._turn(_double(self.lam_min)))

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level at time ``t``."""
        return (self._start + _double(t) * self._range).cos() / math.cos(self._start)

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``, from ``cos^2 a - cos^2 b = sin(b - a) sin(b + a)``."""
        turn = _double(t) * self._range
        return (turn.sin() * (turn + 2 * self._start).sin()).sqrt() / math.cos(self._start)

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which `lam` has the given value."""
        return (self._turn(_double(lam)) / self._range).clamp(max=1.0)


@final
@dataclass(frozen=True)
class EDMSchedule(Schedule):
    """Exploding noise on the clock of Karras et al. [1]_: ``alpha = 1``, ``sigma = sigma_max t^rho``.

    A uniform grid of this clock from 1 to ``(sigma_min / sigma_max)^(1/rho)`` is the published grid from ``sigma_max``
    to ``sigma_min``; the lowest noise belongs to the grid, not to the schedule, which goes down to exactly zero.

    Parameters
    ----------
    sigma_max
        Noise level of the prior, in the unit of the data.
    rho
        Power of the clock.

    References
    ----------
    .. [1] T. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv:2206.00364,
       eq. 5
    """

    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        _require(
            self.sigma_max > 0 and self.rho > 0,
            f"sigma_max = {self.sigma_max}, rho = {self.rho}; expected both positive",
        )

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level: 1."""
        return torch.ones_like(_double(t))

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``."""
        return self.sigma_max * _double(t) ** self.rho

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which ``sigma = exp(-lam)``."""
        return ((-_double(lam) - math.log(self.sigma_max)) / self.rho).exp().clamp(max=1.0)


@final
@dataclass(frozen=True)
class VESchedule(Schedule):
    """Exploding noise, geometric in the clock: ``alpha = 1``, ``sigma^2 = sigma_min^2 (k^t - 1)``.

    This is the perturbation kernel of ``dx = sigma_min k^(t/2) sqrt(log k) dw`` started from clean data [1]_, with
    ``k = 1 + (sigma_max / sigma_min)^2`` so that ``sigma(1) = sigma_max``. Above ``sigma_min`` it is log-linear; below,
    it falls to zero like ``sqrt(t)``.

    Parameters
    ----------
    sigma_min
        Noise level at which the log-linear part begins, in the unit of the data.
    sigma_max
        Noise level of the prior.

    References
    ----------
    .. [1] Y. Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations",
       arXiv:2011.13456, appendix C
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        _require(
            0 < self.sigma_min < self.sigma_max,
            f"sigma_min = {self.sigma_min}, sigma_max = {self.sigma_max}; expected 0 < sigma_min < sigma_max",
        )

    @property
    def _rate(self) -> float:
        return math.log1p((self.sigma_max / self.sigma_min) ** 2)

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level: 1."""
        return torch.ones_like(_double(t))

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``."""
        return self.sigma_min * torch.expm1(_double(t) * self._rate).sqrt()

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which ``sigma = exp(-lam)``."""
        ratio = (-_double(lam)).exp() / self.sigma_min
        return (torch.log1p(ratio**2) / self._rate).clamp(max=1.0)


@final
@dataclass(frozen=True)
class LinearFlowSchedule(Schedule):
    """Straight path between data and noise: ``alpha = 1 - t``, ``sigma = t`` [1]_, [2]_.

    The prior holds no signal at all: ``lam(1) = -inf``.

    References
    ----------
    .. [1] Y. Lipman et al., "Flow Matching for Generative Modeling", arXiv:2210.02747
    .. [2] X. Liu et al., "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
       arXiv:2209.03003
    """

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level at time ``t``."""
        return 1 - _double(t)

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``."""
        return _double(t).clone()

    def lam(self, t: Tensor | float) -> Tensor:
        """Half log signal-to-noise ratio ``log((1 - t) / t)``."""
        t = _double(t)
        return torch.log1p(-t) - t.log()

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which `lam` has the given value: the logistic function of ``-lam``."""
        return torch.sigmoid(-_double(lam))

    def velocity(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Velocity along the straight line: ``v = eps - x_0 = dx_t/dt``."""
        ones = torch.ones_like(_double(t))
        return -ones, ones
