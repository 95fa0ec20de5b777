"""Draws from ``p(x_0 | x_t)``: the exact law, by the network alone, or by a map.

GLASS flows [1]_ draw with the same denoiser. Let ``x = x_t / alpha`` be the state at noise ``tau = sigma / alpha``. An
inner state ``y = x_0 + s n'`` of an independent noise and ``x`` together say of ``x_0`` as much as

    z = (x / tau^2 + y / s^2) / (1 / tau^2 + 1 / s^2)     at the noise     (1 / tau^2 + 1 / s^2)^(-1/2)

so that ``E[x_0 | x_t, y] = D(z, noise)``: an inner probability flow in ``s`` from far above the spread of ``x_0`` given
``x_t`` to far below it draws from ``p(x_0 | x_t)``. It is a run of the one loop. That spread is about ``omega``, with
``1 / omega^2 = 1 / tau^2 + 1 / scale^2`` for data of standard deviation `scale`; in its units about the mean,
``y = m + omega w`` and ``s = omega u``, the inner schedule is the same at every time. At ``alpha = 0`` the state says
nothing: ``z = y``, and the draws are those of ``p(x_0)``.

References
----------
.. [1] P. Holderrieth et al., "GLASS flows", arXiv:2509.25170
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.mixture import GaussianMixture
from scidiff.errors import ConfigError
from scidiff.process.base import Kind, site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import VESchedule
from scidiff.random import Noise
from scidiff.sample.continuous.exponential import unipc
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.grids import log_snr_grid
from scidiff.sample.loop import run
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = ["Draws", "ExactDraws", "Glass"]

_FAR = 1e100


class Draws(Protocol):
    """A way to draw ``x_0`` given ``x_t``."""

    @property
    def label(self) -> str:
        """``exact``, ``consistent(order)`` or ``biased``."""
        ...

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, count: int) -> tuple[Tensor, RunState]:
        """Draw `count` clean states for each sample, shape ``(count, batch, *event)``; calls are booked."""
        ...


@dataclass(frozen=True, eq=False)
class ExactDraws:
    """Draws from a mixture, in closed form.

    Parameters
    ----------
    mixture
        The law of the data.
    """

    mixture: GaussianMixture
    label: ClassVar[str] = "exact"

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, count: int) -> tuple[Tensor, RunState]:
        """Draw `count` clean states for each sample."""
        return self.mixture.posterior_draws(state.x, state.t, state.noise, count, step=state.i), state


@dataclass(frozen=True)
class Glass:
    """GLASS flows: an inner probability flow with the same denoiser.

    Parameters
    ----------
    steps
        Network calls for one draw, the last one included.
    widest, finest
        First and last noise of the inner flow in units of ``omega``; the last step leads to 0.
    scale
        Standard deviation of the data, which bounds ``omega``.
    """

    steps: int = 8
    widest: float = 30.0
    finest: float = 0.05
    scale: float = 1.0
    label: ClassVar[str] = "consistent(2)"
    citation: ClassVar[str] = "arXiv:2509.25170"

    def __post_init__(self) -> None:
        if self.steps < 2 or not 0 < self.finest < self.widest or not self.scale > 0:
            raise ConfigError(
                f"steps is {self.steps} from {self.widest} to {self.finest} at scale {self.scale}; expected 2 steps or "
                "more, 0 < finest < widest, and scale > 0"
            )

    def __call__(self, m: Tensor, state: RunState, evaluation: Evaluation, count: int) -> tuple[Tensor, RunState]:
        """Draw `count` clean states for each sample."""
        outer, space = evaluation.model.process, evaluation.model.process.space
        t = site_time(state.t, state.x)
        alpha = outer.schedule.alpha(t)
        none = alpha == 0
        safe = torch.where(none, 1.0, alpha)
        tau = torch.where(none, _FAR, outer.schedule.sigma(t) / safe)
        clean = tau == 0
        tau = torch.where(clean, 1.0, tau)
        omega = tau * self.scale / (tau**2 + self.scale**2).sqrt()
        x = state.x.double() / safe
        ladder = VESchedule(sigma_min=self.finest, sigma_max=self.widest)

        def inner(w: Tensor, time: Tensor, condition: Any) -> Tensor:
            u2 = ladder.sigma(time) ** 2
            y, wide = m + omega * w.reshape(count, *x.shape), (omega / tau) ** 2 * u2.reshape(count, *x.shape)
            z = (x * wide + y) / (1 + wide)
            level = tau * (wide / (1 + wide)).sqrt()
            at = torch.where(clean, 0.0, outer.schedule.t(-level.log()))
            x0, _ = evaluation.model.at(state, outer.schedule.alpha(at) * torch.where(clean, x, z), at)
            return ((x0.double() - m) / omega).reshape(w.shape)

        start = state.noise.normal((count, *x.shape[1:]), step=state.i, stream="glass").transpose(0, 1).to(x)
        rule = TableRule(unipc(ladder, log_snr_grid(ladder, self.steps, floor=self.finest), order=2))
        begin = RunState.at(self.widest * space.project(start).flatten(0, 1), 1.0, Noise.range(0, count * len(state)))
        end = run(Denoiser(inner, Kind.MEAN), GaussianProcess(space, ladder), rule, rule.plan, state=begin)
        w = end.x.reshape(count, *x.shape)
        return torch.where(clean, x, m + omega * w), state.book(count * rule.table.steps)
