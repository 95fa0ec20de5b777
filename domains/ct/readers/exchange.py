"""Data-exchange HDF5: counts, flats, darks and angles of a synchrotron scan.

``/exchange/data`` (theta, y, x), ``/exchange/data_white``, ``/exchange/data_dark``, ``/exchange/theta`` in degrees.

References
----------
F. De Carlo et al., "Scientific data exchange", J. Synchrotron Rad. 21 (2014) 1224, doi:10.1107/S160057751401604X
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import DataError

from ..counts import log_transform
from ..geometry import Parallel
from ..scan import Scan
from .angles import to_radians
from .axis import axis_of
from .hdf5 import opened, text
from .places import in_file, numbers

__all__ = ["parallel_scan", "read_exchange"]

_NAMES = {"data": "counts", "data_white": "flats", "data_dark": "darks", "theta": "angles"}


def read_exchange(
    path: str | Path, row: int = 0, pitch: float = 1.0, centre: float | None = None, gain: float | None = None
) -> Scan:
    """Read one detector row as a parallel-beam scan.

    Parameters
    ----------
    path
        HDF5 file.
    row
        Detector row.
    pitch
        Distance of detector pixels, mm; the format rarely states it. With 1 all lengths are in pixels.
    centre
        Detector column of the rotation axis; by default found from the centre of mass, or from opposite views where
        the scan makes a full turn.
    gain
        Variance per count; by default estimated from at least 4 flats.

    Returns
    -------
    Scan
        With weights from the counts.

    Raises
    ------
    MissingPackageError
        If h5py is not installed.
    DataError
        If the file or a field is missing, or the fields contradict each other.
    """
    with opened(path, "a data-exchange file") as file:
        counts, flats, darks, angles = _fields(file, row, str(path))
    facts = {"file": Path(path).name, "row": row}
    with in_file(path, **{word: f"/exchange/{name}" for name, word in _NAMES.items()}):
        return parallel_scan(counts, angles, flats, darks, pitch, centre, gain, facts)


def parallel_scan(
    counts: np.ndarray,
    angles: np.ndarray,
    flats: np.ndarray | float,
    darks: np.ndarray | None,
    pitch: float,
    centre: float | None,
    gain: float | None,
    facts: dict[str, Any],
) -> Scan:
    """Make a scan of the counts of one row; the axis is found where it is not given.

    Parameters
    ----------
    counts
        ``(views, columns)``.
    angles
        Radians, ``(views,)``.
    flats, darks
        As for `Scan.from_counts`.
    pitch
        Distance of detector pixels, mm.
    centre
        Detector column of the rotation axis, or None.
    gain
        As for `Scan.from_counts`.
    facts
        Where the data came from.
    """
    turn, found = torch.from_numpy(angles), centre is None
    if centre is None:
        bright = flats if isinstance(flats, float) else torch.from_numpy(flats)
        read = log_transform(torch.from_numpy(counts), bright, None if darks is None else torch.from_numpy(darks), gain)
        centre = axis_of(read.projections, turn)
    geometry = Parallel(turn, counts.shape[1], pitch, centre)
    return Scan.from_counts(counts, geometry, flats, darks, gain, facts=facts | {"axis": centre, "axis_found": found})


def _fields(file: Any, row: int, path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Counts, flats, darks of one row, and the angles in radians."""
    for name, what in _NAMES.items():
        if f"exchange/{name}" not in file:
            raise DataError(
                f"{path} has no /exchange/{name} ({what}); expected a data-exchange file with all of {_NAMES}"
            )
    group = file["exchange"]
    shape = group["data"].shape
    if len(shape) != 3 or not 0 <= row < shape[1]:
        raise DataError(f"{path}: /exchange/data has shape {shape}; expected (theta, y, x) with a row {row}")
    for name in ("data_white", "data_dark"):
        other = group[name].shape
        if len(other) != 3 or other[1:] != shape[1:] or not other[0]:
            raise DataError(f"{path}: /exchange/{name} has shape {other}; expected frames of {shape[1:]}, as in data")
    unit = text(group["theta"].attrs.get("units", "degrees"))
    angles = to_radians(group["theta"], unit, f"{path}: /exchange/theta", shape[0])
    stacks = ("data", "data_white", "data_dark")
    frames = [numbers(group[name][:, row], f"{path}: /exchange/{name}") for name in stacks]
    return frames[0], frames[1], frames[2], angles
