"""What goes wrong in practice: the error has a type, names file and field and says what to do; nothing is half written.

Wrong NeXus and MATLAB files are in test_readers_scans, wrong files of public data sets in test_datasets, slices that
do not form a volume in test_readers, counts and flats in test_scan, files that are cut short or damaged in
test_damaged_files; the rest of the list is here.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scidiff.domains.ct.checks import BODY, ScanWarning, check_units
from scidiff.domains.ct.geometry import Cone, Fan, Parallel, Vectors, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.operators import MatrixFree, system_matrix
from scidiff.domains.ct.readers import (
    read_dicom,
    read_exchange,
    read_nifti,
    read_scan,
    read_tiff,
    read_volume,
    save_volume,
    write_dicom,
    write_scan,
)
from scidiff.domains.ct.scan import Scan
from scidiff.domains.ct.simulation import poisson_counts, simulate
from scidiff.domains.ct.volume import HU, PER_MM, Volume

from scidiff.errors import ConfigError, DataError
from scidiff.random import Noise

from .scan_cases import DISC, GEOMETRY, VALUES, VOLUME

h5py = pytest.importorskip("h5py")


def exchange(path: Path, change=lambda fields: None) -> Path:
    """A data-exchange file of one row, changed."""
    counts = poisson_counts(1e4 * torch.exp(-DISC.project(GEOMETRY)), Noise.range(0, 1)).numpy()
    fields: dict[str, Any] = {
        "data": counts[:, None] + 100,
        "data_white": np.random.default_rng(0).poisson(1e4, (10, 1, 64)) + 100.0,
        "data_dark": np.full((5, 1, 64), 100.0),
        "theta": np.rad2deg(GEOMETRY.angles.numpy()),
        "units": "degrees",
    }
    change(fields)
    units = fields.pop("units")
    with h5py.File(path, "w") as file:
        for name, value in fields.items():
            file[f"exchange/{name}"] = value
        if "theta" in fields:
            file["exchange/theta"].attrs["units"] = units
    return path


def put(name: str, place: tuple[int, ...], value: float):
    return lambda fields: fields[name].__setitem__(place, value)


EXCHANGE = {
    "angle-count": (
        lambda f: f.update(theta=f["theta"][:-1]),
        r"/exchange/theta: 23 angles for 24 projections; expected one angle for each",
    ),
    "radians-as-degrees": (
        lambda f: f.update(theta=np.deg2rad(f["theta"])),
        r"/exchange/theta spans 3.011 .* look like radians: correct the attribute",
    ),
    "degrees-as-radians": (
        lambda f: f.update(units="radians"),
        r"/exchange/theta spans 172.5 .* look like degrees: correct the attribute",
    ),
    "nan-angle": (put("theta", (3,), math.nan), r"/exchange/theta holds 24 angles, 1 not finite, first at 3"),
    "nan-count": (
        put("data", (3, 0, 7), math.nan),
        r"counts hold 1 values .*first at \(3, 7\).*counts are /exchange/data",
    ),
    "negative-count": (
        put("data", (5, 0, 9), -4.0),
        r"counts hold 1 negative values, first at \(5, 9\).*/exchange/data",
    ),
    "nan-flat": (put("data_white", (2, 0, 9), math.nan), r"/exchange/data_white|flats hold 1 values"),
    "no-flats": (lambda f: f.pop("data_white"), r"has no /exchange/data_white \(flats\)"),
    "empty-flats": (lambda f: f.update(data_white=f["data_white"][:0]), r"/exchange/data_white has shape \(0, 1, 64\)"),
    "narrow-flats": (
        lambda f: f.update(data_white=f["data_white"][..., :60]),
        r"data_white has shape .* \(1, 64\), as in",
    ),
    "exchanged": (
        lambda f: f.update(data_white=f["data_dark"], data_dark=f["data_white"]),
        r"not brighter in the flats than in the darks.*exchanged.*flats are /exchange/data_white",
    ),
    "one-flat": (lambda f: f.update(data_white=f["data_white"][:1]), r"1 flats came; expected at least 4 .*give gain"),
}


@pytest.mark.parametrize(("change", "says"), EXCHANGE.values(), ids=EXCHANGE)
def test_a_wrong_data_exchange_file_names_file_and_field(tmp_path, change, says):
    path = exchange(tmp_path / "a.h5", change)
    with pytest.raises(DataError, match=says) as told:
        read_exchange(path)
    assert "a.h5" in str(told.value)


def test_one_flat_will_do_where_the_gain_is_known(tmp_path):
    path = exchange(tmp_path / "a.h5", lambda f: f.update(data_white=f["data_white"][:1]))
    assert read_scan(path, gain=1.0).facts["gain"] == 1.0


def archive(path: Path, change) -> Path:
    """A scan of ours, changed."""
    write_scan(path, simulate(DISC, GEOMETRY, 1e4))
    with np.load(path) as file:
        parts = {name: file[name] for name in file}
    about = json.loads(str(parts.pop("about")))
    change(parts, about)
    np.savez(path, about=np.array(json.dumps(about)), **parts)
    return path


FAN = {"source_axis": 300.0, "source_detector": 600.0}


def as_fan(about: dict[str, Any], **numbers: float) -> None:
    about["kind"] = "fan"
    about["geometry"] |= {**FAN, **numbers}


ARCHIVES = {
    "angle-count": (
        lambda p, a: p.update(angles=p["angles"][1:]),
        r"data have shape \(24, 64\); the geometry has 23 angles",
    ),
    "degrees": (
        lambda p, a: p.update(angles=np.rad2deg(p["angles"])),
        r"angles reach 172.5; expected radians.*deg2rad",
    ),
    "nan": (lambda p, a: p["projections"].__setitem__((2, 3), math.nan), r"projections hold 1 .* first at \(2, 3\)"),
    "weights": (lambda p, a: p["weights"].__setitem__((2, 3), -1.0), r"weights of shape .* not all >= 0"),
    "zero-pixel": (
        lambda p, a: a["geometry"].update(pitch=0.0),
        r"detector pitch is 0.0 mm; expected a positive length",
    ),
    "nan-pixel": (lambda p, a: a["geometry"].update(pitch=math.nan), r"detector pitch is nan mm"),
    "no-pixels": (lambda p, a: a["geometry"].update(columns=0), r"detector has 0 columns"),
    "axis": (lambda p, a: a["geometry"].update(centre=99.0), r"axis projects to column 99 of 64"),
    "before": (lambda p, a: as_fan(a, source_detector=-600.0), r"source_detector is -600.0 mm; expected a positive"),
    "between": (
        lambda p, a: as_fan(a, source_detector=200.0),
        r"source_detector is 200 mm and source_axis 300 mm; .*behind",
    ),
    "cm": (lambda p, a: as_fan(a, source_axis=3.0, source_detector=6.0), r"degrees off the central ray.*in cm and"),
    "kind": (lambda p, a: a.update(kind="spiral"), r"geometry is 'spiral'; expected one of"),
    "numbers": (lambda p, a: a.update(geometry=3), r"the geometry cannot be used"),
}


@pytest.mark.parametrize(("change", "says"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_wrong_scan_of_ours_names_file_and_field(tmp_path, change, says):
    path = archive(tmp_path / "s.npz", change)
    with pytest.raises(DataError, match=says) as told:
        read_scan(path)
    assert "s.npz" in str(told.value)


def test_flats_are_asked_for():
    counts = torch.full(GEOMETRY.shape, 1e3, dtype=torch.float64)
    with pytest.raises(
        DataError, match=r"no flats came; expected frames without the object, or the unattenuated count"
    ):
        Scan.from_counts(counts, GEOMETRY, None)
    with pytest.raises(DataError, match="flats hold no frame; expected at least one"):
        Scan.from_counts(counts, GEOMETRY, np.zeros((0, 64)))


@pytest.mark.parametrize(
    ("angles", "says"),
    [
        (even_angles(180) / 57.3, r"180 views span 3.1 degrees.*converted once more"),
        (torch.arange(0.0, 20.5, 0.5, dtype=torch.float64), r"round numbers up to 20 and make 3.2 turns.*degrees\?"),
    ],
    ids=["radians-as-degrees", "degrees-as-radians"],
)
def test_angles_of_the_other_unit_are_remarked(angles, says):
    geometry = Parallel(angles, 32, 5.0)
    with pytest.warns(ScanWarning, match=says):
        scan = simulate(DISC, geometry, 1e4)
    assert "angle-unit" in [finding.code for finding in scan.findings]


@pytest.mark.parametrize(
    "angles",
    [even_angles(180), even_angles(30, math.radians(15)), even_angles(40, 2 * math.pi), even_angles(60, 4 * math.pi)],
    ids=["half", "tomosynthesis", "full", "two-turns"],
)
def test_right_angles_are_not(angles):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        simulate(DISC, Parallel(angles, 32, 5.0), 1e4)
    assert not [w for w in told if "angle-unit" in str(w.message)]


@pytest.mark.parametrize(("factor", "unit"), [(0.1, "cm"), (1000.0, "micrometres"), (0.001, "m")])
def test_lengths_of_another_unit_are_named(factor, unit):
    y = DISC.project(GEOMETRY)
    with pytest.raises(DataError, match=rf"the lengths look like {unit}: give them in mm"):
        check_units(y, Parallel(GEOMETRY.angles, 64, 3.0 * factor), BODY)
    assert check_units(y, GEOMETRY, BODY) == pytest.approx(0.0193, rel=0.1)


@pytest.mark.parametrize("make", [system_matrix, MatrixFree], ids=["matrix", "matrix-free"])
def test_a_source_inside_the_image_is_refused(make):
    fan = Fan(even_angles(4, 2 * math.pi), 16, 3.0, source_axis=90.0, source_detector=300.0)
    with pytest.raises(
        ConfigError, match=r"source of view 0 stands at \(-?0, -90\) mm, inside the image.*smaller extent"
    ):
        make(fan, Grid.square(16, 200.0))
    make(fan, Grid.square(16, 170.0))


def test_a_source_inside_a_volume_is_refused():
    cone = Cone(even_angles(4, 2 * math.pi), 16, 3.0, rows=4, source_axis=90.0, source_detector=300.0)
    with pytest.raises(ConfigError, match="inside the image"):
        MatrixFree(cone, Grid((4, 16, 16), 13.0))
    eye = torch.tensor([[0.0, -50.0, 10.0]])
    free = Vectors(eye, -eye, torch.tensor([[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]), (4, 4))
    with pytest.raises(ConfigError, match=r"stands at \(0, -50, 10\) mm"):
        MatrixFree(free, Grid((16, 16, 16), 13.0))
    MatrixFree(free, Grid((16, 16, 16), 6.0))


def corrupt(values: np.ndarray) -> np.ndarray:
    spoiled = values.copy()
    spoiled[1, 2, 3] = math.nan
    return spoiled


def test_volumes_that_are_not_finite_name_their_file(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    save_volume(tmp_path / "a.nii", VOLUME)
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[-4:] = np.float32(math.nan).tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    tifffile.imwrite(tmp_path / "a.tif", corrupt(VALUES.numpy()), photometric="minisblack")
    save_volume(tmp_path / "a.npz", VOLUME)
    with np.load(tmp_path / "a.npz") as file:
        about = file["about"]
    np.savez(tmp_path / "a.npz", about=about, values=corrupt(VALUES.numpy()))
    for read, name in ((read_nifti, "a.nii"), (lambda p: read_tiff(p, 1.0), "a.tif"), (read_volume, "a.npz")):
        with pytest.raises(DataError, match=rf"{name}: values hold 1 that are not finite; mask them"):
            read(tmp_path / name)


def test_a_volume_without_an_extent_names_its_file(tmp_path):
    save_volume(tmp_path / "a.nii", VOLUME)
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[80:84] = np.float32(0).tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    with pytest.raises(DataError, match=r"a.nii: voxel is .* expected a positive length.*voxel are pixdim"):
        read_nifti(tmp_path / "a.nii")


def test_colour_images_are_no_volumes(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(DataError, match=r"a.tif has 3 samples for each pixel; expected grey images"):
        read_tiff(tmp_path / "a.tif", 1.0)


def series(folder: Path, start: float = 0.0) -> Path:
    pytest.importorskip("pydicom")
    write_dicom(folder, Volume(VALUES + start, VOLUME.grid, PER_MM, {"seed": start}))
    return folder


def test_mixed_series_are_a_choice(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    one, other = series(tmp_path / "a"), series(tmp_path / "b", 0.01)
    for file in other.iterdir():
        (one / f"b{file.name}").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match=r"holds 2 series; choose one: 2.25.\d+, 2.25.\d+"):
        read_dicom(one)
    uid = str(pydicom.dcmread(other / "00000.dcm").SeriesInstanceUID)
    assert float((read_dicom(one, uid).values - read_dicom(other).values).abs().max()) == 0.0
    with pytest.raises(DataError, match=r"holds no series '1.2'; it has 2.25"):
        read_dicom(one, "1.2")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("PixelSpacing", ["0.5", "0"], r"PixelSpacing|voxel is"),
        ("RescaleSlope", "nan", r"00001.dcm: RescaleSlope cannot be read"),
        ("ImagePositionPatient", None, r"00001.dcm has no ImagePositionPatient"),
        ("Rows", 9, r"00001.dcm has Rows 9, 00000.dcm 8; these are two series"),
    ],
    ids=["spacing", "slope", "position", "rows"],
)
def test_a_field_of_a_slice_that_is_wrong_is_named(tmp_path, field, value, says):
    pydicom = pytest.importorskip("pydicom")
    folder = series(tmp_path / "s")
    dataset = pydicom.dcmread(folder / "00001.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if value is None:
            delattr(dataset, field)
        else:
            setattr(dataset, field, value)
        dataset.save_as(folder / "00001.dcm")
    with pytest.raises(DataError, match=says):
        read_dicom(folder)


def test_hounsfield_units_are_not_taken_for_attenuation():
    with pytest.raises(DataError, match="unit is 'hu'; expected 'HU' or '1/mm'"):
        Volume(VALUES, VOLUME.grid, "hu")
    assert Volume(VALUES, VOLUME.grid, HU).unit == HU
