"""Flows in regions with holes: harmonic flows, the independent check, and sampling through the call that grids use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde import certify, problem
from scidiff.domains.pde.errors import ConstraintError, FieldError, SensorError
from scidiff.domains.pde.function_space import WhitePosterior, field_law, sample
from scidiff.domains.pde.mesh_domains import disc_with_holes, walls
from scidiff.domains.pde.mesh_pictures import mesh_flow_picture
from scidiff.domains.pde.mesh_rows import law_score, mesh_case
from scidiff.domains.pde.mesh_sensors import MeshSensors
from scidiff.domains.pde.problems.mesh_flow import MeshFlow
from scidiff.domains.pde.problems.poisson import Poisson
from scidiff.domains.pde.refinement import observed_orders
from scidiff.domains.pde.sensors import random_sensors
from scidiff.domains.pde.validation import validate

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh import annulus, icosphere, square

REGIONS = {"annulus": annulus(3, 20), "square": square(6, 6), "two holes": disc_with_holes(spacing=0.155)}


@pytest.mark.parametrize("name", sorted(REGIONS))
def test_one_circulation_for_each_hole(name):
    mesh = REGIONS[name]
    one = MeshFlow(mesh)
    assert one.holes == mesh.betti[1] == {"annulus": 1, "square": 0, "two holes": 2}[name]
    state = one.truth(0, 3)
    assert state["gamma"].shape == (3, one.holes)
    found = certify(one, state, independent=False)
    assert float(found.relative.max()) < 1e-12
    for defect in found.constraints.values():
        assert float(defect.max()) < 1e-12
    assert float((state["w"] @ torch.from_numpy(mesh.d1.toarray().T).double()).abs().max()) < 1e-14


def test_the_harmonic_flow_of_an_annulus_is_a_vortex():
    """``u = gamma / (2 pi r)`` around the hole, from circulation alone; error of the mean speed of second order."""

    def error(rings: int) -> float:
        one = MeshFlow(annulus(rings, 8 * rings))
        zero = torch.zeros(1, len(one.mesh.vertices), dtype=torch.float64)
        w = one.solve({"omega": zero, "gamma": torch.ones(1, 1, dtype=torch.float64)})["w"]
        centre = one.mesh.vertices[one.mesh.triangles].mean(1)[:, :2]
        turn = np.stack([-centre[:, 1], centre[:, 0]]) / (centre**2).sum(1)
        exact = turn / (2 * np.pi)
        return float(np.sqrt(((one.velocity(w.numpy())[0] - exact) ** 2).mean()))

    assert error(8) < 0.02
    assert observed_orders(error, (4, 8))[0] > 0.9


def test_uniform_vorticity_in_a_disc_is_a_rigid_rotation():
    """``psi = omega (1 - r^2) / 4``: on a mesh without holes nothing else is needed."""
    one = MeshFlow(disc_with_holes((), 0.1))
    ones = torch.ones(1, len(one.mesh.vertices), dtype=torch.float64)
    w = one.solve({"omega": ones, "gamma": torch.zeros(1, 0, dtype=torch.float64)})["w"]
    centre = one.mesh.vertices[one.mesh.triangles].mean(1)[:, :2]
    exact = 0.5 * np.stack([-centre[:, 1], centre[:, 0]])
    assert float(abs(one.velocity(w.numpy())[0] - exact).max()) < 0.03


def test_the_independent_check_converges_and_sees_a_wrong_circulation():
    def error(rings: int) -> float:
        one = MeshFlow(annulus(rings, 8 * rings))
        return float(one.deviation(one.truth(0, 1)).max())

    assert observed_orders(error, (3, 6))[0] > 0.8
    one = MeshFlow(annulus(6, 48))
    drawn = one.truth(0, 1)
    state = one.solve({"omega": drawn["omega"], "gamma": torch.ones(1, 1, dtype=torch.float64)})
    base = float(one.deviation(state))
    assert base < one.truth_error
    assert float(one.deviation({**state, "gamma": -state["gamma"]})) > 3 * base
    assert float(one.deviation({**state, "omega": -state["omega"]})) > 3 * base


@pytest.mark.parametrize("name", ["annulus", "two holes"])
@pytest.mark.parametrize("held", [False, True], ids=["free", "sensors"])
def test_the_law_of_the_samples_is_the_closed_form(name, held):
    """Mean and covariance of 1500 draws within 4.5 standard errors, for 100 numbers; one jump is as right as three."""
    one, sensors, data = mesh_case(REGIONS[name], seed=3, count=4)
    given = {"sensors": sensors, "data": data, "noise": 0.1} if held else {}
    for steps in (1, 3):
        drawn = sample(one, 1500, steps=steps, seed=steps, **given)
        assert drawn.ok.all() and int(drawn.calls.max()) == steps
        assert law_score(drawn, sensors if held else None, data if held else None, 0.1) < 4.5
        for word in ("divergence", "wall", "circulation"):
            assert drawn.records[f"constraint_{word}"].max() < 1e-12


def test_the_test_of_the_law_can_fail():
    one, sensors, data = mesh_case(REGIONS["annulus"], seed=3, count=4)
    prior = sample(one, 1500, seed=0)
    assert law_score(prior, sensors, data, 0.1) > 10
    assert law_score(sample(MeshFlow(REGIONS["annulus"], swirl=1.15), 1500, seed=0), None, None, 0.0) < 4.5
    narrow = sample(MeshFlow(REGIONS["annulus"], swirl=0.8), 1500, seed=0)
    object.__setattr__(narrow, "problem", one)
    assert law_score(narrow, None, None, 0.0) > 4.5


def test_data_without_noise_are_met():
    one, sensors, data = mesh_case(REGIONS["two holes"], seed=0, count=5)
    drawn = sample(one, 3, sensors=sensors, data=data, seed=0)
    assert drawn.records["data"].max() < 1e-9
    assert drawn.provenance["label"] == "exact"


def test_the_same_call_on_a_grid():
    """The mean of draws from sensors is that of the posterior of `LinearGaussian`, to Monte-Carlo error."""
    one, inner = Poisson(10), np.pad(np.ones((8, 8), dtype=bool), 1)
    sensors = random_sensors((10, 10), 8, 0, inner)
    data = one.truth(5, 1)["u"].numpy()[:, sensors.index[:, 0], sensors.index[:, 1]]
    drawn = sample(one, 600, sensors=sensors, data=data, steps=2, seed=1)
    f = drawn.state["f"].numpy()
    mean = one.gaussian.observe_solution(sensors).mean(data)[0][0]
    assert drawn.records["data"].max() < 1e-8 and drawn.ok.all()
    assert (abs(f.mean(0) - mean) < 5 * f.std(0) / np.sqrt(600) + 1e-9 * abs(mean).max()).all()


def test_samples_do_not_depend_on_the_batch_and_are_repeatable():
    one = MeshFlow(REGIONS["annulus"])
    all_ = sample(one, 4, seed=2)
    later = sample(one, 2, seed=2, first=2)
    np.testing.assert_allclose(later.state["w"], all_.state["w"][2:], atol=1e-13)
    np.testing.assert_array_equal(all_.take([3, 0]).items[0], all_.items[3])


def test_the_flow_of_the_posterior_is_the_derivative_of_its_map():
    """Velocity at s = t against a difference of the map, of first order in the step."""
    posterior = WhitePosterior.of(np.array([[1.0, 2.0, 0.0]]), np.array([[0.7]]), 0.3)
    x, t = torch.tensor([[0.3, -1.0, 0.5]], dtype=torch.float64), torch.tensor([[0.6]], dtype=torch.float64)
    args = posterior.mean, posterior.variance
    along = x @ posterior.directions
    near = posterior._velocity(along, t, t, *args)
    far = posterior._velocity(along, t, t - 1e-6, *args)
    torch.testing.assert_close(near, far, atol=1e-5, rtol=0)


def test_files_and_pictures(tmp_path):
    one, sensors, data = mesh_case(REGIONS["two holes"], seed=0)
    drawn = sample(one, 3, sensors=sensors, data=data, noise=0.1, seed=0)
    assert mesh_flow_picture(drawn, sensors).startswith(b"\x89PNG")
    import meshio

    velocity = meshio.read(drawn.save(tmp_path / "flow.vtu")).cell_data["velocity_2"][0]
    np.testing.assert_allclose(velocity[:, :2].T, one.velocity(drawn.state["w"][2:].numpy())[0], atol=1e-14)
    assert drawn.save(tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="expected a name"):
        drawn.save(tmp_path / "flow.csv")
    pytest.importorskip("h5netcdf", reason="pip install 'scidiff[fields]'")
    assert validate(drawn.save(tmp_path / "flow.nc"), independent=False).passed


def test_what_cannot_be_sampled_is_refused():
    one, sensors, data = mesh_case(REGIONS["annulus"], seed=0, count=3)
    with pytest.raises(SensorError, match=r"sensor 1 at \(0.0, 0.0\).*no triangle"):
        MeshSensors(one.mesh, np.array([[0.75, 0.0], [0.0, 0.0]]))
    with pytest.raises(SensorError, match="sensors 0 and 1 are both in triangle"):
        MeshSensors(one.mesh, np.array([[0.75, 0.01], [0.7500001, 0.01]]))
    with pytest.raises(FieldError, match="data holds nan"):
        sample(one, 2, sensors=sensors, data=data * np.nan)
    with pytest.raises(ShapeError, match="expected \\(6,\\)"):
        sample(one, 2, sensors=sensors, data=data[:2])
    with pytest.raises(ConfigError, match="belong together"):
        sample(one, 2, sensors=sensors)
    with pytest.raises(ConfigError, match="not Gaussian"):
        field_law(problem("darcy", size=8))
    with pytest.raises(ConfigError, match="steps = 0"):
        sample(one, 2, steps=0)
    with pytest.raises(ConfigError, match="boundary"):
        walls(icosphere(1))
    with pytest.raises(ConfigError, match="hole 1"):
        disc_with_holes(((0.0, 0.0, 0.3), (0.2, 0.0, 0.3)))
    with pytest.raises(ConstraintError, match="contradicts"):
        WhitePosterior.of(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 2.0]]), 0.0)
