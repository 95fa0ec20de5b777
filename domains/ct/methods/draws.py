"""The default: clean images are drawn, not averaged, corrected to the scan exactly, and noised again.

At each level ``sigma`` of the outer run

1. ``x_tau`` and then ``x_0`` are drawn given ``x_sigma`` by the prior alone, in a few calls. A step draws ``x_0`` from
   ``N(D, C)`` with the denoised mean and a stationary posterior covariance (`scidiff.domains.ct.methods.spread`), then
   ``x_tau ~ q(x_tau | x_sigma, x_0)``;
2. the draw is conditioned on the scan by Matheron's rule with ``C`` of the level ``sigma`` and the weights of the
   counts (`scidiff.domains.ct.methods.conditional`): what the data see is set right up to their noise, what they do
   not see stays as the network drew it;
3. fresh noise of the next level is added, so that errors are not handed on (as in DAPS).

For a stationary Gaussian prior nothing of this is an approximation, at any number of levels and calls. For others the
Gaussian of a level is, with an error that vanishes with ``sigma``. The image of the last level obeys the data exactly
whatever the network says, so that ``chi^2 / n`` of a sample is 1.

References
----------
re-noising: B. Zhang et al. (DAPS), arXiv:2407.01521; Matheron's rule: J. Wilson et al., arXiv:2011.04026
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .conditional import Conditional
from .spread import Probes, posterior_root

__all__ = ["PosteriorDraw", "level"]


def level(state: RunState, evaluation: Evaluation) -> float:
    """``sigma`` of a state whose sites all have one time."""
    return float(evaluation.model.process.schedule.sigma(state.t.flatten()[0]))


@dataclass(frozen=True, eq=False)
class PosteriorDraw(Transform):
    """Replace the denoised mean by a draw of ``x_0``; the last of every `each` draws is given the scan.

    Records ``ct/residual``, the largest error of the solves so far in units of the spread, ``ct/iterations``, their
    number, and ``ct/power`` and ``ct/level``, the power of the prior and the noise level at which a part began.

    Parameters
    ----------
    conditional
        Gaussians given the scan; without one the draws are those of the prior alone.
    spread
        How ``C`` is found.
    each
        Network calls of a part.
    """

    conditional: Conditional | None
    spread: Probes = field(default_factory=Probes)
    each: int = 1

    @property
    def stochastic(self) -> bool:
        """It draws."""
        return True

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Draw."""
        m, sigma = m.double(), level(state, evaluation)
        place = state.i % (self.each + 1) if self.each > 1 or self.conditional is None else 0
        if place == 0:
            power, state = self.spread(m, state, evaluation, sigma)
            state = state.record("ct/power", power.expand(len(state), *power.shape))
            state = state.record("ct/level", torch.full((len(state),), sigma, dtype=torch.float64))
        power, begun = state.records["ct/power"][0], float(state.records["ct/level"][0])
        xi = state.noise.normal(tuple(m.shape[1:]), step=state.i, stream="ct/draw/image").to(m)
        x = m + posterior_root(power, sigma).apply(xi)
        if place < self.each - 1 or self.conditional is None:
            return x, state
        solved = self.conditional.correct(x, posterior_root(power, begun), state.noise, state.i, "ct/draw")
        return solved.x, note(state, solved.residual, solved.iterations)


def note(state: RunState, residual: float, iterations: int) -> RunState:
    """Keep the worst residual and the sum of iterations."""
    worst = state.records.get("ct/residual", torch.zeros(len(state), dtype=torch.float64))
    total = state.records.get("ct/iterations", torch.zeros(len(state), dtype=torch.float64))
    state = state.record("ct/residual", worst.clamp_min(residual))
    return state.record("ct/iterations", total + iterations)
