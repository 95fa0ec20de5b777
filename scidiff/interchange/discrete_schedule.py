"""The noise levels of a model with integer timesteps, as a schedule on the clock ``t`` in [0, 1].

Such a model knows ``abar_k``, ``k = 0 ... K-1`` ("alphas_cumprod"), with ``alpha_k^2 = abar_k`` and
``sigma_k^2 = 1 - abar_k`` [1]_. Timestep `k` is the time ``t = (k + 1) / K``, and ``t = 0`` is data. Between the nodes
the noise-to-signal ratio is linear,

    r(t) = r_k + (K t - 1 - k) (r_(k+1) - r_k),    r_k = sqrt((1 - abar_k) / abar_k),    r(0) = 0
    alpha = (1 + r^2)^(-1/2),    sigma = r alpha,    lam = -log r

which is how schedulers with real timesteps interpolate as well. Everything is exact at the nodes, and the inverse
``t(lam)`` is exact everywhere.

References
----------
.. [1] J. Ho et al., "Denoising Diffusion Probabilistic Models", arXiv:2006.11239
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, final

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule

__all__ = ["DiscreteSchedule", "HasAlphasCumprod"]


class HasAlphasCumprod(Protocol):
    """A scheduler that shows its noise levels."""

    alphas_cumprod: Tensor


@final
@dataclass(frozen=True, eq=False)
class DiscreteSchedule(Schedule):
    """Schedule through the levels of a model with `K` integer timesteps.

    Parameters
    ----------
    alphas_cumprod
        ``alpha_k^2`` of every timestep, shape ``(K,)``, between 0 and 1 and falling.

    Raises
    ------
    ConfigError
        If the levels do not fall, or one of them leaves (0, 1): at ``alpha = 0`` no ratio exists.
    """

    alphas_cumprod: Tensor

    def __post_init__(self) -> None:
        levels = torch.as_tensor(self.alphas_cumprod).detach().cpu().double()
        inside = levels.ndim == 1 and len(levels) > 0 and bool(((levels > 0) & (levels < 1)).all())
        if not inside or not bool((levels.diff() < 0).all()):
            raise ConfigError(
                f"alphas_cumprod has shape {tuple(levels.shape)} and does not fall within (0, 1); expected one level "
                "for each timestep, each below the one before; keep a little signal at the last one"
            )
        object.__setattr__(self, "alphas_cumprod", levels)

    @classmethod
    def linear(cls, count: int = 1000, first: float = 1e-4, last: float = 0.02) -> DiscreteSchedule:
        """Rates ``beta_k`` in equal steps, as published for DDPM.

        Parameters
        ----------
        count
            Number of timesteps.
        first, last
            Rates at the data and at the prior.
        """
        return cls(_levels(torch.linspace(first, last, count, dtype=torch.float64)))

    @classmethod
    def scaled_linear(cls, count: int = 1000, first: float = 8.5e-4, last: float = 0.012) -> DiscreteSchedule:
        """Rates whose roots are in equal steps, as latent diffusion has them; parameters as for `linear`."""
        return cls(_levels(torch.linspace(first**0.5, last**0.5, count, dtype=torch.float64) ** 2))

    @classmethod
    def of(cls, schedule: Schedule, count: int = 1000, *, end: float = 1.0, floor: float = 0.002) -> DiscreteSchedule:
        """Levels of another schedule at equal steps of its clock, for models that were trained with it.

        Parameters
        ----------
        schedule
            Any schedule; signal and noise are scaled to ``alpha^2 + sigma^2 = 1``.
        count
            Number of timesteps.
        end
            Time of the last one; below 1 where the schedule has no signal at 1.
        floor
            Noise-to-signal ratio below which no timestep lies; the first one is at ``end / count`` or, if there is less
            noise than that, where the ratio is `floor`.
        """
        first = max(end / count, float(schedule.t(-math.log(floor))))
        t = torch.linspace(first, end, count, dtype=torch.float64)
        return cls(torch.sigmoid(2 * schedule.lam(t)))

    @classmethod
    def read(cls, scheduler: HasAlphasCumprod) -> DiscreteSchedule:
        """Levels of a scheduler of another package, from its ``alphas_cumprod``."""
        return cls(scheduler.alphas_cumprod)

    @property
    def count(self) -> int:
        """Number of timesteps `K`."""
        return len(self.alphas_cumprod)

    @property
    def betas(self) -> Tensor:
        """Rates ``1 - abar_k / abar_(k-1)``, shape ``(K,)``, for schedulers that are built from them."""
        before = torch.cat([torch.ones(1, dtype=torch.float64), self.alphas_cumprod[:-1]])
        return 1 - self.alphas_cumprod / before

    @cached_property
    def _ratios(self) -> Tensor:
        """Noise-to-signal ratio at ``t = k / K``, ``k = 0 ... K``."""
        ratios = ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt()
        return torch.cat([torch.zeros(1, dtype=torch.float64), ratios])

    def ratio(self, t: Tensor | float) -> Tensor:
        """Noise-to-signal ratio at time ``t``."""
        place = torch.as_tensor(t, dtype=torch.float64) * self.count
        ratios = self._ratios.to(place.device)
        low = place.floor().long().clamp(0, self.count - 1)
        return ratios[low] + (place - low) * (ratios[low + 1] - ratios[low])

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level at time ``t``."""
        return (1 + self.ratio(t) ** 2).rsqrt()

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level at time ``t``."""
        ratio = self.ratio(t)
        return ratio * (1 + ratio**2).rsqrt()

    def lam(self, t: Tensor | float) -> Tensor:
        """Half log signal-to-noise ratio ``-log r``."""
        return -self.ratio(t).log()

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which `lam` has the given value."""
        ratio = (-torch.as_tensor(lam, dtype=torch.float64)).exp()
        ratios = self._ratios.to(ratio.device)
        low = (torch.searchsorted(ratios, ratio.contiguous(), right=True) - 1).clamp(0, self.count - 1)
        place = low + (ratio - ratios[low]) / (ratios[low + 1] - ratios[low])
        return (place / self.count).clamp(max=1.0)

    def time(self, timestep: Tensor | float) -> Tensor:
        """Time ``(k + 1) / K`` of a timestep, which need not be an integer."""
        return (torch.as_tensor(timestep, dtype=torch.float64) + 1) / self.count

    def timestep(self, t: Tensor | float) -> Tensor:
        """Timestep ``K t - 1`` of a time, real; below the first node it is 0."""
        return (torch.as_tensor(t, dtype=torch.float64) * self.count - 1).clamp(min=0.0)


def _levels(betas: Tensor) -> Tensor:
    """Cumulated product of ``1 - beta``."""
    return torch.cumprod(1 - betas, 0)
