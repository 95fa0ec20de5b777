"""Intervals cover what they claim to cover."""

from __future__ import annotations

import numpy as np
import pytest
from scidiff.domains.molecules.metrics.basic import distinct_rate
from scidiff.domains.molecules.metrics.intervals import (
    bootstrap_mean,
    group_jackknife,
    group_labels,
    half_sampling,
    wilson,
)
from scipy.stats import binom

from scidiff.errors import ConfigError


def test_wilson_against_its_defining_equation():
    """The ends ``p`` solve ``(x/n - p)^2 = z^2 p (1 - p) / n``."""
    z = 1.959963984540054
    for successes, count in ((0, 7), (3, 7), (50, 100), (100, 100)):
        for p in wilson(successes, count):
            assert (successes / count - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / count, abs=1e-12)


@pytest.mark.parametrize("count", [50, 500])
def test_wilson_covers_a_bernoulli(count):
    """Exact coverage by enumeration: near 95 % on average over p, never far below it."""
    outcomes = np.arange(count + 1)
    ends = np.array([wilson(int(k), count) for k in outcomes])
    rates = np.linspace(0.02, 0.98, 193)
    coverage = [binom.pmf(outcomes, count, p)[(ends[:, 0] <= p) & (p <= ends[:, 1])].sum() for p in rates]
    assert 0.945 < np.mean(coverage) < 0.965
    assert min(coverage) > 0.89


def test_the_bootstrap_covers_a_skewed_mean():
    """200 exponential samples of 60: 0.95 within three binomial errors and BCa's known shortfall."""
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        low, high = bootstrap_mean(rng.exponential(size=60), seed=trial, repeats=200)
        covered += low <= 1.0 <= high
    error = np.sqrt(0.95 * 0.05 / 200)
    assert 0.95 - 0.03 - 3 * error < covered / 200 <= 0.95 + 3 * error


def test_the_bootstrap_leans_towards_the_long_tail():
    values = np.random.default_rng(0).exponential(size=100)
    low, high = bootstrap_mean(values, seed=0, repeats=2000)
    assert high - values.mean() > values.mean() - low > 0


def test_the_bootstrap_of_a_constant_has_no_width():
    assert bootstrap_mean(np.full(5, 2.5), seed=0) == (2.5, 2.5)


@pytest.mark.parametrize("count", [101, 400])
def test_half_sampling_gives_the_standard_error_of_a_mean(count):
    """For a mean the spread over halves is the standard error; 2000 halves know it within 1/sqrt(2 * 2000) = 1.6 %."""
    values = np.random.default_rng(2).normal(size=count)
    low, high = half_sampling(lambda rows: values[rows].mean(), values.mean(), count, seed=0, repeats=2000)
    expected = 2 * 1.96 * values.std(ddof=1) / np.sqrt(count)
    assert high - low == pytest.approx(expected, rel=4 * 0.016)


def test_half_sampling_covers_uniqueness():
    """Draws of 400 from 1000 kinds: expected distinct share ``(K/n)(1 - (1 - 1/K)^n)``, known in closed form."""
    kinds, count, trials = 1000, 400, 120
    truth = kinds / count * (1 - (1 - 1 / kinds) ** count)
    rng = np.random.default_rng(3)
    everyone = np.ones(count, dtype=bool)
    covered = 0
    for trial in range(trials):
        codes = rng.integers(0, kinds, count)
        value = distinct_rate(codes, everyone)
        low, high = half_sampling(
            lambda rows, codes=codes: distinct_rate(codes[rows], everyone[rows]), value, count, seed=trial, repeats=100
        )
        covered += low <= truth <= high
    assert covered / trials > 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)


def test_the_jackknife_gives_the_standard_error_of_a_mean():
    """Groups of one: exactly the standard error of the mean, times Student's quantile."""
    values = np.random.default_rng(4).normal(size=30)
    left_out = [(values.sum() - value) / 29 for value in values]
    low, high = group_jackknife(values.mean(), left_out)
    assert high - low == pytest.approx(2 * 2.045229642 * values.std(ddof=1) / np.sqrt(30), rel=1e-9)


def test_groups_are_equal_and_random():
    labels = group_labels(103, 8, seed=0)
    assert set(np.bincount(labels)) == {12, 13}
    assert (labels == group_labels(103, 8, seed=0)).all()
    assert (labels != group_labels(103, 8, seed=1)).any()


@pytest.mark.parametrize(("successes", "count"), [(1, 0), (5, 4), (-1, 4)])
def test_impossible_counts_are_refused(successes, count):
    with pytest.raises(ConfigError, match="successes"):
        wilson(successes, count)


def test_an_impossible_confidence_is_refused():
    with pytest.raises(ConfigError, match="confidence"):
        wilson(1, 2, confidence=1.0)
