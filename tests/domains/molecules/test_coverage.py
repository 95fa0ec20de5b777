"""Coverage statistics against sums over all outcomes, and against laws whose divergences are known."""

from __future__ import annotations

from itertools import product
from math import factorial, log, prod

import numpy as np
import pytest
from scidiff.domains.molecules.coverage import PlugIn, count_keys, coverage
from scidiff.domains.molecules.coverage.entropy import _rest, delete_one, entropy_brackets, kl_from_uniform
from scidiff.domains.molecules.coverage.floor import uniform_law
from scidiff.domains.molecules.coverage.variation import chi2_from_uniform, tv_bounds, tv_plug_in
from scipy.special import digamma

from scidiff.errors import ConfigError, DataError

UNEVEN = np.array([0.5, 0.3, 0.15, 0.05])


def outcomes(count: int, law: np.ndarray):
    """Yield every vector of counts with its multinomial probability."""
    for counts in product(range(count + 1), repeat=len(law)):
        if sum(counts) == count:
            ways = factorial(count) / prod(map(factorial, counts))
            yield np.array(counts), ways * float(np.prod(law ** np.array(counts)))


def mean_and_deviation(count: int, law: np.ndarray, statistic) -> tuple[float, float]:
    rows = [(weight, statistic(counts)) for counts, weight in outcomes(count, law)]
    mean = sum(weight * value for weight, value in rows)
    return mean, np.sqrt(sum(weight * (value - mean) ** 2 for weight, value in rows))


def entropy(law: np.ndarray) -> float:
    return float(-(law * np.log(law)).sum())


def zipf(size: int, power: float) -> np.ndarray:
    law = np.arange(1.0, size + 1) ** -power
    return law / law.sum()


def with_half_missing(size: int) -> np.ndarray:
    return np.where(np.arange(size) < size // 2, 2 / size, 0.0)


LAWS = {
    "uniform": lambda size: np.full(size, 1 / size),
    "zipf 1/2": lambda size: zipf(size, 0.5),
    "zipf 1": lambda size: zipf(size, 1.0),
    "half missing": with_half_missing,
}


def test_floors_are_exact() -> None:
    """Mean and deviation over all outcomes of five uniform samples on five keys; round-off only."""
    law, train = np.full(5, 0.2), np.array([True, True, False, False, False])
    reports = [(weight, coverage(counts, train)) for counts, weight in outcomes(5, law)]
    for name in ("kl_plug_in", "tv_plug_in", "coverage", "unseen_coverage"):
        found = [(weight, getattr(report, name)) for weight, report in reports]
        mean = sum(weight * one.value for weight, one in found)
        deviation = np.sqrt(sum(weight * (one.value - mean) ** 2 for weight, one in found))
        assert found[0][1].floor == pytest.approx(mean, abs=1e-13)
        assert found[0][1].floor_sd == pytest.approx(deviation, abs=1e-9)


def test_a_floor_with_many_samples_is_that_of_chi_square() -> None:
    """2 n KL tends to a chi-square law with K - 1 degrees of freedom; the next term is of relative order K/n."""
    size, count = 20, 20_000
    mean, deviation = uniform_law(count, size, lambda n: n * np.log(np.maximum(n, 1) * size / count) / count)
    assert 2 * count * mean == pytest.approx(size - 1, rel=3e-3)
    assert 2 * count * deviation == pytest.approx(np.sqrt(2 * (size - 1)), rel=3e-3)


@pytest.mark.parametrize("count", [2, 5, 8])
def test_the_first_terms_of_the_entropy_are_unbiased(count: int) -> None:
    """E[H_psi] = sum_{j<n} B_j / j, over all outcomes; the digamma form has no other bias."""

    def h_psi(counts: np.ndarray) -> float:
        seen = counts[counts > 0]
        return float((seen * (digamma(count) - digamma(seen))).sum() / count)

    expected = sum((UNEVEN * (1 - UNEVEN) ** j).sum() / j for j in range(1, count))
    assert mean_and_deviation(count, UNEVEN, h_psi)[0] == pytest.approx(expected, abs=1e-13)
    rest = ((1 - UNEVEN) ** count * UNEVEN) @ [_rest(q, count) for q in UNEVEN]
    assert expected + rest == pytest.approx(entropy(UNEVEN), abs=1e-12)


@pytest.mark.parametrize(("q", "count"), [(0.5, 3), (0.01, 100), (1e-4, 50), (1e-3, 20_000), (1.0, 7)])
def test_the_rest_of_the_series(q: float, count: int) -> None:
    terms = np.arange(int(60 / q) + 1)
    direct = ((1 - q) ** terms / (count + terms)).sum()
    assert _rest(q, count) == pytest.approx(direct, rel=1e-11)


@pytest.mark.parametrize("law", [UNEVEN, zipf(30, 1.0), zipf(200, 0.3), np.full(40, 1 / 40)], ids=str)
def test_jensen_brackets_the_rest(law: np.ndarray) -> None:
    """The inequalities themselves, with exact moments of the law; equalities for uniform."""
    for count in (5, 20, 100, 400):
        share = law * (1 - law) ** count
        missing = share.sum()
        rest = share @ [_rest(q, count) for q in law]
        below = missing * _rest(float(share @ law / missing), count)
        above = missing * _rest(float(missing / ((1 - law) ** count).sum()), count)
        assert below <= rest * (1 + 1e-12)
        assert rest <= above * (1 + 1e-12)
        if np.ptp(law) == 0:
            assert below == pytest.approx(above, rel=1e-10)


def test_the_estimator_is_the_published_one() -> None:
    """Its closed form: f_1/n (1-A)^{1-n} (-log A - sum_{r<n} (1-A)^r / r) after H_psi, on a small example."""
    seen = np.array([1, 1, 1, 1, 2, 2, 3, 5])
    values, keys = np.unique(seen, return_counts=True)
    count, once, twice = int(seen.sum()), 4, 2
    a = 2 * twice / ((count - 1) * once + 2 * twice)
    head = (seen * (digamma(count) - digamma(seen))).sum() / count
    rest = -log(a) - sum((1 - a) ** r / r for r in range(1, count))
    published = head + once / count * (1 - a) ** (1 - count) * rest
    assert entropy_brackets(values, keys, 50)[1] == pytest.approx(published, rel=1e-10)


def test_the_jackknife_leaves_out_every_sample_once() -> None:
    seen = np.array([1, 1, 2, 4, 4, 7])
    values, keys = np.unique(seen, return_counts=True)
    count = int(seen.sum())
    left = []
    for key, times in enumerate(seen):
        reduced = seen.copy()
        reduced[key] -= 1
        left += [entropy_brackets(*np.unique(reduced[reduced > 0], return_counts=True), 20)] * times
    direct = np.sqrt((count - 1) / count * ((np.array(left) - np.mean(left, axis=0)) ** 2).sum(axis=0))
    errors = delete_one(values, keys, lambda v, k: entropy_brackets(v, k, 20))
    np.testing.assert_allclose(errors, direct, rtol=1e-12)


def test_chi_square_is_unbiased_and_total_variation_is_overstated() -> None:
    """Means over all outcomes: the first equals K sum q^2 - 1, the plug-in TV is above TV (Jensen)."""
    chi2 = mean_and_deviation(6, UNEVEN, lambda counts: chi2_from_uniform(counts, 1.0).value)[0]
    assert chi2 == pytest.approx(4 * (UNEVEN**2).sum() - 1, abs=1e-12)
    plug_in = mean_and_deviation(6, UNEVEN, tv_plug_in)[0]
    assert plug_in > np.abs(UNEVEN - 0.25).sum() / 2 + 0.01


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("count", [300, 1200])
def test_intervals_cover(name: str, count: int) -> None:
    """At 95 % over 100 repetitions; 0.85 is 4.6 binomial deviations below 95 %.

    The interval of chi2 is asymptotic and the others are conservative by construction.
    """
    size, repeats = 600, 100
    law = LAWS[name](size)
    positive = law[law > 0]
    truth = {
        "kl": log(size) - entropy(positive),
        "chi2": size * (law**2).sum() - 1,
        "tv": np.abs(law - 1 / size).sum() / 2,
    }
    draw = np.random.default_rng(5)
    hits = dict.fromkeys(truth, 0)
    for seed in range(repeats):
        counts = draw.multinomial(count, law)
        found = {
            "kl": kl_from_uniform(counts, 1.96),
            "chi2": chi2_from_uniform(counts, 1.96),
            "tv": tv_bounds(counts, 0.95, seed),
        }
        for key, value in truth.items():
            hits[key] += found[key].low <= value + 1e-12 and value <= found[key].high + 1e-12
    assert min(hits.values()) >= 0.85 * repeats, hits


@pytest.mark.parametrize("name", LAWS)
def test_the_correction_removes_the_bias(name: str) -> None:
    """Twice as many samples as keys: the plug-in is off by more than 0.1 nats, the corrected mean by less than 0.03."""
    size, count = 2000, 4000
    law = LAWS[name](size)
    truth = log(size) - entropy(law[law > 0])
    draw = np.random.default_rng(6)
    reports = [coverage(draw.multinomial(count, law), np.arange(size) < size // 5) for _ in range(20)]
    assert np.mean([report.kl_plug_in.value for report in reports]) - truth > 0.1
    assert abs(np.mean([report.kl.value for report in reports]) - truth) < 0.03


def test_a_perfect_sampler_sits_on_the_floor_and_a_memoriser_does_not() -> None:
    size, count = 5000, 5000
    train = np.arange(size) < 1000
    draw = np.random.default_rng(7)
    perfect = coverage(draw.multinomial(count, np.full(size, 1 / size)), train)
    for plug_in in (perfect.kl_plug_in, perfect.tv_plug_in, perfect.coverage, perfect.unseen_coverage):
        assert abs(plug_in.excess) < 5
    assert perfect.unseen_mass.low < perfect.unseen_target == 0.8 < perfect.unseen_mass.high
    assert perfect.kl.low == 0
    assert perfect.tv.high < 0.15
    law = np.where(train, 0.5 / 1000, 0.5 / 4000)
    memoriser = coverage(draw.multinomial(count, law), train)
    assert memoriser.unseen_mass.high < 0.8
    assert memoriser.kl.low > 0
    assert memoriser.tv.low > 0
    assert memoriser.kl_plug_in.excess > 10


def test_too_few_samples_give_wide_intervals() -> None:
    """Ten samples on ten different keys of ten thousand say almost nothing."""
    counts = np.zeros(10_000, dtype=np.int64)
    counts[:10] = 1
    report = coverage(counts, np.arange(10_000) < 2000)
    assert (report.kl.low, report.chi2.low, report.tv.low) == (0, 0, 0)
    assert report.kl.high > 5
    assert report.tv.high > 0.99
    assert report.chi2.high > 100


def test_the_unseen_mass_interval_is_exact() -> None:
    """No hit in n samples: the two-sided 95 % upper limit is 1 - 0.025^(1/n)."""
    counts = np.array([20, 0])
    mass = coverage(counts, np.array([True, False])).unseen_mass
    assert (mass.value, mass.low) == (0, 0)
    assert mass.high == pytest.approx(1 - 0.025 ** (1 / 20), rel=1e-12)


def test_the_report_repeats_itself() -> None:
    counts = np.random.default_rng(0).multinomial(900, zipf(500, 0.4))
    train = np.arange(500) < 100
    assert coverage(counts, train, seed=1) == coverage(counts, train, seed=1)
    assert coverage(counts, train, seed=1).tv.value != coverage(counts, train, seed=2).tv.value
    assert PlugIn(1.0, 0.5, 0.25).excess == 2


def test_samples_are_counted_and_strangers_are_told() -> None:
    counts, outside = count_keys(["C", "CC", "C", "S", "C"], ["C", "N", "CC"])
    assert counts.tolist() == [3, 0, 1]
    assert outside == 1
    with pytest.raises(DataError, match="no repetition"):
        count_keys(["C"], ["C", "C"])


def test_bad_arguments_are_refused() -> None:
    good, train = np.array([3, 2, 1]), np.array([True, False, False])
    for counts in (
        np.array([1, 1, 1]),
        np.array([3.0, 2, 1]),
        np.array([4, 3, -1]),
        np.array([[3, 2, 1]]),
        np.array([9]),
    ):
        with pytest.raises(DataError, match="expected"):
            coverage(counts, train)
    for wrong in (train[:2], np.array([1, 0, 0]), np.array([True, True, True])):
        with pytest.raises(DataError, match="booleans"):
            coverage(good, wrong)
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            coverage(good, train, level=level)


def test_the_binomial_moments_do_not_lose_digits() -> None:
    """E[n_i^2] sums to n + n(n-1)/K, and n_i itself has no spread in its sum."""
    mean, _ = uniform_law(100_000, 47_521, lambda n: n.astype(float) ** 2)
    assert mean == pytest.approx(100_000 + 100_000 * 99_999 / 47_521, rel=1e-11)
    mean, deviation = uniform_law(1000, 300, lambda n: n.astype(float))
    assert mean == pytest.approx(1000, rel=1e-12)
    assert deviation < 1e-4
