"""What particles must know of a move: by which prediction it is made, and ``log p / q`` of where it leads.

``p`` is the kernel of the prediction that came to the tilt, ``q`` that of the guided one. Noise is an argument of every
rule, so the move that comes is known before it is made:

    tables        log p / q = -(b/c) <xi, d> - (b/c)^2 |d|^2 / 2     shift d of the mean, noise xi of the step
    finite sets   log p / q = sum over sites of log p(y) - log q(y)  y the class that the site will draw
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.discrete import DiscreteProcess
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.discrete.ctmc import SiteRule, site_uniforms
from scidiff.sample.loop import Plan
from scidiff.sample.state import RunState
from scidiff.spaces.categorical import draw_probs

__all__ = ["Moves", "SiteMoves", "TableMoves"]


@runtime_checkable
class Moves(Protocol):
    """The moves of one rule, weighed."""

    def log_ratio(self, process: Any, state: RunState, m: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the coming move.

        Parameters
        ----------
        process
            The process of the run.
        state
            The state before the move.
        m, raw
            The guided prediction, and the one that came to the tilt.

        Returns
        -------
        m, ratio
            The prediction by which to move, and ``log p / q``, shape ``(batch,)``.
        """
        ...


@dataclass(frozen=True)
class TableMoves:
    """Moves of a table without memory, with noise in all steps but the last, which is not guided.

    Parameters
    ----------
    rule
        The rule of the run.
    """

    rule: TableRule

    def __post_init__(self) -> None:
        table = self.rule.table
        noise = np.hypot(table.c, table.spread)
        if table.depth > 1 or (noise[:-1] == 0).any() or table.rests.any():
            raise ConfigError(
                f"table '{table.name}' has memory {table.depth - 1}, {int((noise == 0).sum())} steps without noise and "
                f"{int(table.rests.sum())} without a prediction; particles need a rule without memory that draws noise "
                "in every step but the last: ddim with eta > 0, ancestral or analytic_dpm"
            )

    def log_ratio(self, process: Any, state: RunState, m: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Ratio of two Gaussians of one spread."""
        b, c = self.rule.drift(state)
        if c == 0:
            return raw, torch.zeros_like(state.log_w)
        d = torch.where(state.free, (m - raw).double(), 0.0).flatten(1)
        xi = self.rule.xi(process, state).to(d).flatten(1)
        return m, -(b / c) * (xi * d).sum(1) - 0.5 * (b / c) ** 2 * (d**2).sum(1)


@dataclass(frozen=True)
class SiteMoves:
    """Moves of a rule for finite sets.

    Parameters
    ----------
    rule, plan
        The rule and the plan of the run.
    """

    rule: SiteRule
    plan: Plan

    def __post_init__(self) -> None:
        if not isinstance(self.rule, SiteRule) or type(self.rule)._move is not SiteRule._move:
            raise ConfigError(
                f"a {type(self.rule).__name__} does not draw each site once from its probs; expected such a SiteRule: "
                "Ancestral, TauLeaping, Psi, ProjectAndNoise or Unmask"
            )

    def log_ratio(self, process: DiscreteProcess, state: RunState, m: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the log-ratios of the classes that will be drawn."""
        s = self.plan.next(state, m)
        p, q = (self.rule.probs(process, each, state.x, state.t, s) for each in (raw, m))
        y = draw_probs(q, site_uniforms(state)).unsqueeze(-1)
        p, q = (each / each.sum(-1, keepdim=True) for each in (p, q))
        ratio = p.gather(-1, y).log() - q.gather(-1, y).log()
        return m, torch.where(state.free, ratio.squeeze(-1), 0.0).flatten(1).sum(1)
