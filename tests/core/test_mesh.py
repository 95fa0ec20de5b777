"""Complexes: what is checked at the door, repairs on request, shapes, files, pictures."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from scidiff.errors import ConfigError, DataError, ShapeError
from scidiff.mesh import (
    SimplicialComplex,
    annulus,
    bumpy_sphere,
    double_torus,
    draw_edges,
    draw_scalar,
    icosphere,
    read_mesh,
    square,
    torus,
    weld,
    whitney_vectors,
    write_mesh,
)

SHAPES = {
    "icosphere": (lambda: icosphere(1), (1, 0, 1)),
    "bumpy_sphere": (lambda: bumpy_sphere(2), (1, 0, 1)),
    "torus": (lambda: torus(8, 5), (1, 2, 1)),
    "double_torus": (lambda: double_torus(8, 6), (1, 4, 1)),
    "annulus": (lambda: annulus(2, 9), (1, 1, 0)),
    "square": (lambda: square(3, 4), (1, 0, 0)),
}
POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def build(points=POINTS, triangles=TRIANGLES, **options) -> SimplicialComplex:
    return SimplicialComplex.from_arrays(np.asarray(points), np.asarray(triangles), **options)


def volume(complex: SimplicialComplex) -> float:
    """Signed volume inside, positive where the triangles face outward."""
    a, b, c = np.moveaxis(complex.vertices[complex.triangles], 1, 0)
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def moved(index: int, point: list[float]) -> np.ndarray:
    points = POINTS.copy()
    points[index] = point
    return points


BROKEN = {
    "nan": (moved(2, [math.nan, 0.0]), TRIANGLES, "vertex 2 has coordinates"),
    "repeated vertex": (moved(3, [1.0, 0.0]), TRIANGLES, "vertex 3 repeats vertex 1"),
    "unused vertex": (np.vstack([POINTS, [[5.0, 5.0]]]), TRIANGLES, "vertex 4 belongs to no triangle"),
    "above range": (POINTS, [[0, 1, 2], [0, 2, 4]], "triangle 1 has corners"),
    "below range": (POINTS, [[0, 1, 2], [0, -1, 3]], "triangle 1 has corners"),
    "in line": (moved(1, [0.5, 0.5]), TRIANGLES, "triangle 0 with corners .* has no area"),
    "repeated corner": (POINTS, [[0, 1, 2], [2, 3, 3]], "triangle 1 with corners .* has no area"),
    "repeated triangle": (POINTS, [[0, 1, 2], [0, 2, 3], [2, 0, 1]], "triangle 2 has the corners of triangle 0"),
    "three at an edge": (
        np.vstack([POINTS, [[0.2, 0.9]]]),
        [[0, 1, 2], [0, 2, 3], [0, 2, 4]],
        r"edge \[0, 2\] belongs to the triangles \[0, 1, 2\]",
    ),
    "orientation": (POINTS, [[0, 1, 2], [0, 3, 2]], r"triangles 0 and 1 disagree in orientation at edge \[0, 2\]"),
    "pinch": (
        [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [-1.0, -1.0]],
        [[0, 1, 2], [0, 3, 4]],
        "vertex 0 joins 2 sheets",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_mesh_is_refused_by_its_element(name):
    points, triangles, message = BROKEN[name]
    with pytest.raises(DataError, match=message):
        build(points, triangles)


@pytest.mark.parametrize(
    ("points", "triangles"),
    [
        (POINTS.ravel(), TRIANGLES),
        (POINTS.astype(complex), TRIANGLES),
        (POINTS, TRIANGLES[:, :2]),
        (POINTS, TRIANGLES.astype(float)),
        (POINTS, TRIANGLES[:0]),
    ],
)
def test_arrays_of_another_shape_are_refused(points, triangles):
    with pytest.raises(ShapeError, match="expected"):
        build(points, triangles)


def test_arrays_are_copied_and_read_only():
    points = POINTS.copy()
    complex = build(points)
    points[0] = 9.0
    assert complex.vertices[0].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="read-only"):
        complex.vertices[0, 0] = 1.0


@pytest.mark.parametrize("name", SHAPES)
def test_orientation_is_repaired_on_request(name):
    """Random turns are undone up to one common turn; the first triangle decides which."""
    complex = SHAPES[name][0]()
    turned = complex.triangles.copy()
    rows = np.random.default_rng(0).random(len(turned)) < 0.5
    rows[0] = False
    turned[rows] = turned[rows][:, ::-1]
    with pytest.raises(DataError, match="orientation"):
        build(complex.vertices, turned)
    mended = build(complex.vertices, turned, repair_orientation=True)
    # the direction of every boundary tells orientation, whatever corner a triangle begins with
    assert abs(mended.d1 - complex.d1).max() == 0
    assert volume(mended) == pytest.approx(volume(complex), abs=1e-12)


def test_a_moebius_band_has_no_orientation():
    angle = 2 * np.pi * np.arange(10) / 10
    half = np.stack([np.cos(angle / 2) * np.cos(angle), np.cos(angle / 2) * np.sin(angle), np.sin(angle / 2)], axis=1)
    centre = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    points = np.concatenate([centre + 0.3 * half, centre - 0.3 * half])
    strip = []
    for i in range(10):
        (a, b), (c, d) = (i, i + 10), (((i + 1) % 10, (i + 1) % 10 + 10) if i < 9 else (10, 0))
        strip += [[a, b, c], [b, d, c]]
    with pytest.raises(DataError, match="one-sided"):
        build(points, strip, repair_orientation=True)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_their_topology(name):
    make, betti = SHAPES[name]
    complex = make()
    assert complex.betti == betti
    assert complex.euler == betti[0] - betti[1] + betti[2]
    assert (len(complex.boundary_edges) == 0) == (betti[2] == 1)


def test_shapes_have_their_size():
    """Area and volume tend to those of the smooth surface, with an error that falls fourfold when cells halve."""
    sphere = [abs(volume(icosphere(k)) - 4 * math.pi / 3) for k in (2, 3, 4)]
    ring = [abs(annulus(k, 12 * k).areas.sum() - 0.75 * math.pi) for k in (2, 4, 8)]
    tube = [abs(volume(torus(16 * k, 8 * k)) - 2 * math.pi**2 * 0.4**2) for k in (1, 2, 4)]
    for errors in (sphere, ring, tube):
        assert errors[0] / errors[1] == pytest.approx(4, abs=0.4)
        assert errors[1] / errors[2] == pytest.approx(4, abs=0.1)
    assert square(3, 5).areas.sum() == pytest.approx(1, abs=1e-14)
    assert volume(double_torus()) == pytest.approx(2 * volume(torus()), rel=1e-2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: icosphere(-1),
        lambda: icosphere(9),
        lambda: bumpy_sphere(1, height=1.0),
        lambda: square(0, 2),
        lambda: annulus(1, 2),
        lambda: annulus(inner=1.0, outer=0.5),
        lambda: torus(2, 5),
        lambda: torus(small=2.0),
        lambda: weld(POINTS, TRIANGLES, tolerance=-1.0),
    ],
)
def test_shapes_refuse_what_they_cannot_be(make):
    with pytest.raises(ConfigError, match="expected"):
        make()


def test_welding_joins_and_drops():
    """A soup of separate triangles, shaken by less than the tolerance, with a vertex that nothing uses."""
    complex = torus(8, 5)
    soup = complex.vertices[complex.triangles].reshape(-1, 3)
    soup = np.vstack([[[9.0, 9.0, 9.0]], soup + np.random.default_rng(0).uniform(-1e-8, 1e-8, soup.shape)])
    points, triangles = weld(soup, np.arange(1, len(soup)).reshape(-1, 3), tolerance=1e-6)
    welded = build(points, triangles)
    assert welded.sizes == complex.sizes and welded.betti == complex.betti
    assert np.allclose(points[triangles], complex.vertices[complex.triangles], atol=2e-8)


def test_components_are_counted():
    one, two = icosphere(0), annulus(1, 5)
    points = np.vstack([one.vertices, two.vertices + 5.0])
    both = build(points, np.vstack([one.triangles, two.triangles + len(one.vertices)]))
    assert both.betti == (2, 1, 1)
    assert both.closed_components.tolist() == [int(both.vertex_component[0])]
    with pytest.raises(ConfigError, match="degree"):
        both.coboundary(2)


@pytest.mark.parametrize("ending", ["vtu", "vtk", "ply", "obj", "off", "stl"])
def test_files_return(ending, tmp_path):
    """All formats keep the surface; text formats print at least 9 digits, STL holds single precision."""
    complex = double_torus(8, 6)
    path = tmp_path / "folder" / f"surface.{ending}"
    write_mesh(path, complex)
    back = read_mesh(path, weld_tolerance=1e-6 if ending == "stl" else None)
    assert back.sizes == complex.sizes and back.betti == complex.betti
    assert np.allclose(np.sort(back.areas), np.sort(complex.areas), rtol=1e-5)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_fields_are_written(tmp_path):
    import meshio

    complex = torus(6, 4)
    write_mesh(
        tmp_path / "a.vtu", complex, vertex_data={"x": complex.vertices[:, 0]}, triangle_data={"area": complex.areas}
    )
    mesh = meshio.read(tmp_path / "a.vtu")
    assert np.array_equal(mesh.point_data["x"], complex.vertices[:, 0])
    assert np.array_equal(mesh.cell_data["area"][0], complex.areas)
    with pytest.raises(ShapeError, match="24 rows"):
        write_mesh(tmp_path / "b.vtu", complex, vertex_data={"x": np.zeros(3)})
    with pytest.raises(DataError, match="ending"):
        write_mesh(tmp_path / "b.nothing", complex)


@pytest.mark.parametrize("name", ["a.obj", "a.ply", "a.vtu", "a.stl", "a.unknown"])
def test_rubbish_is_refused(name, tmp_path, capsys):
    (tmp_path / name).write_text("solid rubbish 1 2 3\n")
    with pytest.raises(DataError, match=name):
        read_mesh(tmp_path / name)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(DataError, match="no file"):
        read_mesh(tmp_path / "missing.stl")


def test_other_cells_are_refused(tmp_path):
    import meshio

    meshio.write(tmp_path / "q.vtk", meshio.Mesh(np.c_[POINTS, np.zeros(4)], [("quad", np.array([[0, 1, 2, 3]]))]))
    with pytest.raises(DataError, match="quad"):
        read_mesh(tmp_path / "q.vtk")


@pytest.mark.parametrize("make", [annulus, lambda: torus(8, 5)], ids=["plane", "space"])
def test_pictures_are_drawn(make):
    complex = make()
    height = complex.vertices[:, 1]
    for figure in (
        draw_scalar(complex, height, title="height", label="m"),
        draw_scalar(complex, complex.areas),
        draw_edges(complex, complex.d0 @ height, label="1"),
    ):
        page = io.BytesIO()
        figure.savefig(page, format="png", dpi=40)
        assert page.getvalue().startswith(b"\x89PNG")
    with pytest.raises(ShapeError, match="expected"):
        draw_scalar(complex, height[:-1])


def test_arrows_of_a_constant_field_are_exact():
    """The differential of a linear function has its gradient, less the part normal to each triangle, as vector."""
    slope = np.array([0.3, -0.7, 0.2])
    for complex in (annulus(), bumpy_sphere(1)):
        vectors = whitney_vectors(complex, complex.d0 @ (complex.vertices @ slope))
        a, b, c = np.moveaxis(complex.vertices[complex.triangles], 1, 0)
        normals = np.cross(b - a, c - a) / (2 * complex.areas[:, None])
        assert np.allclose(vectors, slope - (normals @ slope)[:, None] * normals, atol=1e-13)
