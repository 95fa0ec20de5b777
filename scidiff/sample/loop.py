"""The one loop.

    while the plan is not done:
        m = transforms(convert(denoiser(x, t)))     one network call per sample
        s = plan.next(m)                            one time per site, s <= t
        x = rule(x, m, t -> s)                      linear in every m it remembers
        x = correctors(x)                           leave the law at s as it is

A *plan* says where in time the sites go, a *rule* how they move, a *transform* changes the prediction (guidance first,
hard projections last), a *corrector* moves ``x`` at fixed time. All of them are pure: they receive the `RunState` and
return a new one, and only the loop makes network calls and books them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from scidiff.denoise.denoiser import Denoiser
from scidiff.process.base import Process, ProductProcess
from scidiff.random import Noise
from scidiff.sample.state import RunState
from scidiff.spaces import State

__all__ = ["Corrector", "Plan", "Rule", "Transform", "run"]

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


class Transform(Protocol):
    """A change of the prediction: guidance, constraint, projection of the clean estimate."""

    def __call__(self, m: State, state: RunState) -> tuple[State, RunState]:
        """Return the changed prediction, and the state with what is to be recorded."""
        ...


class Corrector(Protocol):
    """A move of ``x`` that leaves its law at the present time as it is."""

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
        Handed to the denoiser as it is.
    transforms, correctors
        Applied in the given order.
    until
        Stop before step `until`, to store the state or to inspect it.
    progress
        Called with the state after every step.

    Returns
    -------
    RunState
        The last state; ``x`` holds the samples, ``calls`` the ledger.
    """

    def estimate(state: RunState) -> tuple[State, RunState]:
        prediction = denoiser(state.x, state.t, condition)
        m = process.convert(prediction, denoiser.kind, state.x, state.t)
        state = replace(state, calls=state.calls + 1)
        for transform in transforms:
            m, state = transform(m, state)
        return m, state

    if state is None:
        state = plan.start(RunState.start(process, noise, shape, free=free, clean=clean))
    while not plan.done(state) and (until is None or state.i < until):
        m, state = estimate(state)
        s = plan.next(state, m)
        state = state.advance(rule(process, state, m, s), s, m, rule.memory)
        for corrector in correctors:
            state = corrector(process, state, estimate)
        if progress is not None:
            progress(state)
    return state
