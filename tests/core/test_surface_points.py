"""Points on triangles: tables, straightest paths over edges, reflection, the uniform law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scidiff.errors import ConfigError, DataError, NumericalError, ShapeError
from scidiff.mesh import (
    HodgeLaplacian,
    Premetric,
    SimplicialComplex,
    SurfacePoints,
    annulus,
    bumpy_sphere,
    diffusion,
    double_torus,
    draw_points,
    icosphere,
    spectral_map,
    spectrum,
    square,
    torus,
    whitney_stars,
)
from scidiff.mesh import surface_points as module
from scidiff.random import Noise
from scidiff.spaces import MeshSurface

SURFACES = {"bumpy": lambda: bumpy_sphere(2), "double torus": lambda: double_torus(8, 5), "annulus": lambda: annulus()}


def placed(complex: SimplicialComplex) -> MeshSurface:
    """Surface whose premetric is the distance in space."""
    return MeshSurface(Premetric(SurfacePoints(complex), complex.vertices.copy()))


def drawn(space: MeshSurface, count: int, stream: str = "points") -> torch.Tensor:
    return space.uniform(Noise.range(0, count), (4,), step=0, stream=stream)


def directions(space: MeshSurface, x: torch.Tensor, length: float) -> torch.Tensor:
    v = space.random_tangent(x, Noise.range(1, len(x)), step=0, stream="v")
    return length * v / space.norm(x, v).unsqueeze(-1)


@pytest.mark.parametrize("name", SURFACES)
def test_tables(name):
    """Gradients reproduce linear functions, sides and neighbours belong to each other."""
    complex = SURFACES[name]()
    points = SurfacePoints(complex)
    assert np.abs(points.gradients.sum(1)).max() < 1e-12 * np.abs(points.gradients).max()
    for corner, other in ((0, 1), (1, 2), (2, 0)):
        edge = points.corners[:, other] - points.corners[:, corner]
        rises = np.einsum("fix,fx->fi", points.gradients, edge)
        want = np.zeros(3)
        want[[corner, other]] = -1, 1
        assert np.abs(rises - want).max() < 1e-11
    face, side = points.neighbours[..., 0], points.neighbours[..., 1]
    rows, sides = np.nonzero(face >= 0)
    assert (face < 0).sum() == len(complex.boundary_edges)
    across, door = face[rows, sides], side[rows, sides]
    assert np.array_equal(points.neighbours[across, door], np.stack([rows, sides], axis=1))
    ends = np.sort([complex.triangles[rows, (sides + k) % 3] for k in (1, 2)], axis=0)
    assert np.array_equal(ends, np.sort([complex.triangles[across, (door + k) % 3] for k in (1, 2)], axis=0))


def test_a_path_in_the_plane_is_a_straight_line():
    """Many edges are crossed; round-off of the coordinates is all that is lost."""
    space = placed(square(9, 7))
    x, y = drawn(space, 100), drawn(space, 100, "ends")
    v = space.positions(y) - space.positions(x)
    assert float((space.positions(space.exp(x, v)) - space.positions(y)).abs().max()) < 1e-13
    carried = space.premetric.points.trace(x[:, 0].numpy().astype(int), x[:, 1:].numpy(), v.numpy())[2]
    assert np.abs(carried - v.numpy()).max() < 1e-14


def test_a_path_is_reflected_at_the_boundary():
    """Unfolded over the walls of the square a billiard is a straight line."""
    space = placed(square(5, 4))
    x = drawn(space, 50)
    v = directions(space, x, 3.7)
    straight = (space.positions(x) + v)[:, :2] % 2
    folded = torch.where(straight > 1, 2 - straight, straight)
    assert float((space.positions(space.exp(x, v))[:, :2] - folded).abs().max()) < 1e-12


def test_closed_paths_of_the_tetrahedron():
    """The plane covers the regular tetrahedron: twice an edge, and sums of such, lead back to every point."""
    corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    complex = SimplicialComplex.from_arrays(corners, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]))
    space = placed(complex)
    x = drawn(space, 40)
    sides = torch.from_numpy(space.premetric.points.corners)[x[:, 0].long()]
    for i, j in ((1, 0), (0, 1), (2, -1), (5, 3)):
        v = 2 * i * (sides[:, 1] - sides[:, 0]) + 2 * j * (sides[:, 2] - sides[:, 0])
        assert float((space.positions(space.exp(x, v)) - space.positions(x)).abs().max()) < 1e-12
    # and a single edge does not
    assert (
        float((space.positions(space.exp(x, sides[:, 1] - sides[:, 0])) - space.positions(x)).norm(dim=1).min()) > 1e-3
    )


@pytest.mark.parametrize("name", ["bumpy", "double torus"])
def test_a_path_can_be_walked_back(name):
    """Crossing is an isometry: lengths stay, and the carried vector turned around leads home.

    The error grows where paths on either side of a vertex part; over a length of about two it stays at 1e-10.
    """
    space = placed(SURFACES[name]())
    x = drawn(space, 60)
    v = directions(space, x, 2.0)
    points = space.premetric.points
    face, bary, carried = points.trace(x[:, 0].numpy().astype(int), x[:, 1:].numpy(), v.numpy())
    assert (face != x[:, 0].numpy()).mean() > 0.9
    assert np.abs(np.linalg.norm(carried, axis=1) - 2).max() < 1e-13
    assert np.abs(points.flatten(face, carried) - carried).max() < 1e-13
    home = points.trace(face, bary, -carried)
    assert np.abs(points.positions(home[0], home[1]) - space.positions(x).numpy()).max() < 1e-10


def test_points_are_uniform_by_area():
    """Counts of the triangles against their areas: chi-squared within five of its standard deviations."""
    space, count = placed(bumpy_sphere(1)), 8000
    x = drawn(space, count)
    space.check(x)
    areas = space.complex.areas
    want = count * areas / areas.sum()
    found = np.bincount(x[:, 0].long().numpy(), minlength=len(areas))
    freedom = len(areas) - 1
    assert abs(((found - want) ** 2 / want).sum() - freedom) < 5 * (2 * freedom) ** 0.5
    # each barycentric coordinate has the mean 1/3 and the variance 1/18
    assert float((x[:, 1:].mean(0) - 1 / 3).abs().max()) < 5 * (1 / 18 / count) ** 0.5


def test_the_projection_is_idempotent_and_tangents_are_flat():
    space = placed(torus(6, 5))
    wild = torch.tensor([[3.4, 0.5, -0.1, 0.9], [-2.0, 0.0, 0.0, 0.0], [99.0, 2.0, 1.0, 1.0]], dtype=torch.float64)
    x = space.project(wild)
    space.check(x)
    assert torch.equal(space.project(x), x)
    v = space.project_tangent(x, torch.ones(3, 3, dtype=torch.float64))
    assert torch.allclose(space.project_tangent(x, v), v, atol=1e-15)
    assert torch.equal(space.positions(space.vertex_points([4, 17])), torch.from_numpy(space.complex.vertices[[4, 17]]))


def test_what_does_not_fit_is_refused(monkeypatch):
    space = placed(torus(6, 5))
    x = drawn(space, 2)
    for wrong in (x + 0.5, x * 2, x.index_fill(1, torch.tensor([0]), 999.0)):
        with pytest.raises(DataError, match="expected a triangle"):
            space.check(wrong)
    with pytest.raises(ShapeError):
        space.check(x[:, :3])
    with pytest.raises(ConfigError, match="order=1"):
        space.transport(x, x, x[:, 1:])
    with pytest.raises(ShapeError, match="map has shape"):
        Premetric(SurfacePoints(space.complex), np.zeros((3, 2)))
    with pytest.raises(ConfigError, match="degree 1"):
        spectral_map(spectrum(HodgeLaplacian(whitney_stars(space.complex), 1), 5))
    with pytest.raises(ConfigError, match="tau"):
        diffusion(0.0)
    with pytest.raises(ShapeError, match="face and bary"):
        draw_points(space.complex, np.zeros(3, dtype=int), np.zeros((2, 3)))
    monkeypatch.setattr(module, "_CROSSINGS", 5)
    with pytest.raises(NumericalError, match="smaller steps"):
        space.exp(x, directions(space, x, 100.0))


@pytest.mark.parametrize("make", [lambda: icosphere(1), lambda: square(3, 3)], ids=["space", "plane"])
def test_a_picture_shows_the_points(make):
    space = placed(make())
    x = drawn(space, 30)
    figure = draw_points(space.complex, x[:, 0].long().numpy(), x[:, 1:].numpy(), title="points", label="per area")
    offsets = figure.axes[0].collections[-1].get_offsets()
    # in the plane all are seen, on a sphere those in front
    assert len(offsets) == 30 if not space.complex.vertices[:, 2].any() else 0 < len(offsets) < 30
