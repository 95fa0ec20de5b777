"""Uniformisation: jump processes simulated without a time grid.

If the rates of every site stay below ``g(t)``, candidates for a jump come as a Poisson process of rate ``n g(t)`` for
``n`` sites. At a candidate one site is chosen blindly; it jumps to ``y`` with probability ``u(y) / g(t)`` and rests
with what is left. The law of this process is that of the rates, whatever ``g`` is: there is no error of steps. Every
candidate costs one network call, whether the site jumps or not. With ``L(t)`` an integral of ``-g``, times of
candidates are ``L(t_next) = L(t) - log(1/U) / n``. Dominating rates for kernels of one survival ``a``, with ``pi`` the
prior of a site, hold for every prediction that is a law on the classes, exact or not:

    MixtureFlow     g = -a'/(1 - a)                   finite up to t = 1
    MinimalFlow     g = -c a'/(1 - a)                 c from the kernel, 1 for masks and uniform noise
    TimeReversal    g = -a'/(a (1 - a))               infinite at t = 1: begin at t < 1

All are infinite at ``t = 0``, so the process stops at a floor, and the last call draws every site from ``F``. There two
sites are still open with probability of order ``(1 - a)^2``; this is all that separates the result from exactness, and
the number of calls grows as ``n c log(1 / (1 - a(floor)))`` only. For masks `FirstHitting` is this process without the
candidates that fall on sites already revealed.

References
----------
.. [1] H. Chen, L. Ying, "Convergence analysis of discrete diffusion model: exact implementation through
   uniformization", arXiv:2402.08095
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError
from scidiff.process.base import ProductProcess, site_time
from scidiff.process.bounds import one_level
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.flow import MinimalFlow, MixtureFlow, Rates, TimeReversal
from scidiff.process.survival import Survival
from scidiff.sample.discrete.ctmc import site_uniforms
from scidiff.sample.discrete.plans import lowest, pending
from scidiff.sample.state import RunState
from scidiff.spaces import State
from scidiff.spaces.categorical import draw_probs

__all__ = ["BothEnds", "Dominating", "Uniformisation", "WhereDataForms", "dominating"]

_ROUND = 1e-9


class Dominating(ABC):
    """A bound ``g(t)`` of the rates of a site, and its integral."""

    @abstractmethod
    def rate(self, t: Tensor) -> Tensor:
        """Bound ``g(t)``."""

    @abstractmethod
    def depth(self, t: Tensor) -> Tensor:
        """Integral ``L(t)``, ``dL/dt = g``."""

    @abstractmethod
    def time(self, depth: Tensor) -> Tensor:
        """Time at which the integral has a value; the inverse of `depth`."""


@dataclass(frozen=True)
class WhereDataForms(Dominating):
    """Bound ``-c a'/(1 - a)``, ``L = c log(1 - a)``.

    Parameters
    ----------
    survival
        ``a``.
    factor
        ``c``.
    """

    survival: Survival
    factor: float = 1.0

    def rate(self, t: Tensor) -> Tensor:
        """Bound ``-c a'/(1 - a)``."""
        return -self.factor * self.survival.slope(t) / self.survival.complement(t)

    def depth(self, t: Tensor) -> Tensor:
        """Integral ``c log(1 - a)``."""
        return self.factor * self.survival.complement(t).log()

    def time(self, depth: Tensor) -> Tensor:
        """Time at which ``1 - a = exp(L / c)``."""
        return self.survival.inverse((depth / self.factor).exp())


@dataclass(frozen=True)
class BothEnds(Dominating):
    """Bound ``-a'/(a (1 - a))``, ``L = log((1 - a) / a)``.

    Parameters
    ----------
    survival
        ``a``.
    """

    survival: Survival

    def rate(self, t: Tensor) -> Tensor:
        """Bound ``-a'/(a (1 - a))``."""
        return -self.survival.slope(t) / (self.survival.value(t) * self.survival.complement(t))

    def depth(self, t: Tensor) -> Tensor:
        """Integral ``log((1 - a) / a)``."""
        return (self.survival.complement(t) / self.survival.value(t)).log()

    def time(self, depth: Tensor) -> Tensor:
        """Time at which ``1 - a = 1 / (1 + exp(-L))``."""
        return self.survival.inverse(torch.sigmoid(depth))


def dominating(rates: Rates, process: DiscreteProcess) -> Dominating:
    """Bound of the rates of a site that holds at all states, times and predictions.

    Raises
    ------
    ConfigError
        If the kernel has several survivals, or the rates have a part without such a bound (``eta``, ``omega``).
    """
    survival = one_level(process, "uniformisation").survivals[0]
    match rates:
        case MixtureFlow(eta=0.0):
            return WhereDataForms(survival)
        case MinimalFlow(eta=0.0, omega=0.0):
            return WhereDataForms(survival, _minimal_factor(rates, process, survival))
        case TimeReversal():
            return BothEnds(survival)
    raise ConfigError(f"{rates} has no bound that is known; expected TimeReversal, or a flow with eta = omega = 0")


def _minimal_factor(rates: MinimalFlow, process: DiscreteProcess, survival: Survival) -> float:
    """Largest ``(1 - a)/(-a') sum_y R*(x -> y | v)``: it does not depend on the time in (0, 1)."""
    t = torch.tensor(0.5, dtype=torch.float64)
    x = torch.arange(process.kernel.states)
    each = rates.conditional(process.kernel, x, t.expand(x.shape))
    total = each.sum(-1) - each.gather(-1, x[:, None, None].expand(*each.shape[:-1], 1)).squeeze(-1)
    return float(total.max() * survival.complement(t) / -survival.slope(t))


@dataclass(frozen=True)
class Uniformisation:
    """Plan and rule in one: hand the same object to the loop twice, ``run(denoiser, process, u, u, ...)``.

    Single factors with a kernel of one survival. Samples of a batch have different numbers of candidates; those that
    have arrived idle, and the ledger counts the evaluations that the batch makes.

    Parameters
    ----------
    process
        Process of the sites.
    floor
        Time at which the last call draws from ``F``, in (0, 1).
    rates
        Family of rates.
    start_time
        Time at which the prior is taken for the law of the process; 1, or below it for `TimeReversal`, where the
        survival at `start_time` is the error of the first law of a site.

    References
    ----------
    .. [1] H. Chen, L. Ying, arXiv:2402.08095
    """

    process: DiscreteProcess
    floor: float = 1e-3
    rates: Rates = field(default_factory=MixtureFlow)
    start_time: float = 1.0
    memory: ClassVar[int] = 0
    citation: ClassVar[str] = "arXiv:2402.08095"
    bound: Dominating = field(init=False)

    def __post_init__(self) -> None:
        """Find the dominating rate, and check the ends."""
        object.__setattr__(self, "bound", dominating(self.rates, self.process))
        if not 0 < self.floor < self.start_time <= 1:
            raise ConfigError(
                f"floor is {self.floor} and start_time {self.start_time}; expected 0 < floor < start_time <= 1"
            )
        if not bool(self.bound.depth(self._time(self.start_time)).isfinite()):
            raise ConfigError(
                f"the dominating rate of {self.rates} has a pole at t = {self.start_time}; choose a smaller start_time"
            )

    @property
    def label(self) -> str:
        """Exact down to the floor; the last call adds an error of order 2 in ``1 - a(floor)``."""
        return "consistent(2)"

    @property
    def expected_calls(self) -> float:
        """Mean number of calls per site and sample, the last one not counted."""
        return float(self.bound.depth(self._time(self.start_time)) - self.bound.depth(self._time(self.floor)))

    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Law of every site if the candidate at ``t`` falls on it, shape ``(batch, *sites, D)``.

        Raises
        ------
        NumericalError
            If rates exceed the bound: the prediction is no law on the classes that can have led to ``x_t``.
        """
        t = site_time(t, x_t).expand(x_t.shape)
        law = self.rates(process, m, x_t, t) / self.bound.rate(torch.where(t > 0, t, self.floor)).unsqueeze(-1)
        jump = law.sum(-1, keepdim=True)
        if float(jump.max()) > 1.0 + _ROUND:
            raise NumericalError(f"rates are {float(jump.max()):.6g} times their bound; pass m through process.convert")
        return law.scatter(-1, x_t.unsqueeze(-1), (1.0 - jump).clamp_min(0.0))

    def start(self, state: RunState) -> RunState:
        """Set the free sites to the time of the first candidate."""
        waiting = pending(state)
        begin = torch.where(waiting, self.start_time, 0.0).double()
        u = state.noise.uniform((), step=0, stream="candidate/first").to(begin.device)
        return replace(state, t=self._after(begin, waiting, u))

    def done(self, state: RunState) -> bool:
        """Whether every sample has arrived."""
        return not bool(pending(state).any())

    def next(self, state: RunState, m: State) -> State:
        """Time of the next candidate, the floor where it lies below, 0 from there."""
        waiting = pending(state)
        u = state.noise.uniform((), step=state.i, stream="candidate").to(state.t.device)
        after = self._after(state.t, waiting, u)
        return torch.where(waiting & (state.t > self.floor), after, 0.0)

    def __call__(self, process: DiscreteProcess | ProductProcess, state: RunState, m: State, s: State) -> State:
        """Move the chosen site at its candidate; draw all sites from ``F`` where the time goes to 0."""
        chosen = lowest(site_uniforms(state, "site"), pending(state), 1)
        law = self.probs(process, m, state.x, state.t)
        last = (s == 0) & pending(state)
        law = torch.where(last.unsqueeze(-1), process.renoise_probs(m, 0.0), law)
        return torch.where(chosen | last, draw_probs(law, site_uniforms(state)), state.x)

    def _after(self, t: Tensor, waiting: Tensor, u: Tensor) -> Tensor:
        """Time of the candidate after ``t``; the sites of a sample share it."""
        shape = (-1, *(1,) * (t.ndim - 1))
        now = torch.where(waiting, t, 0.0).flatten(1).amax(1)
        sites = waiting.flatten(1).sum(1).clamp_min(1)
        depth = self.bound.depth(torch.where(now > 0, now, self.floor)) + u.log() / sites
        return torch.where(waiting, self.bound.time(depth).clamp_min(self.floor).reshape(shape), 0.0)

    @staticmethod
    def _time(t: float) -> Tensor:
        return torch.tensor(t, dtype=torch.float64)
