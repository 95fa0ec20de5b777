"""The theta-trapezoidal rule: second order for jump processes, two network calls a step.

A step from ``t`` to ``s`` passes through ``r = t - theta (t - s)``. With ``u`` the rates at ``(x_t, t)`` and ``u*``
those at ``(x_r, r)``,

    x_t -> x_r   a leap of length theta (t - s)        at the rates u,
    x_r -> x_s   a leap of length (1 - theta) (t - s)  at the rates max(0, (1 + k) u* - k u),

    1 + k = 1 / (2 theta (1 - theta)),    k = ((1 - theta)^2 + theta^2) / (2 theta (1 - theta)).

A site that moves in the first leap has no frozen rates left to subtract, so ``k u`` belongs to the others alone. The
expansion of both leaps then agrees with the process to second order, as long as nothing is cut off at zero, that is
where a move of one site does not lower the rates of another below ``k / (1 + k) = theta^2 + (1 - theta)^2`` times what
they were, at best one half. Two sites that exclude each other violate it: then both can jump in the first leap
already, which no later rate takes back, and the rule is of first order with a smaller error than its stages (derived
here, confirmed by enumeration).

The two stages are two steps of the loop, so that its ledger counts both calls and transforms act on both estimates. The
step into ``t = 0`` draws from ``F`` and has one.

References
----------
.. [1] Y. Ren et al., "Fast solvers for discrete diffusion models: theory and applications of high-order algorithms",
   arXiv:2502.00234
.. [2] D. Anderson, J. Mattingly, "A weak trapezoidal method for a class of stochastic differential equations",
   arXiv:0906.3475
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import ProductProcess, site_time
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.flow import MinimalFlow, Rates
from scidiff.sample.discrete.ctmc import by_factor, site_uniforms
from scidiff.sample.discrete.discrete_flow import RateLeaping, leap
from scidiff.sample.grids import Grid, check_grid
from scidiff.sample.state import RunState, Stamp
from scidiff.spaces import State
from scidiff.spaces.categorical import draw_probs

__all__ = ["Trapezoidal"]


@dataclass(frozen=True, eq=False)
class Trapezoidal:
    """Rule of order 2 for finite sets; run it with its own `plan`.

    Correctors would move a state between its two stages: give none.

    Parameters
    ----------
    times
        Falling times of the whole steps, shape ``(steps + 1,)``.
    theta
        Where the first stage ends, in (0, 1); 1/2 cuts rates off least.
    rates
        Family of rates. The published ones are those of `TimeReversal`; for masks all families agree. The default has
        no pole at ``t = 1``, which costs the reversal of marginal noise its second order.
    offset
        Number of steps that the run has made when the plan begins.
    """

    times: Tensor
    theta: float = 0.5
    rates: Rates = field(default_factory=MinimalFlow)
    offset: int = 0
    memory: ClassVar[int] = 1
    citation: ClassVar[str] = "arXiv:2502.00234"

    def __post_init__(self) -> None:
        """Check the grid and the section."""
        check_grid(self.times)
        if not bool((self.times.diff() < 0).all()):
            raise ConfigError(f"times are {self.times.tolist()}; expected times that fall, none of them repeated")
        if not 0 < self.theta < 1:
            raise ConfigError(f"theta is {self.theta}; expected a number in (0, 1), 0.5 by default")

    @property
    def label(self) -> str:
        """Second order where no rate is cut off, see the module's head; biased where the rates are."""
        return "consistent(2)" if self.rates.label == "exact" else "biased"

    @property
    def nodes(self) -> Tensor:
        """Times with the stages between them: two intervals for every step but one into ``t = 0``."""
        nodes = [float(self.times[0])]
        for t, s in itertools.pairwise(self.times.tolist()):
            nodes += [s] if s == 0 else [t - self.theta * (t - s), s]
        return torch.tensor(nodes, dtype=torch.float64)

    @property
    def plan(self) -> Grid:
        """Plan that belongs to the rule; its steps are network calls."""
        return Grid(self.nodes, self.offset)

    def first(self, process: DiscreteProcess, m: Tensor, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law of a first stage, or of the step into ``t = 0``; arguments as for `SiteRule.probs`."""
        return RateLeaping(self.rates).probs(process, m, x, t, s)

    def second(self, process: DiscreteProcess, before: Stamp, m: Tensor, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law of a second stage, shape ``(batch, *sites, D)``.

        Parameters
        ----------
        process
            Process of the sites.
        before
            Time, state and prediction at the beginning of the step.
        m, x, t, s
            Prediction, state and time after the first stage, and the end of the step.
        """
        ahead = 1.0 / (2.0 * self.theta * (1.0 - self.theta))
        frozen = self.rates(process, before.m, before.x, before.t)
        frozen = torch.where((x == before.x).unsqueeze(-1), frozen, 0.0)
        rates = ahead * self.rates(process, m, x, t) - (ahead - 1.0) * frozen
        t, s = site_time(t, x), site_time(s, x)
        return leap(rates.clamp_min(0.0), x, t - s)

    def __call__(self, process: DiscreteProcess | ProductProcess, state: RunState, m: State, s: State) -> State:
        """Draw every site from the law of its stage."""
        return by_factor(process, state, self._move, m, s)

    def _move(self, process: DiscreteProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        if (state.i - self.offset) % 2:
            law = self.second(process, state.history[-1], m, state.x, state.t, s)
        else:
            law = self.first(process, m, state.x, state.t, s)
        return draw_probs(law, site_uniforms(state))
