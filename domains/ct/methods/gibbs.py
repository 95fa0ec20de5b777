"""Split Gibbs and DAPS: the data enter between short unconditional runs, by exact Gaussian draws.

Both are one chain of tables. Every part leads from a noise level to 0 by the prior alone; between two parts the state
rises again, and there it meets the data:

* split Gibbs: ``z ~ N(z; x, rho^2) p(y | z)``, and ``z`` is the next state at the level ``rho``. With ``x ~ p(x | z)``
  the pair has the density ``p(x) N(z; x, rho^2) p(y | z)``, whose ``z`` is the posterior of the prior blurred by
  ``rho``: exact as ``rho -> 0``, the levels fall slowly, and the parts draw exactly;
* DAPS: ``x_0 ~ N(x_0; x, r^2) p(y | x_0)``, then fresh noise of the next level.

References
----------
split Gibbs: M. Vono et al., IEEE Trans. Signal Process. 67 (2019) 1648; with diffusion: Z. Wu et al. (PnP-DM),
arXiv:2405.18782; X. Xu and Y. Chi (DPnP), arXiv:2403.17042. DAPS: B. Zhang et al., arXiv:2407.01521
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.restart import chain
from scidiff.sample.continuous.solvers import ddim
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.state import RunState

from ..priors.prior import Prior
from .conditional import Conditional, White
from .ladders import ladder, times

__all__ = ["DapsRise", "GibbsRise", "sweeps"]

_WIDER = 1.5
Solver = Callable[[Schedule, Tensor], Table]


def sweeps(prior: Prior, levels: Tensor, last: float, solver: Solver, each: int, depth: float, name: str) -> Table:
    """Chain of parts, each from a level to 0 in `each` calls, with a rise after every one.

    Parameters
    ----------
    prior
        Gives times.
    levels
        Noise level at which each part begins.
    last
        Level of the rise at the end, where the run stops.
    solver
        Table of a part.
    each
        Network calls of a part.
    depth
        Last level of a part before 0, relative to its first.
    name
        Of the table.
    """
    schedule = prior.process.schedule
    parts = [solver(schedule, times(prior, ladder(each, rho, depth * rho))) for rho in levels.tolist()]
    whole = chain(schedule, [*parts, ddim(schedule, times(prior, ladder(1, last)))], name)
    rows = whole.steps - 1
    cut = {part: getattr(whole, part)[:rows] for part in ("a", "b", "c", "spread")}
    return replace(whole, **cut, **{part: getattr(whole, part)[: rows + 1] for part in ("nodes", "alpha", "sigma")})


@dataclass(frozen=True)
class GibbsRise(TableRule):
    """Follow a chain; at its rises draw ``z`` given ``x`` and the data.

    Parameters
    ----------
    conditional
        Gaussians given the scan.
    finish
        Largest standard deviation by which the last step may move ``x`` to condition it on the scan; it adds no noise
        where the data see nothing. The least that brings ``chi^2 / n`` to 1 is taken, from the last level on. 0 returns
        ``z`` itself.
    """

    conditional: Conditional | None = None
    finish: float = 0.0

    def __call__(self, process: GaussianProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``."""
        x = super().__call__(process, state, m, s)
        return self._rise(process, state, s) if self.rests(state) and self.conditional is not None else x

    def _rise(self, process: GaussianProcess, state: RunState, s: Tensor) -> Tensor:
        last = state.i - self.offset == self.table.steps - 1
        if last and self.finish > 0 and self.conditional is not None:
            return self._finished(state, float(process.schedule.sigma(s.flatten()[0])), self.conditional)
        return self._draw(state, White(float(process.schedule.sigma(s.flatten()[0]))))

    def _finished(self, state: RunState, least: float, conditional: Conditional) -> Tensor:
        """The last ``x`` on the scan, by discrepancy of each sample."""
        x, r = state.x.double(), least
        out, open_ = x, torch.ones(len(x), dtype=torch.bool, device=x.device)
        while bool(open_.any()):
            moved = conditional.correct(x, White(r), state.noise, state.i, "ct/finish").x
            out = torch.where(open_[:, None, None], moved, out)
            open_ = open_ & (conditional.problem.chi2(moved).to(x.device) > 1.0) & (r < self.finish)
            r = min(_WIDER * r, self.finish)
        return out

    def _draw(self, state: RunState, root: White) -> Tensor:
        if self.conditional is None:
            return state.x
        return self.conditional.draw(state.x.double(), root, state.noise, state.i, "ct/rise").x


@dataclass(frozen=True)
class DapsRise(GibbsRise):
    """Follow a chain; at its rises draw ``x_0`` near ``x`` given the data, and add fresh noise.

    Parameters
    ----------
    conditional
        As for `GibbsRise`.
    scale
        Factor of the radius ``r``, which is the level of the part that ended over ``sqrt(1 + level^2)``.
    """

    scale: float = 1.0

    def _rise(self, process: GaussianProcess, state: RunState, s: Tensor) -> Tensor:
        row = state.i - self.offset
        sigma, before = float(process.schedule.sigma(s.flatten()[0])), row - 1
        while before > 0 and not self.table.rests[before - 1]:
            before -= 1
        begun = float(self.table.sigma[before])
        x0 = self._draw(state, White(self.scale * begun / (1 + begun**2) ** 0.5))
        return x0 + sigma * self.xi(process, state).to(x0)
