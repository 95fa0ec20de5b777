"""Noise on meshes without eigenvectors: the split of edge functions, rough noise, and the law of the process."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh import (
    Chebyshev,
    HodgeChebyshev,
    HodgeLaplacian,
    annulus,
    barycentric_stars,
    bumpy_sphere,
    double_torus,
    neighbour_degrees,
    rough_noise,
    spectrum,
    torus,
    whitney_stars,
)
from scidiff.process import MatrixFreeNoising, OperatorSchedule, VPSchedule
from scidiff.random import Noise

SURFACES = {"torus": lambda: torus(9, 6), "annulus": lambda: annulus(3, 12), "double torus": lambda: double_torus(8, 5)}
surfaces = pytest.mark.parametrize("name", SURFACES)
CLOCK = VPSchedule()


@pytest.mark.parametrize("tolerance", [1e-3, 1e-7, 1e-11])
@surfaces
def test_edge_functions_split_into_vertices_and_triangles(name, tolerance):
    """Against all eigenvectors, in the norm of the mass, within the tolerance that was asked for."""
    laplacian = HodgeLaplacian(barycentric_stars(SURFACES[name]()), 1)
    modes, fast = spectrum(laplacian), HodgeChebyshev(laplacian)
    u = np.random.default_rng(0).standard_normal((laplacian.size, 3))
    for function in (lambda l: np.exp(-0.3 * l), lambda l: np.sqrt(-np.expm1(-0.4 * (1 + 0.5 * l))), np.ones_like):
        rest = fast.apply(fast.coefficients(function, tolerance=tolerance), u) - modes.apply(function(modes.values), u)
        error = np.sqrt(fast.mass @ rest**2 / (fast.mass @ u**2))
        assert error.max() < tolerance
    assert np.array_equal(fast.apply(fast.coefficients(np.ones_like), u), u)


def test_the_split_needs_fewer_products_than_the_whole():
    """Each side has a bound of its own; that of the sum is larger than the larger of both."""
    laplacian = HodgeLaplacian(barycentric_stars(torus(40, 20)), 1)
    heat = lambda l: np.exp(-0.5 * l)  # noqa: E731
    vertices, triangles = HodgeChebyshev(laplacian).coefficients(heat).degrees
    whole = len(Chebyshev(laplacian).coefficients(heat)) - 1
    assert vertices < triangles < 0.9 * whole


def test_division_of_a_long_polynomial_keeps_its_digits():
    """``p(0) + l q(l)`` against ``p`` at degree 900, within ``degree^2`` units of round-off."""
    from numpy.polynomial.chebyshev import chebval

    from scidiff.mesh.hodge_chebyshev import _quotient

    c = np.random.default_rng(0).standard_normal(901) * np.exp(-np.arange(901) / 200)
    y, bound = np.cos(np.linspace(0, np.pi, 4001)), 3.0
    q = chebval(y, _quotient(c, bound))
    error = chebval(-1.0, c) + bound * (y + 1) / 2 * q - chebval(y, c)
    assert np.abs(error).max() < 900**2 * 2.3e-16 * np.abs(c).max()
    assert len(_quotient(np.array([2.0]), bound)) == 0
    assert _quotient(np.array([0.0, 1.0]), bound) == pytest.approx([2 / bound])


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_rough_noise_has_its_covariance(degree):
    """``sum_k R_k R_k^T = (i + c L) M^-1``, the response to every normal; no draw is made."""
    laplacian = HodgeLaplacian(barycentric_stars(bumpy_sphere(1)), degree)
    sizes = laplacian.stars.complex.sizes
    zero = {k: np.zeros((sizes[k], 1)) for k in neighbour_degrees(degree)}
    covariance = np.zeros((laplacian.size,) * 2)
    for k in neighbour_degrees(degree):
        normals = {j: np.zeros((sizes[j], sizes[k])) for j in zero} | {k: np.eye(sizes[k])}
        response = rough_noise(laplacian, normals, stiffness=0.3, identity=0.8)
        covariance += response @ response.T
    inverse = np.diag(1 / laplacian.mass.diagonal())
    want = 0.8 * inverse + 0.3 * laplacian.apply(inverse)
    assert np.abs(covariance - want).max() < 1e-12 * np.abs(want).max()


class Single:
    """Normals that are 1 at one simplex of one degree in every row: row ``j`` has simplex ``j``; 0 elsewhere."""

    def __init__(self, count: int, ending: str) -> None:
        self.count, self.ending = count, ending

    def __len__(self) -> int:
        return self.count

    def normal(self, shape=(), *, step: int, stream: str) -> Tensor:
        """Return the identity for the chosen degree."""
        return torch.eye(self.count, *shape, dtype=torch.float64) * stream.endswith(self.ending)


@pytest.mark.parametrize("identity", [0.0, 1.0])
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("t", [0.02, 0.4, 1.0])
def test_noising_has_the_law_of_the_process(degree, identity, t):
    """Mean map and covariance, from responses, against ``alpha`` and ``sigma`` of all eigenvectors."""
    laplacian = HodgeLaplacian(barycentric_stars(torus(6, 4)), degree)
    modes, size = spectrum(laplacian), laplacian.size
    schedule = OperatorSchedule(CLOCK, 0.2, identity)
    fast = MatrixFreeNoising(laplacian, schedule, tolerance=1e-9)
    alpha = schedule.alpha(t, torch.from_numpy(modes.values)).numpy()
    sigma = schedule.sigma(t, torch.from_numpy(modes.values)).numpy()
    mean = fast.noise(torch.eye(size, dtype=torch.float64), t, Single(size, "none")).numpy().T
    mass = laplacian.mass.diagonal()
    scale = np.sqrt(mass.max() / mass.min())
    assert np.abs(mean - modes.apply(alpha, np.eye(size))).max() < 1e-9 * scale
    covariance = np.zeros((size, size))
    for k in neighbour_degrees(degree) if fast.plan(t)[2] else (degree,):
        count = laplacian.stars.complex.sizes[k]
        response = fast.noise(torch.zeros(count, size, dtype=torch.float64), t, Single(count, f"/{k}")).numpy()
        covariance += response.T @ response
    want = (modes.vectors * sigma**2) @ modes.vectors.T
    # the error of the root of the covariance is 1e-9 / 2, times the ratio of a single rough response to a white one
    rate = float(schedule.rate(torch.tensor(modes.values[-1])))
    assert np.abs(covariance - want).max() < 1e-9 * max(rate, 1.0) / mass.min()


def test_both_ways_are_taken():
    """Rough noise at small times, white noise at large ones."""
    laplacian = HodgeLaplacian(barycentric_stars(torus(20, 10)), 1)
    fast = MatrixFreeNoising(laplacian, OperatorSchedule(CLOCK, 0.5))
    assert fast.plan(0.05)[2] and not fast.plan(1.0)[2]


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8])
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_error_is_that_asked_for(degree, tolerance):
    """Against eigenvectors, in the norm of the mass, relative to a datum and white noise in the larger level.

    Rough noise varies in length by ``sqrt(2 / size)`` around the mean that the tolerance stands for.
    """
    laplacian = HodgeLaplacian(barycentric_stars(bumpy_sphere(1)), degree)
    modes, mass, size = spectrum(laplacian), laplacian.mass.diagonal(), laplacian.size
    x0 = Noise.range(0, 1).normal((size,), step=0, stream="data")
    for c in (0.01, 1.0):
        schedule = OperatorSchedule(CLOCK, c)
        fast = MatrixFreeNoising(laplacian, schedule, tolerance)
        for t in (0.02, 0.4, 1.0):
            levels, (_, _, rough) = fast.levels(t), fast.plan(t)
            drawn = fast._draw(Noise.range(1, 1), rough, step=0, stream="noise")[:, 0]
            gains = [level(modes.values) for level in (levels.signal, levels.rough if rough else levels.white)]
            want = modes.apply(gains[0], x0[0].numpy()) + modes.apply(gains[1], drawn)
            error = fast.noise(x0, t, Noise.range(1, 1))[0].numpy() - want
            top = max(gains[0].max(), levels.white(modes.values).max())
            whole = np.sqrt(mass @ x0[0].numpy() ** 2) + np.sqrt(size)
            assert np.sqrt(mass @ error**2) < tolerance * top * whole * (1 + 4 * (2 / size) ** 0.5)


def test_small_times_need_few_products():
    """The direct function has a branch point at ``l = -1 / c`` at all times, the one on rough noise has not."""
    laplacian = HodgeLaplacian(barycentric_stars(torus(40, 20)), 0)
    schedule, fast = OperatorSchedule(CLOCK, 1.0), Chebyshev(laplacian)
    direct = lambda l: schedule.sigma(0.05, torch.from_numpy(l)).numpy()  # noqa: E731
    rough = MatrixFreeNoising(laplacian, schedule).levels(0.05).rough
    lengths = [len(fast.coefficients(f, tolerance=1e-6)) for f in (rough, direct)]
    assert 4 * lengths[0] < lengths[1]


def test_noise_is_the_same_in_any_batch():
    laplacian = HodgeLaplacian(barycentric_stars(torus(6, 4)), 1)
    fast = MatrixFreeNoising(laplacian, OperatorSchedule(CLOCK, 0.2))
    x0 = torch.from_numpy(np.random.default_rng(0).standard_normal((4, laplacian.size))).float()
    both = fast.noise(x0, 0.3, Noise.range(5, 4))
    assert both.dtype == torch.float32 and torch.equal(fast.noise(x0[2:], 0.3, Noise.range(5, 2, first=2)), both[2:])
    assert torch.equal(fast.noise(x0, 0.0, Noise.range(5, 4)), x0)


def test_what_does_not_fit_is_refused():
    torus_edges = HodgeLaplacian(barycentric_stars(torus(6, 4)), 1)
    with pytest.raises(ConfigError, match="degree is 0"):
        HodgeChebyshev(HodgeLaplacian(torus_edges.stars, 0))
    for refused in (HodgeChebyshev, lambda l: MatrixFreeNoising(l, OperatorSchedule(CLOCK, 0.1))):
        with pytest.raises(ConfigError, match="not diagonal"):
            refused(HodgeLaplacian(whitney_stars(torus(6, 4)), 1))
    with pytest.raises(ConfigError, match="strength of its own"):
        MatrixFreeNoising(torus_edges, OperatorSchedule(CLOCK, 0.1, power=lambda l: 1 + l))
    fast = HodgeChebyshev(torus_edges)
    with pytest.raises(ShapeError, match="u has shape"):
        fast.apply(fast.coefficients(np.ones_like), np.zeros(5))
    with pytest.raises(ShapeError, match="degree 0: nothing"):
        rough_noise(torus_edges, {1: np.zeros(72)}, stiffness=1.0)
    with pytest.raises(ConfigError, match="at least 0"):
        rough_noise(torus_edges, {}, stiffness=-1.0)
    with pytest.raises(ShapeError, match="x0 has shape"):
        MatrixFreeNoising(torus_edges, OperatorSchedule(CLOCK, 0.1)).noise(torch.zeros(2, 5), 0.3, Noise.range(0, 2))
