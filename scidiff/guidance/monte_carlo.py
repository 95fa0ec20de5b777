"""Estimators that average over draws: nothing but values of the reward is needed.

Calibrated Bayesian guidance (CBG) [1]_ takes ``K`` draws ``x_0^k`` from ``p(x_0 | x_t)`` and

    w_k   = softmax_k r(x_0^k)
    log h = log mean_k exp r(x_0^k)
    m_r   = m + sum_k w_k x_0^k - mean_k x_0^k

where the mean of the draws is a control variate. It is consistent in ``K`` whatever the data and the reward are.

`Doob` looks one step ahead instead [2]_: it draws from the ancestral step, takes the reward of the denoised mean there,
and

    x_s = a x_t + b m + c z,   a = e^-h sigma_s / sigma_t,   b = alpha_s - a alpha_t,   c^2 = sigma_s^2 (1 - e^-2h)
    grad log h = (a + b J)^T sum_k (w_k - 1/K) z_k / c

With raw weights ``w ~ exp r`` this is a Monte-Carlo estimate for the reward of means. The published code standardises
the rewards over the draws, ``w ~ exp((r - mean r) / (tau sd r))``, after which the strength of the tilt no longer
depends on the reward: `DOIT` is that search heuristic, under its own name.

References
----------
.. [1] Geyfman et al., "Calibrated test-time guidance for Bayesian inference", arXiv:2602.22428
.. [2] Zhu et al., "Training-free adaptation via Doob's h-transform", arXiv:2602.16198
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.guidance.draws import Draws
from scidiff.guidance.plug_in import blind, tweedie_gain
from scidiff.guidance.reward import Reward, evaluate_reward
from scidiff.guidance.tilt import Estimate
from scidiff.process.base import site_time
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = ["CBG", "DOIT", "Doob"]

_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class CBG:
    """Calibrated Bayesian guidance: reward-weighted minus plain mean of draws from ``p(x_0 | x_t)``.

    Parameters
    ----------
    draws
        How to draw, e.g. `Glass`.
    count
        Draws ``K`` for each sample and step; the more a likelihood tells, the more are needed.
    """

    draws: Draws
    count: int = 64
    gradient: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True
    label: ClassVar[str] = "consistent(0.5)"
    citation: ClassVar[str] = "arXiv:2602.22428"

    def __post_init__(self) -> None:
        _check_count(self.count)

    def __call__(self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Estimate, RunState]:
        """Draw and weigh."""
        x0, state = self.draws(m, state, evaluation, self.count)
        r, bad = _rewards(reward, x0)
        possible = (r > -math.inf).any(0)
        w = torch.softmax(torch.where(possible, r, 0.0), dim=0).reshape(*r.shape, *(1,) * (m.ndim - 1))
        shift = ((w - 1 / self.count) * x0).sum(0)
        log_h = torch.logsumexp(r, 0) - math.log(self.count)
        return Estimate(shift, log_h, bad | ~possible), state


@dataclass(frozen=True, eq=False)
class Doob:
    """One look-ahead step, raw weights.

    Parameters
    ----------
    count
        Look-aheads ``K`` for each sample and step, one network call each.
    ahead
        Length of the look-ahead in ``log(alpha / sigma)``.
    """

    count: int = 64
    ahead: float = 0.1
    gradient: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2602.16198"

    def __post_init__(self) -> None:
        _check_count(self.count)
        if not 0 < self.ahead < math.inf:
            raise ConfigError(f"ahead is {self.ahead}; expected a length > 0 in log(alpha / sigma)")

    def weights(self, r: Tensor) -> Tensor:
        """Weight of each look-ahead, sum 1, shape ``(count, batch)``."""
        return torch.softmax(r, dim=0)

    def __call__(self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Estimate, RunState]:
        """Look ahead and weigh."""
        process = evaluation.model.process
        t = site_time(state.t, state.x).expand(state.x.shape)
        s = torch.where(t > 0, process.schedule.t(process.schedule.lam(t) + self.ahead), 0.0)
        sigma = process.schedule.sigma(s)
        a = torch.where(t > 0, math.exp(-self.ahead) * sigma / process.schedule.sigma(t).clamp_min(_TINY), 0.0)
        b = process.schedule.alpha(s) - a * process.schedule.alpha(t)
        c = sigma * math.sqrt(-math.expm1(-2 * self.ahead))
        z = state.noise.normal((self.count, *m.shape[1:]), step=state.i, stream="doob").transpose(0, 1).to(m.device)
        z = process.space.project(z)
        there, state = evaluation.model.at(state, a * state.x.double() + b * m + c * z, s)
        r, bad = _rewards(reward, there.double())
        w = self.weights(r).reshape(*r.shape, *(1,) * (m.ndim - 1))
        v = torch.where(c > 0, ((w - 1 / self.count) * z).sum(0) / c.clamp_min(_TINY), 0.0)
        gradient = a * v + evaluation.pullback(b * v).double()
        log_h = torch.where(blind(state, evaluation), 0.0, torch.logsumexp(r, 0) - math.log(self.count))
        return Estimate(tweedie_gain(state, evaluation) * gradient, log_h, bad), state


@dataclass(frozen=True, eq=False)
class DOIT(Doob):
    """One look-ahead step, rewards standardised over the draws: the strength does not depend on the reward.

    Draws that the reward calls impossible have weight 0 and take no part in the standardisation.

    Parameters
    ----------
    count, ahead
        As for `Doob`.
    temperature
        ``tau``.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature is {self.temperature}; expected a number > 0")

    def weights(self, r: Tensor) -> Tensor:
        """Weight of each look-ahead, sum 1, shape ``(count, batch)``."""
        possible = r > -math.inf
        count = possible.sum(0).clamp_min(1)
        mean = torch.where(possible, r, 0.0).sum(0) / count
        # draws at the mean add nothing to the sum of squares, which is that of the possible ones
        spread = torch.where(possible, r, mean).std(0, correction=0) * (len(r) / count).sqrt()
        standard = torch.where(spread > 0, (r - mean) / (self.temperature * spread.clamp_min(_TINY)), 0.0)
        return torch.softmax(torch.where(possible, standard, -math.inf), dim=0)


def _rewards(reward: Reward, x0: Tensor) -> tuple[Tensor, Tensor]:
    """Reward of every draw, shape ``(count, batch)``, and the samples with a bad one."""
    values, bad = evaluate_reward(reward, x0.flatten(0, 1))
    return values.reshape(x0.shape[:2]), bad.reshape(x0.shape[:2]).any(0)


def _check_count(count: int) -> None:
    if count < 2:
        raise ConfigError(f"count is {count}; expected at least 2 draws, of which weights can be made")
