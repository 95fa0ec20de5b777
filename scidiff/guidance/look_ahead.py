"""The reward at the end of the path: ``h(x_t) = exp r(X_{t,0}(x_t))`` with a flow map.

The denoised mean of several modes lies between them, where a reward means nothing; the end of the deterministic path
from ``x_t`` lies in the data. One call of the flow map and its gradient give

    grad log h = (dX_{t,0} / dx_t)^T grad r

The law of ``x_0`` given ``x_t`` is still replaced by one point, so that this is biased, like every plug-in [1]_; as a
twist of particles it is often a better one than the mean.

References
----------
.. [1] Woo et al., "Riemannian MeanFlow", arXiv:2602.07744 (reward look-ahead through a flow map)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.denoise.flow_map import FlowMap
from scidiff.guidance.plug_in import blind, tweedie_gain
from scidiff.guidance.reward import Reward, reward_gradient
from scidiff.guidance.tilt import Estimate
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = ["LookAhead"]


@dataclass(frozen=True, eq=False)
class LookAhead:
    """The reward at the end of the path, by a flow map.

    Parameters
    ----------
    flow_map
        Flow map of the process of the run.
    scale
        Factor of the shift; 1 is the gradient itself.
    """

    flow_map: FlowMap
    scale: float = 1.0
    gradient: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2602.07744"

    def __call__(self, reward: Reward, m: Tensor, state: RunState, evaluation: Evaluation) -> tuple[Estimate, RunState]:
        """Estimate by one call of the flow map."""
        with torch.enable_grad():
            x = state.x.detach().requires_grad_()
            end = self.flow_map.lookahead(x, state.t, evaluation.model.condition)
        values, outward, bad = reward_gradient(reward, end.detach())
        inward = torch.autograd.grad(end, x, outward.to(end))[0].double()
        shift = self.scale * tweedie_gain(state, evaluation) * inward
        return Estimate(shift, torch.where(blind(state, evaluation), 0.0, values), bad), state.book(1)
