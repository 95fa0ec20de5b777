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
from scidiff.sample.exponential import dpmpp_2m
from scidiff.sample.solvers import analytic_dpm, ancestral, ddim
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
    slow = audit_discrete(exact_laws(Psi(0.5).probs, PAIR, (100, 200, 400, 800)), PAIR.target)
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
    law = unmask_confident(MASKED)  if False else None
    assert law is None


def test_round_off_is_no_distance():
    law = MASKED.target + 1e-16
    audit = audit_discrete({1: law / law.sum(), 2: MASKED.target, 4: MASKED.target}, MASKED.target)
    assert audit.verdict is Verdict.EXACT


def sampled(rule, chain: Chain, budgets, count: int, seed: int = 0, plan=None) -> dict[int, np.ndarray]:
    """Counts on all states from runs of the sampler."""
    out = {}
    for steps in budgets:
        noise = Noise.range(seed + steps, count)
        where = uniform_grid(steps) if plan is None else plan
        from scidiff.sample.grids import Grid

        state = run(
            chain.oracle.denoiser(),
            chain.process,
            rule,
            Grid(where) if plan is None else plan,
            noise=noise,
            shape=(chain.length,),
        )
        index = (state.x * chain.kernel.states ** torch.arange(chain.length - 1, -1, -1)).sum(1)
        out[steps] = torch.bincount(index, minlength=len(chain.states)).numpy()
    return out
