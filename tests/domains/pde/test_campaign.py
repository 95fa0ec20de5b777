"""Flows in campaigns: the rows are those of the model, with their certificates, whatever the cut into shards."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scidiff.domains.pde.campaign import ADAPTER
from scidiff.domains.pde.grids import MacGrid, divergence
from scidiff.domains.pde.obstacles import disc, random_obstacles

from scidiff import campaign
from scidiff.domains import pde
from scidiff.errors import ConfigError, ScidiffError

SPEC = {
    "domain": "pde",
    "model": "flow",
    "count": 3,
    "sampler": {"steps": 1},
    "conditions": {"radius": [0.1], "x": [0.3, 0.6]},
    "scores": [{"name": "energy"}, {"name": "enstrophy"}, {"name": "fastest"}, {"name": "backflow"}],
    "objectives": {"minimise": ["enstrophy"]},
    "shards": {"rows": 2},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flows")
    outcome = campaign.run(campaign.parse(SPEC), folder, workers=0)
    assert outcome.rows == outcome.valid == 6
    return folder


def test_rows_are_those_of_the_model_and_leave_through_zarr(made, tmp_path):
    zarr = pytest.importorskip("zarr")
    assert campaign.export(made, tmp_path / "flows.zarr", condition="true") == 6
    group = zarr.open_group(tmp_path / "flows.zarr", mode="r")
    assert group["velocity"].metadata.dimension_names == ("row", "component", "x", "y")
    seed = campaign.open_plan(campaign.parse(SPEC)).seed
    assert group.attrs["provenance"]["seed"] == seed
    shape = group["obstacles"].shape[1:]
    for condition, x in enumerate((0.3, 0.6)):
        mask = disc(shape, (x, 0.5), 0.1)
        expected = pde.load("flow").sample(3, obstacles=mask, steps=1, seed=seed, first=3 * condition)
        rows = np.flatnonzero(group["condition"][:] == condition)
        assert (group["obstacles"][:][rows] == mask).all()
        # float32 networks: a batch of two and one of three differ by round-off of the network
        assert np.abs(group["velocity"][:][rows] - expected.fields).max() < 1e-4
    flow, grid = group["velocity"][0], MacGrid(group["obstacles"][0])
    inside = np.abs(divergence(flow[0], flow[1], grid.spacing)[grid.fluid]).max() * grid.spacing[0]
    assert inside < 1e-12 * np.abs(flow).max()
    assert json.loads((tmp_path / "flows.zarr.json").read_text())["count"] == 6


def test_scores_of_flows_that_are_known():
    nx = 16
    still = np.stack([np.ones((nx, nx)), np.zeros((nx, nx))])
    back = np.stack([-2 * np.ones((nx, nx)), np.zeros((nx, nx))])
    y = (np.arange(nx) + 0.5) / nx
    shear = np.stack([np.tile(np.sin(2 * np.pi * y), (nx, 1)), np.zeros((nx, nx))])
    columns = {"velocity": [still, back, shear], "obstacles": [np.zeros((nx, nx), dtype=bool)] * 3}
    values = {name: score(columns) for name, score in ADAPTER.scores.items()}
    assert values["energy"] == pytest.approx([0.5, 2.0, 0.25])
    assert values["fastest"] == pytest.approx([1.0, 2.0, np.sin(2 * np.pi * y).max()])
    assert values["backflow"] == pytest.approx([0.0, 1.0, 0.5])
    # d_y sin(2 pi y) by the difference over h: 2 sin(pi h) / h cos, whose square averages to a half
    assert values["enstrophy"] == pytest.approx([0.0, 0.0, 0.25 * (2 * np.sin(np.pi / nx) * nx) ** 2], abs=1e-12)
    assert ADAPTER.features(columns).shape == (3, 128)


def test_conditions_join_their_obstacles():
    from scidiff.domains.pde.campaign import _obstacles

    shape = (32, 32)
    assert _obstacles({}, shape) is None
    both = _obstacles({"x": 0.2, "geometry": 3}, shape)
    assert (both == (disc(shape, (0.2, 0.5), 0.1) | random_obstacles(shape, 3))).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("radius", -1), ("x", "left"), ("geometry", 1.5), ("image", 3), ("image", "no-such.png")],
    ids=["radius", "x", "geometry", "image", "file"],
)
def test_values_of_no_use_are_refused(name, value):
    with pytest.raises((ScidiffError, OSError)):
        ADAPTER.conditions[name]("flow", value)


def test_other_models_are_refused():
    with pytest.raises(ConfigError, match="unknown model"):
        campaign.open_plan(campaign.parse({**SPEC, "model": "nosuch"}))
