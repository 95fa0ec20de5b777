"""Line integrals against quadrature, areas and symmetries."""

from __future__ import annotations

import math

import pytest
import torch
from scidiff.domains.ct import phantoms
from scidiff.domains.ct.checks import ScanWarning
from scidiff.domains.ct.geometry import Fan, Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.phantoms import Ellipse, Ellipsoid, Phantom, SuperEllipse
from scidiff.domains.ct.simulation import noisy_scan, poisson_counts, simulate

from scidiff.errors import ConfigError
from scidiff.random import Noise

BODIES = {
    "ellipse": Ellipse(1.3, (0.2, -0.1), (0.5, 0.3), 0.7),
    "cut": Ellipse(1.3, (0.2, -0.1), (0.5, 0.3), 0.7, ((0.6, 0.8, 0.1), (-1.0, 0.0, 0.1))),
    "super-ellipse": SuperEllipse(0.8, (-0.1, 0.2), (0.5, 0.35), -0.4),
    "ellipsoid": Ellipsoid(0.9, (0.1, 0.0, 0.2), (0.4, 0.6, 0.3), 0.3, ((0.0, 0.0, 1.0, 0.3),)),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_line_integral_is_that_of_the_values(name):
    body = BODIES[name]
    dimension = 3 if name == "ellipsoid" else 2
    draws = Noise.range(3, 40).normal((2, dimension), step=0, stream="rays")
    points, directions = 0.2 * draws[:, 0], draws[:, 1] / draws[:, 1].norm(dim=-1, keepdim=True)
    count = 20_000
    s = (torch.arange(count, dtype=torch.float64) + 0.5) / count * 4.0 - 2.0
    values = body.value(points[:, None] + s[:, None] * directions[:, None])
    # midpoint rule on an indicator: at most one step at each of two ends
    bound = 2 * 4.0 / count * body.density
    assert (body.integral(points, directions) - values.sum(1) * 4.0 / count).abs().max() <= bound


def test_the_chord_of_a_disc():
    disc = Ellipse(2.0, axes=(3.0, 3.0))
    u = torch.tensor([0.0, 1.0, 2.9, 3.0, 3.1], dtype=torch.float64)
    points = torch.stack([u, torch.zeros(5)], 1).double()
    directions = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(5, 2)
    exact = 2.0 * 2.0 * torch.sqrt((9.0 - u**2).clamp_min(0))
    assert torch.allclose(disc.integral(points, directions), exact, atol=1e-7)


def test_every_view_holds_the_same_mass():
    phantom = phantoms.shepp_logan(2.0, 1.0)
    geometry = Parallel(even_angles(7), 4000, 2.2 / 4000)
    mass = phantom.project(geometry).sum(1) * geometry.pitch
    exact = math.pi * sum(b.density * b.axes[0] * b.axes[1] for b in phantom.bodies)
    # midpoint rule over a square-root edge: error of order (pitch)^1.5
    assert torch.allclose(mass, torch.full_like(mass, exact), rtol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        phantoms.shepp_logan,
        phantoms.forbild_like,
        phantoms.tooth_like,
        phantoms.water_disc,
        lambda: phantoms.random_ellipses(3),
        lambda: phantoms.disc_with_holes(3),
        lambda: phantoms.foam(3, count=40),
        lambda: phantoms.bead_pack(3, count=20),
    ],
    ids=["shepp-logan", "forbild", "tooth", "water", "ellipses", "holes", "foam", "beads"],
)
def test_a_phantom_lies_inside_its_extent_in_air(make):
    phantom = make()
    inside = phantom.image(Grid.square(64, phantom.extent), 2)
    outside = phantom.image(Grid.square(96, 1.5 * phantom.extent), 1)
    outside[16:80, 16:80] = 0
    assert outside.abs().max() < 1e-12
    assert inside.max() > 0
    assert phantom.project(Parallel(even_angles(3), 32, 1.5 * phantom.extent / 32)).min() > -1e-12


def test_drawn_circles_keep_their_distance_and_their_seed():
    foam = phantoms.foam(5, count=60)
    holes = [(b.centre, b.axes[0]) for b in foam.bodies[1:]]
    assert len(holes) > 40
    for i, (a, r) in enumerate(holes):
        assert all(math.dist(a, b) > r + s for b, s in holes[:i])
    assert phantoms.foam(5, count=60) == foam
    assert phantoms.foam(5, 1, count=60) != foam


def test_subrays_average_over_the_pixel():
    phantom = Phantom("disc", (Ellipse(1.0, axes=(3.0, 3.0)),), 8.0)
    coarse = phantom.project(Parallel(even_angles(1), 8, 1.0, 3.2), subrays=400)[0]
    u = torch.arange(8, dtype=torch.float64) - 3.2
    primitive = lambda t: t * torch.sqrt((9 - t**2).clamp_min(0)) + 9 * torch.asin((t / 3).clamp(-1, 1))  # noqa: E731
    exact = primitive((u + 0.5).clamp(-3, 3)) - primitive((u - 0.5).clamp(-3, 3))
    # midpoint rule with 400 points on a square-root edge
    assert torch.allclose(coarse, exact, atol=2e-3)


def test_counts_have_poisson_moments():
    mean = torch.full((40_000,), 7.3, dtype=torch.float64)
    counts = poisson_counts(mean, Noise.range(1, 1))
    # standard errors: mean sqrt(7.3 / n) = 0.0135; variance 7.3 sqrt(2 / n + ...) < 0.06
    assert float(counts.mean()) == pytest.approx(7.3, abs=4 * 0.0135)
    assert float(counts.var()) == pytest.approx(7.3, abs=4 * 0.06)
    assert torch.equal(counts, counts.round())


def test_the_truth_explains_its_scan():
    phantom = phantoms.water_disc(60.0)
    geometry = Fan(even_angles(40, 2 * math.pi), 96, 4.0, source_axis=300.0, source_detector=600.0)
    scan = simulate(phantom, geometry, 1e5, seed=2)
    half = 0.5 * (scan.interval[1] - scan.interval[0]) / 1.96
    assert float(scan.chi2(phantom.project(geometry, 2))) == pytest.approx(1.0, abs=4 * half)


def test_scanner_faults_show_in_the_residuals():
    phantom = phantoms.disc_with_holes(1)
    geometry = Parallel(even_angles(40), 96, phantom.extent / 64)
    exact = phantom.project(geometry, 2)
    with pytest.warns(ScanWarning, match="background"):
        rings = simulate(phantom, geometry, 1e5, ring_sd=0.02)
    # the mean over 40 views of a column has standard deviation about 0.002 without rings
    column = (rings.projections - exact).mean(0)
    assert 0.01 < float(column.std()) < 0.03
    assert float(simulate(phantom, geometry, 1e5, axis_error=1.0).chi2(exact)) > 3


def test_gaussian_noise_is_relative_to_the_largest_integral():
    phantom = phantoms.water_disc(60.0)
    geometry = Parallel(even_angles(30), 96, 2.0)
    exact = phantom.project(geometry)
    scan = noisy_scan(exact, geometry, 0.01)
    sd = 0.01 * float(exact.max())
    assert float((scan.projections - exact).std()) == pytest.approx(sd, rel=4 / math.sqrt(2 * 2880))
    with pytest.raises(ConfigError, match="positive noise"):
        noisy_scan(exact, geometry, 0.0)
