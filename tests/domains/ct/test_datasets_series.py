"""Public data sets of many images in a folder: the walnut and the rocks, as tiny files of the published layouts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scidiff.domains.ct import phantoms
from scidiff.domains.ct.datasets import load_rock, load_walnut
from scidiff.domains.ct.geometry import Cone, Parallel, even_angles
from scidiff.domains.ct.phantoms import Ellipsoid, Phantom

from scidiff.errors import ConfigError, DataError

from .scan_cases import digest, fits, quiet

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")


# FIPS walnut

NUT = Cone(even_angles(12, 2 * math.pi), 24, 2.0, rows=20, source_axis=210.66, source_detector=553.74)
BALL = Phantom("ball", (Ellipsoid(0.05, (0.8, -0.5, 0.6), (4.0, 3.0, 3.5)),), 20.0)
TABLE = """[GENERAL]
ProjectName=20201111_walnut_
[GEOMETRY]
GeometryType=Cone
DistanceSourceDetector=553.74
DistanceSourceOrigin=210.66
DistanceUnit=mm
[ACQUISITION]
NumberImages=13
AngleFirst=0
AngleInterval=30
AngleLast=360
[DETECTOR]
PixelSize=1.0
PixelSizeUnit=mm
"""


def walnut(folder: Path, table: str = TABLE) -> torch.Tensor:
    folder.mkdir()
    (folder / "20201111_walnut_.txt").write_text(table)
    y, draw = BALL.project(NUT), np.random.default_rng(3)
    for k in range(13):
        mean = 5e3 * np.exp(-np.kron(y[k % 12].numpy(), np.ones((2, 2))))
        tifffile.imwrite(folder / f"20201111_walnut_{k + 1:04d}.tif", draw.poisson(mean).astype(np.uint16))
    return y


def test_the_walnut_is_a_cone_scan(tmp_path):
    y = walnut(tmp_path / "walnut")
    scan = load_walnut(tmp_path / "walnut", binning=2, free=8)
    assert scan.geometry.shape == (12, 20, 24)
    for a, b in zip(scan.geometry.rays(), NUT.rays(), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    # the unattenuated count of a view is the mean of 64 pixels, common to its 480 rays, 1/16 of the variance of four
    half = 0.5 * (scan.interval[1] - scan.interval[0]) / 1.96
    assert float(scan.chi2(y)) == pytest.approx(1.0, abs=4 * half * (1 + 480 / 16) ** 0.5)
    few = load_walnut(tmp_path / "walnut", binning=2, every=3, free=8)
    assert torch.equal(few.projections, scan.projections[::3])
    assert few.facts["files"] == ["20201111_walnut_.txt", *(f"20201111_walnut_{k:04d}.tif" for k in (1, 4, 7, 10))]


def test_pixels_that_binning_drops_do_not_move_the_axis(tmp_path):
    """Of 40 x 48 pixels 5 rows and 6 columns are left over by bins of 7: a bin lies in the middle of its pixels."""
    walnut(tmp_path / "walnut")
    scan = quiet(load_walnut, tmp_path / "walnut", binning=7, free=8)
    assert scan.geometry.shape == (12, 5, 6)
    for found, pixels in ((scan.geometry.v, 40), (scan.geometry.u, 48)):
        places = torch.arange(pixels, dtype=torch.float64) - 0.5 * (pixels - 1)
        assert torch.allclose(found, places[: pixels // 7 * 7].reshape(-1, 7).mean(1), atol=1e-12)


def without(name: str) -> str:
    return "\n".join(line for line in TABLE.splitlines() if not line.startswith(name))


NUTS = {
    "missing": (without("PixelSize="), r"walnut_.txt lacks PixelSize; it has AngleFirst"),
    "fan": (TABLE.replace("=Cone", "=Fan"), r"walnut_.txt lacks GeometryType=Cone"),
    "no-table": (without("GeometryType"), r"has 0 text files with a GeometryType"),
    "count": (
        TABLE.replace("=13", "=14").replace("=360", "=390"),
        r"has no 20201111_walnut_0014.tif; expected 14 images",
    ),
    "number": (TABLE.replace("=553.74", "=far"), r"walnut_.txt: DistanceSourceDetector is 'far'"),
    "unit": (TABLE.replace("Unit=mm", "Unit=inch"), r"walnut_.txt: DistanceUnit is 'inch'; expected one of m, cm, mm"),
    "cm": (TABLE.replace("=553.74", "=55.374"), r"walnut_.txt: source_detector is 55.374 mm and source_axis 210.66 mm"),
    "radians": (
        TABLE.replace("AngleInterval=30", "AngleInterval=0.5").replace("=360", "=6"),
        r"walnut_.txt: AngleInterval spans .* radians",
    ),
    "stopped": (TABLE.replace("=13", "=12"), r"walnut_.txt: AngleLast is 360, and 12 images .* end at 330"),
}


@pytest.mark.parametrize(("table", "says"), NUTS.values(), ids=NUTS)
def test_wrong_parameters_of_the_walnut_are_refused(tmp_path, monkeypatch, table, says):
    from scidiff.domains.ct.readers import angles

    monkeypatch.setattr(angles, "_MANY", 10)
    walnut(tmp_path / "walnut", table)
    with pytest.raises(DataError, match=says):
        load_walnut(tmp_path / "walnut", binning=2, free=8)


def test_wrong_images_of_the_walnut_are_refused(tmp_path):
    walnut(tmp_path / "w")
    file = tmp_path / "w" / "20201111_walnut_0003.tif"
    tifffile.imwrite(file, np.zeros((40, 48), np.uint16))
    with pytest.raises(DataError, match=r"walnut_0003.tif has 480 pixels without a count .* expected positive counts"):
        load_walnut(tmp_path / "w", binning=2, free=8)
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(DataError, match=r"cannot read .*walnut_0003.tif"):
        load_walnut(tmp_path / "w", binning=2, free=8)
    with pytest.raises(ConfigError, match="binning is 64"):
        load_walnut(tmp_path / "w", binning=64)
    with pytest.raises(ConfigError, match="every is 13"):
        load_walnut(tmp_path / "w", every=13)


# DM4CT rocks

ROCK = Parallel(even_angles(30), 80, 1.0, 39.5 + 6.25)


def rock(folder: Path) -> torch.Tensor:
    folder.mkdir()
    draw = np.random.default_rng(4)
    y = phantoms.random_ellipses(2, extent=40.0).project(ROCK)
    for k in range(30):
        shown = draw.poisson(1e4 * np.exp(-np.stack([0 * y[k], y[k]]))) + 100
        tifffile.imwrite(folder / f"tomo_{k + 1:04d}.tif", shown.astype(np.uint16))
    for k in range(20):
        tifffile.imwrite(folder / f"flat_{k + 1:04d}.tif", (draw.poisson(1e4, (2, 80)) + 100).astype(np.uint16))
        tifffile.imwrite(folder / f"dark_{k + 1:04d}.tif", np.full((2, 80), 100, np.uint16))
    return y


def test_a_rock_from_images_and_from_one_file(tmp_path):
    y = rock(tmp_path / "F3_1_mono")
    stacks = {
        kind: np.stack([tifffile.imread(f) for f in sorted((tmp_path / "F3_1_mono").glob(f"{kind}_*.tif"))])
        for kind in ("tomo", "flat", "dark")
    }
    with h5py.File(tmp_path / "tomo_00108.h5", "w") as file:
        for name, kind in (("data", "tomo"), ("data_white", "flat"), ("data_dark", "dark")):
            file[f"exchange/{name}"] = stacks[kind]
        file["exchange/theta"] = np.rad2deg(ROCK.angles.numpy())
    both = [quiet(load_rock, tmp_path / name, 1, -6.25) for name in ("F3_1_mono", "tomo_00108.h5")]
    assert torch.equal(both[0].projections, both[1].projections)
    for scan in both:
        assert scan.facts["axis"] == 45.75
        assert fits(scan, y, 1 / 20)
    assert both[1].facts["sha256"] == digest(tmp_path / "tomo_00108.h5", root=tmp_path)
    assert both[0].facts["files"] == 70
    # the axis is found to the noise of the centre of mass
    assert quiet(load_rock, tmp_path / "F3_1_mono", 1).facts["axis"] == pytest.approx(45.75, abs=0.1)


def test_columns_of_a_rock_are_cut_with_the_axis(tmp_path):
    rock(tmp_path / "r")
    whole = quiet(load_rock, tmp_path / "r", 1, -6.25)
    cut = quiet(load_rock, tmp_path / "r", 1, -6.25, range(20, 70))
    assert torch.equal(cut.projections, whole.projections[:, 20:70])
    assert torch.allclose(cut.geometry.u, whole.geometry.u[20:70], atol=1e-12)
    assert cut.facts["axis"] == cut.geometry.axis == 45.75 - 20
    assert cut.facts["columns"] == [20, 70]
    assert cut.facts["data"] == whole.facts["data"] == "DM4CT rocks"
    with pytest.raises(ConfigError, match=r"columns is range\(20, 90\)"):
        quiet(load_rock, tmp_path / "r", 1, -6.25, range(20, 90))


def test_wrong_files_of_a_rock_are_refused(tmp_path):
    rock(tmp_path / "r")
    with pytest.raises(ConfigError, match=r"row is 2; expected one of the 2 rows"):
        load_rock(tmp_path / "r", 2)
    (tmp_path / "r" / "tomo_0004.tif").rename(tmp_path / "r" / "tomo_0031.tif")
    with pytest.raises(DataError, match=r"no tomo_0004.tif but tomo_0005.tif; expected all views"):
        load_rock(tmp_path / "r", 1)
    for file in (tmp_path / "r").glob("flat_*.tif"):
        file.unlink()
    with pytest.raises(DataError, match=r"has no flat_0001.tif; expected tomo_, flat_ and dark_"):
        load_rock(tmp_path / "r", 1)
    with pytest.raises(DataError, match=r"cannot read .*gone.h5"):
        load_rock(tmp_path / "gone.h5", 0)
