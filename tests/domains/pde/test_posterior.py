"""Exact posteriors against dense Gaussian conditioning, and calibrated draws; sensors and their errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde.errors import ConstraintError, SensorError
from scidiff.domains.pde.posterior import LinearGaussian
from scidiff.domains.pde.problems.poisson import Helmholtz, Poisson
from scidiff.domains.pde.sensors import Sensors, random_sensors

from scidiff.errors import ConfigError, ShapeError

SIZE = 10


def inner(size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[1:-1, 1:-1] = True
    return mask


def dense(map_, size: int = SIZE) -> np.ndarray:
    """Matrix of a map of grids."""
    return map_(np.eye(size**2).reshape(-1, size, size)).reshape(size**2, size**2).T


@pytest.mark.parametrize("one", [Poisson(SIZE), Helmholtz(SIZE)], ids=["poisson", "helmholtz"])
@pytest.mark.parametrize("noise", [0.0, 1e-3], ids=["exact", "noisy"])
def test_the_mean_is_the_conditional_mean(one, noise):
    sensors = random_sensors((SIZE, SIZE), 12, 0, inner())
    rows = np.ravel_multi_index(tuple(sensors.index.T), sensors.shape)
    root, solve = dense(one.gaussian.root), dense(one.solve_array)
    covariance = root @ root.T
    seen = solve[rows]
    state = one.truth(0, 3)
    data = state["u"].numpy().reshape(3, -1)[:, rows]
    gain = covariance @ seen.T @ np.linalg.inv(seen @ covariance @ seen.T + noise**2 * np.eye(12))
    f, u = one.gaussian.observe_solution(sensors, noise).mean(data)
    np.testing.assert_allclose(f.reshape(3, -1), data @ gain.T, atol=1e-7 * abs(f).max())
    if noise == 0:
        np.testing.assert_allclose(u.reshape(3, -1)[:, rows], data, atol=1e-9 * abs(data).max())


def test_draws_have_the_posterior_covariance():
    """Variance from 600 draws, relative error sqrt(2 / 600) = 6 %; four deviations."""
    one, sensors = Poisson(SIZE), random_sensors((SIZE, SIZE), 12, 0)
    rows = np.ravel_multi_index(tuple(sensors.index.T), sensors.shape)
    data = one.truth(0, 1)["f"].numpy().reshape(1, -1)[:, rows]
    posterior = one.gaussian.observe_input(sensors)
    f, _ = posterior.draw(np.repeat(data, 600, 0), 0)
    np.testing.assert_allclose(f.reshape(600, -1)[:, rows], np.repeat(data, 600, 0), atol=1e-8)
    covariance = dense(one.gaussian.root) @ dense(one.gaussian.root).T
    gain = covariance[:, rows] @ np.linalg.inv(covariance[np.ix_(rows, rows)])
    left = np.diag(covariance - gain @ covariance[rows])
    assert np.var(f.reshape(600, -1), 0).sum() == pytest.approx(left.sum(), rel=0.24)
    mean = posterior.mean(data)[0].ravel()
    error = abs(f.reshape(600, -1).mean(0) - mean)
    assert (error < 5 * np.sqrt(left.clip(1e-12) / 600) + 1e-6).all()


def test_intervals_cover():
    """Of the truths drawn from the law, 90 % lie in the central 90 % interval of their posterior; 4 binomial errors."""
    one, sensors = Poisson(SIZE), random_sensors((SIZE, SIZE), 8, 1, inner())
    rows = np.ravel_multi_index(tuple(sensors.index.T), sensors.shape)
    state = one.truth(5, 400)
    posterior = one.gaussian.observe_solution(sensors)
    mean, _ = posterior.mean(state["u"].numpy().reshape(400, -1)[:, rows])
    root, solve = dense(one.gaussian.root), dense(one.solve_array)[rows]
    covariance = root @ root.T
    gain = covariance @ solve.T @ np.linalg.inv(solve @ covariance @ solve.T)
    left = np.diag(covariance - gain @ solve @ covariance).clip(0)
    site = 33
    inside = (
        abs(state["f"].numpy().reshape(400, -1)[:, site] - mean.reshape(400, -1)[:, site]) < 1.645 * left[site] ** 0.5
    )
    assert abs(inside.mean() - 0.9) < 4 * np.sqrt(0.09 / 400)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "inverse", "forward"), [(Poisson(), 5.6, 1.45), (Helmholtz(), 5.5, 1.63)], ids=["poisson", "helmholtz"]
)
def test_published_settings(one, inverse, forward):
    """500 of 128^2 points: within 0.6 and 0.3 % of the known values; sensors move the mean by 0.15 %."""
    state = one.truth(0, 40)
    f, u = state["f"].numpy(), state["u"].numpy()
    percent = lambda a, b: 100 * np.mean(np.sqrt(((a - b) ** 2).sum((1, 2)) / (b**2).sum((1, 2))))  # noqa: E731
    sensors = random_sensors((128, 128), 500, 2)
    seen = sensors.inside(inner(128))
    assert abs(percent(one.gaussian.observe_solution(seen).mean(u[(..., *seen.index.T)])[0], f) - inverse) < 0.6
    used = sensors if type(one) is Poisson else seen
    assert abs(percent(one.gaussian.observe_input(used).mean(f[(..., *used.index.T)])[1], u) - forward) < 0.3


def test_contradicting_data_are_refused():
    """A field that is constant has one degree of freedom; two sensors that differ contradict each other."""
    constant = lambda z: np.broadcast_to(z.mean((-2, -1), keepdims=True), z.shape).copy()  # noqa: E731
    posterior = LinearGaussian(constant, lambda f: f).observe_input(Sensors(np.array([[0, 1], [3, 2]]), (4, 4)))
    f, _ = posterior.mean(np.array([[2.0, 2.0]]))
    np.testing.assert_allclose(f, 2.0, atol=1e-12)
    with pytest.raises(ConstraintError, match="rank 1 of 2"):
        posterior.mean(np.array([[2.0, 3.0]]))
    with pytest.raises(ShapeError, match="one for each sensor"):
        posterior.mean(np.array([[2.0]]))


def test_sensors_outside_or_twice_are_refused():
    with pytest.raises(SensorError, match=r"sensor 1 at \(8, 0\)") as caught:
        Sensors(np.array([[0, 0], [8, 0]]), (8, 8))
    assert caught.value.where.tolist() == [1]
    with pytest.raises(SensorError, match=r"sensors 0 and 2 are both at \(1, 2\)"):
        Sensors(np.array([[1, 2], [3, 4], [1, 2]]), (8, 8))
    with pytest.raises(SensorError, match="outside"):
        Sensors(np.array([[0, 3]]), (SIZE, SIZE), inner())
    with pytest.raises(ShapeError):
        Sensors(np.array([0.5, 1.0]), (8, 8))
    with pytest.raises(ConfigError):
        random_sensors((4, 4), 17, 0)


def test_sensors_select_what_they_say():
    sensors = random_sensors((6, 5), 7, 3)
    assert sensors.mask.sum() == len(sensors) == 7
    field = torch.arange(30, dtype=torch.float64).reshape(1, 6, 5)
    expected = field[0][tuple(torch.from_numpy(sensors.index.T))]
    torch.testing.assert_close(sensors.operator.apply(field)[0], expected)
