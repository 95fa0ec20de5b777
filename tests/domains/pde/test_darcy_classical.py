"""Kriging, sign posterior, ensemble smoother, Markov chain and adjoint gradients against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde.darcy.cells import CellField, DirichletCells
from scidiff.domains.pde.darcy.chart import Chart, medium
from scidiff.domains.pde.darcy.classical import coarse_heads, es_mda, heads_at, laplacian_sign, pcn
from scidiff.domains.pde.darcy.decode import obey_signs, solve_media
from scidiff.domains.pde.darcy.observations import Observations, Readings
from scidiff.domains.pde.darcy.refine import gauss_newton, latent_field, sensitivity
from scidiff.domains.pde.darcy.signs import SignPosterior
from scidiff.domains.pde.laws import GaussianField, Neumann
from scidiff.domains.pde.problems.darcy import Darcy
from scidiff.domains.pde.sensors import Sensors, random_sensors

from scidiff.errors import ConfigError
from scidiff.random import Noise


def cell_field(basis: Neumann | DirichletCells, shape: tuple[int, int]) -> CellField:
    """A field with a rough spectrum."""
    return CellField(GaussianField(basis, 1.5, 4.0, 10.0, centred=False), shape)


BASES = {"cosines": Neumann(), "sines": DirichletCells()}


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_the_covariance_of_cells_is_that_of_the_modes(basis):
    field, index = cell_field(basis, (6, 5)), np.argwhere(np.ones((6, 5)))
    units = np.eye(30).reshape(30, 6, 5)
    modes = np.sqrt(field.variances) * basis.analysis(units) * 30
    wanted = modes.reshape(30, -1) @ modes.reshape(30, -1).T
    assert np.allclose(field.covariance(index, index), wanted, atol=1e-12 * wanted.max())
    assert np.allclose(field.smooth(units).reshape(30, 30), wanted, atol=1e-12 * wanted.max())


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_kriging_is_the_conditional_mean(basis):
    field, rng = cell_field(basis, (6, 6)), np.random.default_rng(0)
    every = np.argwhere(np.ones((6, 6)))
    index = every[rng.permutation(36)[:9]]
    values = rng.normal(size=(3, 9))
    covariance = field.covariance(every, index)
    wanted = values @ np.linalg.solve(field.covariance(index, index) + 0.01 * np.eye(9), covariance.T)
    assert np.allclose(field.interpolate(index, values, 0.01).reshape(3, 36), wanted, atol=1e-10)
    exact = field.interpolate(index, values, 0.0)[:, index[:, 0], index[:, 1]]
    assert np.allclose(exact, values, atol=1e-9)
    assert (field.interpolate(index[:0], values[:, :0], 0.0) == 0).all()


def test_sines_vanish_on_the_boundary_to_the_order_of_the_grid():
    edges = []
    for n in (16, 64):
        field = cell_field(DirichletCells(), (n, n))
        outermost = np.array([[0, n // 2]])
        edges.append(float(field.covariance(outermost, outermost)[0, 0]))
    # the field is rough: its variance at half a cell from the boundary falls like h, at least
    assert edges[1] < edges[0] / 2


def test_the_latent_field_has_variance_one_and_the_law_of_the_problem():
    prior, law = latent_field(16), Darcy(16).law.field
    assert prior.variances.sum() == pytest.approx(1.0, rel=1e-12)
    ratio = prior.variances.ravel()[1:] / (law.deviations((16, 16)) ** 2).ravel()[1:]
    assert np.ptp(ratio) <= 1e-9 * ratio.max()


def test_the_sign_posterior_is_that_of_rejection():
    field = cell_field(Neumann(), (4, 4))
    index, signs = np.array([[0, 0], [0, 1], [3, 3]]), np.array([1.0, 1.0, -1.0])
    start = signs * np.abs(np.random.default_rng(2).normal(size=(2000, 3)))
    drawn = SignPosterior(field, index, signs).draw(Noise.range(1, 2000), sweeps=20, start=start)
    assert (np.sign(drawn[:, index[:, 0], index[:, 1]]) == signs).mean() > 0.99
    prior = field.field.draw(5, (4, 4), 30000)
    kept = prior[(np.sign(prior[:, index[:, 0], index[:, 1]]) == signs).all(1)]
    for moment in (lambda x: x, np.square):
        one, other = moment(drawn), moment(kept)
        error = np.sqrt(one.var(0) / len(one) + other.var(0) / len(other))
        # 32 differences; the nugget of 1e-6 moves a value by 1e-3 of its deviation at most
        assert np.abs((one.mean(0) - other.mean(0)) / error).max() < 4.5


def test_the_ensemble_smoother_is_the_kalman_posterior_of_a_linear_problem():
    rng, members = np.random.default_rng(0), 20000
    root, operator = rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    covariance, noise, data = root @ root.T, 0.5, np.array([1.0, -2.0])
    gain = covariance @ operator.T @ np.linalg.inv(operator @ covariance @ operator.T + noise**2 * np.eye(2))
    mean, left = gain @ data, covariance - gain @ operator @ covariance
    ensemble = rng.normal(size=(members, 3)) @ root.T
    for inflation in ((1.0,), (4.0,) * 4, (2.0, 4.0, 4.0)):
        found = es_mda(ensemble, lambda g: g @ operator.T, data, noise, inflation, 1)
        # errors of moments of `members` draws, amplified by errors of the gain of the same size: 6 of their deviations
        scale = 6 * np.sqrt(np.diag(covariance) / members)
        assert (np.abs(found.mean(0) - mean) < scale).all()
        assert (np.abs(np.cov(found.T) - left) < 6 * np.trace(covariance) / np.sqrt(members)).all()
    with pytest.raises(ConfigError, match="sum to 1"):
        es_mda(ensemble, lambda g: g @ operator.T, data, noise, (2.0,), 1)


def test_pcn_leaves_the_posterior_of_a_linear_problem():
    prior = cell_field(Neumann(), (4, 4))
    one = np.array([[1, 2]])
    variance = float(prior.covariance(one, one)[0, 0])
    noise = 0.5 * variance**0.5
    chain = pcn(np.zeros((4, 4)), lambda g: float((g[1, 2] - 1.0) ** 2 / (2 * noise**2)), prior, 0.5, 8000, 0)
    mean = variance / (variance + noise**2)
    values = chain.kept[:, 1, 2]
    # standard error by means of 40 parts, each many correlation times long
    parts = values.reshape(40, -1).mean(1)
    assert abs(values.mean() - mean) < 4.5 * parts.std(ddof=1) / 40**0.5
    left = variance * noise**2 / (variance + noise**2)
    squares = ((values - mean) ** 2).reshape(40, -1).mean(1)
    assert abs(squares.mean() - left) < 4.5 * squares.std(ddof=1) / 40**0.5
    assert 0.2 < chain.accepted < 0.9
    free = pcn(np.zeros((4, 4)), lambda g: 0.0, prior, 0.5, 50, 0)
    assert free.accepted == 1.0


def test_adjoint_gradients_are_those_of_differences():
    rng, n = np.random.default_rng(0), 8
    problem, a = Darcy(n), np.exp(rng.normal(size=(n, n)))

    def head(a: np.ndarray) -> np.ndarray:
        return problem.solve({"a": torch.from_numpy(a)[None], "f": torch.ones(1, n, n).double()})["u"][0].numpy()

    cells = np.array([[0, 0], [3, 4], [7, 2]])
    matrix = problem.matrix(torch.from_numpy(a)).toarray()
    units = np.zeros((3, n, n))
    units[np.arange(3), cells[:, 0], cells[:, 1]] = 1.0
    adjoint = np.linalg.solve(matrix, units.reshape(3, -1).T).T.reshape(3, n, n)
    found = (sensitivity(a, head(a), adjoint) * (along := rng.normal(size=(n, n)))).sum((1, 2))
    step = 1e-5
    wanted = ((head(a + step * along) - head(a - step * along)) / (2 * step))[cells[:, 0], cells[:, 1]]
    # truncation of central differences: step^2 = 1e-10 relative, round-off 1e-16 / step = 1e-11
    assert np.allclose(found, wanted, rtol=1e-7, atol=1e-10)


def _readings(n: int, number: int) -> tuple[np.ndarray, Readings, Readings]:
    g = Darcy(n).law.field.draw(7, (n, n), number + 1)[number]
    state = solve_media(g[None])
    index = random_sensors((n, n), n * n // 4, number).index
    at, sensors = (index[:, 0], index[:, 1]), Sensors(index, (n, n))
    return g, Readings(sensors, state["a"][0].numpy()[at]), Readings(sensors, state["u"][0].numpy()[at])


def test_gauss_newton_lowers_the_misfit_and_the_error_and_keeps_the_signs_that_were_read():
    started, ended = [], []
    for number in range(3):
        g, signs, head = _readings(24, number)
        chart = Chart(np.full((24, 24), 6e-3), 1.8e-3, 0.4, 0.8)
        seen = Observations(signs, head)
        start, _ = obey_signs(0.3 * laplacian_sign(chart, head)[None], seen)
        fit = gauss_newton(start[0], seen, head, 6)
        assert all(later < earlier for earlier, later in zip(fit.misfit, fit.misfit[1:], strict=False))
        assert len(fit.misfit) > 1 and fit.solves >= len(fit.misfit)
        assert (signs.at(medium(fit.g)) == signs.values).all()
        started.append((medium(start[0]) != medium(g)).mean())
        ended.append((medium(fit.g) != medium(g)).mean())
    assert np.mean(ended) < np.mean(started)


def test_the_truth_has_no_misfit_and_is_left_alone():
    g, _, head = _readings(16, 0)
    fit = gauss_newton(g, Observations(head=head), head, 3)
    # below the round-off of the solver there is nothing to gain: a step may be accepted there, but no cell turns
    assert fit.misfit[0] <= 1e-10 and (medium(fit.g) == medium(g)).all()
    assert np.allclose(heads_at(head)(g[None])[0], head.values, rtol=1e-10)


def test_the_coarse_solver_is_near_the_fine_one_for_a_medium_of_blocks():
    blocks = np.kron(np.random.default_rng(0).normal(size=(4, 4)), np.ones((8, 8)))
    index = np.argwhere(np.ones((32, 32)))[::7]
    head = Readings(Sensors(index, (32, 32)), np.ones(len(index)))
    fine, coarse = heads_at(head)(blocks[None])[0], coarse_heads(head)(blocks[None])[0]
    # both are first order in the cell in such media, and a sensor is read at the middle of its block
    assert np.linalg.norm(fine - coarse) < 0.15 * np.linalg.norm(fine)


def test_signs_are_obeyed_by_the_least_change():
    rng, n = np.random.default_rng(0), 12
    s = rng.normal(size=(2, n, n))
    index = random_sensors((n, n), 20, 0).index
    right = np.where(s[0, index[:, 0], index[:, 1]] >= 0, 12.0, 3.0)
    seen = Observations.of((n, n), a=(index, right))
    mended, overruled = obey_signs(s, seen)
    assert overruled[0] == 0 < overruled[1]
    assert (medium(mended)[:, index[:, 0], index[:, 1]] == right).all()
    # values within the margin of 1e-3 are lifted to it, nothing else moves where all signs are right
    assert np.abs(mended[0] - s[0]).max() <= 5e-3
