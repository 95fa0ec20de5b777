"""The methods on Gaussian fields, against the conditioned law in closed form."""

from __future__ import annotations

import pytest
import torch
from scidiff.domains.pde.constraints.base import Affine, Nonlinear
from scidiff.domains.pde.constraints.guidance import NormGuidance
from scidiff.domains.pde.constraints.interpolation import Interpolation, mixing_grid
from scidiff.domains.pde.constraints.methods import (
    ECI,
    PCFM,
    PDM,
    CoCoGen,
    DFlow,
    DiffusionPDE,
    EndProjectionMethod,
    ExactConditioning,
    GaussNewton,
)
from scidiff.domains.pde.constraints.oracle import GaussianOracle
from scidiff.domains.pde.constraints.rows import constraint_rows
from scidiff.domains.pde.constraints.source import source_gradient

from scidiff.errors import ConfigError
from scidiff.guidance import matrix_covariance
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, ddim, uniform_grid, unipc
from scidiff.spaces.linear import MatrixOperator

ORACLE = GaussianOracle(0)
METRIC = matrix_covariance(ORACLE.covariance)


def test_conditioning_in_the_metric_of_the_posterior_has_the_right_law():
    row = ORACLE.judge(ExactConditioning(METRIC), 20, affine=True)
    # moments without Monte-Carlo error: what is left is that of the solver
    assert row.constraint <= 1e-12 and row.mean <= 0.01 and row.covariance <= 0.05
    assert 0.88 <= row.coverage <= 0.92 and row.calls == 20


def test_gauss_newton_in_that_metric_is_the_constraint_of_the_core():
    draws = []
    for method in (ExactConditioning(METRIC), GaussNewton(METRIC)):
        noise = Noise.range(3, 4)
        end = method.draw(ORACLE.law.denoiser, ORACLE.process, ORACLE.constraint, steps=8, noise=noise)
        draws.append(end.x)
    # the core corrects once more by the least change; matrices of condition 1e5 in float64
    assert torch.allclose(*draws, atol=1e-8)


def test_a_projected_draw_is_exact_in_the_metric_of_the_data_and_wrong_in_the_euclidean_one():
    c = ORACLE.covariance
    right = ORACLE.judge(EndProjectionMethod(lambda v: v @ c, "Gaussian data"), 100, affine=True)
    wrong = ORACLE.judge(EndProjectionMethod(), 100, affine=True)
    assert right.constraint <= 1e-12 and right.mean <= 0.01 and right.covariance <= 0.05
    assert wrong.constraint <= 1e-12 and wrong.mean > 0.5 and wrong.spread > 5
    assert EndProjectionMethod().label == "biased" and ExactConditioning(METRIC).exact_for


def test_eci_and_pcfm_obey_the_constraint_and_miss_the_spread():
    eci, pcfm = (ORACLE.judge(method, 100, affine=True) for method in (ECI(1), PCFM()))
    assert eci.constraint <= 1e-12 and 4 < eci.spread < 9 and eci.covariance > 10
    # affine, one mix, no penalty: the same method
    assert pcfm.covariance == pytest.approx(eci.covariance, rel=1e-9)
    assert ORACLE.judge(PCFM(nearest=False), 10, affine=True).mean == pytest.approx(
        ORACLE.judge(PCFM(), 10, affine=True).mean, rel=1e-9
    )


def test_resampling_narrows_the_spread():
    row = ORACLE.judge(ECI(5, 1), 40, affine=False, count=200)
    # the spread of 200 draws has a standard error of 5 %
    assert row.spread < 1.4 and row.constraint <= 1e-12 and row.calls == 200


def test_the_relaxed_step_changes_the_law_and_not_the_constraint():
    plain, relaxed = (ORACLE.judge(PCFM(penalty=lam), 20, affine=True) for lam in (0.0, 10.0))
    assert relaxed.constraint <= 1e-12 and abs(relaxed.spread - plain.spread) > 0.1


def test_projected_langevin_keeps_to_the_constraint():
    row = ORACLE.judge(PDM(2), 20, affine=False, count=40)
    assert row.constraint <= 1e-12 and row.calls == 1 + 2 * 19


def test_guidance_lowers_the_constraint_and_does_not_meet_it():
    free, guided = (ORACLE.judge(DiffusionPDE(observe=weight), 50, affine=False, count=60) for weight in (0.0, 1.0))
    assert 1e-6 < guided.constraint < 0.5 * free.constraint


def test_gradient_steps_lower_the_constraint_and_do_not_meet_it():
    none, some = (ORACLE.judge(CoCoGen(during=k, after=k), 20, affine=True) for k in (0, 20))
    assert 1e-9 < some.constraint < 0.5 * none.constraint


def start(count=3):
    return RunState.start(ORACLE.process, Noise.range(7, count), (64,))


def test_the_gradient_with_respect_to_the_prior_agrees_with_differences():
    rule = TableRule(ddim(ORACLE.process.schedule, uniform_grid(6)))
    begin, step = start(), 1e-4
    cost, gradient, _ = source_gradient(ORACLE.law.denoiser, ORACLE.process, rule, begin, ORACLE.constraint)
    v = Noise.range(8, 3).normal((64,), step=0, stream="v")
    ends = []
    for sign in (1, -1):
        moved = RunState.at(begin.x + sign * step * v, 1.0, begin.noise)
        ends.append(source_gradient(ORACLE.law.denoiser, ORACLE.process, rule, moved, ORACLE.constraint)[0])
    # the cost is quadratic: central differences err by round-off over the step alone
    assert torch.allclose((ends[0] - ends[1]) / (2 * step), (gradient * v).sum(1), rtol=1e-7, atol=1e-9)
    assert bool((cost > 0).all())


def test_dflow_comes_near_the_constraint():
    row = ORACLE.judge(DFlow(40), 6, affine=False, count=8)
    free = ORACLE.judge(DFlow(1), 6, affine=False, count=8)
    assert row.constraint < 0.1 * free.constraint


def test_an_inequivalent_rule_is_refused():
    deep = TableRule(unipc(ORACLE.process.schedule, uniform_grid(6, start=0.9)))
    with pytest.raises(ConfigError, match="memory"):
        NormGuidance(deep, ORACLE.constraint)
    with pytest.raises(ConfigError, match="memory"):
        source_gradient(ORACLE.law.denoiser, ORACLE.process, deep, start(), ORACLE.constraint)
    with pytest.raises(ConfigError, match="KeepEnds"):
        Interpolation()(ORACLE.process, start(), start().x, torch.tensor(0.5))
    with pytest.raises(ConfigError, match="mix"):
        mixing_grid(4, 0)
    with pytest.raises(ConfigError, match="Affine"):
        ExactConditioning().parts(Nonlinear(lambda x: x[:, :1] ** 2, (64,), 1), ORACLE.process, 4)


def test_every_sample_may_have_its_own_data():
    b = torch.stack([ORACLE.data, 0.5 * ORACLE.data])
    constraint = Affine(MatrixOperator(ORACLE.matrix), b)
    for method in (ExactConditioning(METRIC), GaussNewton(METRIC), ECI(2, 2), PCFM()):
        end = method.draw(ORACLE.law.denoiser, ORACLE.process, constraint, steps=6, noise=Noise.range(0, 2))
        assert float((end.x @ ORACLE.matrix.T - b).abs().max()) <= 1e-12
        assert not bool(end.records["failed/constraint"].any())


@pytest.mark.slow
def test_the_fast_rows_of_the_benchmark_reach_their_bars():
    found = list(constraint_rows(True, 0))
    assert all(row.passed is not False for row in found)
    assert len({row.name for row in found}) == len(found)
    bars = [row for row in found if row.bar is not None]
    assert {row.name.split("/")[2] for row in bars} == {"exact conditioning", "Gauss-Newton, C metric"}
