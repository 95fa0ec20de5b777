"""Predictor-corrector for finite sets: noise and denoise at once, at a fixed time.

At time ``t`` the forward rates ``R_t`` push the law ``p_t`` one way and the rates of its reversal push it back, so

    p_t (R_t + R^_t) = 0:

the sum of both is a jump process at rest in ``p_t``, for any kernel, masks included. A leap of length ``size`` along it
moves all sites at once. It keeps ``p_t`` to first order, with an error of order ``size^2`` for every update.

References
----------
.. [1] A. Campbell et al., "A continuous time framework for discrete denoising models", arXiv:2205.14987
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import ProductProcess, site_time
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import Kernel
from scidiff.sample.discrete.ctmc import by_factor, site_uniforms
from scidiff.sample.discrete.discrete_flow import leap
from scidiff.sample.state import RunState
from scidiff.spaces import State, state_map
from scidiff.spaces.categorical import draw_probs

__all__ = ["ForwardBackward"]

_LAST = 1.0 - 2.0**-40
Estimate = Callable[[RunState], tuple[State, RunState]]


@dataclass(frozen=True)
class ForwardBackward:
    """Corrector of tauLDR: leaps at the rates ``R_t + R^_t``, all sites at once.

    Every update costs one network call. Sites at ``t = 0`` rest, and where all do no call is made.

    Parameters
    ----------
    size
        Length of a leap in units of the clock, or a function of the time per site. Rates grow as ``1/t`` towards the
        data, so a length in proportion to ``t``, e.g. ``lambda t: 0.1 * t``, disturbs every time alike.
    updates
        Leaps after each step.

    References
    ----------
    .. [1] A. Campbell et al., arXiv:2205.14987
    """

    size: float | Callable[[Tensor], Tensor]
    updates: int = 1
    label: ClassVar[str] = "consistent(1)"
    citation: ClassVar[str] = "arXiv:2205.14987"

    def __post_init__(self) -> None:
        """Check the length of a leap and the number of updates."""
        if not callable(self.size) and not self.size > 0:
            raise ConfigError(f"size is {self.size}; expected a length > 0 in units of the clock, or a function of t")
        if self.updates < 1:
            raise ConfigError(f"updates is {self.updates}; expected an integer >= 1")

    def probs(self, process: DiscreteProcess, m: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Law of every site after one leap, shape ``(batch, *sites, D)``.

        Parameters
        ----------
        process
            Process of the sites.
        m
            ``log F``, shape ``(batch, *sites, K)``.
        x, t
            State and time of every site.
        """
        t = site_time(t, x).expand(x.shape)
        time = torch.where(t > 0, t.clamp_max(_LAST), 0.5)
        rates = forward_rates(process.kernel, x, time) + process.reverse_rates(m, x, time)
        size = self.size(t) if callable(self.size) else torch.full_like(t, self.size)
        law = leap(rates, x, size)
        rest = torch.nn.functional.one_hot(x, process.kernel.states).to(law)
        return torch.where((t > 0).unsqueeze(-1), law, rest)

    def __call__(self, process: DiscreteProcess | ProductProcess, state: RunState, estimate: Estimate) -> RunState:
        """Make the updates; `estimate` books the calls."""
        for update in range(self.updates):
            active = state_map(lambda free, t: free & (t > 0), state.free, state.t)
            if not _any(active):
                return state
            m, state = estimate(state)
            move = partial(self._move, stream=f"forward-backward/{update}")
            state = replace(state, x=by_factor(process, state, move, m, active))
        return state

    def _move(self, process: DiscreteProcess, state: RunState, m: Tensor, active: Tensor, stream: str) -> Tensor:
        new = draw_probs(self.probs(process, m, state.x, state.t), site_uniforms(state, stream))
        return torch.where(active, new, state.x)


def forward_rates(kernel: Kernel, x: Tensor, t: Tensor) -> Tensor:
    """Rates ``R_t[x, y]`` of the noise, 0 at ``x``, shape ``(batch, *sites, D)``; needs ``t < 1``."""
    rate = kernel.rate(t).expand(*x.shape, kernel.states, kernel.states)
    rows = rate.gather(-2, x[..., None, None].expand(*x.shape, 1, kernel.states)).squeeze(-2)
    return rows.scatter(-1, x.unsqueeze(-1), 0.0)


def _any(active: State) -> bool:
    parts = active.values() if isinstance(active, Mapping) else [active]
    return any(bool(part.any()) for part in parts)
