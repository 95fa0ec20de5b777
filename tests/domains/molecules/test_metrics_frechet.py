"""The Frechet distance: closed forms, another algorithm, exact merging, and the bias at a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scidiff.domains.molecules.metrics.frechet import (
    GROUPS,
    Moments,
    extrapolate,
    frechet_distance,
    group_moments,
    merge,
    moments,
)
from scipy.linalg import sqrtm

from scidiff.errors import ConfigError, ShapeError


def gaussian(mean, covariance) -> Moments:
    factor = np.linalg.cholesky(np.asarray(covariance, dtype=float)).T * np.sqrt(99)
    return Moments(100, np.asarray(mean, dtype=float), factor)


def random_covariance(rng, size):
    factor = rng.normal(size=(size, size))
    return factor @ factor.T / size


def test_commuting_covariances_have_a_closed_form():
    """``|m1 - m2|^2 + sum (s1 - s2)^2`` for standard deviations on common axes."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    first, second = rng.uniform(0.1, 2, 6), rng.uniform(0.1, 2, 6)
    one = gaussian(np.zeros(6), (axes * first**2) @ axes.T)
    other = gaussian(np.arange(6.0), (axes * second**2) @ axes.T)
    expected = 55 + np.sum((first - second) ** 2)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-13)


def test_it_agrees_with_the_matrix_square_root():
    rng = np.random.default_rng(1)
    one = gaussian(rng.normal(size=8), random_covariance(rng, 8))
    other = gaussian(rng.normal(size=8), random_covariance(rng, 8))
    root = np.trace(sqrtm(one.covariance @ other.covariance)).real
    shift = one.mean - other.mean
    expected = shift @ shift + np.trace(one.covariance) + np.trace(other.covariance) - 2 * root
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)  # the square root's own accuracy


def test_it_is_a_distance_that_turns_with_the_axes():
    rng = np.random.default_rng(2)
    one = gaussian(rng.normal(size=5), random_covariance(rng, 5))
    other = gaussian(rng.normal(size=5), random_covariance(rng, 5))
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    turned = [gaussian(turn @ each.mean, turn @ each.covariance @ turn.T) for each in (one, other)]
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-13)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-12)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(*turned), rel=1e-12)


def test_singular_covariances_need_no_help():
    """Two points each in 20 dimensions, on orthogonal lines: the overlap is zero, so the traces add up."""
    first = moments(np.eye(20)[:1] * np.array([[1.0], [-1.0]]))
    second = moments(np.eye(20)[1:2] * np.array([[3.0], [-3.0]]))
    assert frechet_distance(first, second) == pytest.approx(2 + 18, abs=1e-12)


def test_moments_of_a_union_follow_from_its_parts():
    values = np.random.default_rng(3).normal(5.0, 2.0, size=(97, 4)).astype(np.float32)
    parts = group_moments(values, seed=0)
    whole, merged = moments(values), merge(parts)
    assert merged.count == 97 and len(parts) == GROUPS
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.covariance, np.cov(values.T.astype(float)), rtol=1e-11)


def test_extrapolation_removes_the_bias():
    """Two samples of one Gaussian: the true distance is 0.

    Over 60 pairs of samples the mean raw distance is far above zero in its standard error, and the mean extrapolated
    one within four of its own; what remains is the third order in 1/n, of size (d/n)^2 of the bias: (8/160)^2 < 1 %.
    """
    rng = np.random.default_rng(4)
    scale = np.arange(1, 9) ** -0.5
    found = [
        extrapolate(*(group_moments(rng.normal(size=(160, 8)) * scale, 2 * trial + k) for k in (0, 1)), seed=trial)
        for trial in range(60)
    ]
    raw, infinite = (np.array([getattr(one, name) for one in found]) for name in ("raw", "infinite"))
    error = infinite.std(ddof=1) / np.sqrt(60)
    assert raw.mean() > 20 * raw.std(ddof=1) / np.sqrt(60)
    assert abs(infinite.mean()) < 4 * error + 0.01 * raw.mean()
    covered = np.mean([one.infinite_interval.low <= 0 <= one.infinite_interval.high for one in found])
    assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)


def test_extrapolation_finds_a_distance_that_is_there():
    """A shift of one in one coordinate: the true distance is 1; 60 pairs, intervals by the binomial error."""
    rng = np.random.default_rng(5)
    shift = np.eye(6)[0]
    covered, values = 0, []
    for trial in range(60):
        first, second = rng.normal(size=(200, 6)) * 0.5 + shift, rng.normal(size=(200, 6)) * 0.5
        found = extrapolate(group_moments(first, 2 * trial), group_moments(second, 2 * trial + 1), seed=trial)
        covered += found.infinite_interval.low <= 1 <= found.infinite_interval.high
        values.append(found.infinite)
    assert abs(np.mean(values) - 1) < 4 * np.std(values, ddof=1) / np.sqrt(60)
    assert covered / 60 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)


def test_a_parabola_in_inverse_size_is_extrapolated_exactly():
    from scidiff.domains.molecules.metrics.frechet import _intercept

    curve = lambda x: 0.7 + 0.3 * x - 0.02 * x**2  # noqa: E731
    assert _intercept(curve(1), curve(2), curve(4)) == pytest.approx(0.7, rel=1e-14)


def test_too_few_rows_and_wrong_groups_are_refused():
    with pytest.raises(ShapeError, match="rows"):
        group_moments(np.zeros((15, 3)), seed=0)
    with pytest.raises(ShapeError, match="covariance"):
        moments(np.zeros((1, 3)))
    with pytest.raises(ShapeError, match="dimension"):
        frechet_distance(gaussian([0], [[1]]), gaussian([0, 0], np.eye(2)))
    parts = group_moments(np.random.default_rng(0).normal(size=(16, 2)), seed=0)
    with pytest.raises(ConfigError, match="groups"):
        extrapolate(parts[:4], parts, seed=0)
