"""Exactness labels of the discrete rules and plans, checked by enumeration of all states with an exact denoiser.

Round-off of a law over at most 1024 states after tens of steps is a few 1e-15; "exact" means below 1e-13.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.enumerated import Enumerated
from scidiff.process.base import Kind
from scidiff.process.kernels import Kernel, marginal, mask, tree, uniform
from scidiff.process.survival import Cosine, Linear, Power
from scidiff.sample.discrete.ctmc import Ancestral, ProjectAndNoise, Psi, SiteRule, TauLeaping, Unmask, remdm_capped
from scidiff.sample.discrete.plans import (
    Confidence,
    EntropyBounded,
    FirstHitting,
    InfoGain,
    MinimumEntropy,
    RandomOrder,
    pending,
)
from scidiff.sample.model import Evaluation, Model
from scidiff.testing_targets.enumeration import Chain
from scidiff.testing_targets.unmasking import unmask, unmask_confident, unmask_scripted

EXACT = 1e-13
KERNELS: dict[str, Kernel] = {
    "mask": mask(3),
    "uniform": uniform(3),
    "marginal": marginal([0.5, 0.3, 0.2]),
    "tree": tree([0, 1, 1]),
}


@pytest.mark.parametrize("length", [3, 4])
def test_first_hitting_is_exact(length: int) -> None:
    for survival in (Linear(), Cosine()):
        chain = Chain(mask(3, survival), length)
        assert chain.tv(unmask_scripted(chain, FirstHitting(survival), Unmask())) < EXACT


def test_random_order_is_exact_with_either_rule_and_biased_in_pairs() -> None:
    chain = Chain(mask(3), 3)
    assert chain.tv(unmask_scripted(chain, RandomOrder(), Unmask())) < EXACT
    assert chain.tv(unmask_scripted(chain, RandomOrder(), Ancestral())) < EXACT
    assert chain.tv(unmask_scripted(chain, RandomOrder(2), Unmask())) > 0.02


@pytest.mark.parametrize("length", [3, 4, 5])
def test_minimum_entropy_is_exact(length: int) -> None:
    chain = Chain(mask(3), length)
    assert chain.tv(unmask(chain, MinimumEntropy())) < EXACT
    assert chain.tv(unmask(chain, EntropyBounded(0.0))) < EXACT


def test_entropy_bound_trades_error_for_calls() -> None:
    chain = Chain(mask(3), 4)
    errors = [chain.tv(unmask(chain, EntropyBounded(gamma))) for gamma in (0.0, 0.8, 1.2, 100.0)]
    assert errors == sorted(errors) and errors[0] < EXACT < errors[1] < errors[3]
    assert abs(errors[-1] - chain.tv(chain.grid(Ancestral().probs, 1))) < EXACT


@pytest.mark.parametrize("length", [3, 4])
def test_confidence_is_biased_at_one_site_per_step(length: int) -> None:
    chain = Chain(mask(3), length)
    law = unmask_confident(chain, Confidence())
    assert abs(float(law.sum()) - 1) < EXACT
    assert chain.tv(law) > 0.1
    assert float(law.max()) > float(chain.target.max()) + 0.1


def test_information_gain_is_exact_alone_and_better_than_entropy_in_pairs() -> None:
    chain = Chain(mask(3), 4)
    assert chain.tv(unmask(chain, InfoGain())) < EXACT
    pairs = chain.tv(unmask(chain, InfoGain(2)))
    greedy = chain.tv(unmask(chain, MinimumEntropy(2)))
    assert EXACT < pairs < greedy


def test_information_gain_scores_by_hand_and_books_its_calls() -> None:
    chain = Chain(mask(3), 3)
    seen = []

    def counting(x: Tensor, t: Tensor, condition: None) -> Tensor:
        seen.append(len(x))
        return chain.oracle.posterior(x, t)

    state, _, m = chain.run_state(chain.marginal(0.5))
    said = Evaluation(Model(Denoiser(counting, Kind.LOGITS), chain.process), m, {})
    _, after = InfoGain()(m, state, said)
    assert int((after.calls - state.calls).sum()) == sum(seen) == 3 * int(pending(state).sum())
    row = int(torch.nonzero((state.x == torch.tensor([3, 3, 1])).all(1)).squeeze())
    p = m[row].exp()
    entropy = torch.special.entr(p).sum(-1)
    kept = 0.0
    for v in range(3):
        then = chain.oracle.posterior(torch.tensor([[v, 3, 1]]), torch.tensor([[0.0, 0.7, 0.0]]))[0, 1].exp()
        kept += float(p[0, v] * torch.special.entr(then).sum())
    assert abs(float(after.records["info_gain"][row, 0]) - float(entropy[0]) - kept) < 1e-14
    assert int(InfoGain(candidates=1)(m, state, said)[1].calls.max()) == 3


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("rule", [Ancestral(), TauLeaping()], ids=["ancestral", "tau-leaping"])
def test_consistent_rules_halve_their_error(name: str, rule: SiteRule) -> None:
    """First order: the ratio of errors at doubled steps is 2 within 10 %."""
    chain = Chain(KERNELS[name], 2)
    coarse, fine = (chain.tv(chain.grid(rule.probs, steps)) for steps in (32, 64))
    assert abs(coarse / fine - 2) < 0.2
    assert rule.label == "consistent(1)"


def test_ancestral_error_grows_with_the_length() -> None:
    """The error of one step is the total correlation of what moves: growth with d, and no more than linearly."""
    errors = [chain.tv(chain.grid(Ancestral().probs, 16)) for chain in (Chain(mask(3), d) for d in (2, 3, 4))]
    assert errors == sorted(errors)
    assert errors[2] - errors[1] < 1.2 * (errors[1] - errors[0])


def test_one_step_is_the_product_of_marginals() -> None:
    chain = Chain(mask(3), 3)
    singles = [chain.law.sum(axes) for axes in ((1, 2), (0, 2), (0, 1))]
    product = torch.einsum("a,b,c->abc", *singles)
    law = chain.grid(Ancestral().probs, 1).reshape(4, 4, 4)[:3, :3, :3]
    assert torch.allclose(law, product, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    "rule", [Ancestral(), ProjectAndNoise(), Psi(0.7)], ids=["ancestral", "project-and-noise", "psi"]
)
def test_linear_rules_keep_the_marginal_of_every_site(name: str, rule: SiteRule) -> None:
    chain = Chain(KERNELS[name], 3)
    shape = (chain.kernel.states,) * 3
    after = chain.step(chain.marginal(0.8), rule.probs, 0.8, 0.45).reshape(shape)
    truth = chain.marginal(0.45).reshape(shape)
    for axes in ((1, 2), (0, 2), (0, 1)):
        assert torch.allclose(after.sum(axes), truth.sum(axes), rtol=0, atol=1e-14)
    assert float((after - truth).abs().sum()) > 1e-3


def test_psi_orders_by_kappa() -> None:
    """With an exact denoiser mixing with project-and-noise never helps."""
    chain = Chain(uniform(3), 2)
    for steps in (8, 32):
        errors = [chain.tv(chain.grid(Psi(kappa).probs, steps)) for kappa in (1.0, 0.95, 0.5, 0.0)]
        assert errors == sorted(errors)
        assert abs(errors[0] - chain.tv(chain.grid(Ancestral().probs, steps))) < EXACT


@pytest.mark.parametrize("rule", [ProjectAndNoise(), Psi(0.5)], ids=["project-and-noise", "psi"])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_project_and_noise_converges_slowly(rule: SiteRule, power: int) -> None:
    """For a = 1 - t^p the order is p/(p+1); its estimate from 100 and 400 steps is within 0.07."""
    chain = Chain(mask(3, Power(power)), 2)
    coarse, fine = (chain.tv(chain.grid(rule.probs, steps)) for steps in (100, 400))
    assert abs(math.log(coarse / fine, 4) - power / (power + 1)) < 0.07
    assert rule.label == "consistent(0.5)"


def test_remdm_remasks_with_its_probability() -> None:
    """A revealed site is masked again with sigma; a masked one stays so with (1 - a_s - sigma a_t) / (1 - a_t)."""
    chain = Chain(mask(3), 2)
    t, s, eta = 0.6, 0.5, 0.3
    x = torch.tensor([[1, 3]])
    times, nexts = torch.full((1, 2), t, dtype=torch.float64), torch.full((1, 2), s, dtype=torch.float64)
    law = Psi(remdm_capped(Linear(), eta)).probs(chain.process, chain.oracle.posterior(x, times), x, times, nexts)
    assert torch.allclose(law.sum(-1), torch.ones(1, 2, dtype=torch.float64), rtol=0, atol=1e-15)
    assert abs(float(law[0, 0, 3]) - eta) < 1e-15
    assert abs(float(law[0, 1, 3]) - (s - eta * (1 - t)) / t) < 1e-15
    full = Psi(remdm_capped(Linear(), 1.0)).probs(chain.process, chain.oracle.posterior(x, times), x, times, nexts)
    assert bool((full >= 0).all()) and abs(float(full[0, 0, 3]) - 1.0) < 1e-15


def test_information_gain_asks_about_no_class_of_probability_zero() -> None:
    """A law on few sequences gives no posterior of the others: one site per step stays exact."""
    chain = Chain(mask(3), 3)
    law = torch.zeros_like(chain.law)
    law[0, 1, 2], law[1, 2, 0], law[1, 1, 1] = 0.5, 0.3, 0.2
    chain.law, chain.oracle = law, Enumerated(law, chain.kernel)
    assert chain.tv(unmask(chain, InfoGain())) < EXACT
