"""Projected diffusion models (PDM): annealed Langevin steps, each followed by a projection onto the constraint.

In the unit of the data, ``z = x / alpha`` with the noise ``tau = sigma / alpha``, a step at one level is

    z <- P( z + g (m - z) / tau^2 + sqrt(2 g) xi ),        g = size tau^2

where ``(m - z) / tau^2`` is the score and ``P`` the Euclidean projection. Levels fall; at each of them a number of
steps is made. A prior without any signal has no ``z``: the first step from there is the straight jump to the first
level. The last step, to ``t = 0``, projects the denoised mean.

``P`` acts on noisy fields, which a clean field's constraint does not describe: at high noise the noise is projected
away in the directions of the constraint only, and the law at each level is that of ``z`` *restricted* to the
constraint, which tends to the conditioned one at the lowest levels alone.

References
----------
.. [1] J. K. Christopher, S. Baek, F. Fioretto, "Constrained synthesis with projected diffusion models",
   arXiv:2402.03559
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.grids import Grid
from scidiff.sample.state import RunState

from .base import Constraint
from .newton import gauss_newton

__all__ = ["ProjectedLangevin", "annealed_plan"]


def annealed_plan(levels: Tensor, inner: int) -> Grid:
    """Plan with `inner` Langevin steps at every level between the prior and the data.

    Parameters
    ----------
    levels
        Times from 1 to 0.
    inner
        Steps at each of the inner ones.
    """
    if inner < 1 or len(levels) < 3:
        raise ConfigError(f"{len(levels)} times with {inner} steps each; expected an inner level, and a step there")
    return Grid(torch.cat([levels[:1], levels[1:-1].repeat_interleave(inner), levels[-1:]]))


@dataclass(frozen=True, eq=False)
class ProjectedLangevin:
    """Rule of projected Langevin steps.

    Parameters
    ----------
    constraint
        What is projected onto.
    size
        Length of a step in units of ``tau^2``, at most 1.
    """

    constraint: Constraint
    size: float = 0.1
    memory: ClassVar[int] = 0
    label: ClassVar[str] = "biased"

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise ConfigError(f"size is {self.size}; expected a length in (0, 1], in units of tau^2")

    def __call__(self, process: GaussianProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64."""
        schedule, t, s = process.schedule, site_time(state.t, state.x), site_time(s, state.x)
        x, alpha, sigma = state.x.double(), schedule.alpha(t), schedule.sigma(t)
        ratio = schedule.sigma(s) / torch.where(sigma > 0, sigma, 1.0)
        jump = ratio * x + (schedule.alpha(s) - ratio * alpha) * m
        blind = alpha < 1e-6
        z = x / torch.where(blind, 1.0, alpha)
        tau = sigma / torch.where(blind, 1.0, alpha)
        xi = process.eps(state.noise, x.shape[1:], step=state.i, stream="langevin").to(x.device)
        z = z + self.size * (m - z) + math.sqrt(2 * self.size) * tau * xi
        z = torch.where(s > 0, torch.where(blind, jump / schedule.alpha(s), z), m)
        moved = gauss_newton(self.constraint, z, nearest=True).x
        return schedule.alpha(s) * moved
