"""Stars, Laplacians, spectra and Chebyshev functions: exactness on polynomials, agreement of the ways to compute."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh import (
    Chebyshev,
    HodgeDecomposition,
    HodgeLaplacian,
    SimplicialComplex,
    annulus,
    barycentric_stars,
    bumpy_sphere,
    chebyshev_coefficients,
    cotangent_stars,
    icosphere,
    spectrum,
    square,
    torus,
    whitney_stars,
)

STARS = [whitney_stars, cotangent_stars, barycentric_stars]
every_star = pytest.mark.parametrize("stars", STARS, ids=lambda make: make.__name__)


def needle() -> SimplicialComplex:
    """Two triangles whose angles at their common edge's opposite corners are obtuse."""
    points = np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 0.5], [2.0, -0.5]])
    return SimplicialComplex.from_arrays(points, np.array([[0, 1, 2], [0, 3, 1]]))


@every_star
def test_constants_have_the_area_as_norm(stars):
    """Degree 0: the constant 1. Degree 2: the area form."""
    for complex in (annulus(), bumpy_sphere(2)):
        made, one = stars(complex), np.ones(complex.sizes[0])
        assert one @ (made[0] @ one) == pytest.approx(complex.areas.sum(), rel=1e-13)
        assert complex.areas @ (made[2] @ complex.areas) == pytest.approx(complex.areas.sum(), rel=1e-13)


@pytest.mark.parametrize("stars", [whitney_stars, cotangent_stars], ids=lambda make: make.__name__)
def test_edge_stars_are_exact_on_gradients(stars):
    """The energy of the differential of a linear function is its squared slope times the area."""
    slope = np.array([0.3, -0.7, 0.0])
    for complex in (annulus(), square(), needle()):
        w = complex.d0 @ (complex.vertices @ slope)
        assert w @ (stars(complex)[1] @ w) == pytest.approx(slope @ slope * complex.areas.sum(), rel=1e-12)


def test_two_stars_have_one_stiffness():
    """``d0^T M_1 d0`` is the cotangent matrix for both, also where weights are negative."""
    for complex in (bumpy_sphere(2), annulus(), needle()):
        d, one, two = complex.d0, whitney_stars(complex)[1], cotangent_stars(complex)[1]
        assert abs(d.T @ one @ d - d.T @ two @ d).max() < 1e-13 * abs(d.T @ two @ d).max() * 10


def test_barycentric_edges_are_not_consistent():
    """What the report cannot show: on right-angled cells the energy of a gradient does not tend to the truth."""
    slope = np.array([1.0, 0.0, 0.0])
    errors = []
    for count in (4, 16):
        complex = square(count, count)
        w = complex.d0 @ (complex.vertices @ slope)
        errors.append(abs(w @ (barycentric_stars(complex)[1] @ w) - 1))
    assert min(errors) > 0.05


def test_the_pitfalls_are_reported():
    report = cotangent_stars(needle()).report
    # the long edge has two opposite angles of 152 degrees: (cot + cot) / 2 = -15/8
    assert cotangent_stars(needle())[1].diagonal()[0] == pytest.approx(-15 / 8, abs=1e-12)
    assert report.negative == (0, 1, 0) and report.obtuse_triangles == 2 and report.diagonal
    assert report.positive == (True, False, True)
    # the diagonals of square cells have two opposite right angles
    assert cotangent_stars(square(3, 3)).report.zero == (0, 9, 0)
    assert whitney_stars(needle()).report.positive == barycentric_stars(needle()).report.positive == (True,) * 3
    assert not whitney_stars(needle()).report.diagonal
    for refused in (
        lambda: cotangent_stars(needle()).mass(1),
        lambda: HodgeLaplacian(cotangent_stars(needle()), 1),
        lambda: HodgeLaplacian(cotangent_stars(needle()), 2),
        lambda: HodgeDecomposition(cotangent_stars(needle()), 1),
    ):
        with pytest.raises(ConfigError, match="1 negative"):
            refused()
    # the Laplacian of vertices needs no inner product of edges
    assert spectrum(HodgeLaplacian(cotangent_stars(needle()), 0)).values[1] > 0
    with pytest.raises(ConfigError, match="degree"):
        whitney_stars(needle())[3]


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("stars", [whitney_stars, barycentric_stars], ids=lambda make: make.__name__)
def test_all_ways_to_the_laplacian_agree(stars, degree):
    """Matrix, product, shifted solution, dense modes and Lanczos modes, on the same mesh."""
    complex = torus(14, 12)
    laplacian = HodgeLaplacian(stars(complex), degree)
    mass, form = laplacian.mass.toarray(), laplacian.dense()
    u = np.random.default_rng(0).standard_normal((laplacian.size, 2))
    scale = np.abs(form @ u).max()
    assert np.abs(mass @ laplacian.apply(u) - form @ u).max() < 1e-12 * scale
    assert np.abs((form + 0.7 * mass) @ laplacian.solver(0.7)(u) - u).max() < 1e-11
    assert np.allclose(laplacian.solver(0.7)(u[:, 0]), laplacian.solver(0.7)(u)[:, 0], atol=1e-13)
    if stars is barycentric_stars or degree == 0:
        assert np.abs(laplacian.form() - form).max() < 1e-12 * np.abs(form).max()
    full, few = spectrum(laplacian), spectrum(laplacian, 12)
    assert full.complete and not few.complete and few.modes == 12
    assert np.abs(few.values - full.values[:12]).max() < 1e-10 * full.values[11]
    for each in (full, few):
        gram = each.vectors.T @ mass @ each.vectors
        assert np.abs(gram - np.eye(each.modes)).max() < 1e-12
        assert np.abs(form @ each.vectors - mass @ each.vectors * each.values).max() < 1e-11 * np.abs(form).max()
        assert not each.values[: complex.betti[degree]].any() and each.harmonic.shape[1] == complex.betti[degree]
    assert np.allclose(full.apply(full.values, u), laplacian.apply(u), atol=1e-11 * scale / mass.diagonal().min())


def test_lanczos_is_deterministic_and_finds_multiplets():
    """Sphere: multiplets of 1, 3, 5 and 7 modes, and 9 of the next one of which two are asked for."""
    laplacian = HodgeLaplacian(whitney_stars(icosphere(3)), 0)
    one, two = spectrum(laplacian, 18), spectrum(laplacian, 18)
    assert np.array_equal(one.values, two.values) and np.array_equal(one.vectors, two.vectors)
    degrees = np.repeat([0, 1, 2, 3, 4], [1, 3, 5, 7, 2])
    assert np.allclose(one.values, degrees * (degrees + 1), rtol=0.04)


def test_modes_out_of_range_are_refused():
    laplacian = HodgeLaplacian(whitney_stars(torus(6, 4)), 1)
    for modes in (2, 73):
        with pytest.raises(ConfigError, match="modes"):
            spectrum(laplacian, modes)
    with pytest.raises(ConfigError, match="shift"):
        laplacian.solver(0.0)
    with pytest.raises(ConfigError, match="not diagonal"):
        laplacian.form()
    with pytest.raises(ConfigError, match="not diagonal"):
        Chebyshev(laplacian)
    with pytest.raises(ConfigError, match="full matrices"):
        spectrum(HodgeLaplacian(barycentric_stars(torus(60, 50)), 1))


def test_chebyshev_coefficients_are_the_known_ones():
    """``exp(-tau l)`` on ``[0, b]``: Bessel functions, ``2 (-1)^k exp(-a) I_k(a)`` with ``a = tau b / 2``."""
    from scipy.special import ive

    tau, bound = 0.3, 20.0
    got = chebyshev_coefficients(lambda l: np.exp(-tau * l), bound, tolerance=1e-13)
    k = np.arange(len(got))
    want = 2.0 * (-1.0) ** k * ive(k, tau * bound / 2)
    want[0] /= 2
    assert np.abs(got - want).max() < 1e-14
    assert np.abs(ive(np.arange(len(got) - 3, 60), tau * bound / 2)).max() > 1e-14


def test_the_degree_grows_like_the_root_of_the_bound():
    degrees = [len(chebyshev_coefficients(lambda l: np.exp(-l), b, tolerance=1e-6)) for b in (1e3, 4e3, 16e3)]
    assert degrees[1] / degrees[0] == pytest.approx(2, abs=0.15)
    assert degrees[2] / degrees[1] == pytest.approx(2, abs=0.1)


def test_a_narrow_step_at_zero_is_not_missed():
    """Flat but for a step that lies between 0 and the first of 64 points; it is resolved all the same."""
    function = lambda l: np.sqrt(-np.expm1(-5.0 * (1 + 0.09 * l)))  # noqa: E731
    coefficients = chebyshev_coefficients(function, 2e5, tolerance=1e-6)
    at_zero = float(np.sum(coefficients * (-1.0) ** np.arange(len(coefficients))))
    assert at_zero == pytest.approx(math.sqrt(-math.expm1(-5.0)), abs=1e-6)
    with pytest.raises(ConfigError, match="coefficients do not reach"):
        chebyshev_coefficients(lambda l: np.abs(l - 1.0), 2.0, tolerance=1e-9)
    with pytest.raises(ConfigError, match="positive"):
        chebyshev_coefficients(np.exp, 0.0)


@pytest.mark.parametrize(
    ("stars", "degree"),
    [(cotangent_stars, 0), (barycentric_stars, 1), (barycentric_stars, 2)],
    ids=["cotangent-0", "barycentric-1", "barycentric-2"],
)
def test_chebyshev_is_the_function_of_the_operator(stars, degree):
    """Against eigenvectors, in the norm of the mass, within the tolerance asked for."""
    laplacian = HodgeLaplacian(stars(bumpy_sphere(1)), degree)
    modes, fast = spectrum(laplacian), Chebyshev(laplacian)
    assert modes.values[-1] <= fast.bound <= 4 * modes.values[-1]
    u = np.random.default_rng(0).standard_normal((laplacian.size, 2))
    heat, root = (lambda l: np.exp(-0.1 * l)), (lambda l: 1 / np.sqrt(1 + 0.2 * l))
    sets = [fast.coefficients(f, tolerance=1e-9) for f in (heat, root)]
    both = fast.apply(sets, u)
    for column, (f, one) in enumerate(zip((heat, root), sets, strict=True)):
        want = modes.apply(f(modes.values), u[:, column])
        error = np.sqrt(fast.mass @ (both[:, column] - want) ** 2 / (fast.mass @ u[:, column] ** 2))
        assert error < 1e-9
        assert np.allclose(fast.apply(one, u[:, column]), both[:, column], atol=1e-12)
        assert np.allclose(fast.apply(one, u)[:, column], both[:, column], atol=1e-12)
    assert np.allclose(fast.apply(np.array([3.0]), u), 3 * u)
    with pytest.raises(ShapeError, match="2 sets"):
        fast.apply(sets, u[:, 0])
    with pytest.raises(ShapeError, match="u has shape"):
        fast.apply(sets[0], u[1:])


def test_white_noise_of_the_mass_has_unit_modes():
    laplacian = HodgeLaplacian(cotangent_stars(icosphere(1)), 0)
    fast, modes = Chebyshev(laplacian), spectrum(laplacian)
    square_root = fast.white(np.eye(laplacian.size))
    covariance = modes.coefficients(square_root @ square_root.T) @ (laplacian.mass @ modes.vectors)
    assert np.abs(covariance - np.eye(laplacian.size)).max() < 1e-13
