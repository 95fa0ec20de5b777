"""Checks of a rule in the loop: what `scidiff.sample.run` and `RunState` promise, for any rule and plan."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ScidiffError
from scidiff.process.base import Process, ProductProcess
from scidiff.random import Noise
from scidiff.sample.loop import Plan, Rule, run
from scidiff.sample.model import Policy
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State, first
from scidiff.testing.require import require
from scidiff.testing.states import close, finite, parts, refused, take_any

__all__ = ["check_label", "check_rule"]

_LABEL = re.compile(r"exact|biased|consistent\(\d+(\.\d+)?\)")
_SLACK = 1e-9


def check_label(method: object) -> None:
    """Check that a rule, plan or corrector says what it does: ``exact``, ``consistent(order)`` or ``biased``.

    Parameters
    ----------
    method
        Anything with the attribute ``label``.

    Raises
    ------
    AssertionError
        If the label is missing or is another word.
    """
    label = getattr(method, "label", None)
    name = type(method).__name__
    require(label is not None, f"{name} has no label; expected exact, consistent(order) or biased")
    require(
        isinstance(label, str) and _LABEL.fullmatch(label),
        f"{name} has the label {label!r}; expected exact, consistent(order) or biased",
    )


def check_rule(
    rule: Rule,
    process: Process | ProductProcess,
    plan: Plan,
    denoiser: Denoiser,
    shape: Any,
    *,
    condition: Any = None,
    transforms: Sequence[Transform] = (),
    policy: Policy | None = None,
    per_site: bool = True,
    stays: bool = True,
    rejects: bool = False,
    limit: int = 1000,
    seed: int = 0,
    count: int = 5,
) -> None:
    """Check that a rule and its plan keep the contract of `scidiff.sample.run`.

    Checked are: the label; that a run ends, is a function of its seed, keeps to the space and never goes back in time;
    that the rule remembers what it says; that the ledger is the count of a counting denoiser; that clamped sites stay
    to the last bit; that a move from ``t`` to ``t`` stays; that a run that was stored, permuted or cut and joined at
    any step ends as the whole one, the stored one to the last bit.

    Parameters
    ----------
    rule, process, plan, denoiser
        What the loop gets.
    shape
        Event shape, or one per factor.
    condition, transforms, policy
        Handed to the loop.
    per_site
        Whether single sites can be clamped. If not, it has to be refused.
    stays
        Whether a move from ``t`` to ``t`` leaves the state; not for rules that redraw it, nor for tables, which know
        no other moves than their own.
    rejects
        Whether the plan goes back in time where it rejects a step.
    limit
        Number of steps after which a run counts as endless.
    seed
        Seed of the run.
    count
        Number of samples, at least 3.

    Raises
    ------
    AssertionError
        If a law does not hold.
    """
    require(count >= 3, f"count is {count}; the check needs at least 3 samples")
    check_label(rule)
    asked = {"condition": condition, "transforms": tuple(transforms), "policy": policy}
    loop = _Loop(rule, process, plan, denoiser, shape, asked, rejects, limit, count)
    whole = _check_run(loop, seed)
    _check_clamped(loop, whole, seed, per_site)
    _check_stops(loop, whole, seed, stays)


def _check_stops(loop: _Loop, whole: RunState, seed: int, stays: bool) -> None:
    """Stop after one step and in the middle: move by hand, store, permute and cut."""
    for stop in sorted({1, max(1, whole.i // 2)}):
        part = loop(noise=Noise.range(seed, loop.count), until=stop)
        require(part.i <= stop, f"a run until step {stop} stands at step {part.i}")
        plain = not loop.asked["transforms"] and loop.asked["policy"] is None
        if stop < whole.i and plain:
            _check_move(loop, part, stays)
        _check_stored(loop, part, whole)
        _check_cut(loop, part, whole)


@dataclass(frozen=True)
class _Loop:
    """One rule with all that the loop needs."""

    rule: Any
    process: Any
    plan: Any
    denoiser: Denoiser
    shape: Any
    asked: dict[str, Any]
    rejects: bool
    limit: int
    count: int
    path: list[RunState] = field(default_factory=list)

    @property
    def condition(self) -> Any:
        """Condition of the whole batch."""
        return self.asked["condition"]

    def __call__(self, *, until: int | None = None, rows: Tensor | None = None, **start: Any) -> RunState:
        """Run, from a state or from the prior, to the end or until a step."""
        self.path.clear()
        condition = self.condition if rows is None else take_any(self.condition, rows)
        if "state" not in start:
            start["shape"] = self.shape
        return run(
            self.denoiser,
            self.process,
            self.rule,
            self.plan,
            **{**self.asked, "condition": condition},
            until=self.limit if until is None else until,
            progress=self.path.append,
            **start,
        )


def _check_run(loop: _Loop, seed: int) -> RunState:
    calls = []

    def counting(x: State, t: State, condition: Any) -> State:
        calls.append(len(first(x)))
        return loop.denoiser(x, t, condition)

    noise = Noise.range(seed, loop.count)
    begin = loop(noise=noise, until=0)
    whole = replace(loop, denoiser=Denoiser(counting, loop.denoiser.kind))(noise=noise)
    path = list(loop.path)
    require(loop.plan.done(whole), f"the run is not done after {whole.i} steps; raise limit if it needs more")
    require(whole.i > 0, "the run makes no step")
    booked = int(whole.calls.sum())
    require(booked == sum(calls), f"the ledger says {booked} calls of all samples, the denoiser saw {sum(calls)}")
    memory = getattr(loop.rule, "memory", None)
    require(isinstance(memory, int) and memory >= 0, f"memory is {memory!r}; expected a number of past evaluations")
    for before, after in zip([begin, *path[:-1]], path, strict=True):
        _check_step(loop, before, after)
    again, other = loop(noise=noise), loop(noise=Noise.range(seed + 1, loop.count))
    require(again.to_bytes() == whole.to_bytes(), "the run is not a function of its seed: two runs differ")
    differs = any(not torch.equal(part, parts(other.x)[name]) for name, part in parts(whole.x).items())
    require(differs, "another seed gives the same samples")
    return whole


def _check_step(loop: _Loop, before: RunState, after: RunState) -> None:
    finite(after.x, f"the state after step {after.i}")
    try:
        for name, part in parts(after.x).items():
            _factor(loop.process, name).space.check(part, "x")
    except ScidiffError as error:
        raise AssertionError(f"step {after.i} leaves the space: {error}") from error
    for name, s in parts(after.t).items():
        t, x = parts(before.t)[name], parts(after.x)[name]
        require(s.shape == t.shape == x.shape, f"times have shape {tuple(s.shape)}, the sites {tuple(x.shape)}")
        falls = loop.rejects or bool((s <= t).all())
        require(falls and bool(((s >= 0) & (s <= 1)).all()), f"step {after.i} goes back to the noise: s > t, or s < 0")


def _check_clamped(loop: _Loop, whole: RunState, seed: int, per_site: bool) -> None:
    """Clamp every second site to where it ended; it is there to the last bit at every step."""
    noise = Noise.range(seed + 2, loop.count)
    marks = {name: _alternate(_factor(loop.process, name), part) for name, part in parts(whole.x).items()}
    free = marks if isinstance(whole.x, Mapping) else marks[""]
    start = {"noise": noise, "free": free, "clean": whole.x}
    if not per_site:
        refused(lambda: loop(**start), "clamped sites are not refused; set per_site, or raise")
        return
    end = loop(**start)
    for state in [*loop.path, end]:
        for name, part in parts(whole.x).items():
            moved = (parts(state.x)[name] != part) & ~parts(free)[name]
            require(not bool(moved.any()), f"{int(moved.sum())} clamped sites move at step {state.i}")
            late = (parts(state.t)[name] != 0) & ~parts(free)[name]
            require(not bool(late.any()), f"clamped sites have a time other than 0 at step {state.i}")
    require(bool(loop.plan.done(end)), "the run with clamped sites does not end")


def _factor(process: Any, name: str) -> Any:
    return process.factors[name] if name else process


def _alternate(process: Any, x: Tensor) -> Tensor:
    """Mark every second site; the coordinates of one point of a manifold together."""
    site = getattr(process, "site", None)
    lead = tuple(x.shape) if site is None else site.lead(x)
    marks = torch.arange(math.prod(lead)).reshape(lead) % 2 == 0
    return marks.reshape(*lead, *(1,) * (x.ndim - len(lead))).expand(x.shape)


def _check_move(loop: _Loop, part: RunState, stays: bool) -> None:
    """One move by hand: its precision, and that ``s = t`` stays where that is claimed."""
    prediction = loop.denoiser(part.x, part.t, loop.condition)
    m = loop.process.convert(prediction, loop.denoiser.kind, part.x, part.t)
    moved = loop.rule(loop.process, part, m, loop.plan.next(part, m))
    for name, x in parts(moved).items():
        precise = x.dtype == torch.float64 or not x.is_floating_point()
        require(precise, f"the rule gives {x.dtype}{f' ({name})' if name else ''}; a run keeps float64")
    if not stays:
        return
    try:
        stayed = loop.rule(loop.process, part, m, part.t)
    except ScidiffError as error:
        raise AssertionError(f"a move from t to t is refused ({error}); set stays=False") from error
    close(stayed, part.x, _SLACK, "a move from t to t moves the state; set stays=False if the rule redraws it")


def _check_stored(loop: _Loop, part: RunState, whole: RunState) -> None:
    back = RunState.from_bytes(part.to_bytes())
    require(back.to_bytes() == part.to_bytes(), f"a state stored at step {part.i} is another one when it is read")
    kept = part.to_bytes()
    end = loop(state=back)
    require(end.to_bytes() == whole.to_bytes(), f"a run stored at step {part.i} ends elsewhere than the whole one")
    loop(state=part)
    require(part.to_bytes() == kept, f"going on from step {part.i} changes the state that was given")


def _check_cut(loop: _Loop, part: RunState, whole: RunState) -> None:
    rows = torch.arange(loop.count)
    shuffled = rows.flip(0)
    cuts = {"permuted": (loop(state=part.take(shuffled), rows=shuffled), shuffled)}
    for name, index in (("cut", rows[:2]), ("cut", rows[2:])):
        cuts[f"{name} to rows {index.tolist()}"] = (loop(state=part.take(index), rows=index), index)
    for name, (end, index) in cuts.items():
        want = whole.take(index)
        where = f"a run {name} at step {part.i} ends elsewhere than the whole one"
        require(end.noise.samples.tolist() == want.noise.samples.tolist(), f"{where}: other noise")
        close(end.x, want.x, _SLACK, where)
