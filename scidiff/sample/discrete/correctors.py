"""Correctors for finite sets: moves that leave the law at the present time as it is.

`LooGibbs` redraws one site from its conditional law given all other noisy sites,

    p_t(x^l | x^{-l}) = sum_v L^l(v) Q_t[v, x^l],

where ``L`` is the leave-one-out posterior. With an exact denoiser ``p_t G = p_t``; with a learned one it repairs errors
of the dependence between sites, which parallel steps make.

References
----------
.. [1] S. Gourevitch et al., "Uniform diffusion models revisited", arXiv:2605.22765
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import ProductProcess
from scidiff.process.discrete import DiscreteProcess
from scidiff.sample.discrete.ctmc import by_factor, site_uniforms
from scidiff.sample.state import RunState
from scidiff.spaces import State, state_map
from scidiff.spaces.categorical import draw_probs

__all__ = ["LooGibbs"]

Estimate = Callable[[RunState], tuple[State, RunState]]


@dataclass(frozen=True)
class LooGibbs:
    """Single-site Gibbs updates with the leave-one-out posterior.

    Every update costs one network call and redraws one site of each sample, chosen uniformly among the free sites with
    ``t > 0``, over all factors of a product. Kernels whose states forbid classes (masks, trees) do not determine the
    leave-one-out posterior and raise.

    Parameters
    ----------
    updates
        Updates after each step.
    """

    updates: int = 1
    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "arXiv:2605.22765"

    def __post_init__(self) -> None:
        """Check the number of updates."""
        if self.updates < 1:
            raise ConfigError(f"updates is {self.updates}; expected an integer >= 1")

    def probs(self, process: DiscreteProcess, m: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Conditional law of every site given the others, shape ``(batch, *sites, D)``."""
        return process.renoise_probs(process.leave_one_out(m, x, t), t)

    def __call__(self, process: DiscreteProcess | ProductProcess, state: RunState, estimate: Estimate) -> RunState:
        """Make the updates; `estimate` books the calls."""
        for update in range(self.updates):
            active = state_map(lambda free, t: free & (t > 0), state.free, state.t)
            site = _one_site(active, state, f"gibbs/{update}/site")
            if site is None:
                return state
            m, state = estimate(state)
            redraw = partial(self._redraw, stream=f"gibbs/{update}")
            state = replace(state, x=by_factor(process, state, redraw, m, site))
        return state

    def _redraw(self, process: DiscreteProcess, state: RunState, m: Tensor, site: Tensor, stream: str) -> Tensor:
        new = draw_probs(self.probs(process, m, state.x, state.t), site_uniforms(state, stream))
        return torch.where(site, new, state.x)


def _one_site(active: State, state: RunState, stream: str) -> State | None:
    """Mark one active site of each sample, uniformly over all factors; None where no sample has one."""
    parts = active if isinstance(active, Mapping) else {"": active}
    flat = torch.cat([part.flatten(1) for part in parts.values()], dim=1)
    if not bool(flat.any()):
        return None
    u = state.noise.uniform((), step=state.i, stream=stream).to(flat.device)
    count = flat.sum(1)
    rank = (u * count).long().minimum(count - 1)
    marked = flat & (flat.cumsum(1) == rank.unsqueeze(1) + 1)
    sizes = [part[0].numel() for part in parts.values()]
    pieces = [piece.reshape(part.shape) for piece, part in zip(marked.split(sizes, 1), parts.values(), strict=True)]
    return dict(zip(parts, pieces, strict=True)) if isinstance(active, Mapping) else pieces[0]
