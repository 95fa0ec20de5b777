"""Files that are cut short or damaged, of every format: refused with a type and their name; nothing is half written."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scidiff.domains.ct.cli import app
from scidiff.domains.ct.readers import (
    read_dicom,
    read_nifti,
    read_scan,
    read_tiff,
    read_volume,
    save_volume,
    write_dicom,
    write_scan,
)
from scidiff.domains.ct.simulation import poisson_counts, simulate
from scidiff.domains.ct.volume import Volume
from typer.testing import CliRunner

from scidiff.errors import DataError, ScidiffError
from scidiff.random import Noise

from .scan_cases import DISC, GEOMETRY, VOLUME

h5py = pytest.importorskip("h5py")


def exchange(path: Path, views: int = 24) -> Path:
    """A data-exchange file of one row, with some of its angles."""
    counts = poisson_counts(1e4 * torch.exp(-DISC.project(GEOMETRY)), Noise.range(0, 1)).numpy()
    with h5py.File(path, "w") as file:
        file["exchange/data"] = counts[:, None] + 100
        file["exchange/data_white"] = np.random.default_rng(0).poisson(1e4, (10, 1, 64)) + 100.0
        file["exchange/data_dark"] = np.full((5, 1, 64), 100.0)
        file["exchange/theta"] = np.rad2deg(GEOMETRY.angles.numpy())[:views]
    return path


READERS = {
    "v.npz": read_volume,
    "v.nii": read_nifti,
    "v.nii.gz": read_nifti,
    "v.tif": lambda path: read_tiff(path, 1.0),
    "s.npz": read_scan,
    "e.h5": read_scan,
}


def whole(folder: Path, name: str) -> bytes:
    """A good file of the format."""
    path = folder / name
    if name == "e.h5":
        exchange(path)
    elif name == "s.npz":
        write_scan(path, simulate(DISC, GEOMETRY, 1e4))
    else:
        if name == "v.tif":
            pytest.importorskip("tifffile")
        save_volume(path, VOLUME)
    return path.read_bytes()


def outcome(name: str, path: Path) -> torch.Tensor | str:
    """Values of a file, or what its refusal says; any other error fails the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = READERS[name](path)
    except ScidiffError as error:
        return str(error)
    return read.values if isinstance(read, Volume) else read.projections


@pytest.mark.parametrize("name", READERS)
def test_whatever_is_cut_short_is_refused(tmp_path, name):
    """The last bytes of a TIFF file are its texts: without them its values are whole."""
    raw, spare = whole(tmp_path, name), 24 if name == "v.tif" else 1
    for length in [0, 1, 8, *np.linspace(9, len(raw) - spare, 12).astype(int).tolist()]:
        (tmp_path / f"x{name}").write_bytes(raw[:length])
        with pytest.raises(DataError, match=f"x{name}"):
            READERS[name](tmp_path / f"x{name}")


@pytest.mark.parametrize("name", READERS)
def test_whatever_is_damaged_is_read_or_refused_with_its_name(tmp_path, name):
    """Random bytes, half of them in the header: never an error without a type. Data without a hash may pass."""
    raw, draw = whole(tmp_path, name), np.random.default_rng(7)
    refused = 0
    for _ in range(25):
        spoiled = bytearray(raw)
        for place in draw.integers(0, draw.choice([len(raw), 128]), 3):
            spoiled[place] = draw.integers(256)
        (tmp_path / f"x{name}").write_bytes(spoiled)
        told = outcome(name, tmp_path / f"x{name}")
        refused += isinstance(told, str)
        assert not isinstance(told, str) or f"x{name}" in told
    assert refused > 0


@pytest.mark.parametrize("out", ["x.npz", "x.dicom"])
@pytest.mark.parametrize("bad", ["cut.h5", "angles.h5", "gone.h5", "text.npz"])
def test_a_command_that_fails_writes_nothing(tmp_path, out, bad):
    path = tmp_path / bad
    if bad == "cut.h5":
        path.write_bytes(exchange(path).read_bytes()[:-500])
    elif bad == "angles.h5":
        exchange(path, 23)
    elif bad == "text.npz":
        path.write_text("no scan")
    before = sorted(p.name for p in tmp_path.iterdir())
    done = CliRunner().invoke(app, ["reconstruct", str(path), "--out", str(tmp_path / out), "--method", "fbp"])
    assert isinstance(done.exception, DataError)
    assert bad in str(done.exception)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_ending_that_is_not_known_is_told_before_anything_is_read(tmp_path):
    done = CliRunner().invoke(app, ["reconstruct", str(tmp_path / "gone.npz"), "--out", "x.jpg", "--method", "fbp"])
    assert isinstance(done.exception, DataError)
    assert "x.jpg has an ending that is not known; expected one of .dicom, .nii" in str(done.exception)


def test_a_deflated_dicom_file_cut_short_is_refused(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    write_dicom(tmp_path / "s", VOLUME)
    file = tmp_path / "s" / "00001.dcm"
    dataset = pydicom.dcmread(file)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(file)
    assert read_dicom(tmp_path / "s").grid.shape == VOLUME.grid.shape
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cannot read .*00001.dcm.*cut short"):
        read_dicom(tmp_path / "s")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_a_dicom_file_cut_short_is_refused(tmp_path, share):
    pytest.importorskip("pydicom")
    folder = tmp_path / "s"
    write_dicom(folder, VOLUME)
    raw = (folder / "00001.dcm").read_bytes()
    (folder / "00001.dcm").write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(DataError, match=r"00001.dcm.*(cut short|damaged)"):
        read_dicom(folder)
