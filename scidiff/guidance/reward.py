"""Rewards and likelihoods: what a tilt asks of a clean state, and how a bad answer is handled.

A reward is a function of clean states ``(n, *event)`` that returns ``r(x_0)``, shape ``(n,)``; a likelihood is the
reward ``r = log p(y | x_0)``. Minus infinity says that a state is impossible. NaN and plus infinity are faults: the
samples concerned are marked in the record ``failed/<name>`` and go on without guidance; nothing is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.sample.state import RunState
from scidiff.spaces import State, first
from scidiff.spaces.linear import LinearOperator

__all__ = ["GaussianLikelihood", "Reward", "evaluate_reward", "mark_failed", "reward_gradient", "reward_name"]

Reward = Callable[[Any], Tensor]


@dataclass(frozen=True, eq=False)
class GaussianLikelihood:
    """Linear measurement with Gaussian noise: ``y = A x_0 + n``, ``n ~ N(0, sd^2)``.

    Parameters
    ----------
    operator
        ``A``.
    y
        Data, shape ``range`` for all samples or ``(batch, *range)``, one for each sample.
    sd
        Standard deviation of the noise: a number, or one for each datum, shape ``range``.
    """

    operator: LinearOperator
    y: Tensor
    sd: float | Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.operator.range)
        y, sd = (torch.as_tensor(value, dtype=torch.float64) for value in (self.y, self.sd))
        if tuple(y.shape) != shape and tuple(y.shape[1:]) != shape:
            raise ShapeError(f"y has shape {tuple(y.shape)}; expected {shape} or (batch, *{shape})")
        if tuple(sd.shape) not in ((), shape) or not bool((sd > 0).all() and sd.isfinite().all()):
            raise ConfigError(
                f"sd has shape {tuple(sd.shape)} and least value {float(sd.min())}; expected () or {shape}, > 0"
            )
        if not bool(y.isfinite().all()):
            raise ConfigError(f"y has {int((~y.isfinite()).sum())} values that are not finite; leave those data out")
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "sd", sd)

    @property
    def variance(self) -> Tensor:
        """Variance of the noise, shape ``range``."""
        return (self.sd**2).expand(self.operator.range)

    @property
    def rows(self) -> int | None:
        """Number of samples that have data of their own; None where all have the same."""
        return len(self.y) if self.y.ndim > len(self.operator.range) else None

    def residual(self, x0: Tensor) -> Tensor:
        """``y - A x_0``, shape ``(n, *range)``; draws of one sample are ``batch`` rows apart."""
        y = self.y.to(x0.device)
        if y.ndim > len(self.operator.range):
            if len(x0) % len(y):
                raise ShapeError(f"{len(x0)} states came for {len(y)} sets of data; expected a multiple")
            y = y.repeat(len(x0) // len(y), *(1,) * len(self.operator.range))
        return y - self.operator.apply(x0.double())

    def __call__(self, x0: Tensor) -> Tensor:
        """Log-likelihood, shape ``(n,)``."""
        variance = self.variance.to(x0.device)
        terms = self.residual(x0) ** 2 / variance + variance.log() + math.log(2 * math.pi)
        return -0.5 * terms.flatten(1).sum(1)


def reward_name(reward: Reward) -> str:
    """Name under which a reward is recorded."""
    return getattr(reward, "__name__", type(reward).__name__)


def evaluate_reward(reward: Reward, x0: State) -> tuple[Tensor, Tensor]:
    """Evaluate a reward and check what comes back.

    Parameters
    ----------
    reward
        The reward.
    x0
        Clean states, batch first: a tensor, or one for each factor.

    Returns
    -------
    values, bad
        Rewards, float64 and 0 where bad, and True where the reward is NaN or plus infinity; both ``(n,)``.

    Raises
    ------
    ShapeError
        If the reward is not one real number for each state.
    """
    values, count = reward(x0), len(first(x0))
    if not isinstance(values, Tensor) or tuple(values.shape) != (count,) or values.is_complex():
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ShapeError(f"reward '{reward_name(reward)}' returned {got}; expected ({count},), one number per state")
    values = values.double()
    bad = values.isnan() | (values == math.inf)
    return torch.where(bad, 0.0, values), bad


def reward_gradient(reward: Reward, x0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value and gradient of a differentiable reward.

    Returns
    -------
    values, gradient, bad
        As for `evaluate_reward`, and the gradient, shape of ``x0``, 0 where it is not finite; such samples are bad.

    Raises
    ------
    ConfigError
        If the reward has no gradient.
    """
    with torch.enable_grad():
        x0 = x0.detach().requires_grad_()
        values, bad = evaluate_reward(reward, x0)
        if not values.requires_grad:
            raise ConfigError(
                f"reward '{reward_name(reward)}' has no gradient; write it in torch, or use an estimator without (CBG)"
            )
        gradient = torch.autograd.grad(torch.where(values.isfinite(), values, 0.0).sum(), x0)[0]
    bad = bad | ~gradient.flatten(1).isfinite().all(1)
    keep = ~bad.reshape(-1, *(1,) * (x0.ndim - 1))
    return values.detach(), torch.where(keep, gradient, 0.0), bad


def mark_failed(state: RunState, reward: Reward, bad: Tensor) -> RunState:
    """Record the samples whose reward failed; a mark stays."""
    name = f"failed/{reward_name(reward)}"
    return state.record(name, state.records.get(name, torch.zeros_like(bad)) | bad)
