"""Tables for cochains: one row of coefficients per mode.

A table is linear in past states and predictions, and so is the passage to coefficients in a Hodge basis; hence every
solver that is a `Table` acts on a process whose levels differ from mode to mode. The solver is asked for a table of the
schedule of each mode on one common grid of the clock, and the rows are laid side by side,

    x_(i+1) = U ( sum_j a_ij(l) U^T M x_(i-j) + sum_j b_ij(l) U^T M m_(i-j) + sqrt(c_i(l)^2 + spread_i(l)^2) xi ).

High modes gain their signal near the end of the clock. A grid that is uniform in ``lam`` of the clock and goes down to
a floor ``f`` leaves a mode of rate ``r`` with noise of about ``f sqrt(r)`` before its last step: take the floor small
where modes of high rate matter. Solvers that combine predictions of the mean (DDIM, exponential Adams, DPM-Solver++,
UniPC, SA-Solver) are at home here; those that combine states (Heun, DEIS) divide by the signal of a mode, which
underflows, and are refused there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.cochain import CochainProcess
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.table import Table
from scidiff.sample.grids import Grid
from scidiff.sample.state import RunState

__all__ = ["ModeRule"]


@dataclass(frozen=True, eq=False)
class ModeRule:
    """Rule that moves the coefficients of cochains, each by the table of its mode.

    Parameters
    ----------
    tables
        Table of each mode, in the order of the modes of the space; of equal nodes and depth.
    offset
        Number of steps that the run has made when the tables begin.
    """

    tables: tuple[Table, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        shapes = {table.a.shape for table in self.tables}
        if len(shapes) != 1 or any(not np.array_equal(t.nodes, self.tables[0].nodes) for t in self.tables):
            raise ConfigError(f"{len(self.tables)} tables came with coefficients of shape {shapes}; expected one grid")
        stack = lambda name: torch.from_numpy(np.stack([getattr(t, name) for t in self.tables], axis=-1))  # noqa: E731
        noise = torch.hypot(stack("c"), stack("spread"))
        object.__setattr__(self, "_rows", (stack("a"), stack("b"), noise))

    @classmethod
    def build(cls, process: CochainProcess, grid: Tensor, solver: Callable[[Schedule, Tensor], Table]) -> ModeRule:
        """Ask a solver for the tables of all modes.

        Parameters
        ----------
        process
            Gives the schedule of each mode.
        grid
            Times, shape ``(steps + 1,)``.
        solver
            Takes a schedule and a grid, e.g. `dpmpp_2m` or ``functools.partial(ddim, eta=1.0)``.

        Raises
        ------
        ConfigError
            If the solver cannot treat some mode on this grid.
        """
        eigenvalues = process.space.eigenvalues.tolist()
        tables: dict[float, Table] = {}
        for l in eigenvalues:
            if l not in tables:
                with np.errstate(all="ignore"):
                    tables[l] = solver(process.schedule.mode(l), grid)
        return cls(tuple(tables[l] for l in eigenvalues))

    @property
    def memory(self) -> int:
        """Number of past evaluations that the rows use."""
        return self.tables[0].depth - 1

    @property
    def label(self) -> str:
        """What the tables claim; they come from one solver."""
        return self.tables[0].label

    @property
    def plan(self) -> Grid:
        """Plan that belongs to the tables."""
        return Grid(self.tables[0].grid, self.offset)

    def __call__(self, process: CochainProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64."""
        row = state.i - self.offset
        self._check(process, state, s, row)
        xs = [state.x, *(stamp.x for stamp in reversed(state.history))]
        ms = [m, *(stamp.m for stamp in reversed(state.history))]
        a, b, noise = (part[row].to(state.x.device) for part in self._rows)
        total = torch.zeros(len(state), process.space.modes, dtype=torch.float64, device=state.x.device)
        for coefficients, past in ((a, xs), (b, ms)):
            for j in torch.nonzero(coefficients.any(dim=1)).flatten().tolist():
                total += coefficients[j] * process.space.coefficients(past[j])
        if bool(noise.any()):
            total += noise * process.white(state.noise, step=state.i, stream="table").to(total)
        return process.space.values(total)

    def _check(self, process: CochainProcess, state: RunState, s: Tensor, row: int) -> None:
        first = self.tables[0]
        if not 0 <= row < first.steps:
            raise ConfigError(f"the run is at step {row} of tables '{first.name}', which have {first.steps}")
        ends = first.nodes[row], first.nodes[row + 1]
        times = [process.sample_time(time, state.x) for time in (state.t, s)]
        if not all(bool((time == end).all()) for time, end in zip(times, ends, strict=True)):
            raise ConfigError(
                f"step {row} of tables '{first.name}' leads from t = {ends[0]} to {ends[1]}, the plan goes elsewhere; "
                "use rule.plan, or a grid with the nodes of the tables"
            )
        node = torch.tensor(ends[0], dtype=torch.float64)
        sigma = process.schedule.sigma(node, process.space.eigenvalues)
        own = torch.tensor([table.sigma[row] for table in self.tables], dtype=torch.float64)
        if sigma.shape != own.shape or not torch.allclose(sigma, own, rtol=1e-9, atol=0.0):
            raise ConfigError(
                f"{len(self.tables)} tables '{first.name}' belong to another schedule or other modes than those of "
                f"{process.space!r}; build them for this process"
            )
