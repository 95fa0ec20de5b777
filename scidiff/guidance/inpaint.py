"""Inpainting by replacement: the known sites are noised from their values, the rest is drawn by the reverse step.

Three ways to keep known values are in the package, and they differ in what they need:

* ``free`` and ``clean`` of a run: known sites stand at ``t = 0`` in the network's input. Exact, for a network that was
  trained with clean sites or for a process whose sites carry their own time.
* `scidiff.guidance.LinearConstraint` with a `Selection`: exact for Gaussian data, biased for others.
* `Replace`, here, after every step:

      x_s <- alpha_s y + sigma_s eps    at the known sites

  The free sites then see the data through noise that was drawn without regard to them, so they do not agree with it:
  biased. RePaint [1]_ goes back up and repeats each step, which lets both sides come to terms: the law at every level
  tends to that of ``x_s`` given *some* noisy copy of ``y``, and to the conditioned one only as the last levels do.
  `repaint` makes the table.

References
----------
.. [1] A. Lugmayr et al., "RePaint: inpainting using denoising diffusion probabilistic models", arXiv:2201.09865
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.restart import chain
from scidiff.sample.continuous.table import Table
from scidiff.sample.state import RunState

__all__ = ["Replace", "repaint"]


@dataclass(frozen=True, eq=False)
class Replace:
    """Corrector that puts noised known values at their sites after every step; the exact ones at ``t = 0``.

    Parameters
    ----------
    known
        True at the known sites, in the shape of an event.
    values
        Their values, shape of an event or ``(batch, *event)``; what stands elsewhere is not read.
    """

    known: Tensor
    values: Tensor
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2201.09865"

    def __post_init__(self) -> None:
        event = tuple(self.known.shape)
        if self.known.dtype != torch.bool or not bool(self.known.any()):
            raise ShapeError(
                f"known is a {self.known.dtype} of shape {event}; expected booleans with at least one True"
            )
        if tuple(self.values.shape) != event and tuple(self.values.shape[1:]) != event:
            raise ShapeError(f"values have shape {tuple(self.values.shape)}; expected {event} or (batch, *{event})")
        seen = self.values[..., self.known] if self.values.ndim == self.known.ndim else self.values[:, self.known]
        if not bool(seen.isfinite().all()):
            raise ConfigError("a known value is not finite; leave its site out of the mask")

    def __call__(self, process: GaussianProcess, state: RunState, estimate: Callable[..., Any]) -> RunState:
        """Replace the known sites; makes no network call."""
        event = tuple(self.known.shape)
        if self.values.ndim > self.known.ndim and len(self.values) not in (1, len(state)):
            raise ShapeError(
                f"{len(self.values)} sets of known values came for {len(state)} samples; expected as many, or one set "
                "for all"
            )
        values = torch.where(self.known, self.values, 0.0).double().expand(len(state), *event)
        noised = process.noise(values, state.t, state.noise, step=state.i, stream="replace")
        return replace(state, x=torch.where(self.known & state.free, noised.to(state.x), state.x))


def repaint(
    solver: Callable[[Schedule, Tensor], Table], schedule: Schedule, grid: Tensor, *, times: int = 10, jump: int = 1
) -> Table:
    """Repeat every part of a grid from fresh noise, for use with `Replace`.

    Parameters
    ----------
    solver
        Makes the table of a part, e.g. `ancestral`.
    schedule, grid
        As for the solver.
    times
        How often each part is run; 1 is the grid itself.
    jump
        Steps in a part; the published one is 10 of 250.
    """
    steps = len(grid) - 1
    if times < 1 or not 1 <= jump <= steps:
        raise ConfigError(f"times is {times} and jump {jump} on a grid of {steps} steps; expected 1 <= jump <= {steps}")
    parts = [grid[k : k + jump + 1] for k in range(0, steps, jump)]
    tables = [solver(schedule, part) for part in parts for _ in range(times)]
    return chain(schedule, tables, f"RePaint of {tables[0].name}, {times} times", "arXiv:2201.09865")
