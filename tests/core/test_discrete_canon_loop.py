"""Rules and correctors of the discrete canon inside the loop: draws, ledger, fixed sites, products; and the audit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scidiff.denoise.corrupted import corrupted
from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.enumerated import Enumerated
from scidiff.errors import NumericalError
from scidiff.process.base import Kind, ProductProcess
from scidiff.process.flow import MinimalFlow, MixtureFlow, TimeReversal
from scidiff.process.kernels import marginal, mask, uniform
from scidiff.process.survival import Cosine, Power
from scidiff.random import Noise
from scidiff.sample.discrete.discrete_flow import RateLeaping, campbell
from scidiff.sample.discrete.exact_audit import audit_chain, audit_figure, audit_rules
from scidiff.sample.discrete.exact_laws import ExactLaws
from scidiff.sample.discrete.predictor_corrector import ForwardBackward
from scidiff.sample.discrete.trapezoidal import Trapezoidal
from scidiff.sample.discrete.uniformisation import BothEnds, Uniformisation, WhereDataForms
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from tests.core.test_discrete_canon import exact, rough


def frequencies(laws: ExactLaws, x: Tensor) -> Tensor:
    powers = laws.kernel.states ** torch.arange(laws.length - 1, -1, -1)
    return torch.bincount((x * powers).sum(1), minlength=len(laws.states)).double() / len(x)


def spread(law: Tensor, count: int) -> float:
    """Five standard errors of the sum of absolute deviations, ``sum_i sqrt(p_i / count)`` being a bound of its mean."""
    return float((law / count).sqrt().sum()) + 5.0 / count**0.5


def test_trapezoidal_in_the_loop_draws_from_its_law_and_books_both_calls() -> None:
    laws = ExactLaws(audit_chain(2), uniform(3))
    rule, count = Trapezoidal(uniform_grid(3)), 4000
    end = run(
        Enumerated(laws.table, laws.kernel).denoiser(),
        laws.process, rule, rule.plan, noise=Noise.range(1, count), shape=(2,),
    )  # fmt: skip
    assert rule.plan.steps == 5 and bool((end.calls == 5).all()) and bool((end.t == 0).all())
    law = laws.trapezoidal(rule)
    assert float((frequencies(laws, end.x) - law).abs().sum()) < spread(law, count)
    assert rule.label == "consistent(2)" and Trapezoidal(uniform_grid(2), rates=MinimalFlow(omega=1)).label == "biased"


def test_uniformisation_in_the_loop_draws_the_data() -> None:
    laws, count = ExactLaws(audit_chain(2), uniform(3)), 4000
    u = Uniformisation(laws.process, floor=1e-3)
    begin = u.start(RunState.start(laws.process, Noise.range(2, count), (2,)))
    first = -begin.t[:, 0].log()
    assert torch.equal(begin.t[:, 0], begin.t[:, 1])
    assert abs(float(first.mean()) - 0.5) < 5 * 0.5 / count**0.5
    end = run(Enumerated(laws.table, laws.kernel).denoiser(), laws.process, u, u, state=begin)
    assert float((frequencies(laws, end.x) - laws.marginal(0.0)).abs().sum()) < spread(laws.marginal(0.0), count)
    again = run(Enumerated(laws.table, laws.kernel).denoiser(), laws.process, u, u, state=begin.take(range(7)))
    assert torch.equal(again.x, end.x[:7])
    assert abs(u.expected_calls - 6.907755278982137) < 1e-12


def test_uniformisation_leaves_fixed_sites() -> None:
    laws = ExactLaws(audit_chain(3), mask(3))
    free = torch.tensor([[True, False, True]]).expand(50, 3)
    clean = torch.full((50, 3), 1)
    u = Uniformisation(laws.process)
    denoiser = Enumerated(laws.table, laws.kernel).denoiser()
    end = run(denoiser, laws.process, u, u, noise=Noise.range(4, 50), shape=(3,), free=free, clean=clean)
    assert bool((end.x[:, 1] == 1).all()) and bool((end.x < 3).all())


def test_dominating_rates_hold_for_any_prediction() -> None:
    for kernel in (mask(3), uniform(3, Cosine()), marginal([0.5, 0.3, 0.2], Power(2))):
        for t in (0.01, 0.5, 0.99):
            laws, x, now, m = exact(kernel, t)
            for rates in (MixtureFlow(), MinimalFlow(), TimeReversal()):
                u = Uniformisation(laws.process, rates=rates, start_time=1 - 1e-3)
                worst = [u.rates(laws.process, f, x, now).sum(-1).max() for f in (m, rough(m), rough(3 * rough(m)))]
                assert float(max(worst)) <= float(u.bound.rate(now[0, 0])) * (1 + 1e-9)


def test_depth_and_time_of_a_bound_invert_each_other() -> None:
    t = torch.linspace(0.01, 0.99, 21, dtype=torch.float64)
    for bound in (WhereDataForms(Cosine(), 1.5), BothEnds(Power(2))):
        assert torch.allclose(bound.time(bound.depth(t)), t, rtol=1e-12, atol=0)
        numeric = (bound.depth(t + 1e-6) - bound.depth(t - 1e-6)) / 2e-6
        assert torch.allclose(bound.rate(t), numeric, rtol=1e-6, atol=0)


def test_uniformisation_refuses_what_is_no_law() -> None:
    laws, x, now, m = exact(uniform(3), 0.5)
    with pytest.raises(NumericalError, match="their bound"):
        Uniformisation(laws.process).probs(laws.process, m + 1.0, x, now)


def test_forward_backward_in_the_loop_books_its_calls_and_rests_at_the_end() -> None:
    laws = ExactLaws(audit_chain(2), mask(3))
    corrector = ForwardBackward(lambda t: 0.1 * t, updates=2)
    end = run(
        Enumerated(laws.table, laws.kernel).denoiser(),
        laws.process, campbell(), Grid(uniform_grid(4)),
        noise=Noise.range(5, 30), shape=(2,), correctors=(corrector,),
    )  # fmt: skip
    assert bool((end.calls == 4 + 3 * 2).all()) and bool((end.x < 3).all())
    rest = corrector.probs(laws.process, laws.predict(end.x, end.t), end.x, end.t)
    assert torch.equal(rest.argmax(-1), end.x) and float(rest.amax(-1).min()) == 1.0


def test_corruption_is_a_function_of_the_state() -> None:
    laws = ExactLaws(audit_chain(3), uniform(3))
    right = Enumerated(laws.table, laws.kernel).denoiser()
    wrong = corrupted(right, laws.process, 0.3)
    x, t = laws.states, torch.full(laws.states.shape, 0.5, dtype=torch.float64)
    m, order = wrong(x, t), torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    assert torch.equal(wrong(x[order], t[order]), m[order])
    shift = m - right(x, t)
    shift = shift - shift.mean(-1, keepdim=True)
    # 27 x 9 normals with a mean taken out of every three: 162 degrees of freedom, a relative error of 6 % at one sigma
    assert abs(float(shift.square().sum() / 162) ** 0.5 - 0.3) < 5 * 0.3 * 0.056
    same = corrupted(right, laws.process, 0.0)
    assert torch.allclose(same(x, t), right(x, t), rtol=0, atol=1e-14)
    assert not torch.equal(corrupted(right, laws.process, 0.3, seed=1)(x, t), m)


def test_audit_tells_right_from_wrong() -> None:
    rows = audit_rules(table=audit_chain(2), calls=(4, 8))
    assert {row.corruption for row in rows} == {0.0, 0.3}
    exact_rows = {(row.rule, row.calls): row.tv for row in rows if row.corruption == 0}
    assert exact_rows["first hitting", 2.0] < 1e-14
    assert exact_rows["ancestral", 8.0] < exact_rows["ancestral", 4.0]
    assert exact_rows["uniformisation", 8.0] < exact_rows["ancestral", 8.0]
    floor = next(row.tv for row in rows if row.rule == "first hitting" and row.corruption > 0)
    assert floor > 1e-3
    assert all(row.label and row.citation.startswith("arXiv:") for row in rows)
    figure = audit_figure(rows, title="masks")
    assert len(figure.axes) == 2 and len(figure.axes[0].lines) == len({row.rule for row in rows})


def test_factors_of_a_product_move_as_they_do_alone() -> None:
    """Two factors that the denoiser treats apart: each draws what a run of its own with its streams would."""
    parts = {"a": ExactLaws(audit_chain(2), mask(3)), "b": ExactLaws(audit_chain(2), uniform(3))}
    oracles = {key: Enumerated(laws.table, laws.kernel) for key, laws in parts.items()}
    process = ProductProcess({key: laws.process for key, laws in parts.items()})
    both = Denoiser(
        lambda x, t, c: {key: oracle.posterior(x[key], t[key]) for key, oracle in oracles.items()},
        {"a": Kind.LOGITS, "b": Kind.LOGITS},
    )
    corrector, rule = ForwardBackward(lambda t: 0.1 * t), Trapezoidal(uniform_grid(3))
    for move, plan, correctors in ((rule, rule.plan, ()), (RateLeaping(), Grid(uniform_grid(3)), (corrector,))):
        noise = Noise.range(7, 40)
        end = run(both, process, move, plan, noise=noise, shape={"a": (2,), "b": (2,)}, correctors=correctors)
        for key, laws in parts.items():
            begin = process.prior(noise, {"a": (2,), "b": (2,)})[key]
            state = RunState.at(begin, 1.0, noise.scoped(key))
            alone = run(oracles[key].denoiser(), laws.process, move, plan, state=state, correctors=correctors)
            assert torch.equal(alone.x, end.x[key])
