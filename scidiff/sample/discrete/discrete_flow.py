"""Sampling of discrete flow matching: leaps at any family of rates towards the data.

All families of `scidiff.process.flow` serve the same network, trained with the same loss; which one is simulated, and
how much of the rates in detailed balance is added, is a choice of the sampler. A leap of one step moves every site at
most once, at the rates of its beginning, and the step to ``s = 0`` draws from ``F``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.process.base import site_time
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.flow import MinimalFlow, MixtureFlow, Rates, TimeReversal, product_balance
from scidiff.sample.discrete.ctmc import SiteRule
from scidiff.sample.grids import uniform_grid

__all__ = ["RateLeaping", "campbell", "defog", "gat", "leap", "polydec_grid"]


def leap(rates: Tensor, x: Tensor, span: Tensor) -> Tensor:
    """Law of a site that jumps at most once in a time `span`, at constant rates, shape ``(batch, *sites, D)``.

    It jumps with probability ``1 - exp(-span sum_y u(y))``, to ``y`` in proportion to ``u(y)``.

    Parameters
    ----------
    rates
        ``u``, 0 at the present state, shape ``(batch, *sites, D)``.
    x
        Present state.
    span
        Length of the step, broadcasting against the sites.
    """
    total = rates.sum(-1, keepdim=True)
    jump = -torch.expm1(-span.unsqueeze(-1) * total)
    law = rates / torch.where(total > 0, total, 1.0) * jump
    return law.scatter(-1, x.unsqueeze(-1), (1.0 - jump).expand(*x.shape, 1))


@dataclass(frozen=True)
class RateLeaping(SiteRule):
    """At most one jump per site and step, at the rates of ``t`` frozen over the step.

    With `TimeReversal` it is `TauLeaping`.

    Parameters
    ----------
    rates
        Family of rates.
    """

    rates: Rates = field(default_factory=TimeReversal)

    @property
    def label(self) -> str:
        """First order, or biased where the rates are."""
        return "consistent(1)" if self.rates.label == "exact" else "biased"

    @property
    def citation(self) -> str:
        """Citation of the rates."""
        return self.rates.citation

    def probs(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Law of a leap; ``F`` where ``s = 0``."""
        t, s = site_time(t, x_t), site_time(s, x_t)
        law = leap(self.rates(process, m, x_t, t), x_t, t - s)
        return torch.where((s == 0).unsqueeze(-1), process.renoise_probs(m, 0.0), law)


def gat(eta: float = 0.0) -> RateLeaping:
    """Discrete flow matching on a mixture path, with a corrector of strength `eta`; see `MixtureFlow`.

    References
    ----------
    .. [1] I. Gat et al., "Discrete flow matching", arXiv:2407.15595
    """
    return RateLeaping(MixtureFlow(eta))


def campbell(eta: float = 0.0) -> RateLeaping:
    """Discrete flow model: ``R* + eta R^DB``, detailed balance through the clean class; see `MinimalFlow`.

    References
    ----------
    .. [1] A. Campbell et al., "Generative flows on discrete state-spaces", arXiv:2402.04997
    """
    return RateLeaping(MinimalFlow(eta))


def defog(eta: float = 0.0, omega: float = 0.0) -> RateLeaping:
    """DeFoG: ``R* + eta R^DB + R^omega``, to be run on `polydec_grid`.

    Parameters
    ----------
    eta
        Stochasticity; rate ``p_t(y)`` to every state.
    omega
        Target guidance. Above 0 the samples are sharper than the data: the rule is biased.

    References
    ----------
    .. [1] Y. Qin et al., "DeFoG: discrete flow matching for graph generation", arXiv:2410.04263
    """
    return RateLeaping(MinimalFlow(eta, product_balance, omega))


def polydec_grid(steps: int, *, start: float = 1.0, end: float = 0.0) -> Tensor:
    """Grid whose steps shrink towards the data: ``t = u^2`` with ``u`` uniform.

    On the clock ``1 - t`` of the reference this is the distortion ``2 u - u^2`` called polydec.

    Parameters
    ----------
    steps
        Number of intervals.
    start, end
        First and last time.

    Returns
    -------
    Tensor
        Times, shape ``(steps + 1,)``.

    References
    ----------
    .. [1] Y. Qin et al., arXiv:2410.04263
    """
    return uniform_grid(steps, start=start**0.5, end=end**0.5) ** 2
