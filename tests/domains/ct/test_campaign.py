"""Scans in campaigns: the images are those of the method, with what the data say of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.ct.campaign import ADAPTER
from scidiff.domains.ct.readers import read_scan, write_scan

from scidiff import campaign
from scidiff.campaign.state import digest
from scidiff.domains import ct
from scidiff.errors import ScidiffError


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(2):
        geometry = ct.Parallel(ct.even_angles(24), 48, 200 / 32)
        write_scan(folder / f"{seed}.npz", ct.simulate(ct.shepp_logan(), geometry, i0=1e4, seed=seed))
    return [str(folder / f"{seed}.npz") for seed in range(2)]


def spec(scans, **changes):
    base = {
        "domain": "ct",
        "model": "cgls",
        "count": 1,
        "conditions": {"scan": scans, "pixels": 32, "extent_mm": 200.0},
        "scores": [{"name": "chi2"}, {"name": "misfit"}],
        "objectives": {"minimise": ["misfit"]},
    }
    return campaign.parse({**base, **changes})


def test_images_are_those_of_the_method_and_leave_through_zarr(scans, tmp_path):
    zarr = pytest.importorskip("zarr")
    outcome = campaign.run(spec(scans), tmp_path / "run", workers=0)
    assert outcome.rows == outcome.valid == 2
    campaign.export(tmp_path / "run", tmp_path / "images.zarr", condition="true")
    group = zarr.open_group(tmp_path / "images.zarr", mode="r")
    for row, path in enumerate(scans):
        expected = ct.METHODS["cgls"](read_scan(path), ct.Grid.square(32, 200.0))
        assert np.array_equal(group["image"][row], expected.image.float().numpy())
        # chi^2 by the method and by the check: the matrix of the scan is in float32, round-off 6e-8 an entry
        assert group["chi2"][row] == pytest.approx(expected.chi2, rel=5e-6)
    assert len(campaign.select(tmp_path / "run", count=1, save=False)) == 1


def test_samples_under_a_prior_are_those_of_the_method(scans, tmp_path):
    asked = spec(scans[:1], model="gaussian", count=3, sampler={"steps": 2}, shards={"rows": 2})
    outcome = campaign.run(asked, tmp_path, workers=0)
    assert not outcome.quarantined and outcome.valid == 3
    seed = campaign.open_plan(asked).seed
    grid = ct.Grid.square(32, 200.0)
    expected = ct.reconstruct(read_scan(scans[0]), "gaussian", grid=grid, count=3, steps=2, seed=seed)
    pytest.importorskip("zarr")
    import zarr

    campaign.export(tmp_path, tmp_path / "images.zarr", condition="true")
    images = zarr.open_group(tmp_path / "images.zarr", mode="r")["image"][:]
    # a single sample is summed in another order than several: round-off of the projector, 6e-8, times the condition of
    # the solves, 1 + r^2 |A|^2 W of about 3e4
    assert np.abs(images - expected.samples.numpy()).max() < 2e-3 * float(expected.samples.abs().max())
    assert np.abs(images[0] - images[1]).max() > 1e-3 * np.abs(images).max()


def test_a_scan_that_has_changed_makes_another_campaign(scans, tmp_path):
    path = tmp_path / "scan.npz"
    hashes = []
    for each in scans:
        path.write_bytes(open(each, "rb").read())
        hashes.append(campaign.open_plan(spec([str(path)])).hash)
    assert hashes[0] != hashes[1]


def test_the_cut_into_shards_and_the_order_of_work_change_nothing(scans, tmp_path):
    asked = spec(scans, count=3, shards={"rows": 2})
    campaign.run(asked, tmp_path / "a", workers=0)
    campaign.run(asked, tmp_path / "b", workers=0)
    (tmp_path / "b" / "shards" / "shard-00000001.parquet").unlink()
    campaign.run(asked, tmp_path / "b", workers=0)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"conditions": {}}, r"conditions\.scan: it is missing"),
        ({"conditions": {"scan": "no.npz"}}, r"conditions\.scan\[0\]"),
        ({"model": "magic"}, "model: unknown prior or method"),
        ({"model": "gaussian", "conditions": {"scan": "SCAN", "method": "magic"}}, "unknown method with a prior"),
        ({"conditions": {"scan": "SCAN", "method": "posterior"}}, "is a method itself"),
    ],
    ids=["no-scan", "no-file", "no-model", "no-method", "two-methods"],
)
def test_what_makes_no_sense_is_refused(scans, changes, says):
    if changes.get("conditions", {}).get("scan") == "SCAN":
        changes = {**changes, "conditions": {**changes["conditions"], "scan": scans[0]}}
    with pytest.raises(ScidiffError, match=says):
        campaign.open_plan(spec(scans, **changes))


def test_features_are_means_of_blocks():
    image = torch.arange(32 * 40, dtype=torch.float32).reshape(32, 40).numpy()
    found = ADAPTER.features({"image": [image]})
    expected = image.reshape(8, 4, 8, 5).mean((1, 3)).ravel() / 0.02
    assert np.allclose(found[0], expected, rtol=1e-6)
    assert ADAPTER.features({"image": [image[:3, :5]]}).shape == (1, 64)
