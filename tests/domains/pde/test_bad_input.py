"""Bad input through the public door and the commands: each is refused by a typed error that says what and where."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scidiff.domains.pde.boundaries import Neumann, Rectangle
from scidiff.domains.pde.cli import app
from scidiff.domains.pde.errors import (
    CellError,
    CoefficientError,
    ConstraintError,
    FieldError,
    FluxError,
    SensorError,
)
from scidiff.domains.pde.mesh_sensors import MeshSensors
from scidiff.domains.pde.sensors import Sensors
from scidiff.domains.pde.solvers.fem import grid_mesh, triangle_mesh
from scidiff.domains.pde.solvers.stokes import taylor_hood
from typer.testing import CliRunner

from scidiff.domains import pde
from scidiff.errors import ConfigError, DataError, ScidiffError, ShapeError, UnknownNameError
from scidiff.mesh import annulus, square

GRID = np.array([[3, 4], [5, 6]])
CORNER = square(6, 6)
DARCY = pde.problem("darcy", size=8)


def darcy(a: float) -> dict[str, torch.Tensor]:
    state = {"a": torch.full((2, 8, 8), 3.0).double(), "f": torch.ones(2, 8, 8).double()}
    state["a"][1, 2, 5] = a
    return state


def unbalanced_wells() -> object:
    one = pde.problem("darcy_wells", size=8)
    inputs = {name: value for name, value in one.truth(0, 2).items() if name != "u"}
    inputs["f"] = inputs["f"].clone()
    inputs["f"][1, 0, 0] += 1.0
    return one.solve(inputs)


def leaking_box() -> None:
    Rectangle((4, 4), Neumann(1.0), Neumann(), Neumann(), Neumann()).check_balance(torch.zeros(1, 4, 4).double())


def leaking_stokes() -> object:
    one = taylor_hood(grid_mesh((4, 4)), 1.0)
    g = np.zeros(len(one.rim))
    places = one.velocity.doflocs[:, one.rim]
    g[places[0] == 0] = 1.0
    return one.solve(np.zeros(one.velocity.N), g)


def still_corner() -> object:
    """A triangle with three corners on the wall has no flow: a sensor that reads one contradicts the region."""
    one = pde.problem("mesh_flow", mesh=CORNER)
    still = int(np.flatnonzero((one.wall[CORNER.triangles] == 0).all(1))[0])
    place = CORNER.vertices[CORNER.triangles[still]].mean(0)[:2]
    sensors = MeshSensors(CORNER, np.stack([np.array([0.52, 0.51]), place]))
    return pde.sample(one, 2, sensors=sensors, data=np.array([0.1, 0.5, 0.2, 0.0]))


def nan_field() -> object:
    state = DARCY.truth(0, 2)
    state["u"][1, 3, 4] = float("nan")
    return pde.certify(DARCY, state)


def missing_field() -> object:
    return pde.certify(DARCY, darcy(3.0))


def quadrilaterals() -> object:
    return triangle_mesh(np.zeros((4, 2)), np.array([[0, 1, 2, 3]]))


def read_quadrilaterals(tmp: object = None) -> object:
    import tempfile
    from pathlib import Path

    import meshio

    from scidiff.mesh import read_mesh

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quads.vtu"
        points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
        meshio.write(path, meshio.Mesh(points, [("quad", np.array([[0, 1, 2, 3]]))]))
        return read_mesh(path)


CASES: dict[str, tuple[Callable[[], object], type[ScidiffError], str]] = {
    "wells that do not balance": (unbalanced_wells, FluxError, "sample 1: the sources supply"),
    "box with an outflow": (leaking_box, FluxError, "flows out through the boundary"),
    "Stokes with a net flux": (leaking_stokes, FluxError, "net flux of -1"),
    "coefficient 0": (lambda: DARCY.solve(darcy(0.0)), CoefficientError, r"a is 0 at \(1, 2, 5\)"),
    "negative coefficient": (lambda: DARCY.solve(darcy(-1.5)), CoefficientError, r"a is -1.5 at \(1, 2, 5\)"),
    "NaN coefficient": (lambda: DARCY.solve(darcy(float("nan"))), CoefficientError, r"a is nan at \(1, 2, 5\)"),
    "sensor outside a grid": (lambda: Sensors(np.array([[0, 0], [9, 1]]), (8, 8)), SensorError, r"1 at \(9, 1\)"),
    "sensor twice on a grid": (
        lambda: Sensors(np.concatenate([GRID, GRID[:1]]), (8, 8)), SensorError, r"sensors 0 and 2 are both at \(3, 4\)"
    ),
    "sensor in a hole": (
        lambda: MeshSensors(annulus(2, 12), np.array([[0.7, 0.0], [0.1, 0.0]])), SensorError, r"1 at \(0.1, 0.0\)"
    ),
    "sensor twice in a triangle": (
        lambda: MeshSensors(CORNER, np.array([[0.51, 0.52], [0.5101, 0.52]])), SensorError, "sensors 0 and 1"
    ),
    "data against the walls": (still_corner, ConstraintError, "datum 1 contradicts"),
    "NaN in a field": (nan_field, FieldError, r"u holds nan at \(1, 3, 4\)"),
    "field missing": (missing_field, ShapeError, "expected also"),
    "quadrilaterals": (quadrilaterals, CellError, r"expected \(F, 3\), triangles"),
    "quadrilaterals in a file": (read_quadrilaterals, DataError, "quad"),
    "unknown problem": (lambda: pde.problem("darcie"), UnknownNameError, "Did you mean 'darcy'"),
    "unknown setting": (lambda: pde.problem("darcy", h=3), ConfigError, "no setting"),
    "negative seed": (lambda: pde.problem("heat", frames=4).truth(-1, 2), ConfigError, "seed"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_bad_input_is_refused_with_its_place(name):
    action, kind, message = CASES[name]
    with pytest.raises(kind, match=message) as caught:
        action()
    assert isinstance(caught.value, ScidiffError)
    # what came and what to do: more than a bare word
    assert len(str(caught.value)) > 40


def test_places_are_data_not_only_words():
    with pytest.raises(CoefficientError) as caught:
        DARCY.solve(darcy(-1.0))
    assert caught.value.where.tolist() == [[1, 2, 5]]
    with pytest.raises(FieldError) as caught:
        nan_field()
    assert caught.value.where.tolist() == [[1, 3, 4]]


def run(*arguments: str) -> BaseException | None:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    assert done.exit_code != 0
    return done.exception


def table(path, head: str, *rows: str) -> str:
    path.write_text("\n".join([head, *rows]) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("model", "head", "rows", "kind", "message"),
    [
        ("poisson", "i,j,value", ["4,4,0.1", "200,3,0.1"], SensorError, r"sensor 1 at \(200, 3\)"),
        ("poisson", "i,j,value", ["4,4,0.1", "0,3,0.1"], SensorError, "outside"),
        ("poisson", "i,j,value", ["4,4,0.1", "4,4,0.1"], SensorError, "both at"),
        ("poisson", "i,j,value", ["4.5,4,0.1"], DataError, "node numbers"),
        ("poisson", "i,j,value", ["4,4,nan"], FieldError, "data holds nan"),
        ("poisson", "i,j", ["4,4"], DataError, "columns i,j,value"),
        ("mesh_flow", "x,y,u,v", ["0.75,0,1,0", "0.1,0,1,0"], SensorError, r"sensor 1 at \(0.1, 0.0\)"),
        ("mesh_flow", "x,y,u,v", ["0.75,0,1,inf"], FieldError, "data holds inf"),
    ],
    ids=["outside", "boundary", "twice", "fraction", "nan", "columns", "hole", "inf"],
)
def test_bad_sensor_files_are_refused_by_the_command(model, head, rows, kind, message, tmp_path):
    path = table(tmp_path / "readings.csv", head, *rows)
    error = run("sample", "--model", model, "--count", "1", "--sensors", path, "--out", str(tmp_path / "u.nc"))
    assert isinstance(error, kind)
    with pytest.raises(kind, match=message):
        raise error
    assert not (tmp_path / "u.nc").exists()


def test_bad_meshes_and_endings_are_refused_by_the_command(tmp_path):
    import meshio

    path = tmp_path / "quads.vtu"
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    meshio.write(path, meshio.Mesh(points, [("quad", np.array([[0, 1, 2, 3]]))]))
    assert isinstance(run("solve", "mesh_poisson", "--mesh", str(path)), DataError)
    assert isinstance(run("solve", "darcy", "--size", "8", "--mesh", str(path)), ScidiffError)
    assert isinstance(run("solve", "darcy", "--size", "8", "--out", "u.csv"), ConfigError)
    assert isinstance(run("solve", "darcy", "--size", "8", "--out", str(tmp_path / "u.vtu")), ConfigError)
    assert isinstance(run("validate", str(tmp_path / "none.nc")), DataError)


def test_a_device_for_a_law_without_a_network_is_refused(tmp_path):
    error = run("sample", "--model", "poisson", "--count", "1", "--device", "cuda", "--out", str(tmp_path / "u.npz"))
    assert isinstance(error, ConfigError) and "no network" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_files_with_nan_are_refused_by_the_command(tmp_path):
    pytest.importorskip("h5netcdf", reason="pip install 'scidiff[fields]'")
    from scidiff.domains.pde.datasets import save_dataset, to_dataset

    state = DARCY.truth(0, 1)
    state["u"][0, 2, 2] = float("nan")
    path = save_dataset(to_dataset(DARCY, state), tmp_path / "u.nc")
    assert isinstance(run("validate", str(path)), FieldError)
