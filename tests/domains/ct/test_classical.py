"""Classical methods: units, optimality, stopping rules, weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scidiff.domains.ct import phantoms
from scidiff.domains.ct.checks import ScanWarning
from scidiff.domains.ct.classical import (
    METHODS,
    WINDOWS,
    DiscrepancyError,
    by_discrepancy,
    by_oracle,
    cgls,
    fbp,
    pwls,
    sirt,
    tv,
)
from scidiff.domains.ct.classical.differences import divergence, gradient
from scidiff.domains.ct.classical.fbp import arc_shares, redundancy
from scidiff.domains.ct.classical.methods import first_weights
from scidiff.domains.ct.geometry import Cone, Fan, Parallel, Vectors, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.metrics import psnr, ssim
from scidiff.domains.ct.operators import joseph_matrix
from scidiff.domains.ct.phantoms import Ellipsoid, Phantom
from scidiff.domains.ct.simulation import simulate
from scidiff.domains.ct.units import MU_WATER, to_hu

from scidiff.errors import ConfigError
from scidiff.random import Noise

GRID = Grid.square(24, 120.0)
GEOMETRY = Parallel(even_angles(16), 36, 5.0)
PHANTOM = phantoms.random_ellipses(1, count=6, extent=120.0)
SCAN = simulate(PHANTOM, GEOMETRY, 2e3, seed=1)
TRUTH = PHANTOM.image(GRID, 8)
TOP = float(TRUTH.max())


@pytest.mark.parametrize("pixel", [0.1, 4.0], ids=["0.1 mm", "4 mm"])
@pytest.mark.parametrize("kind", ["parallel", "offset", "fan", "short fan"])
def test_water_is_zero_at_any_pixel_size(pixel, kind):
    distances = {"source_axis": 300 * pixel, "source_detector": 450 * pixel}
    geometry = {
        "parallel": Parallel(even_angles(90), 96, pixel),
        "offset": Parallel(even_angles(90), 96, pixel, 44.0),
        "fan": Fan(even_angles(180, 2 * math.pi), 96, 1.5 * pixel, 46.0, **distances),
        "short fan": Fan(even_angles(130, 1.3 * math.pi), 96, 1.5 * pixel, 46.0, **distances),
    }[kind]
    grid = Grid((64, 64), pixel)
    image = fbp(phantoms.water_disc(25 * pixel).project(geometry, 4), geometry, grid)
    inside = grid.points().norm(dim=-1) < 18 * pixel
    assert abs(float(to_hu(image[inside]).mean())) < 5


def test_fdk_is_water_in_the_plane_of_the_source():
    ball = Phantom("ball", (Ellipsoid(MU_WATER, (0.0, 0.0, 0.0), (15.0, 15.0, 15.0)),), 40.0)
    cone = Cone(even_angles(60, 2 * math.pi), 40, 1.5, source_axis=300.0, source_detector=450.0, rows=33)
    grid = Grid((3, 40, 40), 1.0)
    image = fbp(ball.project(cone), cone, grid)
    inside = grid.points().norm(dim=-1) < 10
    assert abs(float(to_hu(image[inside]).mean())) < 10
    radius = grid.points()[..., :2].norm(dim=-1)
    ring = (radius > 16.5) & (radius < 19)
    assert abs(float(image[ring].mean())) < 0.02 * MU_WATER


def test_windows_pass_the_mean_and_damp_the_rest():
    f = torch.linspace(0, 1, 11, dtype=torch.float64)
    for name, window in WINDOWS.items():
        assert float(window(f)[0]) == pytest.approx(1.0)
        assert name == "ram-lak" or float(window(f)[-1]) < 0.7


def test_a_repeated_view_counts_once():
    once = arc_shares(even_angles(8), math.pi)
    twice = arc_shares(torch.linspace(0, math.pi, 9, dtype=torch.float64), math.pi)
    assert torch.allclose(once, torch.full((8,), math.pi / 8, dtype=torch.float64))
    assert float(twice.sum()) == pytest.approx(math.pi)
    assert float(twice[0] + twice[-1]) == pytest.approx(math.pi / 8)
    limited = arc_shares(even_angles(10, math.pi / 2), math.pi)
    assert float(limited.sum()) == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(
    ("angles", "turn"),
    [
        (math.pi * (0.5 * (5**0.5 - 1)) * torch.arange(100, dtype=torch.float64), math.pi),
        (even_angles(361, math.radians(270)), math.pi),
        (even_angles(601, math.radians(300)), math.pi),
        (math.pi * torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), math.pi),
        (2 * math.pi * (0.5 * (5**0.5 - 1)) * torch.arange(90, dtype=torch.float64), 2 * math.pi),
    ],
    ids=["golden", "three-quarters", "300-degrees", "random", "golden-turn"],
)
def test_shares_of_a_whole_arc_lose_none_of_it(angles, turn):
    assert float(arc_shares(angles, turn).sum()) == pytest.approx(turn, rel=1e-12)


@pytest.mark.parametrize("fan", [False, True], ids=["parallel", "fan"])
@pytest.mark.parametrize("centre", [12.0, 95.5, 171.0], ids=["axis-left", "middle", "axis-right"])
def test_a_full_turn_around_an_axis_off_the_middle_gives_water_its_value(fan, centre):
    """Each line is measured once or twice and counted once; what is left is the ripple of the sharp edge."""
    angles = even_angles(360, 2 * math.pi)
    geometry = Parallel(angles, 192, 1.0, centre)
    if fan:
        geometry = Fan(angles, 192, 2.0, centre, source_axis=500.0, source_detector=1000.0)
    body, grid = phantoms.water_disc(70.0), Grid.square(64, 160.0)
    image = fbp(body.project(geometry), geometry, grid)
    inner = grid.points().norm(dim=-1) < 60.0
    assert float((image[inner] / MU_WATER - 1).abs().max()) < 0.01
    assert float(image[inner].mean()) == pytest.approx(MU_WATER, rel=0.002)


def test_a_cone_off_the_middle_is_the_fan_in_the_plane_of_its_source():
    """The middle row of the detector sees the middle slice alone: the same sums, up to round-off."""
    angles, distances = even_angles(24, 2 * math.pi), {"source_axis": 500.0, "source_detector": 1000.0}
    fan = Fan(angles, 48, 8.0, 6.0, **distances)
    cone = Cone(angles, 48, 8.0, 6.0, rows=3, **distances)
    y = phantoms.water_disc(70.0).project(fan)
    flat = fbp(y, fan, Grid.square(16, 160.0))
    volume = fbp(y[:, None].expand(-1, 3, -1), cone, Grid((1, 16, 16), 10.0))
    assert torch.allclose(volume[0], flat, rtol=1e-12, atol=1e-12 * float(flat.max()))


def test_a_source_inside_the_grid_has_no_back_projection():
    fan = Fan(even_angles(8, 2 * math.pi), 64, 2.0, source_axis=60.0, source_detector=120.0)
    with pytest.raises(ConfigError, match="source of view"):
        fbp(torch.ones(fan.shape), fan, Grid.square(16, 200.0))


def test_lines_seen_twice_share_their_weight():
    fan = Fan(even_angles(400, 1.4 * math.pi), 41, 3.0, source_axis=200.0, source_detector=300.0)
    weight = redundancy(fan)
    gamma = torch.atan(fan.u / fan.source_detector)
    for view, column in ((20, 5), (60, 12), (5, 30)):
        opposite = float(fan.angles[view] + math.pi - 2 * gamma[column])
        if opposite < float(fan.angles[-1]):
            other = int((fan.angles - opposite).abs().argmin())
            assert float(weight[view, column] + weight[other, 40 - column]) == pytest.approx(1.0, abs=0.05)
    assert float(redundancy(Fan(even_angles(8, 2 * math.pi), 5, source_axis=9.0, source_detector=9.0)).mean()) == 0.5


def test_a_geometry_without_fbp_is_refused():
    flat = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ConfigError, match="iterative"):
        fbp(torch.zeros(2, 3), Vectors(flat - 9, flat, torch.ones(2, 1, 2), (3,)), GRID)


def test_divergence_is_the_negative_adjoint():
    noise = Noise.range(0, 2)
    x, q = noise.normal((5, 6), step=0, stream="x"), noise.normal((2, 5, 6), step=0, stream="q")
    assert float((gradient(x) * q).sum() + (x * divergence(q)).sum()) == pytest.approx(0.0, abs=1e-12)


def test_pwls_solves_its_normal_equations():
    matrix = torch.from_numpy(joseph_matrix(GEOMETRY, GRID).toarray())
    weight = 1e5
    eye = torch.eye(GRID.size, dtype=torch.float64).reshape(-1, *GRID.shape)
    penalty = -divergence(gradient(eye)).reshape(GRID.size, -1)
    w = SCAN.weights.flatten()
    normal = matrix.T @ (w[:, None] * matrix) + weight * penalty
    exact = torch.linalg.solve(normal, matrix.T @ (w * SCAN.projections.flatten()))
    found = pwls(SCAN, GRID, weight, tolerance=1e-6)
    assert found.converged
    assert float((found.image.flatten() - exact).norm() / exact.norm()) < 1e-3


def test_cgls_is_the_best_fit_in_its_krylov_space():
    matrix = torch.from_numpy(joseph_matrix(GEOMETRY, GRID).toarray())
    root = SCAN.weights.flatten().sqrt()
    scaled, data = root[:, None] * matrix, root * SCAN.projections.flatten()
    basis = [scaled.T @ data]
    for _ in range(4):
        basis.append(scaled.T @ (scaled @ (basis[-1] / basis[-1].norm())))
    space = torch.linalg.qr(torch.stack(basis, 1)).Q
    best = torch.linalg.lstsq(scaled @ space, data[:, None]).solution[:, 0]
    least = float((data - scaled @ (space @ best)).square().sum()) / SCAN.used
    # the operator multiplies in float32
    assert cgls(SCAN, GRID, 5, stop=0.0).chi2 == pytest.approx(least, rel=1e-4)


def test_iterations_stop_at_the_discrepancy():
    for result in (cgls(SCAN, GRID), sirt(SCAN, GRID, 500)):
        assert result.converged
        assert result.chi2 <= 1.0
    assert sirt(SCAN, GRID, 500).image.min() >= 0
    assert not sirt(SCAN, GRID, 2).converged


def test_tv_reaches_its_gap_from_any_start_and_the_minimum_is_one():
    weight = 1e3
    found = tv(SCAN, GRID, weight, tolerance=1e-4)
    assert found.converged
    assert 0 <= found.facts["gap"] <= 1e-4

    def value(image: torch.Tensor) -> float:
        chi2 = float(SCAN.chi2(SCAN.operator(GRID, torch.float64).apply(image[None]))[0]) * SCAN.used
        return 0.5 * chi2 + weight * float(gradient(image[None]).norm(dim=1).sum())

    again = tv(SCAN, GRID, weight, tolerance=1e-4, start=tv(SCAN, GRID, 3 * weight, tolerance=1e-2))
    # both lie within the gap of the one minimum
    assert value(again.image) == pytest.approx(value(found.image), rel=2e-4)
    draws = Noise.range(0, 5).normal(GRID.shape, step=0, stream="try")
    for direction in (*draws, TRUTH - found.image, found.image):
        other = (found.image + 1e-3 * TOP * direction / direction.abs().max()).clamp_min(0)
        assert value(other) >= value(found.image) * (1 - 1e-4)


def test_the_discrepancy_chooses_the_weight():
    result = by_discrepancy(lambda w, s: pwls(SCAN, GRID, w, start=s), 1e6)
    assert result.chi2 == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("factor", "above"), [(1e4, True), (1e-6, False)], ids=["noise-too-low", "noise-too-high"])
def test_a_noise_level_that_no_weight_fits_is_told_with_its_side(factor, above):
    """Weights ``factor`` times the true ones multiply ``chi^2 / n`` of every image."""
    scan = replace(SCAN, weights=factor * SCAN.weights)
    with pytest.raises(DiscrepancyError, match="above whatever" if above else "below whatever") as caught:
        by_discrepancy(lambda w, s: pwls(scan, GRID, w, start=s), 1e6 * factor)
    assert caught.value.above is above
    assert (caught.value.nearest.chi2 > 1) is above
    assert "noise level too low" in str(caught.value) if above else "noise level too high" in str(caught.value)


def test_where_no_weight_fits_a_method_gives_the_nearest_image_and_warns():
    scan = replace(SCAN, weights=1e4 * SCAN.weights)
    with pytest.warns(ScanWarning, match="above whatever"):
        result = METHODS["pwls"](scan, GRID)
    with pytest.raises(DiscrepancyError) as caught:
        by_discrepancy(lambda w, s: pwls(scan, GRID, w, start=s), first_weights(scan, GRID)[0])
    assert torch.equal(result.image, caught.value.nearest.image)
    with pytest.warns(ScanWarning, match="above whatever"):
        assert METHODS["tv"](scan, GRID).chi2 > 1


def test_of_weights_that_fit_alike_the_strongest_is_taken():
    """Far below the noise the fit no longer changes, while the image becomes rough: 5 % of the fit are not worth it."""
    scan, tried = replace(SCAN, weights=1e4 * SCAN.weights), []

    def solve(weight, start):
        tried.append(pwls(scan, GRID, weight, start=start))
        return tried[-1]

    with pytest.raises(DiscrepancyError) as caught:
        by_discrepancy(solve, first_weights(scan, GRID)[0])
    least = min(one.chi2 for one in tried)
    fitting = [one for one in tried if one.chi2 <= 1.051 * least]
    assert len(fitting) > 1
    assert caught.value.nearest.facts["weight"] == max(one.facts["weight"] for one in fitting)
    assert caught.value.nearest.chi2 >= least


def test_a_search_that_is_cut_short_says_so():
    with pytest.raises(DiscrepancyError, match="after 1 weights"):
        by_discrepancy(lambda w, s: pwls(SCAN, GRID, w, start=s), 1e6, target=1e6, tries=1)
    with pytest.raises(ConfigError, match="tries 0"):
        by_discrepancy(lambda w, s: pwls(SCAN, GRID, w, start=s), 1e6, tries=0)


def test_the_oracle_is_not_worse_than_the_discrepancy():
    solve = lambda w, s: pwls(SCAN, GRID, w, start=s)  # noqa: E731
    best = by_oracle(solve, 1e6, TRUTH, TOP)
    automatic = by_discrepancy(solve, 1e6)
    assert psnr(best.image, TRUTH, TOP) >= psnr(automatic.image, TRUTH, TOP) - 0.05


@pytest.mark.parametrize("name", METHODS)
def test_every_method_beats_an_empty_image(name):
    result = METHODS[name](SCAN, GRID)
    assert result.image.shape == GRID.shape
    assert float(psnr(result.image, TRUTH, TOP)) > float(psnr(0 * TRUTH, TRUTH, TOP)) + 6


def test_psnr_and_ssim_in_closed_form():
    x = torch.rand(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(psnr(x + 0.1, x, 1.0)) == pytest.approx(20.0)
    assert float(ssim(x, x, 1.0)) == pytest.approx(1.0)
    flat = torch.full((12, 12), 0.5, dtype=torch.float64)
    # constant images: only the luminance term is left
    expected = (2 * 0.5 * 0.7 + 1e-4) / (0.5**2 + 0.7**2 + 1e-4)
    assert float(ssim(flat + 0.2, flat, 1.0)) == pytest.approx(expected)
    assert ssim(torch.stack([x, x]), x, 1.0).shape == (2,)


def test_going_on_from_a_near_solution_costs_less_than_beginning_anew():
    """A search solves at weights ever closer to each other; each start is almost the solution, and must stay it.

    Steps whose balance follows how far the iterates travel fail here: next to the solution they travel nowhere.
    """
    weight = first_weights(SCAN, GRID)[1]
    cold = tv(SCAN, GRID, weight, 1e-3)
    found, spent = cold, []
    for k in range(8):
        found = tv(SCAN, GRID, weight * (1 + 0.02 / 2**k), 1e-3, start=found)
        assert found.converged
        balance = found.facts["omega"] / cold.facts["omega"]
        assert balance == pytest.approx(found.facts["weight"] / weight, rel=1e-9)
        spent.append(found.iterations)
    assert max(spent) <= cold.iterations
    assert float((found.image - cold.image).abs().max()) < 0.02 * float(cold.image.max())
