"""Files in and out, and what is refused."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scidiff.domains.ct import phantoms
from scidiff.domains.ct.geometry import Cone, Fan, Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.readers import (
    read_dicom,
    read_exchange,
    read_nifti,
    read_scan,
    read_tiff,
    read_volume,
    save_volume,
    write_scan,
)
from scidiff.domains.ct.readers.dicom import stack
from scidiff.domains.ct.scan import Scan
from scidiff.domains.ct.simulation import simulate
from scidiff.domains.ct.units import MU_WATER
from scidiff.domains.ct.volume import HU, PER_MM, Volume

from scidiff.errors import DataError, MissingPackageError

VOLUME = Volume(torch.arange(24.0).reshape(2, 3, 4) - 7, Grid((2, 3, 4), (3.0, 2.0, 1.5)), PER_MM, {"seed": 3})


@pytest.mark.parametrize("name", ["a.npz", "a.nii", "a.nii.gz", "a.tif"])
def test_a_volume_comes_back_with_its_provenance(tmp_path, name):
    if name.endswith(".tif"):
        tifffile = pytest.importorskip("tifffile")
    path = tmp_path / name
    save_volume(path, VOLUME)
    if name.endswith(".npz"):
        back = read_volume(path)
        assert back.facts["seed"] == 3
    elif name.endswith(".tif"):
        back = read_tiff(path, 1.0)
        with tifffile.TiffFile(path) as file:
            assert '"seed": 3' in file.pages[0].description
    else:
        back = read_nifti(path, PER_MM)
        raw = path.read_bytes()
        assert b'"seed": 3' in (gzip.decompress(raw) if name.endswith(".gz") else raw)
    assert torch.equal(back.values.float(), VOLUME.values)
    assert name.endswith(".tif") or back.grid == VOLUME.grid
    assert back.unit == PER_MM


def test_other_programs_read_our_nifti(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    save_volume(tmp_path / "a.nii.gz", VOLUME)
    other = nibabel.load(tmp_path / "a.nii.gz")
    assert np.array_equal(other.get_fdata().T, VOLUME.values.numpy())
    assert other.header.get_zooms() == pytest.approx((1.5, 2.0, 3.0))
    # the centre of the volume is the origin
    assert other.affine @ np.array([1.5, 1.0, 0.5, 1.0]) == pytest.approx([0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float64], ids=["int16", "uint8", "float64"])
def test_we_read_nifti_of_others(tmp_path, kind):
    nibabel = pytest.importorskip("nibabel")
    values = np.arange(24).reshape(4, 3, 2).astype(kind)
    image = nibabel.Nifti1Image(values, np.diag([-1.5, 2.0, 3.0, 1.0]))
    image.header.set_slope_inter(2.0, -1000.0)
    nibabel.save(image, tmp_path / "b.nii.gz")
    back = read_nifti(tmp_path / "b.nii.gz")
    expected = nibabel.load(tmp_path / "b.nii.gz").get_fdata().T
    assert np.allclose(back.values.numpy(), expected)
    assert back.grid.lengths == pytest.approx((3.0, 2.0, 1.5))
    assert back.facts["affine"][0][0] == pytest.approx(-1.5)


def test_a_broken_nifti_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    save_volume(path, VOLUME)
    whole = gzip.decompress(path.read_bytes())
    (tmp_path / "short.nii").write_bytes(whole[:-4])
    (tmp_path / "cut.nii.gz").write_bytes(path.read_bytes()[:-30])
    (tmp_path / "other.nii").write_bytes(b"x" * 400)
    odd = bytearray(whole)
    struct.pack_into("<h", odd, 70, 999)
    (tmp_path / "odd.nii").write_bytes(odd)
    for name, says in (
        ("short.nii", "cut short"),
        ("cut.nii.gz", "whole"),
        ("other.nii", "no NIfTI"),
        ("odd.nii", "999"),
    ):
        with pytest.raises(DataError, match=says):
            read_nifti(tmp_path / name)
    with pytest.raises(DataError, match="cannot read"):
        read_nifti(tmp_path / "missing.nii")


@pytest.mark.parametrize("kind", ["parallel", "fan", "cone"])
def test_a_scan_comes_back(tmp_path, kind):
    distances = {"source_axis": 200.0, "source_detector": 300.0}
    geometry = {
        "parallel": Parallel(even_angles(5), 32, 3.0, 14.5),
        "fan": Fan(even_angles(5, 6.0), 32, 4.0, 14.5, **distances),
        "cone": Cone(even_angles(5, 6.0), 32, 4.0, 14.5, rows=3, **distances),
    }[kind]
    y = torch.zeros(geometry.shape, dtype=torch.float64)
    y[..., 10:20] = 0.5
    scan = Scan.from_projections(y, geometry, i0=1e4)
    scan.weights[0, ..., 3] = 0
    write_scan(tmp_path / "s.npz", scan)
    back = read_scan(tmp_path / "s.npz")
    assert type(back.geometry) is type(geometry)
    assert torch.equal(back.projections, scan.projections)
    assert torch.allclose(back.weights, scan.weights, rtol=1e-14)
    for a, b in zip(back.geometry.rays(), geometry.rays(), strict=True):
        assert torch.equal(a, b)


def test_a_broken_scan_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", projections=np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"lacks \['weights', 'angles', 'about'\]"):
        read_scan(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(DataError, match="cannot read"):
        read_scan(tmp_path / "b.npz")
    with pytest.raises(DataError, match="ending"):
        save_volume(tmp_path / "a.png", VOLUME)


def slices(count: int = 4) -> list[SimpleNamespace]:
    made = []
    for k in range(count):
        made.append(
            SimpleNamespace(
                filename=f"{k}.dcm", Rows=2, Columns=3, PixelSpacing=[0.5, 0.7], ConvolutionKernel="B",
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[1.0, 2.0, 2.5 * k],
                RescaleSlope=2.0, RescaleIntercept=-1000.0, pixel_array=np.full((2, 3), k, dtype=np.int16),
            )
        )  # fmt: skip
    return made


def test_slices_are_sorted_by_position():
    shuffled = [slices()[k] for k in (2, 0, 3, 1)]
    volume = stack(shuffled)
    assert volume.values[:, 0, 0].tolist() == [-1000.0, -998.0, -996.0, -994.0]
    assert volume.grid.lengths == (2.5, 0.5, 0.7)
    assert volume.unit == HU
    assert float(volume.attenuation()[0, 0, 0]) == pytest.approx(0.0, abs=1e-9)
    assert float(Volume(torch.zeros(1, 1), Grid((1, 1)), HU).attenuation()) == pytest.approx(MU_WATER)


@pytest.mark.parametrize(("stored", "stated"), [(3, 3), (-2000, -2000), (-2000, 63536)], ids=["same", "signed", "bits"])
def test_padding_becomes_air_and_is_counted(stored, stated):
    made = slices()
    made[3].pixel_array[:] = stored
    for one in made:
        one.PixelPaddingValue = stated
    volume = stack(made)
    assert volume.facts["padding"] == 6
    assert bool((volume.values[3] == -1000).all())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop(1), "slice is missing"),
        (lambda s: setattr(s[1], "ImagePositionPatient", [1.0, 2.0, 0.0]), "same place"),
        (lambda s: setattr(s[1], "PixelSpacing", [0.5, 0.8]), "two series"),
        (lambda s: setattr(s[1], "ConvolutionKernel", "C"), "two series"),
        (lambda s: delattr(s[0], "ImageOrientationPatient"), "no ImageOrientationPatient"),
        (lambda s: [setattr(t, "ImagePositionPatient", [0.0, float(k), 2.5 * k]) for k, t in enumerate(s)], "tilted"),
        (lambda s: s.__delitem__(slice(1, None)), "one slice"),
        (lambda s: setattr(s[1], "RescaleSlope", None), "1.dcm has no RescaleSlope, or an empty one"),
        (lambda s: setattr(s[2], "RescaleIntercept", None), "2.dcm has no RescaleIntercept, or an empty one"),
        (lambda s: [delattr(t, "RescaleIntercept") for t in s], "0.dcm has no RescaleIntercept"),
        (lambda s: [setattr(t, "Modality", "MR") for t in s], "0.dcm has Modality MR; expected CT"),
    ],
    ids=[
        "missing",
        "double",
        "spacing",
        "kernel",
        "field",
        "tilt",
        "single",
        "slope",
        "intercept",
        "scale",
        "modality",
    ],
)
def test_what_cannot_be_stacked_is_refused(change, says):
    made = slices()
    change(made)
    with pytest.raises(DataError, match=says):
        stack(made)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    for module in ("pydicom", "h5py", "tifffile"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match="pip install pydicom"):
        read_dicom(tmp_path)
    with pytest.raises(MissingPackageError, match="pip install h5py"):
        read_exchange(tmp_path / "a.h5")
    with pytest.raises(MissingPackageError, match="pip install tifffile"):
        read_tiff(tmp_path, 1.0)


def test_a_folder_without_a_series_is_refused(tmp_path):
    pytest.importorskip("pydicom")
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(DataError, match="no DICOM image"):
        read_dicom(tmp_path)


def exchange(path: Path, units: str = "degrees", **leave_out: bool) -> torch.Tensor:
    """A data-exchange file of two rows of a phantom."""
    h5py = pytest.importorskip("h5py")
    geometry = Parallel(even_angles(24), 64, 1.0, 29.4)
    y = phantoms.disc_with_holes(2, extent=40.0).project(geometry)
    with h5py.File(path, "w") as file:
        group = file.create_group("exchange")
        fields = {
            "data": np.random.default_rng(1).poisson(np.stack([1e4 * np.exp(-y.numpy())] * 2, 1)) + 100,
            "data_white": np.random.default_rng(0).poisson(1e4, (10, 2, 64)) + 100,
            "data_dark": np.full((5, 2, 64), 100),
            "theta": np.rad2deg(geometry.angles.numpy()) if units != "wrong" else geometry.angles.numpy(),
        }
        for name, value in fields.items():
            if not leave_out.get(name):
                group[name] = value
        if "theta" in group:
            group["theta"].attrs["units"] = "degrees"
    return y


def test_a_data_exchange_file_is_a_scan(tmp_path):
    y = exchange(tmp_path / "a.h5")
    scan = read_exchange(tmp_path / "a.h5", row=1)
    assert scan.facts["axis"] == pytest.approx(29.4, abs=0.1)
    half = 0.5 * (scan.interval[1] - scan.interval[0]) / 1.96
    # the noise of ten flats is common to the 24 views of a column, a tenth of the variance: it widens the band
    assert float(scan.chi2(y)) == pytest.approx(1.0, abs=4 * half * (1 + 24 * 0.1) ** 0.5)
    assert scan.facts["gain"] == pytest.approx(1.0, abs=4 * (2 / (9 * 64)) ** 0.5)


def test_a_wrong_data_exchange_file_is_refused(tmp_path):
    exchange(tmp_path / "a.h5", theta=True)
    with pytest.raises(DataError, match="/exchange/theta"):
        read_exchange(tmp_path / "a.h5")
    exchange(tmp_path / "b.h5", units="wrong")
    with pytest.raises(DataError, match="radians"):
        read_exchange(tmp_path / "b.h5")
    with pytest.raises(DataError, match="row 7"):
        exchange(tmp_path / "c.h5")
        read_exchange(tmp_path / "c.h5", row=7)
    (tmp_path / "d.h5").write_bytes(b"nothing")
    with pytest.raises(DataError, match="HDF5"):
        read_exchange(tmp_path / "d.h5")


def test_the_real_series(scidiff_data):
    pytest.importorskip("pydicom")
    folder = scidiff_data / "ct" / "totalseg" / "dicom"
    if not folder.is_dir():
        pytest.skip("the series is not at hand")
    volume = read_dicom(folder)
    assert volume.values.shape == (20, 512, 512)
    assert volume.grid.lengths == pytest.approx((2.0, 0.9765625, 0.9765625))
    assert float(volume.facts["slice_thickness"]) == 3.0
    assert -1100 < float(volume.values.min()) < -1000
    body = volume.values[10, 200:300, 200:300]
    assert -200 < float(body.median()) < 200


def test_the_real_tooth(scidiff_data):
    pytest.importorskip("h5py")
    path = scidiff_data / "ct" / "tooth.h5"
    if not path.exists():
        pytest.skip("the tooth is not at hand")
    scan = read_exchange(path)
    assert scan.geometry.shape == (181, 640)
    assert scan.facts["axis"] == pytest.approx(296.1, abs=0.5)
    assert scan.facts["gain"] == pytest.approx(0.61, abs=0.06)
    assert scan.findings == ()


def test_a_simulated_scan_is_the_same_again():
    geometry = Parallel(even_angles(4), 24, 4.0)
    first, second = (simulate(phantoms.water_disc(30.0), geometry, 1e4, seed=5) for _ in range(2))
    assert torch.equal(first.projections, second.projections)
    assert not torch.equal(first.projections, simulate(phantoms.water_disc(30.0), geometry, 1e4, seed=6).projections)
