"""Parallel in time: all steps of a table at once, repeated until nothing moves.

The rows of a table are linear in states and predictions. With the predictions of the last sweep in the place of the
true ones, the whole path is one recursion without a network:

    x_(i+1) = sum_j a_ij x_(i-j) + sum_j b_ij m_(i-j)^old + noise

*Picard* [1]_ evaluates all nodes of a window in one batch, makes this recursion, and repeats; a node is settled when it
moved by less than the tolerance, and the window slides. After ``k`` sweeps the first ``k`` nodes of a window are those
of the step-by-step run, so that it ends there in any case. *Parareal* [2]_ cuts the grid into blocks, runs the table in
all blocks at once, and corrects by one coarse DDIM step for each block.

Both trade total work for depth, i.e. the number of batches that have to wait for each other: worth it on a device that
is idle at batch 1, a loss on a CPU. Noise is that of the step-by-step run, hence so is the limit.

References
----------
.. [1] A. Shih et al., "Parallel sampling of diffusion models", arXiv:2305.16317
.. [2] N. Selvam et al., "Self-refining diffusion samplers", arXiv:2412.08292
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.condition import take_condition
from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.continuous.solvers import ddim
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.model import Model
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

__all__ = ["ParallelRun", "parareal", "picard"]


@dataclass(frozen=True)
class ParallelRun:
    """Result of a run in parallel.

    Parameters
    ----------
    state
        The last state; its ledger holds the total work.
    depth
        Number of batches that had to wait for each other; a step-by-step run has as many as it has calls.
    changes
        Largest change of each sweep, in the unit of the data.
    """

    state: RunState
    depth: int
    changes: tuple[float, ...]


@torch.no_grad()
def picard(
    denoiser: Denoiser,
    process: GaussianProcess,
    rule: TableRule,
    state: RunState,
    *,
    tolerance: float = 1e-3,
    window: int | None = None,
    condition: Any = None,
    transforms: Sequence[Transform] = (),
) -> ParallelRun:
    """Picard iteration over the steps of a table [1]_.

    Parameters
    ----------
    denoiser, process, rule
        As for `scidiff.sample.run`; transforms must not draw noise nor keep records.
    state
        Start of the run.
    tolerance
        Largest root mean square change of a node that counts as none.
    window
        Nodes that are evaluated at once; all by default.
    condition, transforms
        As for `scidiff.sample.run`; transforms must not draw noise nor keep records.
    """
    table = rule.table
    width = table.steps if window is None else window
    _check(transforms, state, tolerance, width)
    _check_start(process, rule, state)
    model = Model(denoiser, process, condition, transforms)
    noise = _noise(process, rule, state)
    path = [state.x.double()] + [state.x.double()] * table.steps
    m = [torch.zeros_like(path[0])] * table.steps
    first, calls, depth, changes = 0, 0, 0, []
    while first < table.steps:
        last = min(first + width, table.steps)
        fresh = _evaluate(model, state, [path[i] for i in range(first, last)], table, range(first, last))
        calls, depth = calls + last - first, depth + 1
        m[first:last] = fresh
        moved = []
        for i in range(first, last):
            new = _row(table, i, path, m) + noise[i]
            new = torch.where(state.free, new, state.x.double())
            moved.append(_change(new, path[i + 1], path[first]))
            path[i + 1] = new
        changes.append(max(moved))
        settled = next((k for k, change in enumerate(moved) if change > tolerance), len(moved))
        # node `first + 1` was made of settled predictions only
        start = first + max(1, settled)
        for i in range(last + 1, min(start + width, table.steps) + 1):
            path[i] = path[last]
        first = start
    return ParallelRun(_finish(state, path[-1], table, calls), depth, tuple(changes))


@torch.no_grad()
def parareal(
    denoiser: Denoiser,
    process: GaussianProcess,
    rule: TableRule,
    state: RunState,
    *,
    blocks: int | None = None,
    tolerance: float = 1e-3,
    condition: Any = None,
    transforms: Sequence[Transform] = (),
) -> ParallelRun:
    """Parareal iteration: blocks of a table in parallel, joined by coarse DDIM steps [2]_.

    Parameters
    ----------
    denoiser, process, rule, state
        As for `picard`; the table must be without noise and without memory, because blocks begin anew.
    blocks
        Number of blocks; the root of the number of steps by default.
    tolerance, condition, transforms
        As for `picard`; the table must be without noise and without memory, because blocks begin anew.
    """
    table = rule.table
    count = max(1, round(math.sqrt(table.steps))) if blocks is None else blocks
    _check(transforms, state, tolerance, count)
    _check_start(process, rule, state)
    if table.depth > 1 or table.c.any() or table.spread.any() or count > table.steps:
        raise ConfigError(
            f"parareal came with table '{table.name}' of memory {table.depth - 1} and {count} blocks; expected a "
            "deterministic table without memory, e.g. ddim, and at most one block for each step"
        )
    model = Model(denoiser, process, condition, transforms)
    cuts = np.linspace(0, table.steps, count + 1).round().astype(int)
    coarse = ddim(process.schedule, torch.from_numpy(table.nodes[cuts].copy()))
    ends, guess, calls = [state.x.double()], [], 0
    for k in range(count):
        (m,) = _evaluate(model, state, [ends[k]], coarse, [k])
        guess.append(_keep(state, _row(coarse, k, ends, [torch.zeros(0)] * k + [m])))
        ends.append(guess[k])
        calls += 1
    depth, changes, first = count, [], 0
    while first < count:
        fine, work, longest = _fine(model, state, ends, table, cuts, first)
        calls, depth = calls + work, depth + longest
        moved = []
        for k in range(first, count):
            if k == first:
                new = fine[0]
            else:
                (m,) = _evaluate(model, state, [ends[k]], coarse, [k])
                jump = _keep(state, _row(coarse, k, ends, [torch.zeros(0)] * k + [m]))
                new, guess[k] = jump + fine[k - first] - guess[k], jump
                calls, depth = calls + 1, depth + 1
            moved.append(_change(new, ends[k + 1], ends[first]))
            ends[k + 1] = new
        changes.append(max(moved))
        first += max(1, next((k for k, change in enumerate(moved) if change > tolerance), len(moved)))
    return ParallelRun(_finish(state, ends[-1], table, calls), depth, tuple(changes))


def _fine(
    model: Model, state: RunState, ends: Sequence[Tensor], table: Table, cuts: np.ndarray, first: int
) -> tuple[list[Tensor], int, int]:
    """Run the table in all blocks from `first` on, in step; results, calls of a sample, and depth."""
    x = [ends[k] for k in range(first, len(cuts) - 1)]
    lengths = np.diff(cuts)[first:]
    for step in range(int(lengths.max())):
        active = [k for k in range(len(x)) if step < lengths[k]]
        rows = [int(cuts[first + k]) + step for k in active]
        m = _evaluate(model, state, [x[k] for k in active], table, rows)
        for k, row, mean in zip(active, rows, m, strict=True):
            x[k] = _keep(state, float(table.a[row, 0]) * x[k] + float(table.b[row, 0]) * mean)
    return x, int(lengths.sum()), int(lengths.max())


def _evaluate(
    model: Model, state: RunState, points: Sequence[Tensor], table: Table, rows: Sequence[int]
) -> list[Tensor]:
    """Transformed predictions of one batch that holds every node."""
    count, batch = len(points), len(state)
    index = torch.arange(batch).repeat(count)
    t = torch.cat([torch.where(state.free, float(table.nodes[i]), 0.0) for i in rows])
    many = replace(state.take(index), x=torch.cat(list(points)), t=t)
    wide = replace(model, condition=take_condition(model.condition, index))
    m, after = wide.estimate(many)
    if set(after.records) != set(state.records):
        raise ConfigError("a transform keeps records, which have no order in time here; leave it out")
    return list(m.double().reshape(count, batch, *m.shape[1:]).unbind(0))


def _row(table: Table, i: int, path: Sequence[Tensor], m: Sequence[Tensor]) -> Tensor:
    """Row `i` without its noise."""
    x = torch.zeros_like(path[i])
    for coefficients, past in ((table.a[i], path), (table.b[i], m)):
        for j in np.flatnonzero(coefficients):
            x = x + float(coefficients[j]) * past[i - j]
    return x


def _noise(process: GaussianProcess, rule: TableRule, state: RunState) -> list[Tensor | float]:
    """Noise of every step, the same as in the loop."""
    drawn: list[Tensor | float] = []
    for i in range(rule.table.steps):
        at = replace(state, i=rule.offset + i)
        size = rule.drift(at)[1]
        drawn.append(size * rule.xi(process, at).to(state.x.device) if size > 0 else 0.0)
    return drawn


def _change(new: Tensor, old: Tensor, settled: Tensor) -> float:
    """Largest root mean square change of a sample; one that is not finite where all is settled does not count."""
    size = (new - old).flatten(1).pow(2).mean(1).sqrt()
    lost = ~settled.flatten(1).isfinite().all(1)
    return float(torch.where(lost, 0.0, size.nan_to_num(nan=math.inf)).amax()) if len(size) else 0.0


def _keep(state: RunState, x: Tensor) -> Tensor:
    return torch.where(state.free, x, state.x.double())


def _finish(state: RunState, x: Tensor, table: Table, calls: int) -> RunState:
    t = torch.where(state.free, float(table.nodes[-1]), 0.0)
    return replace(state, x=x, t=t, i=state.i + table.steps).book(calls)


def _check(transforms: Sequence[Transform], state: RunState, tolerance: float, width: int) -> None:
    refused = [type(each).__name__ for each in transforms if each.stochastic or each.branches(state)]
    if refused:
        raise ConfigError(
            f"{', '.join(refused)} draws noise or asks for branches, which sweeps over many nodes do not repeat; "
            "leave it out, or run step by step"
        )
    if not tolerance >= 0 or width < 1:
        raise ConfigError(f"tolerance is {tolerance} and width {width}; expected tolerance >= 0 and width >= 1")


def _check_start(process: GaussianProcess, rule: TableRule, state: RunState) -> None:
    table = rule.table
    begins = float(table.nodes[0])
    if state.i != rule.offset or state.history or bool(((state.t != begins) & state.free).any()):
        raise ConfigError(
            f"the run stands at step {state.i} with {len(state.history)} past evaluations; sweeps take the whole of "
            f"table '{table.name}': expected step {rule.offset}, no past, and t = {begins} at the free sites"
        )
    if not table.fits(process.schedule):
        raise ConfigError(f"table '{table.name}' belongs to another schedule than {process.schedule}")
