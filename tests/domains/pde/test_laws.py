"""Random fields: variances, nested grids, boundary behaviour, positivity."""

from __future__ import annotations

import numpy as np
import pytest
from scidiff.domains.pde.laws import Basis, Binary, Dirichlet, GaussianField, LogNormal, Neumann, Periodic

from scidiff.errors import ConfigError
from scidiff.random import Noise

BASES = [Periodic((1.0, 2.0)), Neumann((1.0, 2.0)), Dirichlet((1.0, 2.0))]
NAMES = ["periodic", "neumann", "dirichlet"]


@pytest.mark.parametrize("basis", BASES, ids=NAMES)
def test_modes_are_orthonormal_and_analysis_inverts_synthesis(basis: Basis):
    shape = (9, 7)
    coefficients = np.random.default_rng(0).normal(size=(3, *(len(basis.numbers(n)) for n in shape)))
    field = basis.synthesis(coefficients, shape)
    np.testing.assert_allclose(basis.analysis(field), coefficients, atol=1e-13)
    # the squared L2 norm by the quadrature of the grid is the sum of squares (Parseval)
    steps = [n + isinstance(basis, Dirichlet) for n in shape]
    norm = (field**2).sum((-2, -1)) * 2.0 / np.prod(steps)
    np.testing.assert_allclose(norm, (coefficients**2).sum((-2, -1)), rtol=1e-12)


@pytest.mark.parametrize("basis", BASES, ids=NAMES)
def test_eigenvalues_are_those_of_the_laplacian(basis: Basis):
    """Second differences of one smooth mode on a fine grid; their error is (w h)^2 / 12."""
    shape = (96, 192)
    square = basis.square(shape)
    coefficients = np.zeros(square.shape)
    coefficients[1, 2] = 1.0
    field = basis.synthesis(coefficients, shape)
    h = [length / (n + isinstance(basis, Dirichlet)) for n, length in zip(shape, basis.lengths, strict=True)]
    inner = field[1:-1, 1:-1]
    lap = (field[2:, 1:-1] + field[:-2, 1:-1] - 2 * inner) / h[0] ** 2
    lap += (field[1:-1, 2:] + field[1:-1, :-2] - 2 * inner) / h[1] ** 2
    assert abs(lap + square[1, 2] * inner).max() < square[1, 2] ** 2 * max(h) ** 2 * abs(field).max() / 6


@pytest.mark.parametrize("basis", [Periodic(), Neumann(), Dirichlet()], ids=NAMES)
def test_a_finer_grid_sees_the_same_field(basis: Basis):
    noise = Noise.range(7, 2)
    coarse, fine = basis.white(noise, (9, 7)), basis.white(noise, (33, 17))
    kx, ky = (basis.numbers(n) for n in (9, 7))
    big_x, big_y = (basis.numbers(n).tolist() for n in (33, 17))
    rows, columns = [big_x.index(k) for k in kx], [big_y.index(k) for k in ky]
    np.testing.assert_array_equal(coarse, fine[:, rows][:, :, columns])


def test_the_variance_is_that_of_the_spectrum():
    """On a torus the variance at each point is the sum of the squared deviations; 4 sigma of a mean of chi-squares."""
    law = GaussianField(Periodic(), alpha=2.0, tau=5.0, scale=3.0)
    count, shape = 400, (16, 16)
    field = law.draw(0, shape, count)
    total = (law.deviations(shape) ** 2).sum()
    spread = np.sqrt(2 * (law.deviations(shape) ** 4).sum() / count)
    assert abs((field**2).mean() - total) < 4 * spread
    assert abs(field.mean((-2, -1))).max() < 1e-14


def test_the_root_is_the_root_of_the_covariance():
    law = GaussianField(Neumann(), alpha=2.0, tau=3.0)
    shape = (6, 5)
    root = law.apply_root(np.eye(30).reshape(30, *shape)).reshape(30, 30)
    modes = law.basis.synthesis(np.eye(30).reshape(30, *shape), shape).reshape(30, 30)
    covariance = modes.T @ np.diag(law.deviations(shape).ravel() ** 2) @ modes
    np.testing.assert_allclose(root, root.T, atol=1e-13)
    np.testing.assert_allclose(root @ root, covariance, atol=1e-13)


def test_transformed_fields():
    ground = GaussianField(Neumann(), scale=3.0)
    field = ground.draw(1, (16, 16), 3)
    np.testing.assert_allclose(np.log(LogNormal(ground, 0.5).draw(1, (16, 16), 3)), 0.5 + field, atol=1e-13)
    np.testing.assert_array_equal(Binary(ground).draw(1, (16, 16), 3) == 12, field >= 0)


@pytest.mark.parametrize("bad", [{"alpha": 1.0}, {"tau": -1.0}, {"scale": 0.0}, {"tau": 0.0, "centred": False}])
def test_laws_without_a_variance_are_refused(bad):
    with pytest.raises(ConfigError):
        GaussianField(Periodic(), **bad)
