"""ECI and PCFM as a rule: return to the straight line between the corrected endpoint and a draw of the prior.

    x_s = alpha_s m + sigma_s e

where ``m`` is the prediction as the transforms left it and ``e`` the draw that the run began with, or, with resampling,
a fresh one now and then. A deterministic flow would go on with the noise that ``x_t`` and ``m`` imply, which is not
``e`` as soon as ``m`` was corrected: this rule is what the published methods do, and where their law goes wrong.

Mixing repeats each time of the grid, so that a step that stays at its time only puts the correction into ``x``. The
relaxed step of PCFM looks from ``x_s`` along the last velocity ``v`` of the network, without a further call, and takes
one Gauss-Newton step of

    min_x |x - x_s|^2 + lam |h(x - s v)|^2,        v = (x_t - m_raw) / t.

References
----------
.. [1] C. Cheng et al., "Gradient-free generation for hard-constrained systems", arXiv:2412.01786
.. [2] U. Utkarsh et al., "Physics-constrained flow matching", arXiv:2506.04171
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import LinearFlowSchedule
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform

from .base import Constraint
from .newton import conjugate_gradients

__all__ = ["Interpolation", "KeepEnds", "mixing_grid"]

_SOURCE = "interpolation/source"
_RAW = "interpolation/raw"


def mixing_grid(steps: int, mix: int) -> Grid:
    """Uniform grid of the clock in which every time but the last comes `mix` times.

    Parameters
    ----------
    steps
        Intervals of the clock.
    mix
        Network calls at each time.
    """
    if mix < 1:
        raise ConfigError(f"mix is {mix}; expected at least one call at each time")
    nodes = uniform_grid(steps)
    return Grid(torch.cat([nodes[:-1].repeat_interleave(mix), nodes[-1:]]))


class KeepEnds(Transform):
    """Keep the draw that the run began with, and the prediction of the network; the first of the transforms."""

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Tensor, RunState]:
        """Record, and change nothing."""
        if _SOURCE not in state.records:
            sigma = evaluation.model.process.schedule.sigma(site_time(state.t, state.x))
            state = state.record(_SOURCE, state.x.double() / torch.where(sigma > 0, sigma, 1.0))
        return m, state.record(_RAW, m.double())


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Rule that interpolates between the prediction and a draw of the prior; needs `KeepEnds` before the transforms.

    Parameters
    ----------
    resample
        Network calls between fresh draws; 0 keeps the first one.
    penalty
        ``lam`` of the relaxed step; 0 leaves it out.
    constraint
        ``h`` of the relaxed step.
    """

    resample: int = 0
    penalty: float = 0.0
    constraint: Constraint | None = None
    memory: ClassVar[int] = 0
    label: ClassVar[str] = "biased"

    def __post_init__(self) -> None:
        if self.resample < 0 or not self.penalty >= 0 or (self.penalty > 0 and self.constraint is None):
            raise ConfigError(
                f"resample is {self.resample}, penalty {self.penalty}; expected both >= 0, a penalty with a constraint"
            )

    def __call__(self, process: GaussianProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64."""
        if _SOURCE not in state.records:
            raise ConfigError("the rule knows no draw of the prior: put KeepEnds first among the transforms")
        e = state.records[_SOURCE]
        if self.resample and state.i >= self.resample:
            draw = process.eps(state.noise, state.x.shape[1:], step=state.i // self.resample, stream="resample")
            e = draw.to(e.device)
        time = site_time(s, state.x)
        x = process.schedule.alpha(time) * m.double() + process.schedule.sigma(time) * e
        return (
            x if self.penalty == 0 or self.constraint is None else self._relax(self.constraint, process, state, x, time)
        )

    def _relax(self, constraint: Constraint, process: GaussianProcess, state: RunState, x: Tensor, s: Tensor) -> Tensor:
        """One Gauss-Newton step of the penalised problem."""
        if not isinstance(process.schedule, LinearFlowSchedule):
            raise ConfigError(f"the relaxed step came with {process.schedule}; expected the straight path")
        t = site_time(state.t, state.x)
        v = torch.where(t > 0, (state.x - state.records[_RAW]) / torch.where(t > 0, t, 1.0), 0.0)
        y = x - s * v
        operator, h = constraint.jacobian(y), constraint.residual(y)
        w = conjugate_gradients(lambda u: operator.apply(operator.adjoint(u)) + u / self.penalty, h, 2 * len(h[0]))
        return x - torch.where(state.free, operator.adjoint(w), 0.0)
