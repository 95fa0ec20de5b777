"""Noise levels of a run, and the tables that need more than the core's: re-noising, and DiffPIR's share of fresh noise.

Levels fall geometrically from `top` to `floor`, and then to 0; ``sigma`` is in units of the prior.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.table import Table

from ..priors.prior import Prior

__all__ = ["FLOOR", "diffpir_table", "ladder", "renoise_table", "still_table", "times"]

FLOOR = 0.005
"""Last noise level, 5 HU for the unit of water: what is finer is not resolved."""


def times(prior: Prior, sigmas: Tensor) -> Tensor:
    """Times of noise levels, and then ``t = 0``."""
    return torch.cat([prior.time(sigmas), torch.zeros(1, dtype=torch.float64)])


def ladder(steps: int, top: float, floor: float = FLOOR) -> Tensor:
    """Levels of `steps` network calls, float64.

    Parameters
    ----------
    steps
        Number of levels.
    top, floor
        First and last of them; the first alone for one step.

    Raises
    ------
    ConfigError
        If there is no step, or the levels do not fall.
    """
    if steps < 1 or not 0 < floor <= top:
        raise ConfigError(f"{steps} steps from {top} to {floor}; expected at least 1, and 0 < floor <= top")
    if steps == 1:
        return torch.tensor([top], dtype=torch.float64)
    return torch.logspace(math.log10(top), math.log10(floor), steps, dtype=torch.float64)


def renoise_table(schedule: Schedule, grid: Tensor) -> Table:
    """``x_s = m + sigma_s xi``: all noise is fresh, so that no error of ``x_t`` stays.

    Parameters
    ----------
    schedule
        With ``alpha = 1``.
    grid
        Falling times.
    """
    return diffpir_table(schedule, grid, 1.0, "re-noising")


def still_table(schedule: Schedule, grid: Tensor, momentum: float = 0.0) -> Table:
    """``x_s = m_i + momentum (m_i - m_(i-1))``: no noise at all, for optimisers.

    Parameters
    ----------
    schedule, grid
        As for `renoise_table`.
    momentum
        How far each step goes beyond its prediction; the first and the last step do not.
    """
    if not 0 <= momentum < 1:
        raise ConfigError(f"momentum is {momentum}; expected 0 to below 1")
    sigma = schedule.sigma(grid).numpy()
    steps = len(sigma) - 1
    beyond = np.full(steps, momentum)
    beyond[[0, -1]] = 0.0
    return Table(
        name="half-quadratic splitting", nodes=grid.numpy(), alpha=np.ones(steps + 1), sigma=sigma,
        a=np.zeros((steps, 2)), b=np.stack([1.0 + beyond, -beyond], 1), c=np.zeros(steps), spread=np.zeros(steps),
        order=1, label="biased", citation="arXiv:2008.13751",
    )  # fmt: skip


def diffpir_table(schedule: Schedule, grid: Tensor, zeta: float = 0.3, name: str = "DiffPIR") -> Table:
    """``x_s = m + sigma_s (sqrt(1 - zeta) (x_t - m) / sigma_t + sqrt(zeta) xi)``.

    Parameters
    ----------
    schedule, grid
        As for `renoise_table`.
    zeta
        Share of fresh noise in the variance.
    name
        Of the table.

    References
    ----------
    Y. Zhu et al., "Denoising Diffusion Models for Plug-and-Play Image Restoration", arXiv:2305.08995
    """
    if not 0 <= zeta <= 1:
        raise ConfigError(f"zeta is {zeta}; expected 0 to 1, the share of fresh noise")
    sigma = schedule.sigma(grid).numpy()
    keep = math.sqrt(1 - zeta) * sigma[1:] / sigma[:-1]
    steps = len(keep)
    return Table(
        name=name, nodes=grid.numpy(), alpha=np.ones(steps + 1), sigma=sigma, a=keep[:, None],
        b=1.0 - keep[:, None], c=math.sqrt(zeta) * sigma[1:], spread=np.zeros(steps), order=1, label="biased",
        citation="arXiv:2305.08995",
    )  # fmt: skip
