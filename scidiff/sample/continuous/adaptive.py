"""Steps that each sample chooses for itself, by the difference between predictor and corrector.

A sample stands at its base ``(x_b, t_b)``, makes a trial step with exponential Adams, and the next evaluation, made at
the trial point anyway, tells what the corrector would have added,

    x_b  +  (predictor)   ->  x,        error = rms(alpha sum_j d_j m_j) / (sigma tolerance)

in units of the noise that is left. If ``error <= 1`` the trial point, corrected, becomes the base; if not, the sample
goes back to its base and tries a shorter step. The length follows a PI controller [1]_; with ``k`` the order of the
error

    h' = h clip(0.8 error^(-0.7 / k) before^(0.4 / k), 0.2, 2)

where `before` is the error of the last accepted step. Every trial costs one call, and nothing is remembered between
steps but the history of the run: a stamp was accepted if and only if the next one lies at an earlier time, so that base
and lengths can be read off the times. Hence ``take``, ``cat`` and storing a run in the middle work as ever.

References
----------
.. [1] G. Soederlind, "Digital filters in adaptive time-stepping", doi:10.1145/641876.641877
.. [2] A. Jolicoeur-Martineau et al., "Gotta Go Fast When Generating Data with Score-Based Models", arXiv:2105.14080
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.adams import adams_weights
from scidiff.sample.state import RunState

__all__ = ["Adaptive", "AdaptiveAdams", "Unfinished"]

_RETRIES = 4
_KEPT = 3
_SAFETY, _SHRINK, _GROW = 0.8, 0.2, 2.0
_INTEGRAL, _PROPORTIONAL = 0.7, 0.4


@dataclass(frozen=True, eq=False)
class _Trail:
    """What can be read off the times of a run: every stamp, the present point last, and which ones were bases.

    Arrays have the axes ``(stamp, sample)`` in front; `lam` is infinite at the ends of a clock.
    """

    t: Tensor
    lam: Tensor
    alpha: Tensor
    sigma: Tensor
    x: Tensor
    m: Tensor
    bases: Tensor

    @classmethod
    def of(cls, schedule: Schedule, state: RunState, m: Tensor) -> _Trail:
        t = torch.stack([*(_sample_time(stamp.t, state.free) for stamp in state.history), _now(state)])
        x = torch.stack([*(stamp.x for stamp in state.history), state.x]).double()
        predictions = torch.stack([*(stamp.m for stamp in state.history), m]).double()
        return cls(t, schedule.lam(t), schedule.alpha(t), schedule.sigma(t), x, predictions, t[1:] < t[:-1])

    @property
    def retries(self) -> Tensor:
        """Number of trials rejected since the last base."""
        ahead = torch.cat([torch.ones_like(self.bases[:0]), self.bases]).flip(0).long()
        return (ahead.cumsum(0) == 0).sum(0)

    def last(self, present: Tensor) -> _Bases:
        """Last three bases, latest first; the present point is one of them where `present`."""
        flags = torch.cat([self.bases, present.unsqueeze(0)])
        index = (
            torch.where(flags, torch.arange(len(flags), device=flags.device).unsqueeze(1), -1)
            .sort(0, descending=True)
            .values
        )
        index = torch.cat([index, index.new_full((2, index.shape[1]), -1)])[:3]
        there, rows = index >= 0, torch.arange(index.shape[1], device=index.device)
        pick = lambda part: part[index.clamp_min(0), rows]  # noqa: E731
        lam = pick(self.lam)
        return _Bases(lam, pick(self.alpha), pick(self.sigma), pick(self.x), pick(self.m), there & lam.isfinite())


@dataclass(frozen=True, eq=False)
class _Bases:
    """Three points of every sample, latest first, of which some may be missing."""

    lam: Tensor
    alpha: Tensor
    sigma: Tensor
    x: Tensor
    m: Tensor
    there: Tensor

    @cached_property
    def correction(self) -> Tensor:
        """What the corrector adds to the latest point; 0 where there is none before."""
        h = torch.where(self.known, self.lam[0] - self.lam[1], 1.0)
        before = torch.where(self.there[2], self.lam[2] - self.lam[1], -h)
        zero = torch.zeros_like(h)
        count = 1 + (self.there[1] & self.there[2]).long()
        predictor = _weights(h, torch.stack([zero, before], 1), count)
        weights = _weights(h, torch.stack([h, zero, before], 1), count + 1)
        weights = torch.cat([weights[:, :1], weights[:, 1:] - predictor], 1)
        total = torch.einsum("bk,kb...->b...", weights, self.m)
        return torch.where(_like(self.known, total), _like(self.alpha[0], total) * total, 0.0)

    @property
    def known(self) -> Tensor:
        """Samples of which the latest point can be corrected."""
        return self.there[0] & self.there[1]

    @property
    def error_order(self) -> Tensor:
        """Order of the difference of predictor and corrector in the length of the step."""
        return torch.where(self.there[1] & self.there[2], 3, 2)

    def error(self, free: Tensor) -> Tensor:
        """Root mean square of the correction over the free sites, in units of the noise."""
        square = torch.where(free, self.correction, 0.0).square().flatten(1).sum(1)
        return (square / free.expand(self.x.shape[1:]).flatten(1).sum(1).clamp_min(1)).sqrt() / self.sigma[0]

    def step(self, alpha: Tensor, sigma: Tensor, lam: Tensor) -> Tensor:
        """Correct the latest point and follow exponential Adams of order 2 from there to other levels."""
        finite = self.there[0] & lam.isfinite() & (lam != self.lam[0])
        h = torch.where(finite, lam - self.lam[0], 1.0)
        before = torch.where(self.known, self.lam[1] - self.lam[0], -h)
        weights = _weights(h, torch.stack([torch.zeros_like(h), before], 1), 1 + self.known.long())
        alone = torch.tensor([1.0, 0.0], dtype=torch.float64, device=weights.device)
        weights = torch.where(finite.unsqueeze(1), weights, alone)
        x = self.x[0] + self.correction
        total = torch.einsum("bk,kb...->b...", weights, self.m[:2])
        return _like(sigma / self.sigma[0], x) * x + _like(alpha, x) * total


def _weights(h: Tensor, nodes: Tensor, count: Tensor) -> Tensor:
    """Weights of the first `count` nodes of every sample, shape of `nodes`."""
    weights = torch.zeros_like(nodes)
    for size in range(1, nodes.shape[1] + 1):
        rows = torch.nonzero(count == size)[:, 0]
        if len(rows):
            weights[rows, :size] = adams_weights(h[rows], nodes[rows, :size])
    return weights


def _like(value: Tensor, x: Tensor) -> Tensor:
    """Give a number per sample the axes of a state."""
    return value.reshape(-1, *(1,) * (x.ndim - 1))


def _sample_time(t: Tensor, free: Tensor) -> Tensor:
    return torch.where(free, t, 0.0).flatten(1).amax(1)


def _now(state: RunState) -> Tensor:
    if isinstance(state.x, Mapping):
        raise ConfigError(f"the state has factors {sorted(state.x)}; adaptive steps are for a single real state")
    return _sample_time(state.t, state.free)


@dataclass(frozen=True)
class AdaptiveAdams:
    """Rule of the plan `Adaptive`: exponential Adams of order 2 with its corrector, every sample at its own pace.

    A trial is accepted where the plan goes on to ``s < t``, and rejected where it goes back to ``s > t``.

    Parameters
    ----------
    schedule
        Noise schedule.
    """

    schedule: Schedule
    memory = _KEPT + _RETRIES + 1
    label = "consistent(3)"
    citation = "arXiv:2105.14080"

    def __call__(self, process: GaussianProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64.

        Raises
        ------
        ConfigError
            If the process has another schedule.
        """
        if not isinstance(process, GaussianProcess) or process.schedule != self.schedule:
            raise ConfigError(
                f"adaptive steps for {self.schedule} came with {process}; use the schedule of the process"
            )
        trail, then, now = _Trail.of(self.schedule, state, m), _sample_time(s, state.free), _now(state)
        bases = trail.last(then <= now)
        x = bases.step(self.schedule.alpha(then), self.schedule.sigma(then), self.schedule.lam(then))
        corrected = state.x.double() + trail.last(torch.ones_like(now, dtype=torch.bool)).correction
        arrived = trail.t[-2] == now if len(trail.t) > 1 else torch.zeros_like(now, dtype=torch.bool)
        still = torch.where(_like(arrived | (now == 0), x), state.x.double(), corrected)
        return torch.where(_like(then == now, x), still, x)


@dataclass(frozen=True)
class Adaptive:
    """Plan in which every sample chooses its own steps so that its error stays within a tolerance.

    Use it with its own rule, and with its own policy, which spares the calls of samples that have arrived:
    ``run(denoiser, process, plan.rule, plan, policy=plan.policy, ...)``. Predictions must be fresh at every trial, so
    that no other policy fits. The run takes ``s > t`` where a trial is rejected.

    Parameters
    ----------
    schedule
        Noise schedule of the process.
    tolerance
        Error that a step may make, root mean square over the free sites, in units of the noise ``sigma``.
    floor
        Noise-to-signal ratio at which steps end, in the unit of the data.
    ceiling
        Ratio of the second node where the first one holds no signal at all.
    to_zero
        Whether the run goes on from the floor to ``t = 0``.
    first
        Length of the first trial in ``lam``.
    least
        Length that is accepted whatever its error, so that a sample which no step fits does not stop the others.
    """

    schedule: Schedule
    tolerance: float = 0.01
    floor: float = 0.002
    ceiling: float = 80.0
    to_zero: bool = True
    first: float = 0.5
    least: float = 1e-3
    _end: float = field(init=False, repr=False, compare=False, default=0.0)

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and 0 < self.floor < self.ceiling and 0 < self.least <= self.first):
            raise ConfigError(
                f"tolerance {self.tolerance}, floor {self.floor}, ceiling {self.ceiling}, least {self.least}, first "
                f"{self.first}; expected all positive, floor below ceiling, and least at most first"
            )
        object.__setattr__(self, "_end", float(self.schedule.t(-math.log(self.floor))))

    @property
    def rule(self) -> AdaptiveAdams:
        """Rule that belongs to the plan."""
        return AdaptiveAdams(self.schedule)

    @property
    def policy(self) -> Unfinished:
        """Policy that evaluates the network for samples that have not arrived, and for no others."""
        return Unfinished(self)

    def finished(self, state: RunState) -> Tensor:
        """Samples that have arrived, shape ``(batch,)``."""
        now = _now(state)
        if self.to_zero or not state.history:
            return now == 0
        return (now == 0) | ((now <= self._end) & (_sample_time(state.history[-1].t, state.free) == now))

    def done(self, state: RunState) -> bool:
        """Whether every sample has arrived."""
        return bool(self.finished(state).all())

    def start(self, state: RunState) -> RunState:
        """Return the state as it is: a new run begins at ``t = 1``."""
        return state

    def next(self, state: RunState, m: Tensor) -> Tensor:
        """Time per site after this step: on from the trial point, or between the base and the trial point."""
        now, trail = _now(state), _Trail.of(self.schedule, state, m)
        here, back = (trail.last(torch.full_like(now, yes, dtype=torch.bool)) for yes in (True, False))
        h = torch.where(here.known, here.lam[0] - here.lam[1], math.inf)
        error = torch.where(here.known, here.error(state.free) / self.tolerance, 0.0)
        accept = (error <= 1) | (h <= self.least * (1 + 1e-9))
        lost = ~state.x.flatten(1).isfinite().all(1)
        before = torch.where(back.known, back.error(state.free) / self.tolerance, 1.0)
        factor = _factor(error, before, here.error_order, accept, trail.retries)
        length = torch.where(h.isfinite(), h * factor, self.first)
        length = torch.where(~accept & (trail.retries >= _RETRIES - 1), self.least, length).clamp_min(self.least)
        s = self._ahead(torch.where(accept, here.lam[0], back.lam[0]), length)
        # nothing brings back a point that is not finite: it goes to the end at once and does not hold up the others
        s, accept = torch.where(lost, self._end, s), accept | lost
        arrived = accept & (now <= self._end)
        s = torch.where(arrived, 0.0 if self.to_zero else now, s)
        s = torch.where(self.finished(state), now, s)
        return torch.where(state.free, _like(s, state.x), 0.0)

    def _ahead(self, lam: Tensor, length: Tensor) -> Tensor:
        """Time that lies a length ahead, or the floor if that is near; `ceiling` after a start without signal."""
        goal = torch.where(lam.isfinite(), lam + length, -math.log(self.ceiling))
        near = goal + 0.05 * length >= -math.log(self.floor)
        return torch.where(near, self._end, self.schedule.t(goal))


def _factor(error: Tensor, before: Tensor, order: Tensor, accept: Tensor, retries: Tensor) -> Tensor:
    """Change of the length of the step; an error that is no number shrinks it as far as it goes."""
    error, before = error.clamp_min(1e-8), before.clamp(1e-8, 1.0)
    grown = _SAFETY * error ** (-_INTEGRAL / order) * before ** (_PROPORTIONAL / order)
    grown = grown.clamp(_SHRINK, _GROW)
    grown = torch.where(retries > 0, grown.clamp_max(1.0), grown)
    shrunk = (_SAFETY * error ** (-1.0 / order)).clamp(_SHRINK, _SAFETY)
    return torch.where(accept, grown, shrunk).nan_to_num(nan=_SHRINK)


@dataclass(frozen=True)
class Unfinished:
    """Policy of `Adaptive`: samples that have arrived are not evaluated any more, and pay no calls.

    Parameters
    ----------
    plan
        Says which samples have arrived.
    """

    plan: Adaptive

    def due(self, state: RunState, branch: str) -> Tensor:
        """Mark the samples on their way."""
        return ~self.plan.finished(state)

    def predict(self, state: RunState, branch: str) -> Tensor:
        """Prediction of the step before, which no rule reads."""
        return state.history[-1].m if state.history else torch.zeros_like(state.x)

    def keep(self, state: RunState, branch: str, m: Tensor, due: Tensor) -> RunState:
        """Return the state as it is: nothing is remembered."""
        return state
