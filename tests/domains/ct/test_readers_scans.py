"""Scans of other programs: NeXus, MATLAB, and the one door for all formats."""

from __future__ import annotations

import math
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scidiff.domains.ct import phantoms
from scidiff.domains.ct.checks import ScanWarning
from scidiff.domains.ct.geometry import Fan, Parallel, even_angles
from scidiff.domains.ct.readers import read_exchange, read_htc, read_mat, read_nexus, read_scan, write_scan
from scidiff.domains.ct.readers.axis import find_axis_opposite
from scidiff.domains.ct.readers.htc import estimate_i0
from scidiff.domains.ct.scan import Scan
from scidiff.domains.ct.simulation import simulate

from scidiff.errors import ConfigError, DataError

h5py = pytest.importorskip("h5py")
PHANTOM = phantoms.random_ellipses(2, extent=120.0)
DARK = 100.0


def quiet(reader, *args, **options) -> Scan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        return reader(*args, **options)


def nexus(
    path: Path,
    geometry: Parallel,
    entry: str = "entry1/tomo_entry",
    classes: tuple[str, ...] = ("NXentry", "NXsubentry"),
    change=lambda fields: None,
) -> torch.Tensor:
    """An NXtomo file: two darks, four flats, projections, one frame not to be used; two detector rows."""
    y = PHANTOM.project(geometry)
    draw = np.random.default_rng(0)
    shown = draw.poisson(np.stack([1e5 * np.exp(-y.numpy())] * 2, 1)) + DARK
    flats = draw.poisson(1e5, (4, 2, geometry.columns)) + DARK
    darks = np.full((2, 2, geometry.columns), DARK)
    degrees = np.rad2deg(geometry.angles.numpy())
    fields: dict[str, Any] = {
        "data": np.concatenate([darks, flats, shown, 0 * shown[:1]]),
        "image_key": np.array([2] * 2 + [1] * 4 + [0] * len(y) + [3]),
        "rotation_angle": np.concatenate([np.zeros(6), degrees, [400.0]]),
        "angle_unit": "degree",
        "x_pixel_size": geometry.pitch * 1e-3,
        "length_unit": "m",
        "definition": "NXtomo",
    }
    change(fields)
    with h5py.File(path, "w") as file:
        group = file
        for name, what in zip(entry.split("/"), classes, strict=True):
            group = group.create_group(name)
            group.attrs["NX_class"] = what
        if fields["definition"]:
            group["definition"] = fields["definition"]
        detector = group.create_group("instrument/detector")
        sample = group.create_group("sample")
        for name, place in (("data", detector), ("image_key", detector), ("rotation_angle", sample)):
            if fields[name] is not None:
                place[name] = fields[name]
        if "rotation_angle" in sample:
            sample["rotation_angle"].attrs["units"] = fields["angle_unit"]
        detector["x_pixel_size"] = fields["x_pixel_size"]
        detector["x_pixel_size"].attrs["units"] = fields["length_unit"]
        data = group.create_group("data")
        data.attrs["NX_class"] = "NXdata"
        data["data"] = h5py.SoftLink(f"/{entry}/instrument/detector/data")
        data["itself"] = h5py.SoftLink(f"/{entry}")
        data["gone"] = h5py.ExternalLink("elsewhere.h5", "/data")
    return y


HALF = Parallel(even_angles(40), 96, 2.0, 44.37)


@pytest.mark.parametrize(
    ("entry", "classes", "definition"),
    [
        ("entry1/tomo_entry", ("NXentry", "NXsubentry"), "NXtomo"),
        ("scan_0007", ("NXentry",), "NXtomo"),
        ("entry", ("NXentry",), ""),
    ],
    ids=["subentry", "entry", "by-image-key"],
)
def test_a_nexus_file_is_a_scan(tmp_path, entry, classes, definition):
    y = nexus(tmp_path / "a.nxs", HALF, entry, classes, lambda fields: fields.update(definition=definition))
    scan = read_nexus(tmp_path / "a.nxs", row=1)
    assert scan.geometry.shape == HALF.shape
    assert torch.allclose(scan.geometry.angles, HALF.angles, atol=1e-14)
    assert scan.geometry.pitch == pytest.approx(2.0, rel=1e-14)
    # the centre of mass is exact but for noise and the midpoint rule over edges
    assert scan.facts["axis"] == pytest.approx(44.37, abs=0.05)
    assert {name: scan.facts[name] for name in ("flats", "darks", "unused")} == {"flats": 4, "darks": 2, "unused": 1}
    half = 0.5 * (scan.interval[1] - scan.interval[0]) / 1.96
    # the noise of four flats is common to the views of a column, a quarter of the variance: it widens the band
    assert float(scan.chi2(y)) == pytest.approx(1.0, abs=4 * half * (1 + 40 * 0.25) ** 0.5)


def test_a_full_turn_with_its_axis_near_the_edge(tmp_path):
    """Half acquisition: the centre of mass means nothing, opposite views find the axis."""
    geometry = Parallel(even_angles(90, 2 * math.pi), 72, 1.0, 60.25)
    y = nexus(tmp_path / "a.nxs", geometry)
    scan = quiet(read_nexus, tmp_path / "a.nxs")
    # interpolation between half columns of an object with edges errs by some hundredths to a tenth of a column
    assert scan.facts["axis"] == pytest.approx(60.25, abs=0.15)
    assert scan.facts["axis_found"]
    given = quiet(read_scan, tmp_path / "a.nxs", centre=60.25)
    assert given.facts["axis"] == 60.25
    assert not given.facts["axis_found"]
    assert float(given.chi2(y)) < 1.5


def test_the_axis_of_a_full_turn_is_found():
    for centre in (47.5, 44.37, 20.1, 77.3):
        geometry = Parallel(even_angles(40, 2 * math.pi), 96, 1.5, centre)
        # sums over columns of the shifts of a half column; noise-free
        assert find_axis_opposite(PHANTOM.project(geometry), geometry.angles) == pytest.approx(centre, abs=0.05)
    with pytest.raises(DataError, match="0 pairs of opposite views"):
        find_axis_opposite(torch.ones(5, 32), even_angles(5, 1.0))


def lacks(name):
    return lambda fields: fields.update({name: None})


def no_flats(fields):
    fields["image_key"] = np.where(fields["image_key"] == 1, 3, fields["image_key"])


def no_angle(fields):
    fields["rotation_angle"] = fields["rotation_angle"][:-3]


def in_radians(fields):
    fields["rotation_angle"] = np.deg2rad(fields["rotation_angle"])


def said_radians(fields):
    fields["angle_unit"] = "radian"


def negative(fields):
    fields["data"][10, 0, 3] = -5


def not_finite(fields):
    fields["data"][12, 0, 4] = math.nan


WRONG = {
    "no-data": (lacks("data"), r"lacks data"),
    "no-key": (lacks("image_key"), r"lacks image_key"),
    "no-angle": (lacks("rotation_angle"), r"lacks rotation_angle"),
    "no-flats": (no_flats, r"image_key 1 \(flat\).*give i0"),
    "angle-count": (no_angle, r"rotation_angle: 44 angles for 40 projections"),
    "radians-as-degrees": (in_radians, r"rotation_angle spans .* look like radians"),
    "degrees-as-radians": (said_radians, r"rotation_angle spans .* look like degrees"),
    "unit": (
        lambda f: f.update(angle_unit="turns"),
        r"rotation_angle has the unit 'turns'; expected degrees or radians",
    ),
    "key": (lambda f: f["image_key"].__setitem__(0, 7), r"image_key holds \[7\]; expected 0"),
    "key-count": (lambda f: f.update(image_key=f["image_key"][:-1]), r"image_key has 46 values for 47 frames"),
    "no-projection": (lambda f: f.update(image_key=0 * f["image_key"] + 1), r"no frame as a projection"),
    "length": (lambda f: f.update(length_unit="pixel"), r"x_pixel_size has the unit 'pixel'; .*give pitch in mm"),
    "zero-pixel": (lambda f: f.update(x_pixel_size=0.0), r"x_pixel_size is \[0.0\] m; expected a positive length"),
    "text-key": (lambda f: f.update(image_key=["dark"] * 47), r"image_key holds no numbers"),
    "text-angle": (lambda f: f.update(rotation_angle=["north"] * 47), r"rotation_angle holds no numbers"),
    "text-pixel": (lambda f: f.update(x_pixel_size="small"), r"x_pixel_size holds no numbers"),
    "negative": (negative, r"counts hold 1 negative values.*counts are .*/data"),
    "nan": (not_finite, r"counts hold 1 values that are not finite, first at \(6, 4\).*counts are .*/data"),
}


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_nexus_file_is_refused(tmp_path, change, says):
    nexus(tmp_path / "a.nxs", HALF, change=change)
    with pytest.raises(DataError, match=says) as told:
        read_nexus(tmp_path / "a.nxs")
    assert "a.nxs" in str(told.value)


def test_a_count_without_the_object_stands_in_for_flats(tmp_path):
    y = nexus(tmp_path / "a.nxs", HALF, change=no_flats)
    scan = read_scan(tmp_path / "a.nxs", i0=1e5 + DARK, pitch=2.0)
    half = 0.5 * (scan.interval[1] - scan.interval[0]) / 1.96
    exact = Scan(scan.projections, scan.weights, HALF)
    assert float(exact.chi2(y)) == pytest.approx(1.0, abs=4 * half)


def test_two_entries_are_a_choice(tmp_path):
    nexus(tmp_path / "a.nxs", HALF, "first", ("NXentry",))
    with h5py.File(tmp_path / "a.nxs", "a") as file:
        file.copy("first", "second")
    with pytest.raises(DataError, match=r"2 entries; give one as entry: /first, /second"):
        read_nexus(tmp_path / "a.nxs")
    assert read_nexus(tmp_path / "a.nxs", entry="second").facts["entry"] == "/second"
    with pytest.raises(DataError, match="no group 'third'"):
        read_nexus(tmp_path / "a.nxs", entry="third")


FAN = Fan(even_angles(61, math.pi / 2), 64, 1.1, source_axis=410.66, source_detector=553.74)
TRUE_I0 = 4e4


@cache
def sinogram() -> np.ndarray:
    return simulate(phantoms.shepp_logan(40.0), FAN, TRUE_I0, seed=3, subrays=1).projections.numpy()


def parameters() -> dict[str, Any]:
    return {
        "projectName": "disc",
        "angles": np.rad2deg(FAN.angles.numpy()),
        "distanceSourceDetector": 553.74,
        "distanceSourceOrigin": 410.66,
        "distanceUnit": "mm",
        "pixelSizePost": 1.1,
        "effectivePixelSizePost": 1.1 * 410.66 / 553.74,
        "numDetectorsPost": 64,
    }


def write_v5(path: Path, name: str, value: dict[str, Any]) -> None:
    from scipy.io import savemat

    savemat(path, {name: value})


def write_v73(path: Path, name: str, value: dict[str, Any]) -> None:
    """A file as MATLAB 7.3 writes it: 512 bytes before the HDF5, arrays transposed, texts as numbers."""
    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file.create_group(name), value)
        refs = file.create_group("#refs#")
        refs["a"] = np.zeros((1, 1))
        cells = file.create_dataset("cells", (1, 1), dtype=h5py.ref_dtype)
        cells[0, 0] = refs["a"].ref
        cells.attrs["MATLAB_class"] = b"cell"
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def fill(group: Any, value: dict[str, Any]) -> None:
    group.attrs["MATLAB_class"] = b"struct"
    for name, item in value.items():
        if isinstance(item, dict):
            fill(group.create_group(name), item)
        elif isinstance(item, str):
            group[name] = np.frombuffer(item.encode("utf-16-le"), "<u2").reshape(-1, 1)
            group[name].attrs["MATLAB_class"] = b"char"
        else:
            group[name] = np.atleast_2d(np.asarray(item, dtype=np.float64)).T
            group[name].attrs["MATLAB_class"] = b"double"


@pytest.mark.parametrize("write", [write_v5, write_v73], ids=["v5", "v7.3"])
@pytest.mark.parametrize("upper", [False, True], ids=["as-written", "other-case"])
def test_a_matlab_file_of_the_challenge_is_a_fan_scan(tmp_path, write, upper):
    y, told = sinogram(), parameters()
    if upper:
        told = {name.upper(): value for name, value in told.items()}
    write(
        tmp_path / "a.mat", "CtDataLimited", {"type": "2D", "SINOGRAM" if upper else "sinogram": y, "parameters": told}
    )
    scan = read_scan(tmp_path / "a.mat")
    assert type(scan.geometry) is Fan
    assert np.array_equal(scan.projections.numpy(), y)
    for a, b in zip(scan.geometry.rays(), FAN.rays(), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    assert scan.facts["struct"] == "CtDataLimited"
    assert scan.facts["i0_found"]
    assert read_htc(tmp_path / "a.mat", i0=7.0).facts["i0"] == 7.0
    back = read_mat(tmp_path / "a.mat")["CtDataLimited"]["parameters"]
    assert back["PROJECTNAME" if upper else "projectName"] == "disc"


def test_the_noise_level_comes_from_successive_views():
    """Differences of 59 x 64 values: the standard error of a median-based scale is 1.17 / sqrt(2 n), of i0 twice that;
    neighbouring differences share views, which costs less than a factor of two in variance."""
    flat = simulate(phantoms.water_disc(20.0), FAN, TRUE_I0, seed=1, subrays=1).projections
    bound = 4 * 2 * 1.17 / math.sqrt(2 * 59 * 64) * math.sqrt(2)
    assert estimate_i0(flat) == pytest.approx(TRUE_I0, rel=bound)
    # an object that changes from view to view looks like noise: never more photons than there were
    assert 0.3 * TRUE_I0 < estimate_i0(torch.from_numpy(sinogram())) < TRUE_I0 * (1 + bound)
    with pytest.raises(DataError, match="give i0"):
        estimate_i0(flat[:7])
    with pytest.raises(DataError, match="do not vary"):
        estimate_i0(torch.ones(9, 4))


def cut(name: str):
    return lambda data: data["parameters"].pop(name)


CHALLENGE = {
    "text": (lambda d: d.update(sinogram="none"), r"CtDataFull.sinogram holds no numbers"),
    "text-angles": (lambda d: d["parameters"].update(angles="half a turn"), r"parameters.angles holds no numbers"),
    "text-number": (lambda d: d["parameters"].update(pixelSizePost="thin"), r"pixelSizePost holds no numbers"),
    "many-units": (lambda d: d["parameters"].update(distanceUnit=[1.0, 2.0]), r"distanceUnit is '\[1. 2.\]'"),
    "missing": (
        lambda d: (d["parameters"].pop("angles"), d["parameters"].pop("pixelSizePost"), d.pop("sinogram")),
        r"CtDataFull lacks parameters.angles, parameters.pixelSizePost, sinogram; it has",
    ),
    "angles": (lambda d: d["parameters"].update(angles=np.arange(60.0)), r"parameters.angles: 60 angles for 61"),
    "radians": (lambda d: d["parameters"].update(angles=FAN.angles.numpy()), r"parameters.angles spans .* radians"),
    "columns": (
        lambda d: d["parameters"].update(numDetectorsPost=65),
        r"sinogram has shape \(61, 64\); expected .* 65",
    ),
    "transposed": (lambda d: d.update(sinogram=d["sinogram"].T), r"sinogram has shape \(64, 61\)"),
    "cm": (lambda d: d["parameters"].update(pixelSizePost=0.11), r"effectivePixelSizePost .* in cm and others in mm"),
    "unit": (
        lambda d: d["parameters"].update(distanceUnit="inch"),
        r"distanceUnit is 'inch'; expected one of m, cm, mm",
    ),
    "pixel": (
        lambda d: d["parameters"].update(pixelSizePost=0),
        r"pixelSizePost is 0(\.0)?; expected one positive number",
    ),
    "nan": (
        lambda d: d["sinogram"].__setitem__((3, 4), math.nan),
        r"projections hold 1 values that are not finite, first at \(3, 4\) .*projections are CtDataFull.sinogram",
    ),
    "geometry": (
        lambda d: d["parameters"].update(distanceSourceOrigin=600.0, effectivePixelSizePost=1.1 * 600 / 553.74),
        r"a.mat: source_detector is 553.74 mm and source_axis 600 mm; expected the detector behind the axis",
    ),
}


@pytest.mark.parametrize(("change", "says"), CHALLENGE.values(), ids=CHALLENGE)
@pytest.mark.parametrize("write", [write_v5, write_v73], ids=["v5", "v7.3"])
def test_a_wrong_matlab_file_is_refused(tmp_path, write, change, says):
    data = {"sinogram": sinogram().copy(), "parameters": parameters()}
    change(data)
    write(tmp_path / "a.mat", "CtDataFull", data)
    with pytest.raises(DataError, match=says) as told:
        read_htc(tmp_path / "a.mat")
    assert "a.mat" in str(told.value)


def test_other_files_are_no_challenge(tmp_path):
    write_v5(tmp_path / "a.mat", "image", {"x": 1.0})
    with pytest.raises(DataError, match=r"a.mat holds image; expected a struct such as CtDataFull"):
        read_htc(tmp_path / "a.mat")
    (tmp_path / "b.mat").write_bytes(b"x" * 200)
    with pytest.raises(DataError, match=r"b\.mat begins with"):
        read_mat(tmp_path / "b.mat")
    with pytest.raises(DataError, match=r"c.mat: No such file"):
        read_mat(tmp_path / "c.mat")
    with pytest.raises(DataError, match=r"cannot read .*c.mat"):
        read_scan(tmp_path / "c.mat")
    (tmp_path / "d.dat").write_bytes(b"II*\0 a picture")
    with pytest.raises(DataError, match=r"d.dat begins with .*expected an .npz archive"):
        read_scan(tmp_path / "d.dat")


@pytest.mark.parametrize("write", [write_v5, write_v73], ids=["v5", "v7.3"])
def test_a_matlab_file_cut_short_is_refused(tmp_path, write):
    write(tmp_path / "a.mat", "CtDataFull", {"sinogram": sinogram().copy(), "parameters": parameters()})
    raw = (tmp_path / "a.mat").read_bytes()
    for length in (700, len(raw) // 2, len(raw) - 300):
        (tmp_path / "b.mat").write_bytes(raw[:length])
        with pytest.raises(DataError, match=r"b.mat"):
            read_htc(tmp_path / "b.mat")


def test_the_door_finds_the_format_and_refuses_what_the_file_states(tmp_path):
    scan = simulate(PHANTOM, HALF, 1e4)
    write_scan(tmp_path / "s.npz", scan)
    assert torch.equal(read_scan(tmp_path / "s.npz").projections, scan.projections)
    assert torch.equal(read_scan(tmp_path / "s.npz", row=0).projections, scan.projections)
    with pytest.raises(ConfigError, match=r"pitch, centre came for .*s.npz, which is an .npz archive and states it"):
        read_scan(tmp_path / "s.npz", pitch=1.0, centre=3.0)
    nexus(tmp_path / "named.h5", HALF)
    assert read_scan(tmp_path / "named.h5").facts["entry"] == "/entry1/tomo_entry"


def test_the_tooth_comes_through_the_door(scidiff_data):
    path = scidiff_data / "ct" / "tooth.h5"
    if not path.exists():
        pytest.skip("the tooth is not at hand")
    assert torch.equal(read_scan(path, row=1).projections, read_exchange(path, row=1).projections)
