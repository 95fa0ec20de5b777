"""The recursion of generations against its closed forms on a grid."""

from __future__ import annotations

import numpy as np
import pytest

from scidiff.analysis.collapse import (
    CoherentError,
    IndependentErrors,
    chi2,
    coherent_divergence,
    independent_divergence,
    recurse,
)
from scidiff.errors import ConfigError, NumericalError, ShapeError

FRESH = (0.05, 0.2, 0.5)
GRID = np.linspace(-2, 2, 101)
LAW = np.exp(-0.5 * GRID**2)
LAW = LAW / LAW.sum()


@pytest.mark.parametrize(
    ("fresh", "independent", "coherent"), [(0.05, 0.0256, 0.160), (0.2, 0.0069, 0.0100), (0.5, 0.0033, 0.0016)]
)
def test_limits_as_published(fresh, independent, coherent):
    """Errors of 0.05 and 0.02; the quoted numbers have two or three digits."""
    assert independent_divergence(0.05, fresh, np.inf) == pytest.approx(independent, rel=0.015)
    assert coherent_divergence(0.02, fresh, np.inf) == pytest.approx(coherent, rel=0.005)


@pytest.mark.parametrize("fresh", FRESH)
def test_coherent_errors_follow_the_closed_form_to_round_off(fresh):
    chain = recurse(LAW, CoherentError(LAW, 0.01, GRID), fresh=fresh, generations=150)
    exact = coherent_divergence(0.01, fresh, np.arange(151))
    assert np.allclose(chain.divergence[0], exact, rtol=1e-10, atol=1e-16)
    assert np.isclose(chain.divergence[0, -1], coherent_divergence(0.01, fresh, np.inf), rtol=2 * 0.95**150 + 1e-10)


@pytest.mark.parametrize("fresh", FRESH)
def test_independent_errors_follow_the_closed_form_on_average(fresh):
    """Within five standard errors in every generation, from 200 chains; never as far as coherent errors."""
    generations = 100
    chain = recurse(LAW, IndependentErrors(LAW, 0.05, seed=0), fresh=fresh, generations=generations, runs=200)
    exact = independent_divergence(0.05, fresh, np.arange(generations + 1))
    # the first generation has no spread: round-off
    assert (np.abs(chain.mean - exact) <= 5 * chain.error + 1e-15).all()
    assert chain.error[-1] < 0.03 * exact[-1]
    assert chain.mean[-1] < 0.8 * coherent_divergence(0.05, fresh, generations)


@pytest.mark.parametrize("fresh", FRESH)
def test_the_discounted_sum_of_errors_is_the_divergence(fresh):
    """The errors are measured against the mixture and not the truth: a difference of the order of the deviation."""
    chain = recurse(LAW, IndependentErrors(LAW, 0.02, seed=1), fresh=fresh, generations=60, runs=100)
    total = chain.discounted().mean(0)
    assert total[-1] == pytest.approx(chain.mean[-1], rel=0.1)
    assert chain.errors.mean() == pytest.approx(0.02**2, rel=0.05)


def test_without_fresh_data_the_divergence_grows_without_end():
    assert independent_divergence(0.05, 0.0, 40) == pytest.approx(40 * 0.05**2)
    assert coherent_divergence(0.05, 0.0, 40) == pytest.approx(4.0)
    chain = recurse(LAW, CoherentError(LAW, 0.005, np.sin(GRID)), fresh=0.0, generations=40)
    assert np.allclose(chain.divergence[0], coherent_divergence(0.005, 0.0, np.arange(41)), rtol=1e-10, atol=1e-16)


def test_fresh_data_alone_leave_one_error():
    chain = recurse(LAW, IndependentErrors(LAW, 0.05, seed=2), fresh=1.0, generations=5, runs=3)
    assert np.allclose(chain.divergence[:, 1:], 0.05**2, rtol=1e-10)


def test_a_generation_of_samples():
    """A model that learns frequencies of n draws: E chi2 = (cells - 1) / n to leading order, five standard errors."""
    law, draws = np.full(20, 1 / 20), 20_000
    rng = np.random.default_rng(0)
    chain = recurse(law, lambda q, i: rng.multinomial(draws, q) / draws, fresh=0.3, generations=30, runs=400)
    error = np.sqrt(19 / draws)
    exact = independent_divergence(error, 0.3, 30)
    assert abs(chain.mean[-1] - exact) < 5 * chain.error[-1] + 19 / draws * exact


def test_the_same_seed_gives_the_same_chain():
    runs = [recurse(LAW, IndependentErrors(LAW, 0.05, seed=3), fresh=0.1, generations=9, runs=n) for n in (2, 5)]
    assert np.array_equal(runs[0].divergence, runs[1].divergence[:2])


def test_what_is_no_law_is_refused():
    with pytest.raises(NumericalError, match="smaller errors"):
        recurse(LAW, CoherentError(LAW, 3.0, GRID), fresh=0.1, generations=3)
    with pytest.raises(ShapeError, match="sum 1"):
        recurse(LAW * 2, CoherentError(LAW, 0.1, GRID), fresh=0.1, generations=3)
    with pytest.raises(ConfigError, match="fresh"):
        recurse(LAW, CoherentError(LAW, 0.1, GRID), fresh=1.1, generations=3)
    assert chi2(LAW, LAW) == 0
