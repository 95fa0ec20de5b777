"""The audit finds the label of samplers whose output law is known: by enumeration, and from their samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scidiff.analysis.audit import Audit, Verdict, audit_discrete, tv_of_counts
from scidiff.analysis.variance import audit_gaussian, audit_variance, table_variance
from scidiff.denoise import GaussianMixture
from scidiff.process import GaussianProcess, Linear, VPSchedule
from scidiff.process.kernels import mask, uniform
from scidiff.random import Noise
from scidiff.sample import Ancestral, FirstHitting, Psi, TableRule, Unmask, log_snr_grid, run, uniform_grid
from scidiff.sample.continuous.exponential import dpmpp_2m
from scidiff.sample.continuous.solvers import analytic_dpm, ancestral, ddim
from scidiff.sample.discrete.plans import Confidence
from scidiff.sample.grids import Grid
from scidiff.spaces import Euclidean
from scidiff.testing_targets.enumeration import Chain, plugged
from scidiff.testing_targets.unmasking import unmask_confident

SCHEDULE = VPSchedule()
MASKED, MIXED = Chain(mask(3), 3), Chain(uniform(3), 3)
PAIR = Chain(mask(3), 2)


def exact_laws(rule, chain: Chain, budgets=(4, 8, 16, 32)) -> dict[int, torch.Tensor]:
    return {steps: chain.grid(rule, steps) for steps in budgets}


def test_exact_laws_of_consistent_samplers():
    """First order for ancestral sampling; for a mixture with project-and-noise 1/2, approached from 1."""
    first = audit_discrete(exact_laws(Ancestral().probs, MASKED), MASKED.target)
    assert first.label == "consistent(1.0)"
    assert first.plateau < 0.1 * first.distances[-1].value
    slow = audit_discrete(exact_laws(Psi(0.5).probs, PAIR, (50, 100, 200, 400)), PAIR.target)
    assert slow.verdict is Verdict.CONSISTENT
    assert 0.4 < slow.order < 0.7


def test_exact_laws_of_biased_samplers():
    """The posterior plugged into the bridge, and a plateau that is put there: 2 % of another law."""
    trapped = audit_discrete(exact_laws(plugged, MIXED, (8, 32, 128)), MIXED.target)
    assert trapped.label == "biased"
    assert trapped.plateau == pytest.approx(trapped.distances[-1].value, rel=0.05)
    other = torch.full_like(MIXED.target, 1 / len(MIXED.target))
    laws = {n: 0.98 * law + 0.02 * other for n, law in exact_laws(Ancestral().probs, MIXED, (4, 32, 256)).items()}
    spoiled = audit_discrete(laws, MIXED.target)
    assert spoiled.label == "biased"
    # 15 %: the distance of a mixture lies below the sum of the two distances
    assert spoiled.plateau == pytest.approx(0.02 * MIXED.tv(other), rel=0.15)


def test_the_same_law_at_every_budget_is_biased():
    """A policy that reveals one site per call by the confidence of what it has drawn: more calls do not help."""
    law = unmask_confident(MASKED, Confidence())
    audit = audit_discrete({3: law, 6: law, 12: law}, MASKED.target)
    assert audit.label == "biased"
    assert audit.plateau == pytest.approx(MASKED.tv(law), rel=1e-9)


def test_round_off_is_no_distance():
    law = MASKED.target + 1e-16
    audit = audit_discrete({1: law / law.sum(), 2: MASKED.target, 4: MASKED.target}, MASKED.target)
    assert audit.verdict is Verdict.EXACT


def counts(rule, chain: Chain, plan, count: int, seed: int) -> np.ndarray:
    """Samples on each state from one run of the sampler."""
    noise = Noise.range(seed, count)
    shape = (chain.length,)
    state = run(chain.oracle.denoiser(), chain.process, rule, plan, noise=noise, shape=shape)
    index = (state.x * chain.kernel.states ** torch.arange(chain.length - 1, -1, -1)).sum(1)
    return torch.bincount(index, minlength=len(chain.states)).numpy()


def test_samples_of_a_consistent_sampler():
    """The exact distances lie in the three intervals of 95 %; one seed in seven would miss one."""
    budgets = (1, 4, 16)
    found = {n: counts(Ancestral(), MASKED, Grid(uniform_grid(n)), 8000, seed=n) for n in budgets}
    audit = audit_discrete(found, MASKED.target)
    assert audit.verdict is Verdict.CONSISTENT
    assert 0.8 < audit.order < 1.25
    for steps, distance in zip(budgets, audit.distances, strict=True):
        assert distance.low <= MASKED.tv(MASKED.grid(Ancestral().probs, steps)) <= distance.high


def test_samples_of_an_exact_sampler_stay_on_the_floor():
    found = {n: counts(Unmask(), MASKED, FirstHitting(Linear()), 8000, seed=n) for n in (3, 6, 12)}
    audit = audit_discrete(found, MASKED.target)
    assert audit.verdict is Verdict.EXACT
    # the floor of an exact sampler: sum sqrt(2 p (1 - p) / (pi n)) / 2, up to its spread of some per cent
    p = MASKED.target.numpy()
    floor = 0.5 * np.sqrt(2 * p * (1 - p) / np.pi / 8000).sum()
    assert all(distance.floor == pytest.approx(floor, rel=0.1) for distance in audit.distances)


def test_samples_of_a_biased_sampler():
    rng = np.random.default_rng(0)
    found = {n: rng.multinomial(8000, MIXED.grid(plugged, n).numpy()) for n in (8, 16, 32)}
    audit = audit_discrete(found, MIXED.target)
    assert audit.verdict is Verdict.BIASED
    assert audit.plateau_interval[0] < MIXED.tv(MIXED.grid(plugged, 32)) < audit.plateau_interval[1] * 1.05


def test_intervals_hold_the_truth():
    """Of 200 intervals of 90 % at least 164 hold: the binomial mean is 180, its standard deviation 4.2."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(30))
    q = 0.8 * p + 0.2 * rng.dirichlet(np.ones(30))
    truth = 0.5 * np.abs(p - q).sum()
    held = 0
    for seed in range(200):
        one = tv_of_counts(rng.multinomial(4000, q), p, seed=seed, confidence=0.9)
        held += one.low <= truth <= one.high
    assert held >= 164


def test_too_few_samples_decide_nothing():
    rng = np.random.default_rng(0)
    laws = exact_laws(Ancestral().probs, MASKED, (2, 4, 8))
    audit = audit_discrete({n: rng.multinomial(60, law.numpy()) for n, law in laws.items()}, MASKED.target)
    assert audit.verdict in (Verdict.UNDECIDED, Verdict.EXACT)
    assert audit.plateau_interval[1] > 0.05


def matched(table, variance: float) -> float:
    """Variance of the result for a first state of the right variance."""
    return table_variance(table, variance, float(table.alpha[0] ** 2 * variance + table.sigma[0] ** 2))


def gaussian_audit(solver, variance: float) -> Audit:
    runs = {n: matched(solver(SCHEDULE, log_snr_grid(SCHEDULE, n)), variance) for n in (16, 32, 64, 128)}
    return audit_variance(runs, variance)


@pytest.mark.parametrize("variance", [0.25, 1.0, 4.0])
def test_variance_recursions(variance):
    """Published orders: 1 for DDPM and DDIM, 2 for the two-step solver; Analytic-DPM is exact."""

    def analytic(schedule, grid):
        def posterior(lam: float) -> float:
            return variance / (1 + variance * float(np.exp(2 * lam)))

        return analytic_dpm(schedule, grid, posterior_variance=posterior)

    assert gaussian_audit(analytic, variance).label == "exact"
    for solver, order in ((ancestral, 1), (ddim, 1), (dpmpp_2m, 2)):
        audit = gaussian_audit(solver, variance)
        assert audit.verdict is Verdict.CONSISTENT
        assert audit.order == pytest.approx(order, abs=0.25)


def test_samples_follow_the_recursion_and_not_the_data():
    """Ten steps of DDPM: what the recursion predicts, and far from the variance of the data."""
    count, dim, variance = 4000, 3, 4.0
    mixture = GaussianMixture.gaussian(SCHEDULE, torch.zeros(dim), torch.tensor(variance))
    rule = TableRule(ancestral(SCHEDULE, log_snr_grid(SCHEDULE, 10)))
    process = GaussianProcess(Euclidean((dim,)), SCHEDULE)
    x = run(mixture.denoiser, process, rule, rule.plan, noise=Noise.range(0, count), shape=(dim,)).x
    predicted = audit_gaussian(x, table_variance(rule.table, variance))
    assert predicted.agrees
    missed = audit_gaussian(x, variance)
    assert not missed.agrees
    assert float(np.abs(missed.z_variance).max()) > 10
    assert not audit_gaussian(x + 0.2, table_variance(rule.table, variance)).agrees


def test_exact_normals_agree_as_often_as_promised():
    """Of 200 audits at 90 % at least 164 agree; tolerance as above."""
    held = 0
    for seed in range(200):
        x = Noise.range(seed, 500).normal((2,), step=0, stream="x")
        held += audit_gaussian(2 * x, 4.0, confidence=0.9).agrees
    assert 164 <= held <= 196


def test_variance_from_samples():
    """Normals whose variance is 1 + 2/N, and others whose variance is 1.3 throughout."""
    noise = Noise.range(0, 20_000)
    draws = {n: noise.normal((2,), step=n, stream="x") for n in (4, 8, 16, 32)}
    falling = audit_variance({n: np.sqrt(1 + 2 / n) * x for n, x in draws.items()}, 1.0)
    assert falling.verdict is Verdict.CONSISTENT
    assert falling.order == pytest.approx(1.0, abs=0.25)
    assert audit_variance({n: np.sqrt(1.3) * x for n, x in draws.items()}, 1.0).label == "biased"
    assert audit_variance(draws, 1.0).label == "exact"
