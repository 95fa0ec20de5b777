"""Write a volume in the format that its file name asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scidiff.errors import DataError

from ..volume import Volume
from .nifti import write_nifti
from .npz import write_volume
from .tiff import write_tiff

__all__ = ["save_volume", "writer_for"]

_WRITERS: dict[str, Callable[..., None]] = {
    ".nii": write_nifti,
    ".nii.gz": write_nifti,
    ".npz": write_volume,
    ".tif": write_tiff,
    ".tiff": write_tiff,
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
    raise DataError(f"{path} has an ending that is not known; expected one of {', '.join(_WRITERS)}")


def save_volume(path: str | Path, volume: Volume, facts: Mapping[str, Any] | None = None) -> None:
    """Write a volume with its provenance.

    Parameters
    ----------
    path
        Name ending with ``.npz``, ``.tif``, ``.nii`` or ``.nii.gz``.
    volume
        Image or stack.
    facts
        What else the file should say.
    """
    writer_for(path)(path, volume, facts)
