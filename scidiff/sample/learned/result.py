"""What a fit found, and what it is worth on starts that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.process.base import Process
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import Noise
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.grids import Grid
from scidiff.sample.learned.teacher import Pairs
from scidiff.sample.loop import Rule, run
from scidiff.sample.state import RunState

__all__ = ["Fit", "TableFit", "held_out_error", "row_sums", "square_gap", "table_error"]


@dataclass(frozen=True, eq=False)
class Fit:
    """A learned grid.

    Parameters
    ----------
    grid
        Times, shape ``(steps + 1,)``.
    history
        Training loss at the start and after every iteration.
    before, after
        Median distance to the teacher on the held-out starts, of the solver that the fit started from and of the
        learned one; both were run in the loop.
    seconds
        Processor time that the fit took.
    calls
        Network evaluations that the fit spent on each training pair, without backward passes.
    gradient
        ``autograd`` or ``finite differences``.
    """

    grid: Tensor
    history: tuple[float, ...]
    before: float
    after: float
    seconds: float
    calls: int
    gradient: str

    def plot(self) -> Any:
        """Draw the loss of the fit and the nodes; returns a matplotlib figure."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.5), layout="constrained")
        loss, nodes = figure.subplots(1, 2)
        loss.semilogy(np.maximum(self.history, 1e-12), color="C0")
        loss.set(xlabel="iteration", ylabel="training loss", title=f"held out: {self.before:.3g} to {self.after:.3g}")
        self._draw(nodes)
        return figure

    def _draw(self, axes: Any) -> None:
        axes.plot(self.grid.numpy(), marker="o", color="C1")
        axes.set(xlabel="step", ylabel="time t", title=f"{len(self.grid) - 1} calls")


@dataclass(frozen=True, eq=False)
class TableFit(Fit):
    """A learned table.

    Parameters
    ----------
    grid, history, before, after, seconds, calls, gradient
        As for `Fit`.
    table
        The coefficients.
    """

    table: Table

    @property
    def row_sums(self) -> np.ndarray:
        """What each row makes of the constant 1; see `row_sums`."""
        return row_sums(self.table)

    def _draw(self, axes: Any) -> None:
        ratio = self.table.sigma / self.table.alpha
        noisy = np.isfinite(ratio) & (ratio > 0)
        axes.semilogy(np.flatnonzero(noisy), ratio[noisy], marker="o", color="C1")
        axes.set(xlabel="node", ylabel="noise-to-signal ratio", title=f"{self.table.steps} calls, {self.table.label}")
        other = axes.twinx()
        other.plot(np.arange(1, self.table.steps + 1), self.row_sums, marker="s", linestyle="none", color="C2")
        other.axhline(1.0, color="C2", linewidth=0.5)
        other.set_ylabel("row sum", color="C2")


def row_sums(table: Table) -> np.ndarray:
    """What each row of a `table` makes of ``x = alpha``, ``m = 1`` without noise, over ``alpha_(i+1)``; 1 is right."""
    sums = []
    for i in range(table.steps):
        past = [i - j for j in range(min(table.depth, i + 1))]
        moved = table.a[i, : len(past)] @ table.alpha[past] + table.b[i].sum()
        sums.append(moved / table.alpha[i + 1])
    return np.array(sums)


def square_gap(process: Process, x: Tensor, y: Tensor) -> Tensor:
    """Squared distance of samples, smooth at 0, shape ``(batch,)``."""
    if isinstance(process, GaussianProcess):
        return (x - y).square().flatten(1).sum(1)
    v = process.space.log(y, x)
    square = process.space.inner(y, v, v)
    return square.reshape(len(x), -1).sum(1)


@torch.no_grad()
def held_out_error(denoiser: Denoiser, process: Process, rule: Rule, grid: Tensor, held: Pairs) -> float:
    """Median distance to the teacher's ends after a run in the loop.

    Parameters
    ----------
    denoiser, process, rule
        As for `scidiff.sample.run`.
    grid
        Times.
    held
        Pairs that the fit did not see.
    """
    state = RunState.at(held.start, float(grid[0]), Noise.range(0, len(held)))
    end = run(denoiser, process, rule, Grid(grid), state=state, condition=held.condition).x
    return float(square_gap(process, end, held.end).sqrt().median())


def table_error(denoiser: Denoiser, process: Process, table: Table, held: Pairs) -> float:
    """Median distance of a table to the teacher's ends; see `held_out_error`."""
    return held_out_error(denoiser, process, TableRule(table), table.grid, held)
