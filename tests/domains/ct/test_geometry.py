"""Rays of the geometries, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from scidiff.domains.ct.geometry import Cone, Fan, Parallel, Vectors, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.units import MU_WATER, from_hu, to_hu

from scidiff.errors import ConfigError


def test_the_central_parallel_ray_passes_the_axis():
    geometry = Parallel(even_angles(7), 9, 0.5, centre=3.0)
    points, directions = geometry.rays()
    assert points[:, 3].norm(dim=-1).max() == 0
    assert torch.allclose(directions.norm(dim=-1), torch.ones(7, 9, dtype=torch.float64))
    # (p, d) is right-handed: u grows along e_u
    assert torch.allclose(points[:, 5].norm(dim=-1), torch.full((7,), 1.0, dtype=torch.float64))


def test_a_distant_fan_is_parallel():
    angles = even_angles(5)
    far = 1e7
    fan = Fan(angles, 11, 1.0, 4.0, source_axis=far, source_detector=far * 1.0000001)
    parallel = Parallel(angles, 11, 1.0, 4.0)
    points, directions = parallel.rays()
    source, ways = fan.rays()
    # foot of the perpendicular from the axis; rays bend by at most 7 mm / 1e7 mm
    foot = source - (source * ways).sum(-1, keepdim=True) * ways
    assert (foot - points).abs().max() < 1e-5
    assert (ways - directions).abs().max() < 1e-6


def test_vectors_repeat_a_cone():
    cone = Cone(even_angles(4, 2 * math.pi), 6, 1.5, source_axis=50.0, source_detector=80.0, rows=4, row_pitch=2.0)
    across, along = cone.frame()
    zero = torch.zeros(4, 1, dtype=torch.float64)
    source = torch.cat([-50.0 * along, zero], 1)
    middle = torch.cat([30.0 * along, zero], 1)
    rise = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64).expand(4, 3)
    vectors = Vectors(source, middle, torch.stack([rise, torch.cat([1.5 * across, zero], 1)], 1), (4, 6))
    for a, b in zip(cone.rays(), vectors.rays(), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    assert vectors.select([0, 2]).shape == (2, 4, 6)
    assert vectors.field_of_view <= cone.field_of_view + 1e-9


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Parallel(torch.arange(180.0), 16), "degrees"),
        (lambda: Parallel([0.0, float("nan")], 16), "finite"),
        (lambda: Parallel(even_angles(4), 16, -1.0), "positive length"),
        (lambda: Parallel(even_angles(4), 16, centre=40.0), "axis projects"),
        (lambda: Fan(even_angles(4), 16, source_axis=100.0, source_detector=50.0), "behind the axis"),
        (lambda: Fan(even_angles(4), 900, 1.0, source_axis=5.0, source_detector=9.0), "cm"),
        (lambda: Grid((4, 4), -1.0), "positive length"),
        (lambda: Grid((4,), 1.0), "two or three"),
    ],
    ids=["degrees", "nan", "pitch", "centre", "distances", "centimetres", "voxel", "shape"],
)
def test_the_impossible_is_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


def test_units_go_back_and_forth():
    assert float(from_hu(0.0)) == MU_WATER
    assert from_hu(-1000.0) == 0.0
    hu = torch.tensor([-1000.0, 0.0, 40.0, 3000.0], dtype=torch.float64)
    assert torch.allclose(to_hu(from_hu(hu)), hu)


def test_voxel_centres_are_symmetric():
    grid = Grid((3, 4), (2.0, 1.0))
    points = grid.points()
    assert points.shape == (3, 4, 2)
    assert points[0, 0].tolist() == [-1.5, -2.0]
    assert points.sum().item() == 0.0
    assert grid.refined(3).shape == (9, 12)
