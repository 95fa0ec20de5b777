"""The interface of the methods: each says which parts of the loop it is made of, and the loop draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scidiff.denoise.denoiser import Denoiser
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import Noise
from scidiff.sample.continuous.exponential import unipc
from scidiff.sample.continuous.solvers import ddim
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.grids import log_snr_grid, uniform_grid
from scidiff.sample.loop import Corrector, Plan, Rule, run
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .base import Constraint

__all__ = ["Free", "Method", "MultiStep", "Parts", "Solver", "euler"]

Solver = Callable[[GaussianProcess, int], TableRule]


@dataclass(frozen=True, eq=False)
class Parts:
    """What a method asks of the loop."""

    rule: Rule
    plan: Plan
    transforms: Sequence[Transform] = ()
    correctors: Sequence[Corrector] = ()


class Method(ABC):
    """A way to sample under a constraint.

    Attributes
    ----------
    label
        ``exact`` or ``biased``.
    exact_for
        Data for which the law of the samples is the conditioned one; empty for none.
    citation
        Where it was published.
    """

    label: str = "biased"
    exact_for: str = ""
    citation: ClassVar[str] = ""

    @abstractmethod
    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Parts of the loop for a run of `steps` intervals of the clock."""

    def draw(
        self,
        denoiser: Denoiser,
        process: GaussianProcess,
        constraint: Constraint,
        *,
        steps: int,
        noise: Noise,
        start: RunState | None = None,
        condition: Any = None,
    ) -> RunState:
        """Draw samples.

        Parameters
        ----------
        denoiser, process
            The model.
        constraint
            ``h``.
        steps
            Intervals of the clock; the ledger of the result tells the network calls.
        noise
            One stream for each sample.
        start
            State at ``t = 1`` to begin with, instead of a draw of the prior.
        condition
            Handed to the denoiser.

        Returns
        -------
        RunState
            Samples in ``x``; ``constraint/after`` in the records is the violation, where the method has a polish.
        """
        parts = self.parts(constraint, process, steps)
        begin = RunState.start(process, noise, constraint.domain) if start is None else start
        return run(
            denoiser,
            process,
            parts.rule,
            parts.plan,
            state=begin,
            condition=condition,
            transforms=parts.transforms,
            correctors=parts.correctors,
        )


def euler(process: GaussianProcess, steps: int) -> TableRule:
    """Equal steps of the clock by the Euler method of the straight path, as published samplers have them."""
    return TableRule(ddim(process.schedule, uniform_grid(steps)))


@dataclass(frozen=True)
class MultiStep:
    """UniPC on a grid of equal steps in ``log(alpha / sigma)``.

    Parameters
    ----------
    floor, ceiling
        Noise-to-signal ratios that the grid resolves, in the unit of the data.
    """

    floor: float = 0.002
    ceiling: float = 80.0

    def __call__(self, process: GaussianProcess, steps: int) -> TableRule:
        """Make the rule."""
        grid = log_snr_grid(process.schedule, steps, floor=self.floor, ceiling=self.ceiling)
        return TableRule(unipc(process.schedule, grid))


_MULTISTEP = MultiStep()


@dataclass(frozen=True, eq=False)
class Free(Method):
    """No constraint: the model as it is.

    Parameters
    ----------
    solver
        Makes the rule.
    """

    solver: Solver = _MULTISTEP

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """UniPC alone."""
        rule = self.solver(process, steps)
        return Parts(rule, rule.plan)
