"""Projections without divergence: to machine precision, idempotent, orthogonal, with the right harmonic flows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde.errors import FieldError, FluxError
from scidiff.domains.pde.grids import MacGrid, curl, divergence, vorticity
from scidiff.domains.pde.leray import MacLeray, leray, spectral_divergence, spectral_leray

from scidiff.errors import ConfigError, ShapeError


def two_obstacles(n: int = 64) -> MacGrid:
    solid = np.zeros((n, n), dtype=bool)
    solid[n // 4 : n // 2, n // 8 : n // 3] = True
    x, y = np.indices((n, n)) / n
    return MacGrid(solid | ((x - 0.7) ** 2 + (y - 0.65) ** 2 < 0.12**2))


def white(grid: MacGrid, count: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed).normal(size=(count, 2, *grid.shape))
    return draw[:, 0], draw[:, 1]


def test_two_obstacles_leave_no_divergence_and_no_flux():
    grid = two_obstacles()
    u, v = leray(grid).project(*white(grid))
    # round-off of a few differences: eps * 4; the bound leaves room for the growth of one solve of the remainder
    assert grid.relative_divergence(u, v) < 1e-13
    assert not u[:, ~grid.free[0]].any()
    assert not v[:, ~grid.free[1]].any()


def test_projecting_twice_changes_nothing():
    grid = two_obstacles()
    u, v = leray(grid).project(*white(grid))
    again = leray(grid).project(u, v)
    assert max(abs(u - again[0]).max(), abs(v - again[1]).max()) < 1e-13 * abs(u).max()


def test_one_solve_is_not_enough():
    """The second round is there for a reason: without it the divergence is larger by orders of magnitude."""
    grid = two_obstacles()
    once = MacLeray(grid, rounds=1).project(*white(grid))
    twice = MacLeray(grid, rounds=2).project(*white(grid))
    assert grid.relative_divergence(*once) > 3 * grid.relative_divergence(*twice)


def test_what_is_removed_is_orthogonal_to_what_stays():
    grid = two_obstacles(32)
    (u, v), (a, b) = white(grid), leray(grid).project(*white(grid))
    free_u, free_v = grid.free
    product = ((u * free_u - a) * a + (v * free_v - b) * b).sum()
    assert abs(product) < 1e-11 * (a**2 + b**2).sum()


def test_the_projection_equals_dense_least_squares():
    """An independent route: the orthogonal projector on the null space of D on free faces, by dense SVD."""
    grid = MacGrid(np.random.default_rng(3).random((7, 6)) < 0.25, (0.5, 0.3))
    keep = grid.free.ravel()
    d = grid.divergence_matrix.toarray()[grid.fluid.ravel()][:, keep]
    _, s, vt = np.linalg.svd(d)
    null = vt[(s > 1e-10).sum() :]
    w = np.random.default_rng(1).normal(size=(2, 7, 6))
    expected = np.zeros(w.size)
    expected[keep] = null.T @ (null @ w.ravel()[keep])
    found = np.stack(leray(grid).project(w[0], w[1]))
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-13)


def test_the_curl_of_any_streamfunction_has_no_divergence():
    psi = np.random.default_rng(0).normal(size=(3, 20, 16))
    spacing = (0.1, 0.25)
    u, v = curl(psi, spacing)
    # four differences of numbers of size max|psi| / (hx hy)
    assert abs(divergence(u, v, spacing)).max() < 8 * np.finfo(float).eps * abs(psi).max() / (0.1 * 0.25)
    assert abs(u.mean()) < 1e-14


def test_matrices_are_the_differences():
    grid = MacGrid(np.zeros((6, 5), dtype=bool), (0.2, 0.7))
    u, v = white(grid, 1)
    matrix = grid.divergence_matrix @ np.concatenate([u.ravel(), v.ravel()])
    np.testing.assert_allclose(matrix.reshape(6, 5), divergence(u[0], v[0], grid.spacing), atol=1e-13)
    psi = u[0]
    both = (grid.curl_matrix @ psi.ravel()).reshape(2, 6, 5)
    np.testing.assert_allclose(both, np.stack(curl(psi, grid.spacing)), atol=1e-13)
    # the vorticity is the adjoint of the curl
    a, b = curl(psi, grid.spacing)
    assert (a * u[0] + b * v[0]).sum() == pytest.approx((psi * vorticity(u[0], v[0], grid.spacing)).sum(), rel=1e-12)


def frame(n: int) -> np.ndarray:
    solid = np.zeros((n, n), dtype=bool)
    solid[0], solid[:, 0] = True, True
    return solid


def with_holes(solid: np.ndarray, *corners: tuple[int, int]) -> np.ndarray:
    for i, j in corners:
        solid[i : i + 3, j : j + 3] = True
    return solid


@pytest.mark.parametrize(
    ("solid", "betti"),
    [
        (np.zeros((12, 12), dtype=bool), 2),
        (with_holes(np.zeros((16, 16), dtype=bool), (3, 3)), 2),
        (with_holes(np.zeros((16, 16), dtype=bool), (3, 3), (9, 9)), 3),
        (frame(16), 0),
        (with_holes(frame(16), (4, 4)), 1),
        (with_holes(frame(16), (3, 3), (9, 9)), 2),
        (np.eye(16, 1, dtype=bool) @ np.ones((1, 16), dtype=bool), 1),
    ],
    ids=["torus", "torus-1", "torus-2", "box", "box-1", "box-2", "channel"],
)
def test_harmonic_flows_count_the_loops(solid, betti):
    """First Betti numbers of a torus with k holes (k + 1, and 2 for k = 0, 1), a disc with k holes (k), an annulus."""
    operator = leray(MacGrid(solid))
    assert operator.betti == betti
    basis = operator.harmonic
    assert basis.shape[0] == betti
    flat = basis.reshape(betti, solid.size * 2)
    np.testing.assert_allclose(flat @ flat.T, np.eye(betti), atol=1e-12)
    grid = operator.grid
    for u, v in basis:
        assert grid.relative_divergence(u, v) < 1e-11
        assert abs(vorticity(u, v, grid.spacing)[grid.free_corners]).max(initial=0) < 1e-10
        assert not u[~grid.free[0]].any()
        assert not v[~grid.free[1]].any()


def test_harmonic_coordinates_survive_a_projection_and_are_not_a_pressure():
    operator = leray(two_obstacles(24))
    u, v = white(operator.grid)
    free_u, free_v = operator.grid.free
    before = operator.coordinates(u * free_u, v * free_v)
    np.testing.assert_allclose(operator.coordinates(*operator.project(u, v)), before, atol=1e-11)
    p = np.random.default_rng(5).normal(size=operator.grid.shape)
    gradient = (operator.grid.divergence_matrix.T @ (p * operator.grid.fluid).ravel()).reshape(2, *p.shape)
    gradient = gradient * operator.grid.free
    assert abs(operator.coordinates(gradient[0], gradient[1])).max() < 1e-9


def test_prescribed_inflow_and_outflow():
    n = 16
    grid = MacGrid.framed(np.zeros((n, n), dtype=bool))
    inflow = np.zeros(grid.shape)
    inflow[1, 4:8] = 1.0
    inflow[0, 8:12] = 1.0
    u, v = leray(grid).project(np.zeros(grid.shape), np.zeros(grid.shape), (inflow, np.zeros(grid.shape)))
    assert grid.relative_divergence(u, v) < 1e-13
    np.testing.assert_array_equal(u[1], inflow[1])
    np.testing.assert_array_equal(u[0], inflow[0])
    assert u[8].sum() == pytest.approx(4.0, abs=1e-12)


def test_a_flux_that_does_not_balance_is_refused_with_its_component():
    grid = MacGrid.framed(with_holes(np.zeros((16, 16), dtype=bool), (5, 5)))
    flux = np.zeros(grid.shape)
    flux[1, 3] = 0.5
    with pytest.raises(FluxError, match="component 0") as caught:
        leray(grid).project(np.zeros(grid.shape), np.zeros(grid.shape), (flux, np.zeros(grid.shape)))
    assert caught.value.where == 0


def test_each_component_has_its_own_pressure():
    solid = np.zeros((16, 16), dtype=bool)
    solid[0], solid[8] = True, True
    grid = MacGrid(solid)
    assert grid.component.max() == 1
    u, v = leray(grid).project(*white(grid))
    assert grid.relative_divergence(u, v) < 1e-13


def test_the_gradient_is_the_projection_itself():
    grid = two_obstacles(10)
    w = torch.from_numpy(np.stack(white(grid, 1), 1)).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda w: torch.stack(leray(grid).project(w[:, 0], w[:, 1]), 1), (w,))


def test_torch_and_numpy_agree():
    grid = two_obstacles(20)
    u, v = white(grid)
    a, b = leray(grid).project(torch.from_numpy(u), torch.from_numpy(v))
    np.testing.assert_array_equal(np.stack([a.numpy(), b.numpy()]), np.stack(leray(grid).project(u, v)))


def test_spectral_projection():
    w = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 48)))
    lengths = (2.0, 1.0)
    u, v = spectral_leray(w[0], w[1], lengths)
    scale = u.abs().max() * 48
    assert spectral_divergence(w[0], w[1], lengths).abs().max() > 0.1 * scale
    assert spectral_divergence(u, v, lengths).abs().max() < 1e-13 * scale
    again = spectral_leray(u, v, lengths)
    assert (again[0] - u).abs().max() < 1e-14 * scale
    torch.testing.assert_close(u.mean((-2, -1)), w[0].mean((-2, -1)), atol=1e-14, rtol=0)


def test_what_cannot_be_projected_is_refused():
    grid = two_obstacles(16)
    u, v = white(grid)
    u[1, 2, 3] = np.nan
    with pytest.raises(FieldError, match=r"\(1, 2, 3\)"):
        leray(grid).project(u, v)
    with pytest.raises(ShapeError):
        leray(grid).project(u[:, :5], v)
    with pytest.raises(ConfigError):
        MacGrid(np.ones((4, 4), dtype=bool))
    with pytest.raises(ShapeError):
        MacGrid(np.ones((4, 4)))
