"""Tilted sampling: draw from ``p_r(x_0) ~ p(x_0) exp(r(x_0))`` with the denoiser of ``p``.

With ``h(x_t) = E[exp r(x_0) | x_t]`` the tilted denoised mean is, by Doob's h-transform and Tweedie's formula,

    m_r = m + (sigma^2 / alpha) grad log h(x_t)
        = E[x_0 exp r | x_t] / E[exp r | x_t]

`Tilt` adds ``m_r - m`` to the prediction. How ``h`` is estimated is the business of an *estimator*; most of them are
not exact, and each says so in its label. Rewards are log-likelihoods for a posterior, or whatever is to be large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.guidance.reward import Reward, evaluate_reward, mark_failed, reward_name
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

__all__ = ["Estimate", "Estimator", "Tilt"]


class Estimate(NamedTuple):
    """What an estimator says of one step.

    Parameters
    ----------
    shift
        ``m_r - m``, shape of the state.
    log_h
        ``log h(x_t)``, shape ``(batch,)``; None where the estimator has none.
    bad
        True for samples whose reward or gradient was not finite.
    """

    shift: Tensor
    log_h: Tensor | None
    bad: Tensor


class Estimator(Protocol):
    """A way to estimate ``h`` and the tilted mean."""

    @property
    def gradient(self) -> bool:
        """Whether a vector is pulled back through the network."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether noise is drawn."""
        ...

    @property
    def label(self) -> str:
        """``exact``, ``consistent(order)`` or ``biased``."""
        ...

    @property
    def citation(self) -> str:
        """Where it was published."""
        ...

    def __call__(self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Estimate, RunState]:
        """Estimate at the present state; the state comes back with further calls booked."""
        ...


@dataclass(frozen=True, eq=False)
class BaseTilt(Transform):
    """What tilts of all processes share.

    Parameters
    ----------
    reward, estimator, guide
        See `Tilt` and `scidiff.guidance.discrete.DiscreteTilt`.
    """

    reward: Reward
    estimator: Any
    guide: bool = True
    judges: ClassVar[bool] = True

    @property
    def stochastic(self) -> bool:
        """As the estimator says."""
        return self.estimator.stochastic

    @property
    def label(self) -> str:
        """As the estimator says."""
        return self.estimator.label

    def close(self, process: object, state: RunState) -> RunState:
        """Record the reward of the samples, NaN for those that it fails, which are marked."""
        values, bad = evaluate_reward(self.reward, state.x)
        state = mark_failed(state, self.reward, bad)
        return state.record(f"reward/{reward_name(self.reward)}", torch.where(bad, torch.nan, values))


@dataclass(frozen=True, eq=False)
class Tilt(BaseTilt):
    """Guide towards large rewards, or to a posterior.

    Records ``tilt/log_h`` where the estimator has it, and ``tilt/shift``, the norm of the shift.

    Parameters
    ----------
    reward
        ``r(x_0)``, see `scidiff.guidance.reward`.
    estimator
        How ``h`` is estimated.
    guide
        Whether the prediction is changed; otherwise only ``log h`` is recorded, for particles that weigh and do not
        steer (the bootstrap filter).
    """

    reward: Reward
    estimator: Estimator
    guide: bool = True

    @property
    def gradient(self) -> bool:
        """As the estimator says."""
        return self.estimator.gradient

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Return the tilted prediction."""
        process = evaluation.model.process
        if not isinstance(process, GaussianProcess):
            raise ConfigError(
                f"a tilt of a {type(process).__name__} was asked for; expected a GaussianProcess: for finite sets see "
                "scidiff.guidance.discrete"
            )
        rows = getattr(self.reward, "rows", None)
        if rows not in (None, len(state)):
            raise ShapeError(
                f"reward '{reward_name(self.reward)}' holds {rows} sets of data, one for each sample, and {len(state)} "
                "samples came; give a part of a batch its part of the data"
            )
        estimate, state = self.estimator(self.reward, m, state, evaluation)
        bad = estimate.bad | ~estimate.shift.flatten(1).isfinite().all(1)
        each = bad.reshape(-1, *(1,) * (m.ndim - 1))
        shift = torch.where(each | ~state.free, 0.0, process.space.project(estimate.shift))
        state = mark_failed(state, self.reward, bad).record("tilt/shift", shift.flatten(1).norm(dim=1))
        if estimate.log_h is not None:
            state = state.record("tilt/log_h", torch.where(bad, -torch.inf, estimate.log_h))
        return (m + shift if self.guide else m), state
