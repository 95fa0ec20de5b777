"""2DeteCT: fan-beam scans of real slices at three settings of the beam.

*From the publication and the programs of its authors*: a folder ``slice00001`` for each slice with a folder for each
setting, ``mode1`` (low dose), ``mode2`` (clean) and ``mode3`` (beam hardening); in it ``sinogram.tif`` (3601 views of
1912 pixels of 0.0748 mm, the last view a repetition of the first), ``dark.tif``, ``flat1.tif`` and ``flat2.tif`` (one
line each). Source and axis are 431.019989 mm apart, source and detector 529.000488 mm. As there, two neighbouring
pixels are added; the axis projects 1.00 of these wider pixels beyond the middle for the slices 1 to 2830 and 5521 to
5870, and to the middle for all others.

References
----------
M. B. Kiss et al., "2DeteCT, a large 2D expandable, trainable, experimental computed tomography dataset for machine
learning", Sci. Data 10 (2023) 576, doi:10.1038/s41597-023-02484-6
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from scidiff.errors import ConfigError, DataError

from ..geometry import Fan, even_angles
from ..readers.places import in_file
from ..scan import Scan
from .files import PUBLISHED, checked, folder_of, image, numbered

__all__ = ["load_2detect"]

_SOURCE_AXIS, _SOURCE_DETECTOR, _PIXEL = 431.019989, 529.000488, 0.0748
_SHIFTED = (range(1, 2831), range(5521, 5871))


def load_2detect(
    path: str | Path, every: int = 1, sha256: str = "", gain: float = 1.0, shift: float | None = None
) -> Scan:
    """Read one slice at one setting.

    Parameters
    ----------
    path
        Folder of the setting, such as ``slice00001/mode2``.
    every
        One view in so many is kept.
    sha256
        Hash of the four files.
    gain
        Variance per count; two flats are too few to measure it.
    shift
        Where the axis projects to, in added pixels from the middle of the detector; by the number of the slice in the
        name of the folder by default.

    Returns
    -------
    Scan
        Fan beam, with weights from the counts.

    Raises
    ------
    MissingPackageError
        If tifffile is not installed.
    ConfigError
        If `every` leaves no view.
    IntegrityError
        If the files have another hash.
    DataError
        If a file is missing, damaged, or does not fit the others.
    """
    folder = folder_of(path, "one of a setting, such as slice00001/mode2")
    names = ["sinogram.tif", "dark.tif", "flat1.tif", "flat2.tif"]
    files = numbered(
        folder, names, "sinogram.tif, dark.tif, flat1.tif and flat2.tif: a scan without flats is not usable"
    )
    known = checked(files, sha256, folder)
    raw = image(files[0])
    if len(raw) < 3 or raw.shape[1] % 2:
        raise DataError(f"{files[0]} has shape {raw.shape}; expected views and an even number of pixels")
    counts = _added(raw)[:-1]
    dark, *flats = (_added(image(file, (1, raw.shape[1]))) for file in files[1:])
    if not 1 <= every <= len(counts):
        raise ConfigError(f"every is {every} for {len(counts)} views; expected 1 to their number")
    offset = _shift(folder) if shift is None else shift
    middle = 0.5 * (counts.shape[1] - 1)
    with in_file(files[0], counts="its pixels", flats="flat1.tif and flat2.tif", darks="dark.tif"):
        geometry = Fan(
            even_angles(len(counts), 2 * math.pi), counts.shape[1], 2 * _PIXEL, middle + offset,
            source_axis=_SOURCE_AXIS, source_detector=_SOURCE_DETECTOR,
        )  # fmt: skip
        facts = {"data": "2DeteCT", "slice": folder.parent.name, "mode": folder.name, "layout": PUBLISHED, **known}
        views = geometry.select(slice(None, None, every))
        return Scan.from_counts(counts[::every], views, np.concatenate(flats), dark, gain, facts=facts)


def _added(values: np.ndarray) -> np.ndarray:
    """Sums of neighbouring pixels."""
    return values[:, 0::2] + values[:, 1::2]


def _shift(folder: Path) -> float:
    """Shift of the axis by the number of the slice, which says when it was scanned."""
    found = re.fullmatch(r"slice(\d+)", folder.resolve().parent.name)
    if found is None:
        raise DataError(
            f"{folder} lies in '{folder.resolve().parent.name}'; expected a folder such as slice00001, whose number "
            "tells the position of the detector: give shift"
        )
    return 1.0 if any(int(found[1]) in numbers for numbers in _SHIFTED) else 0.0
