"""Public data sets: tiny files of the published layouts, written from known images, give these images' scans again."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scidiff.domains.ct.cli import app
from scidiff.domains.ct.datasets import load_2detect, load_ldgc, load_lodoind, load_lodopab
from scidiff.domains.ct.geometry import Fan, Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.operators import system_matrix
from scidiff.domains.ct.phantoms import Blob, Phantom
from scidiff.domains.ct.readers import read_nifti, read_scan, read_volume, write_dicom
from scidiff.domains.ct.volume import HU, Volume
from typer.testing import CliRunner

from scidiff.errors import ConfigError, DataError, IntegrityError, ScidiffError

from .scan_cases import digest, fits, quiet

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")


# LDGC


def ldgc(folder: Path, shift: float = 0.0) -> Volume:
    pytest.importorskip("pydicom")
    values = torch.tensor([-1000.0, 0.0, 60.0]).reshape(3, 1, 1).expand(3, 4, 4) + shift
    volume = Volume(values.contiguous(), Grid((3, 4, 4), (1.0, 0.7, 0.7)), HU)
    write_dicom(folder, volume)
    return volume


def test_a_patient_of_the_challenge(tmp_path):
    volume = ldgc(tmp_path / "L067" / "full_1mm_sharp")
    for path in (tmp_path / "L067", tmp_path / "L067" / "full_1mm_sharp"):
        back = load_ldgc(path)
        assert torch.equal(back.values, volume.values)
        assert back.facts["layout"] == "from the publication, not verified on the files"
    inner = tmp_path / "L067" / "full_1mm_sharp"
    known = digest(*inner.iterdir(), root=inner)
    assert load_ldgc(tmp_path / "L067", sha256=known.upper()).facts["sha256"] == known
    with pytest.raises(IntegrityError, match=r"3 files of .*full_1mm_sharp: sha256 is .* expected 0000"):
        load_ldgc(tmp_path / "L067", sha256="0000")


def test_what_is_no_patient_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a folder; expected one of a patient"):
        load_ldgc(tmp_path / "L067")
    (tmp_path / "L067" / "quarter_1mm_sharp").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no folder full_1mm_sharp and no files; it has quarter_1mm_sharp"):
        load_ldgc(tmp_path / "L067")
    ldgc(tmp_path / "L096", 1024.0)
    with pytest.raises(DataError, match=r"L096: the least value is 24 HU; expected air .*RescaleIntercept"):
        load_ldgc(tmp_path / "L096")


# LoDoInd


def test_slices_of_lodoind(tmp_path):
    values = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    for k, one in enumerate(values):
        tifffile.imwrite(tmp_path / f"recon{500 + k:04d}.tif", one)
    volume = load_lodoind(tmp_path, 0.1, range(501, 504), slope=2.0)
    assert np.array_equal(volume.values.numpy(), 2 * values[1:])
    assert volume.grid == Grid((3, 5, 6), 0.1)
    assert volume.facts["slices"] == [501, 503]
    one = load_lodoind(tmp_path, 0.1, range(500, 501))
    assert one.facts["sha256"] == digest(tmp_path / "recon0500.tif", root=tmp_path)
    with pytest.raises(
        DataError, match=r"has no recon0504.tif, recon0505.tif, recon0506.tif and 3 more; .*choose slices"
    ):
        load_lodoind(tmp_path, 0.1, range(500, 510))
    with pytest.raises(ConfigError, match="at least one"):
        load_lodoind(tmp_path, 0.1, range(5, 5))
    tifffile.imwrite(tmp_path / "recon0504.tif", values[0, :4])
    with pytest.raises(DataError, match=r"recon0504.tif has shape \(4, 6\); expected \(5, 6\)"):
        load_lodoind(tmp_path, 0.1, range(500, 505))
    with pytest.raises(IntegrityError, match=r"recon0500.tif: sha256"):
        load_lodoind(tmp_path, 0.1, range(500, 501), sha256="ab")


# LoDoPaB


def lodopab(folder: Path, samples: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Files of the published definition: a fine projection of images, counts of 4096 photons, 0.1 for none."""
    pixels, columns, views = 32, 48, 20
    grid = Grid.square(pixels, 260.0)
    blob = Phantom("blob", (Blob(0.03, (30.0, -20.0), 35.0), Blob(0.05, (-40.0, 10.0), 20.0)), 260.0)
    geometry = Parallel(even_angles(views) + 0.5 * math.pi / views, columns, math.sqrt(2) * 260 / columns)
    y = blob.project(geometry)
    mu = blob.image(grid)
    counts = np.random.default_rng(1).poisson(4096 * np.exp(-y.numpy())).astype(float)
    counts[counts == 0] = 0.1
    counts[3, 7] = 0.1
    observation = (-np.log(counts / 4096) / 81.35858).astype(np.float32)
    truth = (mu.numpy().T / 0.08135858).astype(np.float32)
    for kind, values in (("observation", observation), ("ground_truth", truth)):
        with h5py.File(folder / f"{kind}_test_000.hdf5", "w") as file:
            file["data"] = np.stack([values * 0.5] * (samples - 1) + [values])
    return y, mu


def test_a_sample_of_lodopab_has_the_weights_of_its_counts(tmp_path):
    y, mu = lodopab(tmp_path)
    scan, truth = quiet(load_lodopab, tmp_path, "test", 1)
    assert scan.weights[3, 7] == 0
    assert scan.used == scan.weights.numel() - 1
    assert fits(scan, y)
    assert torch.allclose(truth.values.double(), mu, atol=1e-8)
    # the geometry and the order of the axes: the image explains the data, its transpose does not
    projector = system_matrix(scan.geometry, truth.grid, torch.float64)
    assert float(scan.chi2(projector.apply(truth.values[None])[0])) < 3
    assert float(scan.chi2(projector.apply(truth.values.T[None])[0])) > 30
    files = [tmp_path / f"{kind}_test_000.hdf5" for kind in ("observation", "ground_truth")]
    assert truth.facts["sha256"] == scan.facts["sha256"] == digest(*files, root=tmp_path)


def test_wrong_files_of_lodopab_are_refused(tmp_path):
    lodopab(tmp_path)
    with pytest.raises(ConfigError, match="part is 'tset'"):
        load_lodopab(tmp_path, "tset")
    with pytest.raises(ConfigError, match="index 3553"):
        load_lodopab(tmp_path, "test", 3553)
    with pytest.raises(DataError, match=r"has no observation_test_001.hdf5, ground_truth_test_001.hdf5"):
        load_lodopab(tmp_path, "test", 128)
    with pytest.raises(DataError, match=r"observation_test_000.hdf5: data holds 2 samples; expected more than 5"):
        load_lodopab(tmp_path, "test", 5)
    with h5py.File(tmp_path / "observation_test_000.hdf5", "a") as file:
        file.move("data", "other")
    with pytest.raises(
        DataError, match=r"observation_test_000.hdf5 has data of shape None; expected a data set 'data'"
    ):
        load_lodopab(tmp_path)
    raw = (tmp_path / "ground_truth_test_000.hdf5").read_bytes()
    (tmp_path / "observation_test_000.hdf5").write_bytes(raw[:-100])
    with pytest.raises(DataError, match=r"cannot read .*observation_test_000.hdf5"):
        load_lodopab(tmp_path)


# 2DeteCT

DETECT = Fan(even_angles(36, 2 * math.pi), 64, 0.1496, 32.5, source_axis=431.019989, source_detector=529.000488)
SMALL = Phantom("blob", (Blob(0.3, (0.6, -0.4), 0.7), Blob(0.5, (-1.0, 0.3), 0.3)), 6.0)


def two_detect(folder: Path, geometry: Fan = DETECT) -> torch.Tensor:
    folder.mkdir(parents=True)
    draw, y = np.random.default_rng(2), SMALL.project(geometry)
    shown = draw.poisson(2e4 * np.exp(-np.repeat(y.numpy(), 2, axis=1))) + 50
    tifffile.imwrite(folder / "sinogram.tif", np.concatenate([shown, shown[:1]]).astype(np.uint16))
    tifffile.imwrite(folder / "dark.tif", np.full((1, 128), 50, np.uint16))
    for name in ("flat1.tif", "flat2.tif"):
        tifffile.imwrite(folder / name, (draw.poisson(2e4, (1, 128)) + 50).astype(np.uint16))
    return y


def test_a_slice_of_2detect_is_a_fan_scan(tmp_path):
    y = two_detect(tmp_path / "slice00007" / "mode2")
    scan = quiet(load_2detect, tmp_path / "slice00007" / "mode2")
    assert scan.geometry.shape == (36, 64)
    for a, b in zip(scan.geometry.rays(), DETECT.rays(), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    # half of the variance is that of the two flats, which all views share
    assert fits(scan, y, 0.5)
    few = quiet(load_2detect, tmp_path / "slice00007" / "mode2", every=4)
    assert torch.equal(few.projections, scan.projections[::4])
    (tmp_path / "slice03000").mkdir()
    (tmp_path / "slice00007" / "mode2").rename(tmp_path / "slice03000" / "mode2")
    assert quiet(load_2detect, tmp_path / "slice03000" / "mode2").geometry.axis == 31.5
    assert quiet(load_2detect, tmp_path / "slice03000" / "mode2", shift=1.0).geometry.axis == 32.5


def test_wrong_files_of_2detect_are_refused(tmp_path):
    folder = tmp_path / "slice00001" / "mode1"
    two_detect(folder)
    names = ("sinogram.tif", "dark.tif", "flat1.tif", "flat2.tif")
    known = digest(*(folder / name for name in names), root=folder)
    assert quiet(load_2detect, folder, sha256=known).facts["files"] == sorted(names)
    with pytest.raises(ConfigError, match="every is 0 for 36 views"):
        load_2detect(folder, every=0)
    tifffile.imwrite(folder / "dark.tif", np.zeros((1, 126), np.uint16))
    with pytest.raises(DataError, match=r"dark.tif has shape \(1, 126\); expected \(1, 128\)"):
        load_2detect(folder)
    with pytest.raises(IntegrityError, match="4 files"):
        load_2detect(folder, sha256=known)
    (folder / "flat2.tif").unlink()
    with pytest.raises(DataError, match=r"mode1 has no flat2.tif; expected .* without flats"):
        load_2detect(folder)
    two_detect(tmp_path / "other" / "mode1")
    with pytest.raises(DataError, match=r"lies in 'other'; expected a folder such as slice00001.* give shift"):
        load_2detect(tmp_path / "other" / "mode1")


# the command


def test_the_command_imports_a_scan_a_pair_and_a_volume(tmp_path):
    run = CliRunner()
    two_detect(tmp_path / "slice00007" / "mode2")
    source, out = tmp_path / "slice00007" / "mode2", tmp_path / "s.npz"
    done = run.invoke(app, ["import", "2detect", str(source), "--out", str(out), "--set", "every=4", "--json", "-"])
    assert done.exit_code == 0, (done.output, done.exception)
    facts = json.loads(done.output)
    assert facts["shape"] == [9, 64]
    assert facts["sha256"] == digest(*source.iterdir(), root=source)
    assert quiet(read_scan, out).facts["mode"] == "mode2"
    lodopab(tmp_path)
    done = run.invoke(app, ["import", "lodopab", str(tmp_path), "--out", str(tmp_path / "p.npz"), "--set", "index=1"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert read_volume(tmp_path / "p-truth.npz").grid.shape == (32, 32)
    assert quiet(read_scan, tmp_path / "p.npz").geometry.shape == (20, 48)
    tifffile.imwrite(tmp_path / "recon0500.tif", np.ones((4, 5), np.float32))
    options = ["--out", str(tmp_path / "v.nii"), "--set", "voxel=0.1", "--set", "slices=500:501"]
    done = run.invoke(app, ["import", "lodoind", str(tmp_path), *options])
    assert done.exit_code == 0, (done.output, done.exception)
    assert read_nifti(tmp_path / "v.nii").grid.lengths == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("2detekt", [], "Did you mean '2detect'"),
        ("lodoind", [], r"voxel is missing; give it as --set voxel=VALUE"),
        ("lodoind", ["--set", "voxel=thin"], r"--set voxel=thin: expected voxel as float"),
        ("lodoind", ["--set", "voxl=1"], r"--set voxl=1: expected NAME=VALUE with one of voxel \(float\)"),
        ("walnut", ["--sha256", "ab"], r"is not a folder"),
    ],
    ids=["name", "missing", "value", "option", "path"],
)
def test_a_wrong_import_says_what_to_do_and_writes_nothing(tmp_path, name, options, says):
    done = CliRunner().invoke(app, ["import", name, str(tmp_path / "gone"), "--out", str(tmp_path / "o.npz"), *options])
    assert isinstance(done.exception, ScidiffError)
    assert re.search(says, str(done.exception))
    assert list(tmp_path.iterdir()) == []
