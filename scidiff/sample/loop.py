"""The one loop.

    while the plan is not done:
        m = transforms(convert(denoiser(x, t)))     one network call per sample and branch
        s = plan.next(m)                            one time per site, s <= t
        x = rule(x, m, t -> s)                      linear in every m it remembers
        x = correctors(x)                           leave the law at s as it is

A *plan* says where in time the sites go, a *rule* how they move, a *transform* changes the prediction (guidance first,
hard projections last), a *corrector* moves ``x`` at fixed time. All of them are pure: they receive the `RunState` and
return a new one, and only the loop makes network calls and books them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from scidiff.denoise.denoiser import Denoiser
from scidiff.process.base import Process, ProductProcess
from scidiff.random import Noise
from scidiff.sample.model import Model, Policy
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State

__all__ = ["Corrector", "Plan", "Resting", "Rule", "run"]

Estimate = Callable[[RunState], tuple[State, RunState]]


class Plan(Protocol):
    """Where in time the sites go."""

    def done(self, state: RunState) -> bool:
        """Whether every site has arrived."""
        ...

    def start(self, state: RunState) -> RunState:
        """Set the time of the free sites before the first step."""
        ...

    def next(self, state: RunState, m: State) -> State:
        """Time per site after this step, ``s <= t``."""
        ...


class Rule(Protocol):
    """How the sites move from ``state.t`` to ``s``."""

    memory: int

    def __call__(self, process: Any, state: RunState, m: State, s: State) -> State:
        """Return the state at ``s``."""
        ...


@runtime_checkable
class Resting(Protocol):
    """A rule some of whose steps use no prediction, e.g. those that add noise: they cost no network call."""

    def rests(self, state: RunState) -> bool:
        """Whether the next step uses no prediction."""
        ...


class Corrector(Protocol):
    """A move of ``x`` that leaves its law at the present time as it is.

    What transforms draw for its predictions is independent of what they draw for the steps.
    """

    def __call__(self, process: Any, state: RunState, estimate: Estimate) -> RunState:
        """Return the corrected state; `estimate` makes and books a network call."""
        ...


@torch.no_grad()
def run(
    denoiser: Denoiser,
    process: Process | ProductProcess,
    rule: Rule,
    plan: Plan,
    *,
    noise: Noise | None = None,
    shape: Any = None,
    free: State | None = None,
    clean: State | None = None,
    state: RunState | None = None,
    condition: Any = None,
    transforms: Sequence[Transform] = (),
    correctors: Sequence[Corrector] = (),
    policy: Policy | None = None,
    until: int | None = None,
    progress: Callable[[RunState], None] | None = None,
) -> RunState:
    """Draw samples, or go on with a run.

    Parameters
    ----------
    denoiser, process, rule, plan
        What estimates the clean state, the law of the noise, how sites move, and where in time they go.
    noise, shape, free, clean
        A new run: see `RunState.start`.
    state
        A run to go on with, instead of these four.
    condition
        Handed to the denoiser as it is, batch first.
    transforms, correctors
        Applied in the given order.
    policy
        When the network is evaluated, and what stands in for it otherwise; evaluated always by default.
    until
        Stop before step `until`, to store the state or to inspect it.
    progress
        Called with the state after every step.

    Returns
    -------
    RunState
        The last state; ``x`` holds the samples, ``calls`` the ledger.
    """
    model = Model(denoiser, process, condition, transforms, policy)
    if state is None:
        state = plan.start(RunState.start(process, noise, shape, free=free, clean=clean))
    first, rests = state.i, rule.rests if isinstance(rule, Resting) else _never
    while not plan.done(state) and (until is None or state.i < until):
        m, state = (state.x, state) if rests(state) else model.estimate(state)
        s = plan.next(state, m)
        state = state.advance(rule(process, state, m, s), s, m, rule.memory)
        estimate = model.correcting()
        for corrector in correctors:
            state = corrector(process, state, estimate)
        if progress is not None:
            progress(state)
    return model.close(state) if state.i > first and plan.done(state) else state


def _never(state: RunState) -> bool:
    return False
