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
from ..preprocess import find_axis
from ..scan import Scan
from .packages import optional

__all__ = ["read_exchange"]


def read_exchange(path: str | Path, row: int = 0, pitch: float = 1.0, centre: float | None = None) -> Scan:
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
        Detector column of the rotation axis; found from the centre of mass by default.

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
    h5py = optional("h5py", "h5py", "reading HDF5")
    try:
        with h5py.File(path, "r") as file:
            counts, flats, darks, theta = _fields(file, row, str(path))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}; expected an HDF5 file") from error
    angles = torch.from_numpy(theta)
    found = centre is None
    if centre is None:
        read = log_transform(torch.from_numpy(counts), torch.from_numpy(flats), torch.from_numpy(darks))
        centre = find_axis(read.projections, angles)
    geometry = Parallel(angles, counts.shape[1], pitch, centre)
    facts = {"file": Path(path).name, "row": row, "axis": centre, "axis_found": found}
    return Scan.from_counts(counts, geometry, flats, darks, facts=facts)


def _fields(file: Any, row: int, path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Counts, flats, darks of one row, and the angles in radians."""
    names = {"data": "counts", "data_white": "flats", "data_dark": "darks", "theta": "angles"}
    for name, what in names.items():
        if f"exchange/{name}" not in file:
            raise DataError(
                f"{path} has no /exchange/{name} ({what}); expected a data-exchange file with all of {names}"
            )
    group = file["exchange"]
    shape = group["data"].shape
    if len(shape) != 3 or not 0 <= row < shape[1]:
        raise DataError(f"{path}: /exchange/data has shape {shape}; expected (theta, y, x) with a row {row}")
    theta = np.asarray(group["theta"], dtype=np.float64)
    if len(theta) != shape[0]:
        raise DataError(f"{path}: {len(theta)} angles for {shape[0]} projections; expected one angle for each")
    unit = group["theta"].attrs.get("units", "degrees")
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit.lower().startswith("deg") and np.ptp(theta) < 2 * np.pi and len(theta) > 20:
        raise DataError(
            f"{path}: /exchange/theta spans {np.ptp(theta):.3f} in {len(theta)} steps and is said to be in degrees; "
            "these look like radians: correct the attribute 'units'"
        )
    radians = theta if unit.lower().startswith("rad") else np.deg2rad(theta)
    frames = [np.asarray(group[name][:, row], dtype=np.float64) for name in ("data", "data_white", "data_dark")]
    return frames[0], frames[1], frames[2], radians
