"""Projectors against their adjoints, each other, exact integrals, and ASTRA."""

from __future__ import annotations

import math

import pytest
import torch
from scidiff.domains.ct.geometry import Cone, Fan, Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.operators import MatrixFree, system_matrix
from scidiff.domains.ct.operators.astra_adapter import AstraProjector, has_astra
from scidiff.domains.ct.operators.used import UsedRays
from scidiff.domains.ct.phantoms import Blob, Ellipse, Ellipsoid, Phantom

from scidiff.errors import ConfigError, MissingPackageError
from scidiff.random import Noise

GRID = Grid.square(32, 2.0)
PARALLEL = Parallel(even_angles(12), 48, 2 / 32, 21.3)
FAN = Fan(even_angles(12, 2 * math.pi), 48, 0.13, 21.3, source_axis=6.0, source_detector=12.0)
CONE = Cone(even_angles(4, 2 * math.pi), 20, 0.2, 9.2, source_axis=6.0, source_detector=12.0, rows=14)
needs_astra = pytest.mark.skipif(not has_astra(), reason="astra-toolbox is not installed")


def image(grid: Grid, batch: int = 2) -> torch.Tensor:
    return Noise.range(1, batch).uniform(grid.shape, step=0, stream="test")


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


# a product of k < 1e3 terms errs by about 2^-24 sqrt(k) in float32 and 2^-53 sqrt(k) in float64
@pytest.mark.parametrize("geometry", [PARALLEL, FAN], ids=["parallel", "fan"])
def test_the_matrix_is_adjoint(geometry, dtype):
    bound = 1e-6 if dtype == torch.float32 else 1e-14
    assert system_matrix(geometry, GRID, dtype).adjoint_defect() < bound


@pytest.mark.parametrize(
    ("geometry", "grid"),
    [(PARALLEL, GRID), (FAN, GRID), (CONE, Grid((8, 10, 12), (0.25, 0.2, 0.17)))],
    ids=["parallel", "fan", "cone"],
)
def test_the_matrix_free_pair_is_adjoint(geometry, grid):
    assert MatrixFree(geometry, grid, chunk=5000).adjoint_defect() < 1e-14


@pytest.mark.parametrize("geometry", [PARALLEL, FAN], ids=["parallel", "fan"])
def test_matrix_and_matrix_free_agree(geometry):
    x = image(GRID)
    assert gap(MatrixFree(geometry, GRID).apply(x), system_matrix(geometry, GRID, torch.float64).apply(x)) < 1e-14


def test_the_middle_slice_of_a_cone_is_a_fan():
    fan = Fan(CONE.angles, 20, 0.2, 9.2, source_axis=6.0, source_detector=12.0)
    cone = Cone(CONE.angles, 20, 0.2, 9.2, source_axis=6.0, source_detector=12.0, rows=3)
    flat = image(Grid((12, 12), 0.17), 1)
    volume = flat[:, None].expand(1, 5, 12, 12)
    got = MatrixFree(cone, Grid((5, 12, 12), 0.17)).apply(volume)[:, :, 1]
    assert gap(got, MatrixFree(fan, Grid((12, 12), 0.17)).apply(flat)) < 1e-14


@pytest.mark.parametrize("make", [system_matrix, MatrixFree], ids=["matrix", "matrix-free"])
def test_the_gradient_is_the_adjoint(make):
    operator = make(PARALLEL, GRID)
    x = image(GRID, 1).requires_grad_()
    y = torch.ones(1, *PARALLEL.shape, dtype=torch.float64)
    (operator.apply(x) * y).sum().backward()
    assert torch.equal(x.grad, operator.adjoint(y))


def test_the_projector_is_of_second_order_on_a_smooth_object():
    blob = Phantom("blob", (Blob(1.0, (0.1, -0.15), 0.17),), 2.0)
    errors = []
    for count in (64, 128):
        geometry = Parallel(even_angles(8), 3 * count // 2, 2 / count)
        projected = system_matrix(geometry, Grid.square(count, 2.0), torch.float64)
        errors.append(gap(projected.apply(blob.image(Grid.square(count, 2.0), 8)[None])[0], blob.project(geometry)))
    # the next term of the expansion changes the observed order by about h^2
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


def test_a_cone_sees_a_smooth_object_at_second_order():
    blob = Phantom("blob", (Blob(1.0, (0.1, -0.15, 0.1), 0.3),), 2.0)
    errors = []
    for count in (16, 32):
        grid = Grid((count,) * 3, 2.4 / count)
        errors.append(gap(MatrixFree(CONE, grid).apply(blob.image(grid)[None])[0], blob.project(CONE)))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.15)


def test_the_orientation_is_that_of_the_phantom():
    ellipse = Phantom("e", (Ellipse(1.0, (0.3, -0.2), (0.2, 0.4), 0.5),), 2.0)
    for geometry in (PARALLEL, FAN):
        exact = ellipse.project(geometry)
        got = system_matrix(geometry, GRID).apply(ellipse.image(GRID, 8)[None])[0]
        mirrored = system_matrix(geometry, GRID).apply(ellipse.image(GRID, 8).flip(0)[None])[0]
        # at 32 pixels the edge costs some per cent; a mirrored image is wrong by order 1
        assert gap(got, exact) < 0.1
        assert gap(mirrored, exact) > 0.3


def test_equal_scans_share_a_matrix():
    assert system_matrix(PARALLEL, GRID) is system_matrix(Parallel(even_angles(12), 48, 2 / 32, 21.3), GRID)
    assert system_matrix(PARALLEL, GRID) is not system_matrix(Parallel(even_angles(12), 48, 2 / 32, 21.4), GRID)


def test_dead_rays_are_left_out():
    mask = torch.ones(PARALLEL.shape, dtype=torch.bool)
    mask[:, 5] = False
    operator = UsedRays(system_matrix(PARALLEL, GRID, torch.float64), mask)
    assert operator.range == (int(mask.sum()),)
    assert operator.adjoint_defect() < 1e-14


def test_dimensions_have_to_agree():
    with pytest.raises(ConfigError, match="3-D"):
        MatrixFree(CONE, GRID)
    with pytest.raises(ConfigError, match="2-D scans"):
        system_matrix(CONE, GRID)


@needs_astra
@pytest.mark.parametrize("centre", [23.5, 21.3], ids=["centred", "offset"])
def test_the_matrix_is_that_of_astra(centre):
    geometry = Parallel(even_angles(12), 48, 2 / 32, centre)
    x, astra = image(GRID), AstraProjector(geometry, GRID)
    # ASTRA computes in float32 throughout
    assert gap(system_matrix(geometry, GRID, torch.float64).apply(x), astra.apply(x)) < 1e-4
    assert astra.adjoint_defect() < 1e-6


@needs_astra
def test_the_fan_of_astra_is_ours_to_the_order_of_the_schemes():
    ellipse = Phantom("e", (Ellipse(1.0, (0.3, -0.2), (0.2, 0.4), 0.5),), 2.0)
    astra = AstraProjector(FAN, GRID)
    assert gap(astra.apply(ellipse.image(GRID, 8)[None])[0], ellipse.project(FAN)) < 0.1
    assert astra.adjoint_defect() < 1e-6


@needs_astra
def test_a_volume_without_a_gpu_is_an_error_and_not_a_crash():
    import astra

    if astra.use_cuda():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match="CUDA"):
        AstraProjector(CONE, Grid((8, 8, 8), 0.2))


@needs_astra
def test_the_cone_of_astra_is_ours_to_the_order_of_the_schemes():
    """Not the mirror image: the body lies off the middle in y and z."""
    import astra

    if not astra.use_cuda():
        pytest.skip("ASTRA projects in three dimensions on CUDA devices only")
    ball, grid = Phantom("ball", (Ellipsoid(1.0, (0.2, 0.3, -0.2), (0.3, 0.2, 0.4), 0.4),), 2.0), Grid((24,) * 3, 0.1)
    assert gap(AstraProjector(CONE, grid).apply(ball.image(grid)[None])[0], ball.project(CONE)) < 0.1


def test_without_astra_the_error_says_what_to_do(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "astra", None)
    with pytest.raises(MissingPackageError, match="MatrixFree"):
        AstraProjector(PARALLEL, GRID)


def test_an_ellipsoid_in_a_volume():
    ball = Phantom("ball", (Ellipsoid(0.7, (0.2, 0.1, -0.1), (0.4, 0.5, 0.3), 0.4),), 2.0)
    grid = Grid((20, 24, 24), (0.1, 0.1, 0.1))
    # volume of an ellipsoid, against the mean of 4^3 points in each voxel
    mass = float(ball.image(grid).sum()) * 0.1**3
    assert mass == pytest.approx(0.7 * 4 / 3 * math.pi * 0.4 * 0.5 * 0.3, rel=0.01)
