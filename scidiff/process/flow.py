"""Rates towards the data: different jump processes with the same law at every time.

A family of rates ``R_t(x -> y | v)`` of one site, which carries the law ``p_t(y) = Q_t[v, y]`` of the clean class ``v``
from ``t = 1`` to ``t = 0``, gives rates of the data by ``sum_v F(v) R_t(x -> y | v)``. With ``a`` the survival, ``pi``
the prior of a site, ``dp(y) = -dQ_t[v, y]/dt`` and ``Z`` the number of states with ``p_t > 0``:

    TimeReversal    R_t[y, x] Q_t[v, y] / Q_t[v, x]                    the forward process run back
    MixtureFlow     -a'/(1 - a) delta_v(y)                             one survival only
    MinimalFlow     max(0, dp(y) - dp(x)) / (Z p_t(x)),  p_t(y) > 0    ``R*``, any kernel

To each, rates in detailed balance with ``p_t`` may be added, ``p_t(x) R(x -> y) = p_t(y) R(y -> x)``: they change the
paths and not the law. Rates are per unit of the clock, 0 at ``y = x``, and linear in ``F``.

References
----------
.. [1] I. Gat et al., "Discrete flow matching", arXiv:2407.15595
.. [2] A. Campbell et al., "Generative flows on discrete state-spaces", arXiv:2402.04997
.. [3] Y. Qin et al., "DeFoG: discrete flow matching for graph generation", arXiv:2410.04263
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import site_time
from scidiff.process.bounds import one_level
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import Kernel, LevelKernel

__all__ = ["MinimalFlow", "MixtureFlow", "Rates", "TimeReversal", "hub_balance", "law_slope", "product_balance"]

_LAST = 1.0 - 2.0**-40
Balance = Callable[[Tensor, Tensor], Tensor]


class Rates(ABC):
    """A family of rates towards the data.

    Attributes
    ----------
    label
        ``exact`` if the rates carry the law of the process with an exact denoiser, else ``biased``.
    citation
        Where it was published.
    """

    label: str
    citation: ClassVar[str]

    @abstractmethod
    def __call__(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Rates from ``x_t`` to every state, 0 at ``x_t`` and at sites with ``t = 0``.

        Parameters
        ----------
        process
            Process of the sites.
        m
            ``log F``, shape ``(batch, *sites, K)``.
        x_t, t
            State and time of every site.

        Returns
        -------
        Tensor
            Shape ``(batch, *sites, D)``, per unit of the clock.
        """


def _settle(rates: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """Rates with nothing at the present state and at clean sites."""
    return torch.where((t > 0).unsqueeze(-1), rates.scatter(-1, x_t.unsqueeze(-1), 0.0), 0.0)


def _check_strength(eta: float, name: str) -> None:
    if not eta >= 0:
        raise ConfigError(f"{name} is {eta}; expected a number >= 0")


@dataclass(frozen=True)
class TimeReversal(Rates):
    """Rates of the forward process run backward; poles at both ends of the clock but for masks."""

    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "arXiv:2205.14987"

    def __call__(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Rates ``R_t[y, x_t] p_t(y) / p_t(x_t)``."""
        t = site_time(t, x_t)
        return _settle(process.reverse_rates(m, x_t, t), x_t, t)


@dataclass(frozen=True)
class MixtureFlow(Rates):
    """Probability velocity of a mixture path, ``-a'/(1 - a) F(y)``, with a part free of divergence.

    With ``eta > 0`` the velocity to the data is taken ``1 + eta`` times and the one to the noise ``eta`` times; the
    latter leaves a class that came through for ``y`` with rate ``-a' pi(y) F(x) / Q_t[x, x]``.

    Parameters
    ----------
    eta
        Strength of the corrector, >= 0.

    References
    ----------
    .. [1] I. Gat et al., arXiv:2407.15595
    """

    eta: float = 0.0
    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "arXiv:2407.15595"

    def __post_init__(self) -> None:
        """Check the strength."""
        _check_strength(self.eta, "eta")

    def __call__(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Rates of the velocity."""
        kernel = one_level(process, "the velocity of a mixture path")
        t = site_time(t, x_t)
        time = torch.where(t > 0, t.clamp_max(_LAST), 0.5).expand(x_t.shape)
        survival, f = kernel.survivals[0], process.renoise_probs(m, 0.0)
        speed = -survival.slope(time).unsqueeze(-1)
        rates = (1.0 + self.eta) * speed / survival.complement(time).unsqueeze(-1) * f
        if self.eta > 0:
            own = f.gather(-1, x_t.unsqueeze(-1)) / kernel.entry(x_t, x_t, time).unsqueeze(-1)
            rates = rates + self.eta * speed * kernel.prior().to(f.device) * own
        return _settle(rates, x_t, t)


def hub_balance(p: Tensor, x_t: Tensor) -> Tensor:
    """Detailed balance through the clean class: from ``v`` to every state at rate 1, back at ``p(v) / p(x)``.

    Parameters
    ----------
    p
        Laws ``Q_t[v, :]`` of all classes, shape ``(*sites, K, D)``.
    x_t
        State of every site.

    Returns
    -------
    Tensor
        Rates from ``x_t``, same shape as `p`; what is at ``x_t`` is not read.

    References
    ----------
    .. [1] A. Campbell et al., arXiv:2402.04997 (masks and uniform noise)
    """
    classes = torch.arange(p.shape[-2], device=p.device)
    at_hub = (x_t.unsqueeze(-1) == classes).unsqueeze(-1)
    leave = (p > 0).double()
    here, own = _at(p, x_t), p.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
    back = torch.eye(p.shape[-2], p.shape[-1], dtype=p.dtype, device=p.device) * own / torch.where(here > 0, here, 1.0)
    return torch.where(at_hub, leave, back)


def product_balance(p: Tensor, x_t: Tensor) -> Tensor:
    """Detailed balance with rate ``p(y)`` to every state; parameters as in `hub_balance`.

    References
    ----------
    .. [1] Y. Qin et al., arXiv:2410.04263
    """
    return p


@dataclass(frozen=True)
class MinimalFlow(Rates):
    """Rates ``R* + eta R^DB + R^omega``, for any kernel.

    Parameters
    ----------
    eta
        Strength of the rates in detailed balance, >= 0, per unit of the clock.
    balance
        Rates in detailed balance with the laws of all classes: `hub_balance` or `product_balance`.
    omega
        Target guidance, >= 0: an extra rate ``omega / (Z p_t(x))`` to the class itself. It sharpens the samples and
        does not carry the law of the process.

    References
    ----------
    .. [1] A. Campbell et al., arXiv:2402.04997
    .. [2] Y. Qin et al., arXiv:2410.04263 (target guidance)
    """

    eta: float = 0.0
    balance: Balance = hub_balance
    omega: float = 0.0
    citation: ClassVar[str] = "arXiv:2402.04997"

    def __post_init__(self) -> None:
        """Check the strengths."""
        _check_strength(self.eta, "eta")
        _check_strength(self.omega, "omega")

    @property
    def label(self) -> str:
        """Exact without target guidance."""
        return "biased" if self.omega > 0 else "exact"

    def __call__(self, process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Mean of the rates over the clean class."""
        t = site_time(t, x_t)
        rates = self.conditional(process.kernel, x_t, t)
        return _settle(torch.einsum("...v,...vy->...y", m.double().exp(), rates), x_t, t)

    def conditional(self, kernel: Kernel, x_t: Tensor, t: Tensor) -> Tensor:
        """Rates given the clean class, shape ``(*sites, K, D)``; 0 for a class that cannot have led to ``x_t``.

        They depend on state and time alone: where few times occur, a table is made and looked up.
        """
        time = torch.where(t > 0, t.clamp_max(_LAST), 0.5)
        distinct, where = torch.unique(time, return_inverse=True)
        if len(distinct) * kernel.states >= x_t.numel():
            return self._conditional(kernel, x_t, time)
        states = torch.arange(kernel.states, device=x_t.device).expand(len(distinct), -1)
        return self._conditional(kernel, states, distinct.unsqueeze(1))[where.expand(x_t.shape), x_t]

    def _conditional(self, kernel: Kernel, x_t: Tensor, time: Tensor) -> Tensor:
        shape = (*x_t.shape, kernel.clean, kernel.states)
        p = kernel.matrix(time)[..., : kernel.clean, :].expand(shape)
        slope = law_slope(kernel, time).expand(shape)
        here = _at(p, x_t)
        alive, support = (p > 0) & (here > 0), (p > 0).sum(-1, keepdim=True)
        per = 1.0 / (support * torch.where(here > 0, here, 1.0))
        rates = (_at(slope, x_t) - slope).clamp_min(0.0) * per
        if self.eta > 0:
            rates = rates + self.eta * self.balance(p, x_t)
        if self.omega > 0:
            rates = rates + self.omega * per * torch.eye(kernel.clean, kernel.states, dtype=p.dtype, device=p.device)
        return torch.where(alive, rates, 0.0)


def _at(p: Tensor, x_t: Tensor) -> Tensor:
    """Entries at the present state, shape ``(*sites, K, 1)``."""
    return p.gather(-1, x_t[..., None, None].expand(*p.shape[:-1], 1))


def law_slope(kernel: Kernel, t: Tensor) -> Tensor:
    """Derivative ``dQ_t[v, y]/dt`` of the laws of all classes, shape ``(*times, K, D)``; needs ``t < 1``.

    In closed form for a `LevelKernel`, where the product ``Q_t R_t`` would cancel near ``t = 1``.
    """
    if not isinstance(kernel, LevelKernel):
        return (kernel.matrix(t) @ kernel.rate(t))[..., : kernel.clean, :]
    slopes = [survival.slope(t) for survival in kernel.survivals]
    weights = [slopes[0], *(later - earlier for earlier, later in itertools.pairwise(slopes)), -slopes[-1]]
    levels = kernel.levels.to(t.device)[:, : kernel.clean]
    return sum(weight[..., None, None] * level for weight, level in zip(weights, levels, strict=True))
