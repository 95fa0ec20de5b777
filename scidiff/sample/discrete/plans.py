"""Plans for masks: which sites are unmasked next.

A mask is the time: a site is masked if and only if its ``t > 0``. A plan sends the chosen sites to ``s = 0`` and lets
the others rest at ``s = t`` (or, for `FirstHitting`, at the time of the event); the rule is `Unmask` (or `Ancestral`
where the others rest). Samples with nothing left to unmask idle.

One site per step, chosen without a look at what it is going to be, is exact for any order: it is the chain rule. A
choice that looks at drawn classes changes the law; several sites per step lose their dependence given the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.survival import Survival
from scidiff.sample.discrete.ctmc import site_uniforms
from scidiff.sample.model import Evaluation, Model
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State
from scidiff.spaces.categorical import draw

__all__ = [
    "Confidence",
    "EntropyBounded",
    "FirstHitting",
    "InfoGain",
    "MinimumEntropy",
    "RandomOrder",
    "UnmaskingPlan",
    "entropy",
    "lowest",
    "pending",
]


def pending(state: RunState) -> Tensor:
    """Sites that are still masked: free and at ``t > 0``."""
    if isinstance(state.x, Mapping):
        raise ConfigError(f"the state has factors {sorted(state.x)}; unmasking plans act on a single masked factor")
    return state.free & (state.t > 0)


def entropy(m: Tensor) -> Tensor:
    """Entropy of every site in nats, from ``m = log F``."""
    return torch.special.entr(m.exp()).sum(-1)


def lowest(score: Tensor, among: Tensor, count: int) -> Tensor:
    """Mark the `count` lowest scores of each sample among the given sites; all of them where there are fewer."""
    flat = torch.where(among, score, torch.inf).flatten(1)
    rank = flat.argsort(dim=1, stable=True).argsort(dim=1)
    return (rank < count).reshape(among.shape) & among


@dataclass(frozen=True)
class UnmaskingPlan(ABC):
    """Common part: start at the prior, stop when nothing is masked, send the chosen sites to ``s = 0``."""

    def start(self, state: RunState) -> RunState:
        """Return the state: free sites stand at ``t = 1``."""
        return state

    def done(self, state: RunState) -> bool:
        """Whether no sample has a masked site."""
        return not bool(pending(state).any())

    def next(self, state: RunState, m: State) -> State:
        """Time of every site after the step."""
        return torch.where(self.chosen(state, m), 0.0, state.t)

    @abstractmethod
    def chosen(self, state: RunState, m: Tensor) -> Tensor:
        """Sites to unmask now, boolean."""


@dataclass(frozen=True)
class RandomOrder(UnmaskingPlan):
    """Unmask sites in random order.

    Parameters
    ----------
    count
        Sites per step; 1 is exact.
    """

    count: int = 1
    citation: ClassVar[str] = "arXiv:2409.02908"

    @property
    def label(self) -> str:
        """Exact for one site per step."""
        return "exact" if self.count == 1 else "biased"

    def chosen(self, state: RunState, m: Tensor) -> Tensor:
        """Sites to unmask now."""
        return lowest(site_uniforms(state, "order"), pending(state), self.count)


@dataclass(frozen=True)
class FirstHitting(UnmaskingPlan):
    """Jump from one unmasking event to the next: no error from time steps, one call per site.

    With ``n`` masked sites the next event is at ``1 - a(t') = (1 - a(t)) u^(1/n)``, at a site chosen uniformly. The
    other sites go to ``t'`` masked, so the rule must be `Unmask`.

    Parameters
    ----------
    survival
        Survival ``a`` of the mask kernel.

    References
    ----------
    .. [1] K. Zheng et al., "Masked diffusion models are secretly time-agnostic masked models", arXiv:2409.02908
    """

    survival: Survival
    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "arXiv:2409.02908"

    def chosen(self, state: RunState, m: Tensor) -> Tensor:
        """Site to unmask now."""
        return lowest(site_uniforms(state, "order"), pending(state), 1)

    def next(self, state: RunState, m: State) -> State:
        """Time of every site after the event."""
        waiting = pending(state)
        left = waiting.flatten(1).sum(1)
        now = torch.where(waiting, state.t, 0.0).flatten(1).amax(1)
        u = state.noise.uniform((), step=state.i, stream="event").to(now.device)
        event = self.survival.inverse(self.survival.complement(now) * u ** (1.0 / left.clamp_min(1)))
        event = event.reshape(-1, *(1,) * (state.t.ndim - 1))
        return torch.where(self.chosen(state, m), 0.0, torch.where(waiting, event, state.t))


@dataclass(frozen=True)
class MinimumEntropy(UnmaskingPlan):
    """Unmask the sites that are known best given what is revealed.

    Parameters
    ----------
    count
        Sites per step; 1 is exact.
    """

    count: int = 1
    citation: ClassVar[str] = "arXiv:2505.24857"

    @property
    def label(self) -> str:
        """Exact for one site per step."""
        return "exact" if self.count == 1 else "biased"

    def chosen(self, state: RunState, m: Tensor) -> Tensor:
        """Sites to unmask now."""
        return lowest(entropy(m), pending(state), self.count)


@dataclass(frozen=True)
class EntropyBounded(UnmaskingPlan):
    """Unmask as many of the best-known sites as share at most ``gamma`` nats.

    Sites are taken by rising entropy while ``sum H - max H <= gamma``, which bounds their mutual information and with
    it the divergence that the step adds.

    Parameters
    ----------
    gamma
        Bound in nats, >= 0. At 0 the plan is exact: one site, and with it those that are certain.

    References
    ----------
    .. [1] H. Ben-Hamu et al., "Accelerated sampling from masked diffusion models via entropy bounded unmasking",
       arXiv:2505.24857
    """

    gamma: float
    citation: ClassVar[str] = "arXiv:2505.24857"

    def __post_init__(self) -> None:
        """Check the bound."""
        if not self.gamma >= 0:
            raise ConfigError(f"gamma is {self.gamma}; expected a number of nats >= 0")

    @property
    def label(self) -> str:
        """Exact for a bound of zero."""
        return "exact" if self.gamma == 0 else "biased"

    def chosen(self, state: RunState, m: Tensor) -> Tensor:
        """Sites to unmask now."""
        waiting = pending(state)
        flat = torch.where(waiting, entropy(m).clamp_min(0.0), torch.inf).flatten(1)
        order = flat.argsort(dim=1, stable=True)
        ranked = flat.gather(1, order)
        before = torch.where(ranked.isfinite(), ranked, 0.0).cumsum(1) - torch.where(ranked.isfinite(), ranked, 0.0)
        first = torch.arange(flat.shape[1], device=flat.device) == 0
        accepted = (before <= self.gamma) | first
        return torch.zeros_like(accepted).scatter(1, order, accepted).reshape(waiting.shape) & waiting


@dataclass(frozen=True)
class Confidence(UnmaskingPlan):
    """Draw all sites, commit those whose drawn class is the most probable one (low-confidence remasking of LLaDA).

    The choice looks at the drawn classes, so frequent classes are drawn too often: the law is biased towards modes even
    with an exact denoiser and one site per step.

    Parameters
    ----------
    count
        Sites per step.

    References
    ----------
    .. [1] S. Nie et al., "Large language diffusion models", arXiv:2502.09992
    """

    count: int = 1
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2502.09992"

    def chosen(self, state: RunState, m: Tensor) -> Tensor:
        """Sites to unmask now; the classes are those that the rule is going to draw from the same noise."""
        return self.commit(m, draw(m, site_uniforms(state)), pending(state))

    def commit(self, m: Tensor, drawn: Tensor, waiting: Tensor) -> Tensor:
        """Mark the sites whose drawn class has the highest probability."""
        return lowest(-m.gather(-1, drawn.unsqueeze(-1)).squeeze(-1), waiting, self.count)


@dataclass(frozen=True)
class InfoGain(UnmaskingPlan, Transform):
    """Unmask where it is expected to tell most about the rest; position chosen before any class is drawn.

    For a masked site ``l`` the score is its entropy and the mean entropy that the other masked sites keep,

        J(l) = H_l + sum_v F^l(v) mean_{l' != l} H_l'(x with x^l = v),

    the expectation taken over all classes, and the lowest are unmasked. This is the unbiased variant of the published
    sampler, which scores drawn classes: with one site per step it is exact.

    The look-ahead needs a network call for each class that a candidate may take, ``K`` at most: a class of probability
    0 makes no state that a denoiser could be asked about. The calls are made by the plan as a transform and booked in
    the ledger of every sample; hand the same object to the loop twice: ``run(..., plan=p, transforms=(..., p))``.

    Parameters
    ----------
    count
        Sites per step.
    candidates
        How many masked sites are looked at, those of lowest entropy first; all by default.

    References
    ----------
    .. [1] "Improving sampling for masked diffusion models via information gain", arXiv:2602.18176
    """

    count: int = 1
    candidates: int | None = None
    citation: ClassVar[str] = "arXiv:2602.18176"

    @property
    def label(self) -> str:
        """Exact for one site per step."""
        return "exact" if self.count == 1 else "biased"

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Look ahead: record the score of every candidate and book the calls."""
        waiting, own = pending(state), entropy(m)
        looked = waiting if self.candidates is None else lowest(own, waiting, max(self.candidates, self.count))
        row, *site = torch.nonzero(looked, as_tuple=True)
        score = torch.full_like(own, torch.inf)
        if len(row):
            law = m[looked].exp()
            after, state = _after(evaluation.model, state, waiting, row, site, law != 0)
            score[looked] = own[looked] + (law * after).sum(-1)
        return m, state.record("info_gain", score)

    def chosen(self, state: RunState, m: Tensor) -> Tensor:
        """Sites to unmask now."""
        if "info_gain" not in state.records:
            raise ConfigError("no look-ahead was recorded; pass the plan to the loop as a transform too")
        return lowest(state.records["info_gain"], pending(state), self.count)


def _after(
    model: Model, state: RunState, waiting: Tensor, row: Tensor, site: list[Tensor], possible: Tensor
) -> tuple[Tensor, RunState]:
    """Mean entropy of the other masked sites, for every candidate and every possible class; 0 for the others."""
    candidate, value = torch.nonzero(possible, as_tuple=True)
    row = row[candidate]
    where = (torch.arange(len(row), device=row.device), *(axis[candidate] for axis in site))
    x, t, rest = state.x[row], state.t[row], waiting[row]
    x[where] = value
    t[where], rest[where] = 0.0, False
    m, state = model.ask(state, x, t, row)
    left = rest.flatten(1).sum(1).clamp_min(1)
    kept = torch.where(rest, entropy(m), 0.0).flatten(1).sum(1) / left
    return kept.new_zeros(possible.shape).index_put((candidate, value), kept), state
