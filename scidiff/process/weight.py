"""Weights of the Gaussian loss, ``w(t) |m - x_0|^2``: functions of a schedule and a time.

A weight changes which noise levels a network spends its capacity on, not the minimiser ``m = E[x_0 | x_t]``. With
``v = a x_0 + b eps`` the error of a prediction of another kind is a multiple of the error of ``m``,

    eps: snr |m - x_0|^2,        v: ((alpha b - sigma a) / sigma)^2 |m - x_0|^2,

so the losses of networks of every kind are choices of `w`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule

__all__ = ["EDMWeight", "MinSNR", "Weight", "eps_weight", "mean_weight", "velocity_weight"]

Weight = Callable[[Schedule, Tensor], Tensor]


def mean_weight(schedule: Schedule, t: Tensor) -> Tensor:
    """Weight 1: the squared error of the denoised mean.

    Parameters
    ----------
    schedule, t
        As for `eps_weight`.
    """
    return torch.ones_like(t, dtype=torch.float64)


def eps_weight(schedule: Schedule, t: Tensor) -> Tensor:
    """Signal-to-noise ratio: the squared error of the noise [1]_.

    Parameters
    ----------
    schedule
        Gives the noise levels.
    t
        Time.

    References
    ----------
    .. [1] J. Ho et al., "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, eq. 14
    """
    return schedule.snr(t)


def velocity_weight(schedule: Schedule, t: Tensor) -> Tensor:
    """Squared error of the velocity of the schedule (`Schedule.velocity`).

    Parameters
    ----------
    schedule, t
        As for `eps_weight`.
    """
    a, b = schedule.velocity(t)
    sigma = schedule.sigma(t)
    return ((schedule.alpha(t) * b - sigma * a) / sigma) ** 2


@dataclass(frozen=True)
class MinSNR:
    """Weight ``min(snr, gamma)`` [1]_.

    Parameters
    ----------
    gamma
        Bound of the weight; the published value is 5.

    References
    ----------
    .. [1] T. Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", arXiv:2303.09556
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise ConfigError(f"gamma is {self.gamma}; expected a positive bound, the published value is 5")

    def __call__(self, schedule: Schedule, t: Tensor) -> Tensor:
        """Weight at time ``t``."""
        return schedule.snr(t).clamp(max=self.gamma)


@dataclass(frozen=True)
class EDMWeight:
    """Weight ``(s^2 + sigma_data^2) / (s sigma_data)^2`` with ``s = sigma / alpha`` [1]_: unit loss at every level.

    Parameters
    ----------
    sigma_data
        Standard deviation of the data.

    References
    ----------
    .. [1] T. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv:2206.00364,
       table 1
    """

    sigma_data: float

    def __post_init__(self) -> None:
        if not self.sigma_data > 0:
            raise ConfigError(f"sigma_data is {self.sigma_data}; expected the positive standard deviation of the data")

    def __call__(self, schedule: Schedule, t: Tensor) -> Tensor:
        """Weight at time ``t``."""
        return schedule.snr(t) + 1 / self.sigma_data**2
