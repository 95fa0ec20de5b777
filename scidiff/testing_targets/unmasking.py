"""Exact laws of unmasking plans on a short masked chain, by enumeration of all states and all choices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.sample import Confidence, Evaluation, InfoGain, Model, SiteRule, Unmask
from scidiff.sample.discrete.plans import UnmaskingPlan, pending
from scidiff.testing_targets.enumeration import Chain

__all__ = ["Scripted", "unmask", "unmask_confident", "unmask_scripted"]


@dataclass(frozen=True)
class Scripted:
    """A source of uniforms whose values are written down.

    Parameters
    ----------
    values
        Values of each stream, batch first.
    """

    values: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def uniform(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Return the written values of a stream."""
        return self.values[stream]


def unmask(chain: Chain, plan: UnmaskingPlan) -> Tensor:
    """Law of a run of a plan whose choice is fixed by what is revealed.

    Parameters
    ----------
    chain
        A chain with mask noise.
    plan
        The plan.

    Returns
    -------
    Tensor
        Law over all states.
    """
    law = chain.marginal(1.0)
    for _ in range(chain.length):
        state, weight, m = chain.run_state(law)
        if isinstance(plan, InfoGain):
            m, state = plan(m, state, Evaluation(Model(chain.oracle.denoiser(), chain.process), m, {}))
        sites = Unmask().probs(chain.process, m, state.x, state.t, plan.next(state, m))
        law = weight @ chain.joint(sites)
    return law


def unmask_scripted(chain: Chain, plan: UnmaskingPlan, rule: SiteRule) -> Tensor:
    """Law of a run of a plan that chooses by ranking uniforms: the mean over all orders of the sites.

    Parameters
    ----------
    chain, plan
        As for `unmask`.
    rule
        How the chosen sites are drawn.

    Returns
    -------
    Tensor
        Law over all states.
    """
    orders = list(itertools.permutations(range(chain.length)))
    law = chain.marginal(1.0)
    while float(law @ (chain.states == chain.kernel.clean).sum(1).double()) > 0:
        state, weight, m = chain.run_state(law)
        after = torch.zeros_like(law)
        for order in orders:
            ranks = (torch.tensor(order, dtype=torch.float64) + 0.5) / chain.length
            noise = Scripted(
                {"order": ranks.expand(state.x.shape), "event": torch.full((len(state.x),), 0.37).double()}
            )
            s = plan.next(replace(state, noise=noise), m)
            after += weight @ chain.joint(rule.probs(chain.process, m, state.x, state.t, s)) / len(orders)
        law = after
    return law


def unmask_confident(chain: Chain, plan: Confidence) -> Tensor:
    """Law of low-confidence remasking: the mean over all drawn sequences.

    Parameters
    ----------
    chain, plan
        As for `unmask`.

    Returns
    -------
    Tensor
        Law over all states.
    """
    law = chain.marginal(1.0)
    for _ in range(chain.length):
        state, weight, m = chain.run_state(law)
        after = torch.zeros_like(law)
        for tokens in itertools.product(range(chain.kernel.clean), repeat=chain.length):
            drawn = torch.tensor(tokens).expand(state.x.shape)
            chosen = plan.commit(m, drawn, pending(state))
            chance = m.exp().gather(-1, drawn.unsqueeze(-1)).squeeze(-1).prod(1)
            moved = torch.where(chosen, drawn, state.x)
            index = torch.zeros(len(moved), dtype=torch.int64)
            for site in range(chain.length):
                index = index * chain.kernel.states + moved[:, site]
            after.index_add_(0, index, weight * chance)
        law = after
    return law
