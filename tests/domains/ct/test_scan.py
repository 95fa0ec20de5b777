"""From counts to weights, and what a scan says of itself."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scidiff.domains.ct import phantoms
from scidiff.domains.ct.checks import BODY, ScanWarning
from scidiff.domains.ct.counts import estimate_gain, log_transform
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.preprocess import find_axis, linearise, remove_rings
from scidiff.domains.ct.scan import Scan
from scidiff.domains.ct.simulation import poisson_counts, simulate
from scidiff.domains.ct.validation import validate

from scidiff.errors import ConfigError, DataError
from scidiff.random import Noise

GEOMETRY = Parallel(even_angles(24), 64, 3.0)
DISC = phantoms.water_disc(60.0)


def counts(i0: float = 1e4) -> torch.Tensor:
    return poisson_counts(i0 * torch.exp(-DISC.project(GEOMETRY)), Noise.range(0, 1))


def codes(make) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        return [finding.code for finding in make().findings]


def test_the_weights_are_the_inverse_variances():
    gain, dark, level, draws = 2.5, 50.0, 800.0, 20_000
    noise = Noise.range(4, 1)
    mean = torch.full((draws, 1), level, dtype=torch.float64)
    frames = gain * poisson_counts(mean * math.exp(-1.0) / gain, noise) + dark
    flats = gain * poisson_counts(torch.full((50, 1), level / gain), noise.scoped("flat")) + dark
    read = log_transform(frames, flats, torch.full((10, 1), dark), gain)
    # the flat term is common to all rays; the spread shows the first one alone
    expected = gain / (level * math.exp(-1.0))
    assert float(read.projections.var()) == pytest.approx(expected, rel=4 * math.sqrt(2 / draws) + 0.01)
    common = gain / (50 * level)
    assert float((1 / read.weights).mean()) == pytest.approx(expected + common, rel=0.03)


def test_the_gain_is_found_and_drift_is_not():
    noise = Noise.range(1, 1)
    drift = torch.linspace(0.9, 1.1, 20, dtype=torch.float64)[:, None]
    flats = 0.6 * poisson_counts(5000.0 * drift.expand(20, 500), noise)
    # standard error of a variance from 500 x 19 degrees of freedom: sqrt(2 / 9500) = 1.5 %
    assert estimate_gain(flats) == pytest.approx(0.6, rel=0.06)
    with pytest.raises(DataError, match="at least 4"):
        estimate_gain(flats[:3])


def test_a_starved_ray_gets_no_weight():
    values = counts()
    values[3, 30] = 0
    with pytest.warns(ScanWarning, match="starved"):
        scan = Scan.from_counts(values, GEOMETRY, 1e4)
    assert scan.weights[3, 30] == 0
    assert scan.used == GEOMETRY.views * 64 - 1
    like = scan.likelihood(Grid.square(16, 150.0))
    assert like.y.shape == (scan.used,)
    assert bool(like(torch.zeros(1, 16, 16)).isfinite().all())


def test_a_good_scan_has_no_findings_and_truth_fits_it():
    scan = Scan.from_counts(counts(), GEOMETRY, 1e4, plausible=BODY)
    assert scan.findings == ()
    low, high = scan.interval
    half = 0.5 * (high - low) / 1.96
    assert abs(float(scan.chi2(DISC.project(GEOMETRY))) - 1) < 4 * half
    both = scan.chi2(torch.stack([DISC.project(GEOMETRY), torch.zeros(GEOMETRY.shape)]))
    assert both.shape == (2,)
    assert both[1] > 100


def test_the_published_benchmark_geometry_raises_three_warnings():
    """End point included, a detector as wide as the image, and a signed image: all three are named."""
    geometry = Parallel(torch.linspace(0, math.pi, 20), 64, 1.0)
    grid = Grid((64, 64), 1.0)
    image = 0.01 * (phantoms.shepp_logan(64.0, 2.0).image(grid, 2) - 1.0)

    def make() -> Scan:
        from scidiff.domains.ct.operators import system_matrix

        return Scan.from_projections(system_matrix(geometry, grid).apply(image[None])[0], geometry, i0=1e5)

    assert set(codes(make)) == {"truncated", "duplicate-views", "negative-background"}


def test_a_full_turn_has_no_duplicates():
    geometry = Parallel(even_angles(24, 2 * math.pi), 64, 3.0)
    assert codes(lambda: simulate(DISC, geometry, 1e4)) == []
    twice = Parallel(torch.linspace(0, 2 * math.pi, 25), 64, 3.0)
    assert codes(lambda: simulate(DISC, twice, 1e4)) == ["duplicate-views"]


def test_saturated_pixels_are_found_and_left_out():
    values = counts().clamp_max(9000.0)
    assert codes(lambda: Scan.from_counts(values, GEOMETRY, 1e4)) == ["saturated"]
    with pytest.warns(ScanWarning):
        scan = Scan.from_counts(values, GEOMETRY, 1e4)
    assert scan.used == int((values < 9000).sum())


@pytest.mark.parametrize("factor", [0.1, 10.0], ids=["cm", "tenths"])
def test_lengths_in_another_unit_are_refused(factor):
    y = DISC.project(GEOMETRY)
    wrong = Parallel(GEOMETRY.angles, 64, 3.0 * factor)
    with pytest.raises(DataError, match="lengths look like"):
        Scan.from_projections(y, wrong, i0=1e5, plausible=BODY)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda c: c.index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(math.nan).double()),
            r"finite.*\(1, 2\)",
        ),
        (lambda c: c - 1e5, "negative values"),
        (lambda c: c[:-1], "24 angles"),
    ],
    ids=["nan", "negative", "views"],
)
def test_bad_counts_are_refused(change, says):
    with pytest.raises(DataError, match=says):
        Scan.from_counts(change(counts()), GEOMETRY, 1e4)


def test_bad_flats_are_refused():
    with pytest.raises(DataError, match="flats have shape"):
        Scan.from_counts(counts(), GEOMETRY, np.ones((5, 63)))
    with pytest.raises(DataError, match="brighter"):
        Scan.from_counts(counts(), GEOMETRY, np.ones((5, 64)), np.full((5, 64), 2.0), gain=1.0)
    with pytest.raises(DataError, match="exactly one"):
        Scan.from_projections(DISC.project(GEOMETRY), GEOMETRY)


def test_views_are_held_out():
    kept, held = simulate(DISC, GEOMETRY, 1e4).hold_out(4)
    assert kept.geometry.views == 6
    assert held.geometry.views == 18
    assert torch.equal(kept.geometry.angles, GEOMETRY.angles[::4])
    with pytest.raises(DataError, match="every"):
        kept.hold_out(1)


def test_the_axis_is_found():
    shifted = Parallel(even_angles(40), 96, 2.0, 44.37)
    phantom = phantoms.random_ellipses(2, extent=120.0)
    # exact for noise-free data but for the midpoint rule over edges
    assert find_axis(phantom.project(shifted), shifted.angles) == pytest.approx(44.37, abs=0.01)
    with pytest.raises(DataError, match="8"):
        find_axis(torch.ones(4, 8), torch.zeros(4))


def test_rings_are_removed_and_smooth_data_stay():
    y = DISC.project(GEOMETRY)
    offset = torch.zeros(64, dtype=torch.float64)
    offset[31] = 0.2
    cleaned = remove_rings(y + offset)
    assert float((cleaned - remove_rings(y)).abs().max()) < 0.02
    with pytest.raises(ConfigError, match="odd"):
        remove_rings(y, 4)


def test_linearise_is_the_polynomial():
    y = torch.tensor([0.0, 1.0, 2.0])
    assert torch.allclose(linearise(y, [0.1, 0.01]), y + 0.1 * y**2 + 0.01 * y**3)


def test_validation_accepts_the_truth_and_finds_a_bad_column():
    grid = Grid.square(96, 192.0)
    blob = phantoms.Phantom("blob", (phantoms.Blob(0.02, (10.0, -5.0), 20.0),), 192.0)
    scan = simulate(blob, GEOMETRY, 1e4, subrays=1)
    image = blob.image(grid)
    good = validate(scan, image, grid)
    assert good.band[0] - 0.05 < good.chi2 < good.band[1] + 0.05
    # 64 columns: the largest of 64 normals exceeds 4.5 with probability 4e-4
    assert good.worst_column < 4.5
    off = scan.projections.clone()
    off[:, 20] += 0.05
    bad = validate(Scan(off, scan.weights, scan.geometry), image, grid)
    assert bad.worst_column > 10
