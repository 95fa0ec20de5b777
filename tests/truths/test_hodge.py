"""Hodge theory on surfaces whose topology, spectrum or harmonic field is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import linalg

from scidiff.mesh import (
    Chebyshev,
    HodgeDecomposition,
    HodgeLaplacian,
    annulus,
    barycentric_stars,
    bumpy_sphere,
    cotangent_stars,
    double_torus,
    icosphere,
    spectrum,
    square,
    torus,
    whitney_stars,
)

SURFACES = {
    "sphere": (lambda: icosphere(1), (1, 0, 1)),
    "bumpy sphere": (lambda: bumpy_sphere(2), (1, 0, 1)),
    "torus": (lambda: torus(10, 7), (1, 2, 1)),
    "double torus": (lambda: double_torus(8, 6), (1, 4, 1)),
    "annulus": (lambda: annulus(3, 12), (1, 1, 0)),
    "square": (lambda: square(5, 4), (1, 0, 0)),
}
surfaces = pytest.mark.parametrize("name", SURFACES)
stars = pytest.mark.parametrize("make_stars", [whitney_stars, barycentric_stars], ids=lambda make: make.__name__)


@surfaces
def test_the_boundary_of_a_boundary_is_zero(name):
    """Integers, hence exactly."""
    complex = SURFACES[name][0]()
    product = complex.d1 @ complex.d0
    assert product.dtype == np.int64
    assert not product.toarray().any()


@surfaces
def test_betti_numbers_are_ranks(name):
    """Counted from components and Euler characteristic; here from the ranks of the coboundaries."""
    make, truth = SURFACES[name]
    complex = make()
    v, e, f = complex.sizes
    rank0, rank1 = (int(np.linalg.matrix_rank(d.toarray().astype(float))) for d in (complex.d0, complex.d1))
    assert complex.betti == (v - rank0, e - rank0 - rank1, f - rank1) == truth


@stars
@surfaces
def test_the_kernel_of_the_laplacian_has_the_betti_number(name, make_stars):
    """Zero eigenvalues up to round-off, 1e-11 of the largest, and then a gap of more than 1e-4 of it."""
    make, truth = SURFACES[name]
    made = make_stars(make())
    for degree in range(3):
        laplacian = HodgeLaplacian(made, degree)
        values = linalg.eigh(laplacian.dense(), laplacian.mass.toarray(), eigvals_only=True)
        assert int((np.abs(values) < 1e-11 * values[-1]).sum()) == truth[degree]
        assert int((values < 1e-4 * values[-1]).sum()) == truth[degree]


@stars
@surfaces
def test_the_spectrum_of_edges_is_that_of_vertices_and_triangles(name, make_stars):
    """Gradients of vertex modes and co-gradients of triangle modes have the same eigenvalues, one by one."""
    made = make_stars(SURFACES[name][0]())
    values = [spectrum(HodgeLaplacian(made, degree)).values for degree in range(3)]
    outer = np.sort(np.concatenate([values[0][values[0] > 0], values[2][values[2] > 0]]))
    assert np.allclose(values[1][values[1] > 0], outer, rtol=1e-9, atol=1e-11 * outer[-1])


@pytest.mark.parametrize("make_stars", [whitney_stars, cotangent_stars], ids=lambda make: make.__name__)
def test_spherical_harmonics(make_stars):
    """Eigenvalues ``l (l + 1)``, once per function and twice per field; the error falls fourfold when edges halve."""
    for degree, truth in (
        (0, np.repeat([0, 2, 6], [1, 3, 5])),
        (1, np.repeat([2, 6], [6, 10])),
        (2, np.repeat([0, 2, 6], [1, 3, 5])),
    ):
        errors = []
        for subdivisions in (2, 3):
            found = spectrum(HodgeLaplacian(make_stars(icosphere(subdivisions)), degree), len(truth)).values
            errors.append(np.abs(found - truth).max())
        assert errors[1] < 0.1
        assert errors[0] / errors[1] == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize(("degree", "sums"), [(0, [0, 1, 1, 2, 4, 4]), (2, [2, 5, 5])])
def test_modes_of_a_square(degree, sums):
    """``pi^2 (j^2 + k^2)``: Neumann modes of vertices, ``j, k >= 0``, Dirichlet modes of triangles, ``j, k >= 1``."""
    truth, errors = math.pi**2 * np.array(sums), []
    for count in (10, 20):
        laplacian = HodgeLaplacian(whitney_stars(square(count, count)), degree)
        errors.append(np.abs(spectrum(laplacian, len(sums)).values - truth).max())
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.5)


def test_the_harmonic_field_of_an_annulus():
    """The field of circulation 1 is ``d theta / 2 pi``, of energy ``log(outer / inner) / 2 pi``, with second order."""
    errors = []
    for count in (3, 6, 12):
        complex = annulus(count, 10 * count)
        made = whitney_stars(complex)
        (field,) = spectrum(HodgeLaplacian(made, 1), 2).harmonic.T
        inner = np.arange(10 * count)
        loop = np.zeros(len(field))
        for i, j in zip(inner, np.roll(inner, -1), strict=True):
            edge = np.flatnonzero((complex.edges == sorted((i, j))).all(axis=1))
            loop[edge] = 1 if i < j else -1
        field = field / (loop @ field)
        assert np.abs(complex.d1 @ field).max() < 1e-11
        errors.append(abs(field @ (made[1] @ field) - math.log(2) / (2 * math.pi)))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.6)
    assert errors[1] / errors[2] == pytest.approx(4, abs=0.3)


@stars
@surfaces
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_decomposition(name, make_stars, degree):
    """Orthogonal to 1e-10 of the norms; the parts lie in the image of d, the image of delta, and the kernel of both."""
    make, truth = SURFACES[name]
    complex = make()
    made = make_stars(complex)
    mass = made[degree]
    w = np.random.default_rng(0).standard_normal((complex.sizes[degree], 6))
    split = HodgeDecomposition(made, degree)
    parts = split(w)
    pieces = [parts.exact, parts.coexact, parts.harmonic]
    assert np.abs(sum(pieces) - w).max() < 1e-12
    norms = np.sqrt(np.einsum("ij,ij->j", w, mass @ w))
    for i, u in enumerate(pieces):
        for v in pieces[:i]:
            assert np.abs(u.T @ (mass @ v)).max() < 1e-10 * norms.min() ** 2
    if degree < 2:
        d = complex.coboundary(degree)
        assert np.abs(d @ (parts.exact + parts.harmonic)).max() < 1e-10
    if degree > 0:
        d = complex.coboundary(degree - 1)
        assert np.abs(d.T @ (mass @ (parts.coexact + parts.harmonic))).max() < 1e-10 * np.abs(mass @ w).max()
    # the harmonic parts of random cochains span the kernel of the Laplacian, found here by another way
    size = np.sqrt(np.einsum("ij,ij->j", parts.harmonic, mass @ parts.harmonic))
    kernel = spectrum(HodgeLaplacian(made, degree)).harmonic
    assert np.abs(parts.harmonic - kernel @ (kernel.T @ (mass @ w))).max() < 1e-10 * max(1.0, np.abs(w).max())
    assert (size > 1e-3 * norms).any() == (truth[degree] > 0)
    again = split(parts.coexact)
    assert np.abs(again.exact).max() < 1e-11 and np.abs(again.coexact - parts.coexact).max() < 1e-11
    one = split(w[:, 0])
    assert np.abs(one.coexact - parts.coexact[:, 0]).max() < 1e-12


def test_the_potential_is_found():
    complex = torus(10, 7)
    f = np.random.default_rng(0).standard_normal(complex.sizes[0])
    found = HodgeDecomposition(whitney_stars(complex), 1).potential(complex.d0 @ f)
    assert np.abs(found - found[0] - (f - f[0])).max() < 1e-12


def test_heat_of_long_duration_is_the_harmonic_part():
    """``exp(-tau L)`` by Chebyshev, against the decomposition by linear systems: neither knows of the other."""
    complex = torus(10, 7)
    made = barycentric_stars(complex)
    w = np.random.default_rng(0).standard_normal(complex.sizes[1])
    fast = Chebyshev(HodgeLaplacian(made, 1))
    # the least eigenvalue above 0 is near 1: exp(-30) is 1e-13
    late = fast.apply(fast.coefficients(lambda l: np.exp(-30 * l), tolerance=1e-12), w)
    assert np.abs(late - HodgeDecomposition(made, 1)(w).harmonic).max() < 1e-9
    assert np.abs(late).max() > 0.05
