"""The discrete canon against enumeration: rates, leaps, correctors, uniformisation, two-stage rules.

All laws are vectors over all states, made from the probabilities that the samplers draw from; round-off of a law over
at most a few hundred states after tens of steps is a few 1e-15.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from scidiff.denoise.enumerated import markov_chain
from scidiff.process.flow import MinimalFlow, MixtureFlow, Rates, TimeReversal, product_balance
from scidiff.process.kernels import Kernel, marginal, mask, tree, uniform
from scidiff.process.matrix_kernel import MatrixKernel
from scidiff.process.survival import Cosine, Power
from scidiff.sample.discrete.ctmc import Ancestral, SiteRule, TauLeaping, Unmask
from scidiff.sample.discrete.discrete_flow import RateLeaping, campbell, defog, gat, polydec_grid
from scidiff.sample.discrete.exact_audit import audit_chain
from scidiff.sample.discrete.exact_laws import ExactLaws
from scidiff.sample.discrete.predictor_corrector import ForwardBackward
from scidiff.sample.discrete.trapezoidal import Trapezoidal
from scidiff.sample.discrete.uniformisation import Uniformisation
from scidiff.sample.grids import uniform_grid
from scidiff.testing_targets.enumeration import Chain
from tests.core.test_kernels import banded

KERNELS: dict[str, Kernel] = {
    "mask": mask(3, Cosine()),
    "uniform": uniform(3),
    "marginal": marginal([0.5, 0.3, 0.2], Power(1.5)),
    "tree": tree([0, 1, 1]),
    "banded": MatrixKernel(banded(3)),
}
ONE_LEVEL = ("mask", "uniform", "marginal")
# conditional laws differ by less than a factor of 2, so that the two-stage rule cuts nothing off
WEAK = torch.tensor([[0.45, 0.33, 0.22], [0.38, 0.4, 0.22], [0.4, 0.3, 0.3]], dtype=torch.float64)


def weak_chain() -> Tensor:
    return markov_chain(torch.tensor([0.45, 0.3, 0.25], dtype=torch.float64), WEAK, 2)


def families(name: str) -> dict[str, Rates]:
    rates: dict[str, Rates] = {
        "reversal": TimeReversal(),
        "minimal": MinimalFlow(),
        "minimal, hub": MinimalFlow(1.3),
        "minimal, product": MinimalFlow(0.7, product_balance),
    }
    return rates | ({"velocity": MixtureFlow(), "velocity, corrector": MixtureFlow(0.8)} if name in ONE_LEVEL else {})


def inflow(laws: ExactLaws, rates: Rates, t: float) -> Tensor:
    """Change of the exact law per unit of time under jumps of one site at the given rates."""
    law, states = laws.marginal(t), laws.states
    rows = torch.nonzero(law > 0).squeeze(1)
    x = states[rows]
    now = torch.full(x.shape, t, dtype=torch.float64)
    u = rates(laws.process, laws.predict(x, now), x, now)
    out, powers = torch.zeros_like(law), laws.kernel.states ** torch.arange(laws.length - 1, -1, -1)
    for site, y in itertools.product(range(laws.length), range(laws.kernel.states)):
        flow = law[rows] * u[:, site, y]
        out.index_add_(0, rows + (y - x[:, site]) * powers[site], flow)
        out.index_add_(0, rows, -flow)
    return out


def slope(laws: ExactLaws, t: float) -> Tensor:
    """Derivative of the exact law: the law with the generator of one site applied at each site in turn."""
    shape = (laws.kernel.states,) * laws.length
    rate = laws.kernel.rate(torch.tensor(t, dtype=torch.float64))
    law = laws.marginal(t).reshape(shape)
    parts = [torch.tensordot(law, rate, dims=([k], [0])).movedim(-1, k) for k in range(laws.length)]
    return sum(parts).flatten()


@pytest.mark.parametrize("name", KERNELS)
def test_every_family_of_rates_carries_the_law(name: str) -> None:
    """Kolmogorov: what flows in is ``-dp/dt``, to round-off of rates of size 1/t."""
    laws = ExactLaws(audit_chain(2), KERNELS[name])
    for t in (0.05, 0.4, 0.9):
        truth = -slope(laws, t)
        for rates in families(name).values():
            assert rates.label == "exact"
            assert float((inflow(laws, rates, t) - truth).abs().max()) < 1e-12
        biased = MinimalFlow(omega=0.1)
        assert biased.label == "biased"
        assert float((inflow(laws, biased, t) - truth).abs().max()) > 1e-4


@pytest.mark.parametrize("name", KERNELS)
def test_balance_rates_move_nothing_and_reach_further(name: str) -> None:
    """Detailed balance given the clean class: p(x) R(x -> y | v) = p(y) R(y -> x | v)."""
    kernel, t = KERNELS[name], torch.tensor(0.3, dtype=torch.float64)
    x = torch.arange(kernel.states)
    p = kernel.matrix(t)[: kernel.clean]
    plain = MinimalFlow().conditional(kernel, x, t.expand(x.shape))
    off = ~torch.eye(kernel.states, dtype=torch.bool).unsqueeze(1)
    for flow in (MinimalFlow(1.0), MinimalFlow(1.0, product_balance)):
        extra = torch.where(off, flow.conditional(kernel, x, t.expand(x.shape)) - plain, 0.0)
        current = p.mT.unsqueeze(-1) * extra
        assert torch.allclose(current, current.permute(2, 1, 0), rtol=0, atol=1e-14)
        assert float(current.max()) > 0.01


def test_masks_have_one_velocity() -> None:
    """R*, the mixture velocity and the reversal are the same rates, ``-a'/(1 - a) F``, for masks."""
    laws = ExactLaws(audit_chain(2), KERNELS["mask"])
    x = laws.states
    now = torch.full(x.shape, 0.6, dtype=torch.float64)
    m = laws.predict(x, now)
    rates = [family(laws.process, m, x, now) for family in (TimeReversal(), MinimalFlow(), MixtureFlow())]
    assert torch.allclose(rates[0], rates[1], rtol=1e-13, atol=1e-14)
    assert torch.allclose(rates[0], rates[2], rtol=1e-13, atol=1e-14)
    weight = -Cosine().slope(now) / Cosine().complement(now)
    masked = x == 3
    assert torch.allclose(rates[0][..., :3][masked], (weight.unsqueeze(-1) * m.exp())[masked], rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", KERNELS)
def test_leaps_halve_their_error(name: str) -> None:
    """First order: ratios of errors at doubled steps are 2 within 12 %, and within 25 % for strong hub rates."""
    laws = ExactLaws(audit_chain(2), KERNELS[name])
    rules: dict[SiteRule, float] = {campbell(): 0.24, campbell(0.3): 0.5, defog(0.5): 0.3}
    for rule, slack in (rules | ({gat(0.5): 0.3} if name in ONE_LEVEL else {})).items():
        assert rule.label == "consistent(1)"
        grid = polydec_grid if rule.citation == "arXiv:2410.04263" else uniform_grid
        coarse, fine = (laws.tv(laws.grid(rule.probs, grid(steps))) for steps in (32, 64))
        assert abs(coarse / fine - 2) < slack


def test_leaping_at_the_reversal_is_tau_leaping() -> None:
    laws = ExactLaws(audit_chain(3), uniform(3))
    ours, theirs = (laws.grid(rule.probs, uniform_grid(6)) for rule in (RateLeaping(), TauLeaping()))
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-15)


def test_target_guidance_does_not_vanish_with_the_steps() -> None:
    laws = ExactLaws(audit_chain(2), uniform(3))
    fine = laws.tv(laws.grid(defog(omega=0.3).probs, polydec_grid(64)))
    finer = laws.tv(laws.grid(defog(omega=0.3).probs, polydec_grid(128)))
    assert defog(omega=0.3).label == "biased"
    assert finer > 0.01 and finer > 0.8 * fine


@pytest.mark.parametrize("name", KERNELS)
def test_forward_backward_keeps_the_law_to_first_order(name: str) -> None:
    """``p G - p`` falls as size^2: a ratio of 4 at half the size, within 5 % at sizes of 2 % and 1 % of ``t``."""
    laws = ExactLaws(audit_chain(2), KERNELS[name])
    for t in (0.2, 0.7):
        law = laws.marginal(t)
        change = []
        for size in (0.02 * t, 0.01 * t):
            after = laws.correct(law, ForwardBackward(size).probs, t)
            assert abs(float(after.sum()) - 1) < 1e-14
            change.append(float((after - law).abs().sum()))
        assert abs(change[0] / change[1] - 4) < 0.2
        assert change[1] < 0.01


def test_forward_backward_pulls_a_wrong_law_to_the_right_one() -> None:
    for kernel in (mask(3), uniform(3)):
        laws = ExactLaws(audit_chain(2), kernel)
        wrong = laws.step(laws.marginal(1.0), Ancestral().probs, 1.0, 0.4)
        law = wrong
        for _ in range(40):
            law = laws.correct(law, ForwardBackward(0.02).probs, 0.4)
        assert laws.tv(law, 0.4) < 0.2 * laws.tv(wrong, 0.4)


@pytest.mark.parametrize("name", ONE_LEVEL)
def test_uniformisation_is_exact_at_its_floor(name: str) -> None:
    """Poisson times are integrated by a Runge-Kutta method whose error is below 1e-8; steps leave no other error."""
    laws = ExactLaws(audit_chain(2), KERNELS[name])
    for rates in (MixtureFlow(), MinimalFlow()):
        rule = Uniformisation(laws.process, floor=0.05, rates=rates)
        assert abs(0.5 * float((laws.uniformised(rule) - laws.marginal(0.05)).abs().sum())) < 1e-8


def test_uniformisation_of_the_reversal_pays_for_its_start() -> None:
    """Starting at survival 1e-3 the first law is wrong by 2e-3 at most; later jumps forget it."""
    laws = ExactLaws(audit_chain(2), uniform(3))
    rule = Uniformisation(laws.process, floor=0.05, rates=TimeReversal(), start_time=1 - 1e-3)
    assert laws.tv(laws.uniformised(rule, 200), 0.05) < 2e-3
    assert rule.expected_calls > 2 * Uniformisation(laws.process, floor=0.05).expected_calls


@pytest.mark.parametrize("name", ["mask", "uniform"])
def test_last_draw_of_uniformisation_errs_by_the_square_of_what_is_open(name: str) -> None:
    """From the exact law at the floor: the error falls as (1 - a)^2, by 4 within 10 % where 1 - a halves."""
    laws = ExactLaws(audit_chain(2), mask(3) if name == "mask" else uniform(3))
    ends = [laws.tv(laws.step(laws.marginal(f), Ancestral().probs, f, 0.0)) for f in (0.02, 0.01)]
    assert abs(ends[0] / ends[1] - 4) < 0.4


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("theta", [0.5, 0.35])
def test_trapezoidal_is_of_second_order(name: str, theta: float) -> None:
    """Weakly dependent sites: an order above 1.7 between 16 and 32 steps (logarithms slow it down near ``t = 0``)."""
    laws = ExactLaws(weak_chain(), KERNELS[name])
    errors = [laws.tv(laws.trapezoidal(Trapezoidal(polydec_grid(steps), theta))) for steps in (16, 32)]
    order = math.log2(errors[0] / errors[1])
    assert 1.7 < order < 2.4
    leaps = laws.tv(laws.grid(campbell().probs, polydec_grid(64)))
    assert errors[1] < 0.2 * leaps


def test_trapezoidal_loses_its_order_where_sites_almost_exclude_each_other() -> None:
    """Two tokens that differ in 96 % of the data: both may jump in the first leap, and rates are cut off.

    The order falls to 1, within 0.15 from 64 to 128 steps; the error stays below that of leaps at as many calls.
    """
    laws = ExactLaws(torch.tensor([[0.02, 0.48], [0.48, 0.02]], dtype=torch.float64), mask(2))
    errors = [laws.tv(laws.trapezoidal(Trapezoidal(uniform_grid(steps)))) for steps in (64, 128)]
    assert abs(math.log2(errors[0] / errors[1]) - 1) < 0.15
    assert errors[0] < laws.tv(laws.grid(campbell().probs, uniform_grid(128)))


def test_library_and_test_enumeration_agree() -> None:
    laws, chain = ExactLaws(audit_chain(3), mask(3)), Chain(mask(3), 3)
    assert torch.equal(laws.states, chain.states)
    assert torch.allclose(laws.marginal(0.3), chain.marginal(0.3), rtol=0, atol=1e-16)
    ours, theirs = laws.grid(Ancestral().probs, uniform_grid(5)), chain.grid(Ancestral().probs, 5)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-15)
    assert laws.tv(laws.unmask(Unmask().probs)) < 1e-14
