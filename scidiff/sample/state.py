"""`RunState`: everything that a run owns, so that it can be cut, joined, copied, stored and resumed.

No object of the package hides anything between calls; what a rule remembers lies in `history`, what a transform or a
plan wants to keep lies in `records`. Rejection, restart, resampling and resuming move one object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.random import Noise
from scidiff.spaces import State, first, state_map

__all__ = ["RunState", "Stamp"]


class _Law(Protocol):
    """The two members of a process that a start needs."""

    def prior(self, noise: Any, shape: Any, *, stream: str = "prior") -> State:
        """Draw the prior."""
        ...


@dataclass(frozen=True)
class Stamp:
    """One past evaluation: the time, the state it was made at, and the transformed prediction.

    Parameters
    ----------
    t
        Time of each site.
    x
        State at that time.
    m
        Prediction, after all transforms.
    """

    t: State
    x: State
    m: State


@dataclass(frozen=True)
class RunState:
    """State of a run after `i` steps. Immutable: every step makes a new one.

    Parameters
    ----------
    x
        State, batch first.
    t
        Time per site, float64, same shape as the sites of ``x``; 0 where a site is clamped or padding.
    free
        True where a site moves.
    noise
        Randomness of the samples.
    i
        Number of steps made.
    history
        Past evaluations, latest last; as long as the rule asks for.
    log_w
        Log-weight of each sample.
    calls
        Network evaluations of each sample.
    records
        Per-sample values that transforms and plans keep, by name; batch first.
    """

    x: State
    t: State
    free: State
    noise: Noise
    i: int = 0
    history: tuple[Stamp, ...] = ()
    log_w: Tensor = field(default_factory=lambda: torch.zeros(0))
    calls: Tensor = field(default_factory=lambda: torch.zeros(0))
    records: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(
        cls, process: _Law, noise: Noise, shape: Any, *, free: State | None = None, clean: State | None = None
    ) -> RunState:
        """Draw the prior at the free sites and put the clean values at the others.

        Parameters
        ----------
        process
            Gives the prior.
        noise
            One stream per sample.
        shape
            Event shape, or one per factor.
        free
            True where a site moves; all by default.
        clean
            Values of the sites that do not move; needed where `free` has a False.
        """
        x = process.prior(noise, shape)
        if free is not None:
            if clean is None:
                raise ShapeError("free marks fixed sites but no clean values came; pass clean=...")
            x = state_map(lambda f, new, old: torch.where(f, new, old.to(new)), free, x, clean)
        return cls.at(x, 1.0, noise, free=free)

    @classmethod
    def at(cls, x: State, t: State | float, noise: Noise, *, free: State | None = None) -> RunState:
        """Start from a given state at a given time: partial runs, inversion, restarts.

        Parameters
        ----------
        x
            State at time ``t``.
        t
            Time of the free sites: one value, a tensor that broadcasts per site, or one per factor.
        noise
            One stream per sample.
        free
            True where a site moves; all by default.
        """
        if free is None:
            free = state_map(lambda part: torch.ones(part.shape, dtype=torch.bool, device=part.device), x)
        return cls(
            x=x,
            t=state_map(lambda f, time: torch.where(f, torch.as_tensor(time, dtype=torch.float64), 0.0), free, t),
            free=free,
            noise=noise,
            log_w=torch.zeros(len(noise), dtype=torch.float64),
            calls=torch.zeros(len(noise), dtype=torch.int64),
        )

    def factor(self, name: str) -> RunState:
        """Return the part of a product state that belongs to one factor; its noise streams end with the name."""
        return replace(
            self,
            x=self.x[name],
            t=self.t[name],
            free=self.free[name],
            noise=self.noise.scoped(name),
            history=tuple(Stamp(h.t[name], h.x[name], h.m[name]) for h in self.history),
        )

    def __len__(self) -> int:
        return len(self.noise)

    def advance(self, x: State, s: State, m: State, memory: int) -> RunState:
        """Book one step: move to ``x`` at time ``s`` and remember the evaluation ``m`` made before it."""
        moved = state_map(lambda f, new, old: torch.where(f, new, old), self.free, x, self.x)
        past = (*self.history, Stamp(self.t, self.x, m))[-memory:] if memory else ()
        return replace(self, x=moved, t=s, i=self.i + 1, history=past)

    def record(self, name: str, value: Tensor) -> RunState:
        """Keep a per-sample value under a name; replaces an earlier one."""
        return replace(self, records={**self.records, name: value})

    def book(self, calls: Tensor | int) -> RunState:
        """Add network calls to the ledger: one number for all samples, or one for each."""
        return replace(self, calls=self.calls + calls)

    def map(self, function: Callable[[Tensor], Tensor], noise: Noise) -> RunState:
        """Apply a function of the batch axis to every per-sample member."""
        each = lambda part: state_map(function, part)  # noqa: E731
        return replace(
            self,
            x=each(self.x),
            t=each(self.t),
            free=each(self.free),
            noise=noise,
            history=tuple(Stamp(each(h.t), each(h.x), each(h.m)) for h in self.history),
            log_w=function(self.log_w),
            calls=function(self.calls),
            records={name: function(value) for name, value in self.records.items()},
        )

    def take(self, index: Tensor | np.ndarray | Sequence[int]) -> RunState:
        """Rows of the batch, in the given order; history, weights and noise move along."""
        index = index.cpu() if isinstance(index, Tensor) else torch.as_tensor(np.asarray(index))
        return self.map(lambda part: part[index], self.noise.take(index.numpy()))

    def clone(self) -> RunState:
        """Copy that shares no memory."""
        return self.map(torch.clone, replace(self.noise, samples=self.noise.samples.copy()))

    @staticmethod
    def cat(parts: Sequence[RunState]) -> RunState:
        """Join batches of one run that stand at the same step."""
        steps = {(part.i, len(part.history), tuple(sorted(part.records))) for part in parts}
        if len(steps) != 1:
            raise ShapeError(f"parts differ in (step, history, records): {steps}; join states of one step of one run")
        flat = [_flatten(part) for part in parts]
        joined = {key: torch.cat([tensors[key] for tensors in flat]) for key in flat[0]}
        return _unflatten(joined, Noise.cat([part.noise for part in parts]), parts[0].i)

    def to_bytes(self) -> bytes:
        """Serialise as safetensors."""
        tensors = _flatten(self)
        tensors["noise"] = torch.from_numpy(self.noise.samples.view(np.int64).copy())
        tensors["meta"] = torch.tensor([self.i, int(np.uint64(self.noise.seed).astype(np.int64))])
        tensors["scope"] = torch.tensor(list(self.noise.scope.encode()), dtype=torch.uint8)
        return save_tensors({key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()})

    @staticmethod
    def from_bytes(data: bytes) -> RunState:
        """Rebuild a state from `to_bytes`."""
        tensors = load_tensors(data)
        i, seed = tensors.pop("meta").tolist()
        samples = tensors.pop("noise").numpy().view(np.uint64)
        scope = bytes(tensors.pop("scope").tolist()).decode()
        return _unflatten(tensors, Noise(seed % 2**64, samples, scope), i)


def _flatten(state: RunState) -> dict[str, Tensor]:
    out = {"log_w": state.log_w, "calls": state.calls}
    members = {"x": state.x, "t": state.t, "free": state.free}
    for k, stamp in enumerate(state.history):
        members |= {f"history.{k}.t": stamp.t, f"history.{k}.x": stamp.x, f"history.{k}.m": stamp.m}
    for name, member in members.items():
        if isinstance(member, Mapping):
            out |= {f"{name}/{key}": value for key, value in member.items()}
        else:
            out[name] = member
    return out | {f"records/{name}": value for name, value in state.records.items()}


def _unflatten(tensors: Mapping[str, Tensor], noise: Noise, i: int) -> RunState:
    def member(name: str) -> State:
        if name in tensors:
            return tensors[name]
        return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + "/")}

    depth = len({key.split(".")[1] for key in tensors if key.startswith("history.")})
    history = tuple(Stamp(*(member(f"history.{k}.{part}") for part in "txm")) for k in range(depth))
    records = member("records")
    return RunState(
        member("x"), member("t"), member("free"), noise, i, history, tensors["log_w"], tensors["calls"], dict(records)
    )


def batch_size(x: State) -> int:
    """Return the number of samples of a state."""
    return len(first(x))
