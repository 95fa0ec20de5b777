"""Scans at the edge of what can be reconstructed: nothing attenuates, rays are dead, views are chosen by a mask."""

from __future__ import annotations

import math

import pytest
import torch
from scidiff.domains.ct.campaign import ADAPTER
from scidiff.domains.ct.classical import METHODS, cgls, tv
from scidiff.domains.ct.geometry import Fan, Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.phantoms import shepp_logan, water_disc
from scidiff.domains.ct.scan import Scan
from scidiff.domains.ct.simulation import simulate
from scidiff.domains.ct.units import MU_WATER

from scidiff.errors import ConfigError, DataError

GRID, GEOMETRY = Grid.square(24, 120.0), Parallel(even_angles(24), 48, 2.5)


@pytest.mark.filterwarnings("ignore::scidiff.domains.ct.checks.ScanWarning")
def test_where_nothing_attenuates_the_image_is_empty():
    scan = Scan.from_projections(torch.zeros(GEOMETRY.shape), GEOMETRY, sd=0.1)
    assert float(tv(scan, GRID, 100.0).image.abs().max()) < 1e-12
    assert float(cgls(scan, GRID).image.abs().max()) == 0.0


def test_a_scan_without_a_usable_ray_is_refused():
    with pytest.raises(DataError, match="no ray has a positive weight"):
        Scan.from_counts(torch.zeros(GEOMETRY.shape), GEOMETRY, 1e4)


@pytest.mark.parametrize("wrong", [{"gain": -1.0}, {"gain": 0.0}, {"gain": math.nan}, {"flats": math.inf}])
def test_a_gain_or_a_count_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="expected a positive number"):
        Scan.from_counts(torch.full(GEOMETRY.shape, 50.0), GEOMETRY, **{"flats": 1e4, **wrong})


@pytest.mark.filterwarnings("ignore::scidiff.domains.ct.checks.ScanWarning")
def test_back_projection_interpolates_dead_rays():
    """Two dead columns and a dead view: the disc keeps its value, where zeros would have cut stripes into it."""
    y = water_disc(50.0).project(GEOMETRY)
    weights = torch.ones(GEOMETRY.shape, dtype=torch.float64)
    weights[:, 20:22], weights[5] = 0.0, 0.0
    dead = Scan(torch.where(weights > 0, y, 0.0), weights, GEOMETRY)
    whole = Scan(y, torch.ones_like(weights), GEOMETRY)
    inner = GRID.points().norm(dim=-1) < 35.0
    images = [METHODS["fbp"](scan, GRID).image[inner] for scan in (whole, dead)]
    assert float((images[1] - images[0]).abs().max()) < 0.05 * MU_WATER


def test_views_are_chosen_by_a_mask_or_by_numbers():
    scan = simulate(water_disc(50.0), GEOMETRY, 1e4)
    mask = torch.zeros(24, dtype=torch.bool)
    mask[[3, 17]] = True
    for views in (mask, torch.tensor([3, 17]), [3, 17]):
        assert torch.equal(scan.select(views).projections, scan.projections[[3, 17]])
        assert torch.equal(scan.select(views).geometry.angles, GEOMETRY.angles[[3, 17]])


def test_a_source_inside_the_phantom_is_refused():
    body = shepp_logan()
    fan = Fan(even_angles(8, 2 * math.pi), 64, 6.0, source_axis=60.0, source_detector=120.0)
    with pytest.raises(ConfigError, match="source of view"):
        simulate(body, fan, 1e4)


def test_an_unknown_fit_is_no_good_fit():
    columns = {"chi2": [1.0, math.nan], "chi2_low": [0.9, 0.9], "chi2_high": [1.1, 1.1]}
    good, unknown = ADAPTER.scores["misfit"](columns)
    assert good == 0.0 and math.isnan(unknown)
