"""Volumes to learn from: a folder of NIfTI, npz, TIFF files and DICOM series, or the set that is known by name."""

from __future__ import annotations

from pathlib import Path

from scidiff.errors import DataError, UnknownNameError
from scidiff.io.files import data_folder

from ..readers import read_dicom, read_nifti, read_tiff, read_volume
from ..volume import Volume

__all__ = ["DATA", "named_volumes", "read_folder"]

DATA = {
    "totalseg": (
        "ct/totalseg",
        ("abdomen_3mm.nii.gz", "chest_contrast_1.5mm.nii.gz"),
        "CT volumes in the tests of TotalSegmentator, Apache-2.0; chest_1.5mm is left out, as it is a part of "
        "chest_contrast_1.5mm",
    )
}
"""Folder below ``SCIDIFF_DATA``, files, and a remark, by name."""


def named_volumes(name: str) -> tuple[dict[str, Volume], str]:
    """Volumes of a set that is known by name, and what is known of it.

    Raises
    ------
    UnknownNameError
        If there is no such set.
    DataError
        If the data are not on this machine.
    """
    if name not in DATA:
        raise UnknownNameError("data set", name, DATA)
    folder, files, remark = DATA[name]
    root = data_folder()
    if root is None:
        raise DataError(f"data set '{name}' lies in $SCIDIFF_DATA/{folder}; set SCIDIFF_DATA to the folder of the data")
    return {file.split(".nii")[0]: read_nifti(root / folder / file) for file in files}, remark


def read_folder(path: str | Path, voxel: float | None = None) -> dict[str, Volume]:
    """Read every volume of a folder; a folder within it, or itself, may be a DICOM series or a stack of TIFF files.

    Parameters
    ----------
    path
        Folder, or one file.
    voxel
        Edge of a pixel of TIFF files, mm, whose values are then taken as 1/mm.

    Returns
    -------
    dict
        Volumes by name, in the order of the names.

    Raises
    ------
    DataError
        If nothing can be read, or TIFF files come without `voxel`.
    """
    source = Path(path)
    if source.is_file():
        return {source.name: _file(source, voxel)}
    if not source.is_dir():
        raise DataError(f"'{path}' does not exist; expected a folder of volumes, or one volume")
    found: dict[str, Volume] = {}
    entries = sorted(p for p in source.iterdir() if not p.name.startswith("."))
    for entry in entries:
        if entry.is_file() and entry.name.endswith((".nii", ".nii.gz", ".npz")):
            found[entry.name] = _file(entry, voxel)
        elif entry.is_dir() and any(entry.iterdir()):
            found[entry.name] = _series(entry, voxel)
    loose = [p for p in entries if p.is_file() and p.name not in found]
    if not found and loose:
        found[source.name] = _series(source, voxel)
    if not found:
        raise DataError(
            f"'{path}' holds no volume; expected .nii, .nii.gz or .npz files, folders of .tif files, or DICOM series"
        )
    return found


def _file(path: Path, voxel: float | None) -> Volume:
    if path.name.endswith((".nii", ".nii.gz")):
        return read_nifti(path)
    if path.suffix == ".npz":
        return read_volume(path)
    if path.suffix in (".tif", ".tiff"):
        return read_tiff(path, _stated(path, voxel))
    raise DataError(f"'{path}' ends with '{path.suffix}'; expected .nii, .nii.gz, .npz, .tif or .tiff")


def _series(folder: Path, voxel: float | None) -> Volume:
    if any(folder.glob("*.tif*")):
        return read_tiff(folder, _stated(folder, voxel))
    return read_dicom(folder)


def _stated(path: Path, voxel: float | None) -> float:
    if voxel is None:
        raise DataError(f"'{path}' is TIFF, which does not state the edge of a pixel; pass voxel in mm")
    return voxel
