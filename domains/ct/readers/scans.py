"""One door for scans: the format is found in the file itself, not in its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scidiff.errors import ConfigError, DataError

from ..scan import Scan
from .exchange import read_exchange
from .hdf5 import opened
from .htc import read_htc
from .mat import is_mat
from .nexus import read_nexus
from .npz import read_npz

__all__ = ["read_scan"]

_ZIP, _HDF5 = b"PK", b"\x89HDF\r\n\x1a\n"
_READERS: dict[str, tuple[Callable[..., Scan], tuple[str, ...]]] = {
    "an .npz archive": (read_npz, ()),
    "a MATLAB file": (read_htc, ("i0", "centre")),
    "a data-exchange file": (read_exchange, ("row", "pitch", "centre", "gain")),
    "a NeXus file": (read_nexus, ("row", "pitch", "centre", "gain", "i0")),
}


def read_scan(
    path: str | Path,
    *,
    row: int | None = None,
    pitch: float | None = None,
    centre: float | None = None,
    gain: float | None = None,
    i0: float | None = None,
) -> Scan:
    """Read a scan: what `write_scan` wrote, data-exchange or NeXus (NXtomo) HDF5, or a MATLAB file of the HTC 2022.

    Parameters
    ----------
    path
        The file.
    row
        Detector row of a file with many, 0 by default.
    pitch
        Distance of detector pixels, mm, for files that do not state it.
    centre
        Detector column of the rotation axis, where it should not be found or taken from the file.
    gain
        Variance per count, for files of counts.
    i0
        Unattenuated count, for files without flats.

    Returns
    -------
    Scan
        With the findings of the checks.

    Raises
    ------
    MissingPackageError
        If the package of the format is not installed.
    DataError
        If the file is none of these, or a field is missing or contradicts another.
    ConfigError
        If something is given that the format states itself.

    Examples
    --------
    ``read_scan("scan.nxs", row=540, centre=1003.5)``
    """
    format = _format(path)
    reader, known = _READERS[format]
    options: dict[str, Any] = {"row": row, "pitch": pitch, "centre": centre, "gain": gain, "i0": i0}
    given = {name: value for name, value in options.items() if value is not None}
    strange = [name for name in given if name not in known and not (name == "row" and not row)]
    if strange:
        raise ConfigError(
            f"{', '.join(strange)} came for {path}, which is {format} and states it itself; it takes "
            f"{', '.join(known) or 'no option'}"
        )
    return reader(path, **{name: value for name, value in given.items() if name in known})


def _format(path: str | Path) -> str:
    """What a file is, by its first bytes and, for HDF5, its groups."""
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected a file with a scan") from error
    if head.startswith(_ZIP):
        return "an .npz archive"
    if is_mat(path):
        return "a MATLAB file"
    if head == _HDF5:
        with opened(path) as file:
            return "a data-exchange file" if "exchange" in file else "a NeXus file"
    raise DataError(
        f"{path} begins with {head!r}; expected an .npz archive, HDF5 (data-exchange or NeXus) or a MATLAB file; "
        "images are read by read_dicom, read_nifti or read_tiff"
    )
