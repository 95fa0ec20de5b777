"""Estimators that look at the denoised mean only: ``h(x_t) = exp r(m)``.

The chain rule gives ``grad log h = J^T grad r(m)`` with ``J = dm/dx``. This ignores the spread of ``x_0`` given
``x_t`` and is a heuristic: the strength of its guidance is not a nuisance but its error. It is exact only where ``r``
is linear and the data are Gaussian, up to a constant of ``h``. With a Gaussian likelihood this is diffusion posterior
sampling [1]_, whose published step size is a `scale` that changes from step to step.

References
----------
.. [1] H. Chung et al., "Diffusion posterior sampling for general noisy inverse problems", arXiv:2209.14687
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.guidance.reward import Reward, reward_gradient
from scidiff.guidance.tilt import Estimate
from scidiff.process.base import site_time
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = ["PlugIn", "blind", "tweedie_gain"]


def tweedie_gain(state: RunState, evaluation: Evaluation) -> Tensor:
    """``sigma^2 / alpha`` per site: what turns a gradient of ``log h`` into a shift of the mean.

    0 at ``alpha = 0``: the state there says nothing of the data, and no gradient of ``log h`` tells the shift.
    """
    schedule = evaluation.model.process.schedule
    t = site_time(state.t, state.x)
    alpha = schedule.alpha(t)
    none = alpha == 0
    return torch.where(none, 0.0, schedule.sigma(t) ** 2 / torch.where(none, 1.0, alpha))


def blind(state: RunState, evaluation: Evaluation) -> Tensor:
    """Mark the samples with ``alpha = 0`` at all sites, where ``log h`` is one constant, shape ``(batch,)``."""
    alpha = evaluation.model.process.schedule.alpha(site_time(state.t, state.x))
    return (alpha == 0).expand(state.x.shape).reshape(len(state), -1).all(1)


@dataclass(frozen=True)
class PlugIn:
    """The reward of the denoised mean, in the scale that Bayes' rule gives it.

    Parameters
    ----------
    scale
        Factor of the shift; 1 is the plug-in gradient itself.
    """

    scale: float = 1.0
    gradient: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2209.14687"

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ConfigError(f"scale is {self.scale}; expected a finite number, 1 for the gradient as it is")

    def __call__(self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Estimate, RunState]:
        """Estimate by one pullback."""
        values, gradient, bad = reward_gradient(reward, m.double())
        shift = self.scale * tweedie_gain(state, evaluation) * evaluation.pullback(gradient).double()
        return Estimate(shift, torch.where(blind(state, evaluation), 0.0, values), bad), state
