"""Draws of a clean state of classes given ``x_t``: from the network's marginals, a table, or a run of the network.

The prediction of a network holds the marginals of the sites. Draws from them, `FactorisedDraws`, cost no call and miss
the dependence of the sites; `Rollouts` go down to ``t = 0`` by the rule and have the joint law as the steps grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from scidiff.denoise.condition import take_condition
from scidiff.denoise.enumerated import Enumerated
from scidiff.errors import ConfigError
from scidiff.process.base import site_time
from scidiff.sample.discrete.ctmc import Ancestral, SiteRule
from scidiff.sample.loop import run
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.spaces import State
from scidiff.spaces.categorical import draw

__all__ = ["EnumeratedDraws", "FactorisedDraws", "Rollouts", "SiteDraws", "all_states", "joint_log_weights"]

_MOST = 2**16


class SiteDraws(Protocol):
    """A way to draw ``x_0`` given ``x_t``."""

    @property
    def label(self) -> str:
        """``exact``, ``consistent(order)`` or ``biased``, of the joint law."""
        ...

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, count: int) -> tuple[Tensor, RunState]:
        """Draw `count` clean states for each sample, shape ``(count, batch, *sites)``; calls are booked."""
        ...


@dataclass(frozen=True)
class FactorisedDraws:
    """Every site on its own, from the prediction."""

    label: ClassVar[str] = "biased"

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, count: int) -> tuple[Tensor, RunState]:
        """Draw from the product of the predictions."""
        u = state.noise.uniform((count, *state.x.shape[1:]), step=state.i, stream="draws").to(m.device)
        return draw(m.unsqueeze(1).expand(-1, count, *m.shape[1:]), u).transpose(0, 1), state


@dataclass(frozen=True, eq=False)
class EnumeratedDraws:
    """Draws from the joint law of a table.

    Parameters
    ----------
    oracle
        The law of the data and its kernel; at most 65536 states.
    """

    oracle: Enumerated
    label: ClassVar[str] = "exact"

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, count: int) -> tuple[Tensor, RunState]:
        """Draw from the law of ``x_0`` given ``x_t``."""
        states = all_states(self.oracle.kernel.clean, self.oracle.length)
        log_w = joint_log_weights(self.oracle, state.x, state.t, states)
        u = state.noise.uniform((count,), step=state.i, stream="draws")
        return states[draw(log_w.unsqueeze(1).expand(-1, count, -1), u)].transpose(0, 1), state


@dataclass(frozen=True)
class _Down:
    """Plan that leads every site from its time to 0 in equal parts."""

    steps: int

    def done(self, state: RunState) -> bool:
        return state.i >= self.steps

    def start(self, state: RunState) -> RunState:
        return state

    def next(self, state: RunState, m: State) -> Tensor:
        return state.t * ((self.steps - state.i - 1) / (self.steps - state.i))


@dataclass(frozen=True)
class Rollouts:
    """Runs of the network from ``x_t`` to ``t = 0``.

    Parameters
    ----------
    steps
        Network calls for one draw.
    rule
        How sites move; `Ancestral` by default.
    """

    steps: int = 8
    rule: SiteRule = field(default_factory=Ancestral)
    label: ClassVar[str] = "consistent(1)"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}; expected at least 1")

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, count: int) -> tuple[Tensor, RunState]:
        """Run `count` copies of every sample."""
        model, batch = evaluation.model, len(state)
        rows = torch.arange(batch).repeat(count)
        noise = replace(state.noise.take(rows).fold(state.i), scope=f"/rollout{state.noise.scope}")
        begin = RunState.at(state.x[rows], state.t[rows], noise, free=state.free[rows])
        condition = take_condition(model.condition, rows)
        end = run(model.denoiser, model.process, self.rule, _Down(self.steps), state=begin, condition=condition)
        return end.x.reshape(count, *state.x.shape), state.book(count * self.steps)


def all_states(classes: int, sites: int) -> Tensor:
    """All sequences, shape ``(classes^sites, sites)``.

    Raises
    ------
    ConfigError
        If there are more than 65536.
    """
    if classes**sites > _MOST:
        raise ConfigError(
            f"{classes} classes at {sites} sites make {classes**sites} states; at most {_MOST} are enumerated: use "
            "WeightedDraws or Differences"
        )
    return torch.cartesian_prod(*[torch.arange(classes)] * sites).reshape(-1, sites)


def joint_log_weights(oracle: Enumerated, x_t: Tensor, t: Tensor, states: Tensor) -> Tensor:
    """``log p(x_0) q(x_t | x_0)`` of all clean states, shape ``(batch, states)``."""
    likelihood = oracle.kernel.column(x_t, site_time(t, x_t))[..., : oracle.kernel.clean].double().log()
    log_w = oracle.law.flatten().log().to(likelihood).unsqueeze(0)
    for site in range(oracle.length):
        log_w = log_w + likelihood[:, site][:, states[:, site].to(likelihood.device)]
    return log_w
