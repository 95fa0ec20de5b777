"""Teachers: pairs of a start and the end that a fine solver reaches from it.

A learned solver is fitted to such pairs and judged on others. The probability flow with ``y = x / alpha`` is
``dy / dlam = m - y``: `teach_flow` follows it by the classical Runge-Kutta method; `teach` follows a rule in the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.condition import take_condition
from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Process
from scidiff.random import Noise
from scidiff.sample.grids import Grid, check_grid
from scidiff.sample.learned.recursion import gaussian, predictor
from scidiff.sample.loop import Rule, run
from scidiff.sample.state import RunState

__all__ = ["Pairs", "teach", "teach_flow"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Starts and the ends that a teacher reached from them.

    Parameters
    ----------
    start, end
        States at the first and at the last time, float64, shape ``(batch, *event)``.
    first, last
        Times of both.
    condition
        What the denoiser was given, batch first.
    teacher
        Name of the teacher.
    calls
        Network calls that the teacher spent on each pair.
    """

    start: Tensor
    end: Tensor
    first: float
    last: float
    condition: Any = None
    teacher: str = ""
    calls: int = 0

    def __post_init__(self) -> None:
        if self.start.shape != self.end.shape or len(self.start) == 0:
            raise ShapeError(f"starts {tuple(self.start.shape)} and ends {tuple(self.end.shape)}; expected one shape")

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: Tensor) -> Pairs:
        """Pairs of the given numbers."""
        kept = take_condition(self.condition, index)
        return replace(self, start=self.start[index], end=self.end[index], condition=kept)

    def split(self, count: int) -> tuple[Pairs, Pairs]:
        """First `count` pairs, to fit, and the others, to judge.

        Raises
        ------
        ConfigError
            If one of the two parts would be empty.
        """
        if not 0 < count < len(self):
            raise ConfigError(
                f"{count} of {len(self)} pairs were to be used for the fit; expected 1 to {len(self) - 1}"
            )
        index = torch.arange(len(self))
        return self.take(index[:count]), self.take(index[count:])


def teach(
    denoiser: Denoiser, process: Process, rule: Rule, grid: Tensor, start: Tensor, *, condition: Any = None
) -> Pairs:
    """Follow a fine solver through the loop.

    Parameters
    ----------
    denoiser, process
        What the learned solver will use: with guidance, the guided denoiser.
    rule
        A rule without noise, such as ``TableRule(unipc(schedule, grid))`` or ``Retracted()``.
    grid
        Times, shape ``(steps + 1,)``; a few hundred steps.
    start
        States at the first of them, for example of ``process.prior``.
    condition
        Handed to the denoiser.

    Returns
    -------
    Pairs
        Starts, and the ends that the fine solver brings them to.
    """
    check_grid(grid)
    state = RunState.at(start.double(), float(grid[0]), Noise.range(0, len(start)))
    end = run(denoiser, process, rule, Grid(grid), state=state, condition=condition).x
    name = getattr(getattr(rule, "table", rule), "name", type(rule).__name__)
    calls = len(grid) - 1
    return Pairs(start.double(), end, float(grid[0]), float(grid[-1]), condition, f"{name}, {calls} steps", calls)


@torch.no_grad()
def teach_flow(
    denoiser: Denoiser,
    process: Process,
    start: Tensor,
    *,
    first: float = 1.0,
    last: float,
    steps: int = 300,
    condition: Any = None,
) -> Pairs:
    """Follow the probability flow by the classical Runge-Kutta method with equal steps of ``lam``.

    Parameters
    ----------
    denoiser, process
        As for `teach`; the process is Gaussian.
    start
        States at time `first`.
    first, last
        Times between which the flow is followed; both hold signal and noise.
    steps
        Number of steps, of four calls each.
    condition
        As for `teach`.

    Returns
    -------
    Pairs
        Starts, and their ends at time `last`.

    Raises
    ------
    ConfigError
        If the log signal-to-noise ratio of an end is infinite.
    """
    schedule, predict = gaussian(process).schedule, predictor(denoiser, process, condition)
    ends = schedule.lam(torch.tensor([first, last], dtype=torch.float64))
    if not bool(ends.isfinite().all()):
        raise ConfigError(
            f"the flow from t = {first} to {last} has lam = {ends.tolist()}; expected finite ends: use teach"
        )
    lam = torch.linspace(float(ends[0]), float(ends[1]), 2 * steps + 1, dtype=torch.float64)
    nodes = torch.cat([lam.new_tensor([first]), schedule.t(lam[1:-1]), lam.new_tensor([last])])
    alpha, h = schedule.alpha(nodes), float(ends[1] - ends[0]) / steps

    def slope(y: Tensor, k: int) -> Tensor:
        return predict(alpha[k] * y, nodes[k]).double() - y

    y = start.double() / alpha[0]
    for k in range(0, 2 * steps, 2):
        k1 = slope(y, k)
        k2 = slope(y + h / 2 * k1, k + 1)
        k3 = slope(y + h / 2 * k2, k + 1)
        k4 = slope(y + h * k3, k + 2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return Pairs(start.double(), alpha[-1] * y, first, last, condition, f"Runge-Kutta, {steps} steps", 4 * steps)
