"""Where a volume lies in the patient goes from file to file: left stays left, and what is not known is not stated."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.readers import read_dicom, read_nifti, save_volume, write_dicom
from scidiff.domains.ct.readers.dicom import stack
from scidiff.domains.ct.volume import HU, Volume

from scidiff.errors import DataError

nibabel = pytest.importorskip("nibabel")
VALUES = torch.arange(24.0).reshape(2, 3, 4)
GRID = Grid((2, 3, 4), (3.0, 2.0, 1.5))
LAS = np.array([[-1.5, 0, 0, 30.0], [0, 2.0, 0, -7.0], [0, 0, 3.0, 11.0], [0, 0, 0, 1]])
TURNED = np.array([[0, 0, -3.0, 8.0], [1.5, 0, 0, -4.0], [0, -2.0, 0, 5.0], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [LAS, TURNED], ids=["las", "turned"])
@pytest.mark.parametrize(("form", "code"), [("sform", 1), ("sform", 4), ("qform", 1)], ids=["scanner", "mni", "qform"])
def test_a_nifti_file_read_and_written_lies_where_it_lay(tmp_path, affine, form, code):
    image = nibabel.Nifti1Image(VALUES.numpy().T, affine)
    image.header.set_sform(affine, code if form == "sform" else 0)
    image.header.set_qform(affine, 0 if form == "sform" else code)
    nibabel.save(image, tmp_path / "a.nii")
    for source, target in (("a.nii", "b.nii"), ("b.nii", "c.nii.gz")):
        save_volume(tmp_path / target, read_nifti(tmp_path / source))
        back = nibabel.load(tmp_path / target)
        assert np.array_equal(back.get_fdata(), VALUES.numpy().T)
        # a qform is a quaternion of float32
        assert np.allclose(back.affine, affine, atol=1e-5 if form == "qform" else 0.0)
        assert int(back.header["sform_code"]) == code


def test_what_is_not_known_is_not_stated(tmp_path):
    save_volume(tmp_path / "a.nii", Volume(VALUES, GRID, HU))
    save_volume(tmp_path / "b.nii", read_nifti(tmp_path / "a.nii"))
    for name in ("a.nii", "b.nii"):
        header = nibabel.load(tmp_path / name).header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)


def test_lengths_of_a_file_in_metres_become_mm(tmp_path):
    metres = np.diag([1e-3, 1e-3, 1e-3, 1.0]) @ LAS
    image = nibabel.Nifti1Image(VALUES.numpy().T, metres)
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    back = read_nifti(tmp_path / "a.nii")
    # float32
    assert back.grid.lengths == pytest.approx(GRID.lengths, rel=1e-6)
    assert np.allclose(back.facts["affine"], LAS[:3], rtol=1e-6)


@pytest.mark.parametrize(
    "other",
    [Volume(VALUES[:, 1:], Grid((2, 2, 4), GRID.lengths), HU), Volume(VALUES, Grid((2, 3, 4), (3.0, 2.0, 1.6)), HU)],
    ids=["cut", "resampled"],
)
def test_the_place_of_another_grid_is_not_stated(tmp_path, other):
    nibabel.save(nibabel.Nifti1Image(VALUES.numpy().T, LAS), tmp_path / "a.nii")
    known = read_nifti(tmp_path / "a.nii").facts
    save_volume(tmp_path / "b.nii", replace(other, facts=known))
    assert int(nibabel.load(tmp_path / "b.nii").header["sform_code"]) == 0


def test_a_series_lies_at_the_positions_that_it_states(tmp_path):
    """DICOM counts to the left and the back, NIfTI to the right and the front; the slices come from head to feet."""
    across, down = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    normal, first = np.cross(across, down), np.array([5.0, -6.0, 7.0])
    common = {"Rows": 3, "Columns": 4, "PixelSpacing": [2.0, 1.5], "RescaleSlope": 1.0, "RescaleIntercept": 0.0}
    made = [
        SimpleNamespace(
            **common, ImageOrientationPatient=[*across, *down],
            ImagePositionPatient=(first + 3.0 * k * normal).tolist(), pixel_array=VALUES[k].numpy().astype(np.int16),
        )
        for k in (1, 0)
    ]  # fmt: skip
    save_volume(tmp_path / "a.nii", stack(made))
    image = nibabel.load(tmp_path / "a.nii")
    assert int(image.header["sform_code"]) == 1
    for k, j, i in ((0, 0, 0), (1, 0, 0), (0, 2, 0), (1, 1, 3)):
        x, y, z = first + 3.0 * k * normal + 2.0 * j * down + 1.5 * i * across
        # float32
        assert np.allclose(image.affine @ [i, j, k, 1.0], [-x, -y, z, 1.0], atol=1e-5)
        assert image.get_fdata()[i, j, k] == float(VALUES[k, j, i])


@pytest.mark.parametrize("count", [1, 2])
def test_our_own_series_and_the_nifti_file_made_of_it_agree(tmp_path, count):
    pytest.importorskip("pydicom")
    write_dicom(tmp_path / "s", Volume(VALUES[:count], Grid((count, 3, 4), GRID.lengths), HU))
    save_volume(tmp_path / "a.nii", read_dicom(tmp_path / "s"))
    image = nibabel.load(tmp_path / "a.nii")
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert np.allclose(image.affine @ [1.5, 1.0, 0.5 * (count - 1), 1.0], [0, 0, 0, 1], atol=1e-6)


def test_an_axis_that_the_header_cannot_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a.nii: the volume has shape \(1, 32768\); NIfTI-1 holds at most 32767"):
        save_volume(tmp_path / "a.nii", Volume(torch.zeros(1, 32768), Grid((1, 32768)), HU))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_beyond_the_limit_is_refused(tmp_path, monkeypatch, name):
    from scidiff.domains.ct.readers import nifti

    save_volume(tmp_path / name, Volume(torch.zeros(8, 8, 8), Grid((8, 8, 8)), HU))
    monkeypatch.setattr(nifti, "_LIMIT", 2000)
    with pytest.raises(DataError, match=rf"{name} .*more than .*cut the volume into parts"):
        read_nifti(tmp_path / name)
