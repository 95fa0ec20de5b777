"""Checks of a denoiser: a pure function of state, time and condition, row by row, of the kind that it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ScidiffError
from scidiff.process.base import Kind, Process, ProductProcess
from scidiff.random import Noise
from scidiff.spaces import State, first, state_map
from scidiff.testing.require import require
from scidiff.testing.states import close, finite, parts, size, take, take_any

__all__ = ["check_denoiser"]

_MIDDLE, _LATE = 0.5, 0.9


def check_denoiser(
    denoiser: Denoiser,
    process: Process | ProductProcess,
    x0: State,
    *,
    condition: Any = None,
    take_condition: Callable[[Any, Tensor], Any] = take_any,
    tolerance: float | None = None,
    times: tuple[float, ...] = (0.0, 0.02, 0.5, 0.98, 1.0),
    per_site: bool = True,
    seed: int = 0,
) -> None:
    """Check that a denoiser keeps the contract of `scidiff.denoise.Denoiser` with a process.

    Checked are: that the same input gives the same output, to the last bit, also after other calls, without a draw from
    the generator of torch and without a change of the input; that a permuted, a cut and a repeated batch give the rows
    of the whole one; that the prediction has the declared kind, hence the shape that `process.convert` takes; that it
    is finite from ``t = 0`` to ``t = 1``; and that one time for all and equal times per site are the same.

    Parameters
    ----------
    denoiser, process
        The denoiser, and the process whose states it sees.
    x0
        At least three data, batch first, or one such tensor per factor.
    condition
        Condition of the denoiser for these data.
    take_condition
        Gives the condition of some rows; by default for tensors, mappings, dataclasses and objects with ``take``.
    tolerance
        Largest error of a permuted or cut batch, relative to the largest entry of the prediction; by default 1e-9, and
        1e-4 for a `torch.nn.Module` with parameters of less precision than float64.
    times
        Times of the calls; leave out an end at which the kind of the prediction says nothing, such as EPS at ``t = 1``
        where no signal is left.
    per_site
        Whether sites of one sample may have different times.
    seed
        Seed of the noise.

    Raises
    ------
    AssertionError
        If a law does not hold.
    """
    count = len(first(x0))
    require(count >= 3, f"{count} data came; the check needs at least 3")
    call = _Calls(denoiser, process, condition, take_condition, _tolerance(denoiser, tolerance))
    noise = Noise.range(seed, count)
    states = [(process.noise(x0, t, noise, step=k), t) for k, t in enumerate(times)]
    states.append((process.prior(noise, state_map(lambda part: tuple(part.shape[1:]), x0)), max(times)))
    with torch.no_grad():
        for x, t in states:
            call.kind(x, t)
        _check_purity(call, states)
        for x, t in states:
            _check_rows(call, x, t, count)
        if per_site:
            _check_mixed(call, x0, noise)


class _Calls:
    """One denoiser with its process and condition."""

    def __init__(self, denoiser: Denoiser, process: Any, condition: Any, cut: Callable, tolerance: float) -> None:
        self.denoiser, self.process, self.condition, self.cut = denoiser, process, condition, cut
        self.tolerance = tolerance

    def __call__(self, x: State, t: State | float, index: Tensor | None = None) -> State:
        condition = self.condition if index is None else self.cut(self.condition, index)
        time = state_map(lambda part: torch.full(part.shape, t, dtype=torch.float64), x) if isinstance(t, float) else t
        return self.denoiser(x, time, condition)

    def kind(self, x: State, t: float) -> None:
        """Require a prediction that the process takes for the declared kind."""
        kind = self.denoiser.kind
        out = self(x, t)
        mapped = isinstance(x, Mapping)
        require(
            isinstance(out, Mapping) == mapped, "a state of factors needs a prediction of factors, and only it does"
        )
        require(set(parts(out)) == set(parts(x)), f"factors {sorted(parts(out))} were predicted of {sorted(parts(x))}")
        try:
            m = self.process.convert(out, kind, x, torch.tensor(t, dtype=torch.float64))
        except ScidiffError as error:
            raise AssertionError(f"the process does not take the prediction at t = {t}: {error}") from error
        for name, part in parts(m).items():
            own = kind[name] if isinstance(kind, Mapping) else kind
            law = own in (Kind.LOGITS, Kind.LOO_LOGITS, Kind.SCORE) and not parts(x)[name].is_floating_point()
            finite(parts(out)[name], f"the prediction at t = {t}", below=law)
            finite(part, f"the converted prediction at t = {t}", below=law)
            require(len(part) == len(first(x)), f"the prediction has {len(part)} rows for {len(first(x))} samples")


def _tolerance(denoiser: Denoiser, tolerance: float | None) -> float:
    if tolerance is not None:
        return tolerance
    module = denoiser.function
    held = list(module.parameters()) if isinstance(module, nn.Module) else []
    return 1e-4 if any(parameter.dtype != torch.float64 for parameter in held) else 1e-9


def _same(a: State, b: State) -> bool:
    return all(torch.equal(part.nan_to_num(), parts(b)[name].nan_to_num()) for name, part in parts(a).items())


def _check_purity(call: _Calls, states: list[tuple[State, float]]) -> None:
    before = torch.random.get_rng_state()
    kept = [state_map(torch.clone, x) for x, _ in states]
    once = [call(x, t) for x, t in states]
    copies = [state_map(torch.clone, out) for out in once]
    again = [call(x, t) for x, t in reversed(states)][::-1]
    require(torch.equal(before, torch.random.get_rng_state()), "the denoiser draws from the generator of torch")
    for (x, t), old, out, copy, other in zip(states, kept, once, copies, again, strict=True):
        require(_same(x, old), f"the denoiser changes its input at t = {t}")
        require(_same(copy, other), f"the same input at t = {t} gives another output after other calls")
        require(_same(copy, out), f"a later call changes the output given at t = {t}")


def _check_rows(call: _Calls, x: State, t: float, count: int) -> None:
    whole, rows = call(x, t), torch.arange(count)
    slack = call.tolerance * size(whole)
    cuts = {"permuted": rows.flip(0), "cut": rows[1:2], "longer": torch.cat([rows, rows])}
    for name, index in cuts.items():
        got = call(take(x, index), t, index)
        close(got, take(whole, index), slack, f"rows of a {name} batch differ from those of the whole at t = {t}")
    one = call.denoiser(x, torch.tensor(t, dtype=torch.float64), call.condition)
    close(one, whole, slack, f"one time for all differs from equal times per site at t = {t}")


def _check_mixed(call: _Calls, x0: State, noise: Noise) -> None:
    """Some samples clean, some at a later time: the prediction of those between is theirs."""
    count = len(first(x0))
    clock = torch.tensor([_MIDDLE, 0.0, _LATE], dtype=torch.float64)[torch.arange(count) % 3]
    time = state_map(lambda part: clock.reshape(-1, *(1,) * (part.ndim - 1)).expand(part.shape), x0)
    got = call(call.process.noise(x0, time, noise), time)
    whole, index = call(call.process.noise(x0, _MIDDLE, noise), _MIDDLE), torch.arange(0, count, 3)
    finite(take(got, index), "the prediction beside clean samples", below=True)
    slack = call.tolerance * size(whole)
    close(take(got, index), take(whole, index), slack, "the time of one sample changes the prediction of another")
