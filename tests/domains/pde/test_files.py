"""Files of fields: labelled datasets and their way back, meshes, animations, and the validation of each."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import torch
from scidiff.domains.pde.cli import app
from scidiff.domains.pde.darcy.samples import DarcySamples
from scidiff.domains.pde.datasets import open_dataset, read_state, save_dataset, save_mesh, to_dataset
from scidiff.domains.pde.flow_samples import FlowSamples
from scidiff.domains.pde.flows import FlowLaw
from scidiff.domains.pde.sample_files import save_samples
from scidiff.domains.pde.validation import stated_error, validate
from typer.testing import CliRunner

from scidiff.cli import main
from scidiff.domains import pde
from scidiff.errors import ConfigError, DataError, MissingPackageError
from scidiff.mesh import annulus
from scidiff.sample.samples import Status

xarray = pytest.importorskip("xarray", reason="labelled fields need xarray: pip install 'scidiff[fields]'")

CASES = {
    "advection": {"size": 20, "frames": 4},
    "darcy": {"size": 16},
    "kolmogorov": {"size": 12, "frames": 3, "duration": 0.1},
    "mesh_elasticity": {"mesh": annulus(2, 12)},
    "mesh_poisson": {"mesh": annulus(2, 12)},
    "mesh_stokes": {"mesh": annulus(2, 12)},
    "obstacle_flow": {"law": FlowLaw(shape=(12, 12), viscosity=0.03, times=(0.1,))},
    "shallow_water": {"size": 12, "frames": 3, "duration": 0.2},
    "stefan": {"size": 10, "frames": 11},
}
AXES = {
    "advection": ("sample", "time", "x"),
    "darcy": ("sample", "x", "y"),
    "kolmogorov": ("sample", "time", "x", "y"),
    "mesh_elasticity": ("sample", "node"),
    "mesh_poisson": ("sample", "node"),
    "mesh_stokes": ("sample", "node"),
    "obstacle_flow": ("sample", "component", "x", "y"),
    "shallow_water": ("sample", "time", "component", "x", "y"),
    "stefan": ("sample", "time", "x"),
}


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_state_comes_back_bit_by_bit(name, ending, tmp_path):
    pytest.importorskip({".nc": "h5netcdf", ".zarr": "zarr"}[ending], reason="pip install 'scidiff[fields]'")
    one = pde.problem(name, **CASES[name])
    state = one.truth(0, 2)
    found = pde.certify(one, state, independent=False)
    path = save_dataset(to_dataset(one, state, found, seed=0), tmp_path / f"fields{ending}")
    dataset = open_dataset(path)
    again, back = read_state(dataset)
    assert type(again) is type(one) and again.shape == one.shape
    for key, value in state.items():
        assert torch.equal(back[key], value)
    assert dataset[one.solved[0]].dims == AXES[name]
    assert dataset[one.solved[0]].attrs["units"] == str(one.units[one.solved[0]])
    assert dataset.attrs["boundary_conditions"] == one.boundary and dataset.attrs["seed"] == 0
    np.testing.assert_array_equal(dataset["certificate_relative"].values, found.relative.numpy())
    checked = validate(path, independent=False)
    assert checked.passed and checked.count == 2 and checked.problem == name


def test_coordinates_are_those_of_the_points(tmp_path):
    one = pde.problem("poisson", size=9)
    dataset = to_dataset(one, one.truth(0, 1))
    np.testing.assert_allclose(dataset["x"].values, np.arange(9) / 8)
    assert dataset["x"].attrs["units"] == "m"
    shallow = pde.problem("shallow_water", size=8, frames=3, duration=0.1)
    dataset = to_dataset(shallow, shallow.truth(0, 1))
    np.testing.assert_allclose(dataset["time"].values, [0, 0.05, 0.1])
    assert dataset["u"].sel(time=0.1, method="nearest").dims == ("sample", "component", "x", "y")


def test_a_changed_file_does_not_validate(tmp_path, capsys):
    one = pde.problem("darcy", size=16)
    state = one.truth(0, 3)
    state["u"][1, 8, 8] *= 1.001
    path = save_dataset(to_dataset(one, state), tmp_path / "u.nc")
    found = validate(path)
    assert not found.passed
    assert next(check for check in found.checks if check.name == "residual").worst == 1
    assert main(["pde", "validate", str(path), "--json", "-"]) == 1
    assert json.loads(capsys.readouterr().out)["valid"] is False
    assert "FAILS in sample 1" in run("validate", str(path)).stdout


def test_solve_and_validate_by_command(tmp_path):
    for ending in ("nc", "zarr", "safetensors"):
        path = tmp_path / f"poisson.{ending}"
        assert run("solve", "poisson", "--size", "16", "--count", "2", "--out", str(path)).exit_code == 0
        done = run("validate", str(path), "--json", str(tmp_path / "facts.json"))
        assert done.exit_code == 0, done.output
        facts = json.loads((tmp_path / "facts.json").read_text())
        assert facts["valid"] and {row["name"] for row in facts["checks"]} >= {"residual", "independent"}
    # a second run takes the place of the first
    assert run("solve", "poisson", "--size", "12", "--out", str(tmp_path / "poisson.zarr")).exit_code == 0
    assert open_dataset(tmp_path / "poisson.zarr").sizes["x"] == 12


def test_meshes_are_written_with_point_and_cell_data(tmp_path):
    import meshio

    one = pde.problem("mesh_elasticity", mesh=annulus(2, 12))
    state = one.truth(0, 2)
    path = save_mesh(one, state, tmp_path / "body.vtu")
    mesh = meshio.read(path)
    corners = one.corners
    np.testing.assert_array_equal(mesh.point_data["u_1"][:, 0], state["u"][1].numpy()[corners[0]])
    np.testing.assert_allclose(
        mesh.cell_data["f_0_mean"][0][:, 1], state["f"][0, 1].numpy()[one.mesh.triangles].mean(1), atol=1e-15
    )
    potential = pde.problem("mesh_poisson", mesh=annulus(2, 12))
    solved = potential.truth(0, 1)
    mesh = meshio.read(save_mesh(potential, solved, tmp_path / "u.vtu"))
    at = potential.elements.nodes(potential.elements.mesh.p)
    np.testing.assert_array_equal(mesh.point_data["u_0"], solved["u"][0].numpy()[at])
    with pytest.raises(ConfigError, match="no mesh"):
        save_mesh(pde.problem("darcy", size=8), {}, tmp_path / "u.vtu")


def test_the_animation_moves(tmp_path):
    from PIL import Image

    path = tmp_path / "wave.gif"
    assert run("solve", "advection", "--size", "20", "--no-independent", "--out", str(path)).exit_code == 0
    with Image.open(io.BytesIO(path.read_bytes())) as gif:
        assert gif.n_frames == 30
        first = np.asarray(gif.convert("RGB"))
        gif.seek(15)
        assert (np.asarray(gif.convert("RGB")) != first).any()
    assert isinstance(run("solve", "darcy", "--size", "8", "--out", str(tmp_path / "u.gif")).exception, ConfigError)


def flows(count: int = 2) -> FlowSamples:
    obstacles = np.zeros((count, 6, 6), dtype=bool)
    obstacles[:, 2, 2] = True
    fields = [np.zeros((2, 6, 6)) for _ in range(count)]
    for k, field in enumerate(fields):
        field[0, :, 4] = 1.0 + k
    records = {"divergence": np.zeros(count), "wall_flux": np.zeros(count)}
    return FlowSamples(
        fields, [Status.OK] * count, np.arange(count), 0, np.full(count, 4), records, {"model": "made"}, obstacles
    )


@pytest.mark.parametrize("ending", [".npz", ".nc", ".zarr"])
def test_generated_flows_are_validated_from_their_file(ending, tmp_path):
    """A jet along a row has no divergence; the same jet with one face changed has."""
    made = flows()
    good = validate(save_samples(made, tmp_path / f"good{ending}"))
    assert good.passed and good.count == 2
    made.items[1][0, 3, 4] = 2.5
    bad = validate(save_samples(made, tmp_path / f"bad{ending}"))
    assert [check.passed for check in bad.checks] == [False, True] and bad.checks[0].worst == 1


@pytest.mark.parametrize("ending", [".npz", ".nc"])
def test_pairs_of_medium_and_head_are_validated_from_their_file(ending, tmp_path):
    state = pde.problem("darcy", size=12).truth(0, 2)
    items = [np.stack([a, u]) for a, u in zip(state["a"].numpy(), state["u"].numpy(), strict=True)]
    made = DarcySamples(items, [Status.OK] * 2, np.arange(2), 0, np.full(2, 10), raw=state["u"].numpy())
    found = validate(save_samples(made, tmp_path / f"pairs{ending}"))
    assert found.passed and found.problem == "darcy"
    assert {check.name for check in found.checks} == {"residual", "constraint mass", "independent"}


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no file"):
        validate(tmp_path / "none.nc")
    (tmp_path / "u.csv").write_text("1")
    with pytest.raises(DataError, match="expected"):
        validate(tmp_path / "u.csv")
    (tmp_path / "u.nc").write_text("no NetCDF")
    with pytest.raises(DataError, match="cannot be read"):
        validate(tmp_path / "u.nc")
    (tmp_path / "mine.zarr").mkdir()
    one = pde.problem("darcy", size=8)
    dataset = to_dataset(one, one.truth(0, 1))
    with pytest.raises(DataError, match="no Zarr store"):
        save_dataset(dataset, tmp_path / "mine.zarr")
    with pytest.raises(ConfigError, match=r"\.nc or \.zarr"):
        save_dataset(dataset, tmp_path / "u.h5")
    with pytest.raises(DataError, match="format"):
        read_state(dataset.assign_attrs(format="else"))
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    with pytest.raises(MissingPackageError, match=r"scidiff\[fields\]"):
        save_dataset(dataset, tmp_path / "u.nc")


def test_the_stated_error_grows_on_coarse_grids():
    assert stated_error(pde.problem("poisson", size=128)) == pytest.approx(2 * 5e-3)
    assert stated_error(pde.problem("poisson", size=64)) == pytest.approx(8 * 5e-3)
    assert stated_error(pde.problem("heat")) == 1e-13
