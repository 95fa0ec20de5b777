"""Write a volume in the format that its file name asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scidiff.errors import DataError

from ..volume import Volume
from .dicom_series import write_dicom
from .nifti import write_nifti
from .npz import write_volume
from .tiff import write_tiff
from .zarr_volume import write_zarr

__all__ = ["save_volume", "writer_for"]

_WRITERS: dict[str, Callable[..., None]] = {
    ".dicom": write_dicom,
    ".nii": write_nifti,
    ".nii.gz": write_nifti,
    ".npz": write_volume,
    ".tif": write_tiff,
    ".tiff": write_tiff,
    ".zarr": write_zarr,
}


def writer_for(path: str | Path) -> Callable[..., None]:
    """Find the writer for a file name.

    Parameters
    ----------
    path
        The name.

    Raises
    ------
    DataError
        If the ending is not known.
    """
    for ending in sorted(_WRITERS, key=len, reverse=True):
        if str(path).endswith(ending):
            return _WRITERS[ending]
    raise DataError(
        f"{path} has an ending that is not known; expected one of {', '.join(_WRITERS)} (.dicom and .zarr are folders)"
    )


def save_volume(path: str | Path, volume: Volume, facts: Mapping[str, Any] | None = None) -> None:
    """Write a volume with its provenance.

    Parameters
    ----------
    path
        Name ending with ``.npz``, ``.tif``, ``.nii``, ``.nii.gz``, ``.dicom`` (a folder with one file for each
        slice) or ``.zarr``.
    volume
        Image or stack.
    facts
        What else the file should say.
    """
    writer_for(path)(path, volume, facts)
