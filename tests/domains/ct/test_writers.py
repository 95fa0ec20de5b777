"""Volumes in the formats of other programs: the same values again, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scidiff.domains.ct.cli import app
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.readers import (
    read_dicom,
    read_nifti,
    read_tiff,
    read_volume,
    read_zarr,
    save_volume,
    write_dicom,
    write_zarr,
)
from scidiff.domains.ct.units import to_hu
from scidiff.domains.ct.volume import HU, PER_MM, Volume
from typer.testing import CliRunner

from scidiff.errors import DataError

GRID = Grid((3, 4, 5), (2.5, 0.7, 0.6))
MU = Volume(
    0.04 * torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0)), GRID, PER_MM, {"method": "TV", "seed": 7}
)


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_series_comes_back_to_rounding(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    write_dicom(tmp_path / "s", MU, {"label": "exact"})
    back = read_dicom(tmp_path / "s")
    assert back.unit == HU
    assert back.grid.shape == GRID.shape
    assert back.grid.lengths == pytest.approx(GRID.lengths, rel=1e-12)
    # stored as whole HU
    assert float((back.values.double() - to_hu(MU.values.double())).abs().max()) <= 0.5 + 1e-4
    dataset = pydicom.dcmread(tmp_path / "s" / "00001.dcm")
    assert dataset.DerivationDescription.split("; ")[1:] == ["method TV", "seed 7", "label exact"]
    assert dataset.DerivationDescription.startswith("scidiff ")
    assert json.loads(dataset.ImageComments)["seed"] == 7
    # the middle voxel of the grid is the origin
    assert [float(v) for v in dataset.ImagePositionPatient] == pytest.approx([-1.2, -1.05, 0.0])
    assert not dataset.StudyDate


def test_values_beyond_16_bits_are_scaled(tmp_path):
    pytest.importorskip("pydicom")
    values = torch.linspace(-1000, 90_000, 60, dtype=torch.float64).reshape(3, 4, 5).float()
    write_dicom(tmp_path / "s", Volume(values, GRID, HU))
    step = 91_000 / 65_535
    # half a step, and the 24 bits of float32
    bound = 0.5 * step * 1.001 + 90_000 * 2**-23
    assert float((read_dicom(tmp_path / "s").values - values).abs().max()) <= bound


def test_the_same_image_gives_the_same_bytes_and_another_one_other_identifiers(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    other = Volume(MU.values + 0.001, GRID, PER_MM, MU.facts)
    for name, volume, facts in (("a", MU, {}), ("b", MU, {}), ("c", other, {}), ("d", MU, {"seed": 8})):
        write_dicom(tmp_path / name, volume, facts)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    heads = {name: pydicom.dcmread(tmp_path / name / "00000.dcm") for name in "acd"}
    for field in ("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        uids = [heads[name][field].value for name in "acd"]
        assert len(set(uids)) == 3
        assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)
    series = [pydicom.dcmread(file) for file in sorted((tmp_path / "a").iterdir())]
    assert len({one.SOPInstanceUID for one in series}) == 3
    assert len({one.SeriesInstanceUID for one in series}) == 1


def test_one_image_is_a_series_of_one_slice(tmp_path):
    pytest.importorskip("pydicom")
    image = Volume(MU.values[0], Grid((4, 5), (0.7, 0.6)), PER_MM)
    write_dicom(tmp_path / "s", image)
    assert read_dicom(tmp_path / "s").grid == Grid((1, 4, 5), (1.0, 0.7, 0.6))


def test_long_facts_stay_within_the_fields(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    write_dicom(tmp_path / "s", MU, {"story": "x" * 20_000, "note": "Å" * 3000, "method": "m" * 3000})
    dataset = pydicom.dcmread(tmp_path / "s" / "00000.dcm")
    told = json.loads(dataset.ImageComments)
    assert told["facts_left_out"] == 1
    assert "story" not in told
    assert len(dataset.DerivationDescription) == 1024


def test_a_store_comes_back_bit_by_bit(tmp_path):
    pytest.importorskip("zarr")
    write_zarr(tmp_path / "a.zarr", MU, {"label": "exact"})
    back = read_zarr(tmp_path / "a.zarr")
    assert torch.equal(back.values, MU.values)
    assert back.grid == GRID
    assert back.unit == PER_MM
    assert {name: back.facts[name] for name in ("method", "seed", "label")} == {
        "method": "TV",
        "seed": 7,
        "label": "exact",
    }
    write_zarr(tmp_path / "a.zarr", Volume(2 * MU.values, GRID, PER_MM))
    assert torch.equal(read_zarr(tmp_path / "a.zarr").values, 2 * MU.values)
    xarray = pytest.importorskip("xarray")
    with xarray.open_zarr(tmp_path / "a.zarr", consolidated=False) as opened:
        assert opened["values"].dims == ("z", "y", "x")


def test_a_store_that_is_not_whole_is_refused(tmp_path):
    zarr = pytest.importorskip("zarr")
    write_zarr(tmp_path / "a.zarr", MU)
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    chunk = next(p for p in (tmp_path / "b.zarr" / "values").rglob("*") if p.is_file() and p.name != "zarr.json")
    chunk.unlink()
    with pytest.raises(DataError, match=r"b.zarr: values have another sha256 .* copy it again"):
        read_zarr(tmp_path / "b.zarr")
    chunk.write_bytes(b"spoiled")
    with pytest.raises(DataError, match=r"cannot read .*b.zarr"):
        read_zarr(tmp_path / "b.zarr")
    with pytest.raises(DataError, match=r"c.zarr is no Zarr store"):
        read_zarr(tmp_path / "c.zarr")
    zarr.open_group(str(tmp_path / "d.zarr"), mode="w")
    with pytest.raises(DataError, match=r"d.zarr lacks format, unit, voxel_mm, sha256, values"):
        read_zarr(tmp_path / "d.zarr")


@pytest.mark.parametrize("name", ["a.dicom", "a.zarr"])
def test_a_folder_of_others_is_not_touched(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "letters.txt").write_text("mine")
    with pytest.raises(DataError, match=r"exists and is no .*give another name"):
        save_volume(tmp_path / name, MU)
    assert files(tmp_path) == {"letters.txt": hashlib.sha256(b"mine").hexdigest()}
    (tmp_path / "b").write_text("a file")
    with pytest.raises(DataError, match="exists and is no"):
        write_dicom(tmp_path / "b", MU)


@pytest.mark.parametrize("name", ["a.dicom", "a.zarr", "a.nii.gz", "a.npz", "a.tif"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    save_volume(tmp_path / name, MU)
    before = files(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    # the last thing that every writer does is the rename
    monkeypatch.setattr("os.replace" if name[2:] in ("nii.gz", "npz", "tif") else "pathlib.Path.rename", full)
    with pytest.raises(DataError, match="no room to write"):
        save_volume(tmp_path / name, Volume(2 * MU.values, GRID, PER_MM))
    monkeypatch.undo()
    assert files(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.dicom", "a.zarr"])
def test_an_interrupt_between_the_renames_leaves_the_old_folder(tmp_path, monkeypatch, name):
    save_volume(tmp_path / name, MU)
    before, rename, calls = files(tmp_path), Path.rename, []

    def interrupted(path, target):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr("pathlib.Path.rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_volume(tmp_path / name, Volume(2 * MU.values, GRID, PER_MM))
    monkeypatch.undo()
    assert files(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["b.npz", "b.nii", "b.tif", "b.zarr", "b.dicom"])
def test_what_was_read_can_be_written(tmp_path, name):
    save_volume(tmp_path / "a.npz", MU)
    save_volume(tmp_path / name, read_volume(tmp_path / "a.npz"))
    read = {
        "npz": read_volume,
        "nii": read_nifti,
        "tif": lambda p: read_tiff(p, 1.0),
        "zarr": read_zarr,
        "dicom": read_dicom,
    }
    back = read[name[2:]](tmp_path / name)
    expected = MU.values if name != "b.dicom" else to_hu(MU.values.double())
    assert float((back.values - expected).abs().max()) <= (0.5001 if name == "b.dicom" else 0.0)


@pytest.mark.parametrize("name", ["x.dicom", "x.zarr"])
@pytest.mark.parametrize(
    "method",
    [["cgls"], ["posterior", "--prior", "gaussian", "--count", "2", "--steps", "2", "--seed", "5"]],
    ids=["cgls", "posterior"],
)
def test_the_command_writes_them(tmp_path, name, method):
    run, scan, out = CliRunner(), str(tmp_path / "s.npz"), tmp_path / name
    run.invoke(app, ["simulate", "--out", scan, "--views", "12", "--columns", "48", "--photons", "1e4"])
    done = run.invoke(app, ["reconstruct", scan, "--out", str(out), "--method", *method, "--size", "16"])
    assert done.exit_code == 0, (done.output, done.exception)
    volume = read_dicom(out) if name == "x.dicom" else read_zarr(out)
    assert volume.grid.shape[-2:] == (16, 16)
    if name == "x.dicom" and len(method) > 1:
        pydicom = pytest.importorskip("pydicom")
        assert "seed 5" in pydicom.dcmread(next(out.iterdir())).DerivationDescription
    bad = run.invoke(app, ["reconstruct", scan, "--out", str(tmp_path / "x.jpg"), "--method", "cgls", "--size", "16"])
    assert isinstance(bad.exception, DataError)
    assert np.array_equal(sorted(p.name for p in tmp_path.iterdir()), sorted(["s.npz", name]))
