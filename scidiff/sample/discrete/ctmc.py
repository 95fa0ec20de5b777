"""Rules for finite sets: how the sites of a discrete process move from ``t`` to ``s``.

Given the prediction, all sites are independent; a rule is the law of one site, `SiteRule.probs`, from which the sampler
draws by inverse CDF and with which tests build exact transition matrices. All laws but the leap are linear in ``F``:

    Ancestral         sum_v F(v) q(x_s | x_t, v)                      consistent of order 1
    TauLeaping        one jump at the frozen reverse rates            consistent of order 1
    ProjectAndNoise   sum_v F(v) Q_s[v, x_s]                          consistent of order p/(p+1)
    Psi               kappa Ancestral + (1 - kappa) ProjectAndNoise   consistent of order p/(p+1) for kappa < 1
    Unmask            F where s = 0, rest elsewhere                   exact, if what is unmasked is chosen blindly

From the exact law at ``t`` every one of the linear laws leads to the exact marginal of each site at ``s``; what a step
loses is the dependence between the sites that move in it. Only few move in a short step of `Ancestral`, and the loss
vanishes as 1/steps. `ProjectAndNoise` redraws all sites in every step. It has the wrong joint law at every noise level,
but forgets it as long as sites still change: with ``1 - a ~ t^p`` a run of N equal steps stops to mix where
``N t^(p+1)`` is about 1, and is left with the error of that level, ``t^p = N^(-p/(p+1))``. This order is derived here
and confirmed by enumeration with an exact denoiser; what the rule repairs of a learned one's errors is another matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError
from scidiff.process.base import ProductProcess, site_time
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.survival import Survival
from scidiff.sample.state import RunState
from scidiff.spaces import State
from scidiff.spaces.categorical import draw_probs

__all__ = [
    "Ancestral",
    "ProjectAndNoise",
    "Psi",
    "SiteRule",
    "TauLeaping",
    "Unmask",
    "by_factor",
    "remdm_capped",
    "remdm_rescaled",
    "site_uniforms",
]

_Process = DiscreteProcess | ProductProcess
Kappa = Callable[[Tensor, Tensor], Tensor]


def by_factor(process: _Process, state: RunState, function: Callable[..., Any], *parts: State) -> Any:
    """Call ``function(process, state, *parts)``, once for every factor where the process is a product.

    Each factor sees its part of the state, whose noise has streams of its own.
    """
    if not isinstance(process, ProductProcess):
        return function(process, state, *parts)
    return {
        key: function(factor, state.factor(key), *(part[key] for part in parts))
        for key, factor in process.factors.items()
    }


def site_uniforms(state: RunState, purpose: str = "step") -> Tensor:
    """Uniforms of the present step, one per site of a single factor."""
    return state.noise.uniform(state.x.shape[1:], step=state.i, stream=purpose).to(state.x.device)


class SiteRule(ABC):
    """A law for each site; acts factor by factor on products.

    Attributes
    ----------
    label
        What it does to the law of the samples when the denoiser is exact.
    citation
        Where it was published.
    """

    memory: ClassVar[int] = 0
    label: ClassVar[str]
    citation: ClassVar[str]

    @abstractmethod
    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law of every site at ``s``, shape ``(batch, *sites, D)``.

        Parameters
        ----------
        process
            The process of the factor.
        m
            ``log F``, shape ``(batch, *sites, K)``.
        x_t, t, s
            State, time and next time of every site.
        """

    def __call__(self, process: _Process, state: RunState, m: State, s: State) -> State:
        """Draw every site from `probs`."""
        return by_factor(process, state, self._move, m, s)

    def _move(self, process: DiscreteProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        return draw_probs(self.probs(process, m, state.x, state.t, s), site_uniforms(state))


@dataclass(frozen=True)
class Ancestral(SiteRule):
    """Reverse posterior with the clean class summed out (D3PM)."""

    label: ClassVar[str] = "consistent(1)"
    citation: ClassVar[str] = "arXiv:2107.03006"

    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law ``sum_v F(v) q(x_s | x_t, v)``."""
        return process.step_probs(m, x_t, t, s)


@dataclass(frozen=True)
class TauLeaping(SiteRule):
    """At most one jump per site, at the reverse rates of ``t`` frozen over the step.

    A step to ``s = 0`` draws from ``F``. In any other a site jumps with probability ``1 - exp(-(t - s) sum_y u(y))``,
    to ``y`` in proportion to ``u(y)``: the Poisson leap of the reference for classes without an order, where two jumps
    of one site in one step mean nothing.
    """

    label: ClassVar[str] = "consistent(1)"
    citation: ClassVar[str] = "arXiv:2205.14987"

    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law of a leap."""
        t, s = site_time(t, x_t), site_time(s, x_t)
        rates = process.reverse_rates(m, x_t, t)
        total = rates.sum(-1, keepdim=True)
        jump = -torch.expm1(-(t - s).unsqueeze(-1) * total)
        leap = rates / torch.where(total > 0, total, 1.0) * jump
        leap = leap.scatter(-1, x_t.unsqueeze(-1), 1.0 - jump)
        return torch.where((s == 0).unsqueeze(-1), process.renoise_probs(m, 0.0), leap)


@dataclass(frozen=True)
class ProjectAndNoise(SiteRule):
    """Draw a clean class from ``F`` and noise it to ``s`` by the cumulative kernel.

    Every site forgets where it was, so errors of earlier steps are repaired; sites are redrawn together, so their
    dependence is only what ``F`` sees. The order 1/2 is that of survivals that leave 1 linearly; see the module's head.
    """

    label: ClassVar[str] = "consistent(0.5)"
    citation: ClassVar[str] = "arXiv:2602.17602"

    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law ``sum_v F(v) Q_s[v, x_s]``."""
        return process.renoise_probs(m, s)


@dataclass(frozen=True)
class Psi(SiteRule):
    """Mixture of the reverse posterior (weight ``kappa``) and of project-and-noise (weight ``1 - kappa``).

    Parameters
    ----------
    kappa
        A number in [0, 1], or a function of ``(t, s)``; see `remdm_capped` and `remdm_rescaled` for masks.
    """

    kappa: float | Kappa
    label: ClassVar[str] = "consistent(0.5)"
    citation: ClassVar[str] = "arXiv:2602.21185"

    def __post_init__(self) -> None:
        """Check the range of a constant ``kappa``."""
        if not callable(self.kappa) and not 0 <= self.kappa <= 1:
            raise ConfigError(f"kappa is {self.kappa}; expected a number in [0, 1] or a function of (t, s)")

    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law ``kappa q + (1 - kappa) sum_v F(v) Q_s[v, x_s]``."""
        t, s = site_time(t, x_t), site_time(s, x_t)
        kappa = self.kappa(t, s).unsqueeze(-1) if callable(self.kappa) else self.kappa
        law = kappa * process.step_probs(m, x_t, t, s) + (1 - kappa) * process.renoise_probs(m, s)
        if float(law.min()) < -1e-9:
            raise NumericalError(f"kappa makes a probability {float(law.min()):.3g}; use a larger kappa")
        return law.clamp_min(0.0)


def remdm_capped(survival: Survival, eta: float) -> Kappa:
    """``kappa`` of ReMDM with capped remasking, ``sigma = min(eta, (1 - a_s) / a_t)``; masks only.

    A revealed site is masked again with probability ``sigma = (1 - kappa)(1 - a_s)``.

    Parameters
    ----------
    survival
        Share ``a(t)`` of the sites that are revealed.
    eta
        Largest probability that a revealed site is masked again.

    References
    ----------
    .. [1] G. Wang et al., "Remasking discrete diffusion models with inference-time scaling", arXiv:2503.00307
    """
    return _remdm(survival, lambda cap: cap.clamp_max(eta))


def remdm_rescaled(survival: Survival, eta: float) -> Kappa:
    """``kappa`` of ReMDM with rescaled remasking, ``sigma = eta min(1, (1 - a_s) / a_t)``.

    Parameters
    ----------
    survival, eta
        As for `remdm_capped`, but `eta` is a share of the largest probability that is possible.
    """
    return _remdm(survival, lambda cap: eta * cap)


def _remdm(survival: Survival, sigma: Callable[[Tensor], Tensor]) -> Kappa:
    def kappa(t: Tensor, s: Tensor) -> Tensor:
        lost = survival.complement(s)
        cap = (lost / survival.value(t)).clamp_max(1.0)
        return 1.0 - sigma(cap) / torch.where(lost > 0, lost, 1.0)

    return kappa


@dataclass(frozen=True)
class Unmask(SiteRule):
    """Draw from ``F`` the sites that arrive at ``s = 0``; all others rest, whatever their time becomes.

    For masks, with a plan that says which site is unmasked and when: that the others stayed masked is known.
    """

    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "arXiv:2409.02908"

    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law ``F`` or a point mass."""
        rest = torch.nn.functional.one_hot(x_t, process.kernel.states).double()
        return torch.where((site_time(s, x_t) == 0).unsqueeze(-1), process.renoise_probs(m, 0.0), rest)
