"""Evaluation policies: when the network is evaluated, and what stands in for it otherwise.

A policy sits under the transforms, branch by branch and sample by sample, and its memory lies in the records of the
`RunState`: the last two predictions and the ``lam = log(alpha / sigma)`` they were made at. It decides by ``lam`` and
never by a count of calls, so that stages, correctors, rejected steps and restarts cannot put it out of step; where a
sample went back in ``lam`` it is evaluated. In place of an evaluation stands

    order 0    m(lam) = m_1
    order 1    m(lam) = m_1 + (m_1 - m_0) (lam - lam_1) / (lam_1 - lam_0)

This is a multistep method of low order in disguise: compare it with `dpmpp_2m`, `deis` or `unipc` at the same number of
calls before you believe in a gain; `scidiff bench core` prints such rows.

References
----------
.. [1] Cui et al., "DPCache", arXiv:2602.22654 (key steps by dynamic programming)
.. [2] Haghighi, Alahi, "SenCache", arXiv:2602.24208 (sensitivity)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule
from scidiff.sample.state import RunState
from scidiff.spaces import State, state_map

__all__ = ["CachePolicy", "DPKeys", "Sensitivity", "Stride"]


class CachePolicy(ABC):
    """What all policies share: the memory, and the stand-in that is made of it."""

    schedule: Schedule
    order: int
    label: ClassVar[str] = "biased"

    @abstractmethod
    def moved(self, state: RunState, branch: str, lam: Tensor, last: Tensor) -> Tensor:
        """Mark the samples that have gone too far from their last evaluation, shape ``(batch,)``."""

    def lam(self, state: RunState) -> Tensor:
        """``log(alpha / sigma)`` at the latest time of each sample, shape ``(batch,)``."""
        parts = state.t.values() if isinstance(state.t, Mapping) else [state.t]
        return self.schedule.lam(torch.stack([part.flatten(1).amax(1) for part in parts]).amax(0))

    def due(self, state: RunState, branch: str) -> Tensor:
        """Mark the samples to evaluate, shape ``(batch,)``."""
        if _name(branch, "lam") not in state.records:
            return torch.ones(len(state), dtype=torch.bool)
        lam, last = self.lam(state), state.records[_name(branch, "lam")]
        return (lam < last) | ~last.isfinite() | self.moved(state, branch, lam, last)

    def predict(self, state: RunState, branch: str) -> State:
        """Extrapolate the last predictions to the present ``lam``."""
        if _name(branch, "lam") not in state.records:
            return state_map(torch.zeros_like, state.x)
        last = _load(state, branch, "m")
        if self.order == 0:
            return last
        lam, one, two = self.lam(state), state.records[_name(branch, "lam")], state.records[_name(branch, "lam before")]
        usable = two.isfinite() & (one > two)
        slope = torch.where(usable, (lam - one) / torch.where(usable, one - two, 1.0), 0.0)
        return state_map(lambda m, old: m + _wide(slope, m) * (m - old), last, _load(state, branch, "m before"))

    def keep(self, state: RunState, branch: str, m: State, due: Tensor) -> RunState:
        """Remember the predictions that are fresh."""
        lam = self.lam(state)
        due = due.to(lam.device)
        if _name(branch, "lam") not in state.records:
            state = _store(_store(state, branch, "m", m), branch, "m before", m)
            state = state.record(_name(branch, "lam"), torch.where(due, lam, -math.inf))
            return state.record(_name(branch, "lam before"), torch.full_like(lam, -math.inf))
        one = state.records[_name(branch, "lam")]
        last, before = _load(state, branch, "m"), _load(state, branch, "m before")
        pick = lambda new, old: torch.where(_wide(due, old), new.to(old), old)  # noqa: E731
        state = _store(state, branch, "m before", state_map(pick, last, before))
        state = _store(state, branch, "m", state_map(pick, m, last))
        state = state.record(
            _name(branch, "lam before"), torch.where(due, one, state.records[_name(branch, "lam before")])
        )
        return state.record(_name(branch, "lam"), torch.where(due, lam, one))


@dataclass(frozen=True)
class Stride(CachePolicy):
    """Evaluate again after a length of ``lam``.

    Parameters
    ----------
    schedule
        Gives `lam`.
    length
        Length in ``log(alpha / sigma)``.
    order
        0 to reuse, 1 to extrapolate.
    """

    schedule: Schedule
    length: float
    order: int = 0

    def __post_init__(self) -> None:
        _check_order(self.order)
        if not 0 < self.length < math.inf:
            raise ConfigError(f"length is {self.length}; expected a length > 0 in log(alpha / sigma)")

    def moved(self, state: RunState, branch: str, lam: Tensor, last: Tensor) -> Tensor:
        """Whether ``lam`` has grown by the length."""
        return lam - last >= self.length * (1 - 1e-9)


@dataclass(frozen=True, eq=False)
class DPKeys(CachePolicy):
    """Evaluate where a key of ``lam`` is passed; `scidiff.sample.continuous.keys.dp_keys` finds the best keys.

    Parameters
    ----------
    schedule
        Gives `lam`.
    keys
        Values of ``lam``, rising.
    order
        0 to reuse, 1 to extrapolate.
    """

    schedule: Schedule
    keys: Tensor
    order: int = 0
    citation: ClassVar[str] = "arXiv:2602.22654"

    def __post_init__(self) -> None:
        _check_order(self.order)
        if self.keys.ndim != 1 or not len(self.keys) or bool((self.keys.diff() <= 0).any()):
            raise ConfigError(f"keys are {self.keys.tolist()}; expected rising values of log(alpha / sigma)")

    def moved(self, state: RunState, branch: str, lam: Tensor, last: Tensor) -> Tensor:
        """Whether a key lies between the last evaluation and now."""
        keys = self.keys.to(lam) - 1e-9
        return torch.searchsorted(keys, lam, right=True) > torch.searchsorted(keys, last, right=True)


@dataclass(frozen=True, eq=False)
class Sensitivity(CachePolicy):
    """Evaluate where the prediction may have changed too much: ``J_x |x - x_1| + J_lam |lam - lam_1| > eps``.

    Lengths are root mean squares over the entries of a sample, so that `eps` has the unit of the prediction. The
    published rule adds the terms of single steps, and looks at the first sample of a batch; here the whole way since
    the last evaluation counts, and every sample decides for itself.

    Parameters
    ----------
    schedule
        Gives `lam`.
    nodes
        Values of ``lam`` at which the sensitivities are known, rising.
    to_state, to_level
        ``J_x`` and ``J_lam`` at the nodes, from `scidiff.sample.continuous.keys.sensitivities`.
    eps
        Largest change that is accepted.
    longest
        Length of ``lam`` after which a sample is evaluated anyway.
    order
        0 to reuse, 1 to extrapolate.
    """

    schedule: Schedule
    nodes: Tensor
    to_state: Tensor
    to_level: Tensor
    eps: float
    longest: float = 1.0
    order: int = 0
    citation: ClassVar[str] = "arXiv:2602.24208"

    def __post_init__(self) -> None:
        _check_order(self.order)
        if not (self.eps >= 0 and self.longest > 0):
            raise ConfigError(f"eps is {self.eps} and longest {self.longest}; expected eps >= 0 and longest > 0")
        if not len(self.nodes) == len(self.to_state) == len(self.to_level) or bool((self.nodes.diff() <= 0).any()):
            raise ConfigError("nodes, to_state and to_level have to be of one length, and the nodes have to rise")

    def keep(self, state: RunState, branch: str, m: State, due: Tensor) -> RunState:
        """Remember the states as well."""
        x = state_map(lambda part: part.double(), state.x)
        if _name(branch, "lam") in state.records:
            pick = lambda new, old: torch.where(_wide(due, old), new, old)  # noqa: E731
            x = state_map(pick, x, _load(state, branch, "x"))
        return super().keep(_store(state, branch, "x", x), branch, m, due)

    def moved(self, state: RunState, branch: str, lam: Tensor, last: Tensor) -> Tensor:
        """Whether the bound is passed."""
        gap = state_map(lambda now, then: (now.double() - then).flatten(1), state.x, _load(state, branch, "x"))
        parts = list(gap.values()) if isinstance(gap, Mapping) else [gap]
        way = torch.cat(parts, 1).pow(2).mean(1).sqrt()
        bound = _between(self.nodes, self.to_state, lam) * way + _between(self.nodes, self.to_level, lam) * (lam - last)
        return (bound > self.eps) | (lam - last > self.longest)


def _between(nodes: Tensor, values: Tensor, lam: Tensor) -> Tensor:
    """Linear interpolation, constant beyond the ends."""
    nodes, values = nodes.to(lam), values.to(lam)
    if len(nodes) == 1:
        return values.expand(lam.shape)
    right = torch.searchsorted(nodes, lam).clamp(1, len(nodes) - 1)
    part = ((lam - nodes[right - 1]) / (nodes[right] - nodes[right - 1])).clamp(0, 1)
    return values[right - 1] + part * (values[right] - values[right - 1])


def _wide(part: Tensor, m: Tensor) -> Tensor:
    return part.reshape(-1, *(1,) * (m.ndim - 1)).to(m.device)


def _name(branch: str, what: str) -> str:
    return f"cache/{branch}/{what}"


def _store(state: RunState, branch: str, what: str, value: State) -> RunState:
    if not isinstance(value, Mapping):
        return state.record(_name(branch, what), value)
    for key, part in value.items():
        state = state.record(_name(branch, f"{what}/{key}"), part)
    return state


def _load(state: RunState, branch: str, what: str) -> State:
    name = _name(branch, what)
    if name in state.records:
        return state.records[name]
    start = f"{name}/"
    return {key[len(start) :]: value for key, value in state.records.items() if key.startswith(start)}


def _check_order(order: int) -> None:
    if order not in (0, 1):
        raise ConfigError(f"order is {order}; expected 0 (reuse) or 1 (extrapolate)")
