"""The walnut of the FIPS laboratory in Helsinki, and other cone-beam scans of its layout.

*From the publication and the toolbox of its authors*: one text file of scan parameters (``20201111_walnut_.txt``)
with lines ``Name=value`` for distances, angles and pixel size, and one TIFF image for each view,
``20201111_walnut_0001.tif`` and on, 2368 x 2240 pixels of 0.05 mm, 721 views over a full turn with its end repeated.
There are no flats: the corner of each image that no shadow reaches (128 x 128 pixels at the beginning of both axes)
gives its unattenuated count.
Every number comes from the text file.

References
----------
A. Meaney, "Cone-beam computed tomography dataset of a walnut", doi:10.5281/zenodo.6986012 (CC BY 4.0)
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from scidiff.errors import ConfigError, DataError

from ..geometry import Cone
from ..readers.angles import to_radians
from ..readers.places import in_file
from ..scan import Scan
from .files import PUBLISHED, checked, folder_of, image, numbered

__all__ = ["load_walnut"]

_UNITS = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3}
_NUMBERS = (
    "DistanceSourceDetector", "DistanceSourceOrigin", "NumberImages", "AngleFirst", "AngleInterval", "PixelSize",
)  # fmt: skip


def load_walnut(
    path: str | Path, binning: int = 8, every: int = 1, sha256: str = "", gain: float = 1.0, free: int = 128
) -> Scan:
    """Read a cone-beam scan.

    Parameters
    ----------
    path
        Folder with the text file and the images.
    binning
        Pixels that are added on each axis of the detector.
    every
        One view in so many is read.
    sha256
        Hash of the text file and the images that are read.
    gain
        Variance per count; without flats it cannot be measured.
    free
        Edge of the corner that no shadow reaches, pixels.

    Returns
    -------
    Scan
        Cone beam, with weights from the counts; a view that closes the turn is left out.

    Raises
    ------
    MissingPackageError
        If tifffile is not installed.
    ConfigError
        If `binning` or `every` does not fit the images.
    IntegrityError
        If the files have another hash.
    DataError
        If a file or a field is missing, damaged, or contradicts another.
    """
    folder = folder_of(path, "one with a text file of scan parameters and the images of all views")
    table, told = _parameters(folder)
    numbers = {name: _number(told, name, table) for name in _NUMBERS}
    count = _views(told, numbers, table)
    if not 1 <= every <= count or binning < 1:
        raise ConfigError(f"every is {every} and binning {binning}; expected 1 to {count}, and at least 1")
    views = range(0, count, every)
    files = numbered(folder, [f"{table.stem}{k + 1:04d}.tif" for k in views], f"{count} images, as {table.name} says")
    known = checked([table, *files], sha256, folder)
    degrees = numbers["AngleFirst"] + numbers["AngleInterval"] * np.array(views, dtype=np.float64)
    angles = to_radians(degrees, "degrees", f"{table}: AngleInterval", len(views))
    y, weights, pixels = _lines(files, binning, free, gain)
    facts = {"data": folder.name, "views_in_file": int(numbers["NumberImages"]), "layout": PUBLISHED, **known}
    with in_file(table):
        geometry = _geometry(told, numbers, table, angles, pixels, binning)
        facts |= {"binning": binning, "gain": gain}
        return Scan.from_projections(y, geometry, sd=torch.from_numpy(weights) ** -0.5, facts=facts)


def _views(told: dict[str, str], numbers: dict[str, float], table: Path) -> int:
    """Number of views without the one that closes the turn; the table has to agree with itself."""
    count = int(numbers["NumberImages"])
    last = numbers["AngleFirst"] + numbers["AngleInterval"] * (count - 1)
    if "AngleLast" in told and abs(_number(told, "AngleLast", table) - last) > 1e-3 * abs(numbers["AngleInterval"]):
        raise DataError(
            f"{table}: AngleLast is {told['AngleLast']}, and {count} images (NumberImages) by AngleInterval end at "
            f"{last:g}; expected the same: was the scan stopped before its end?"
        )
    return count - 1 if abs(abs(last - numbers["AngleFirst"]) - 360.0) < 1e-6 else count


def _geometry(
    told: dict[str, str],
    numbers: dict[str, float],
    table: Path,
    angles: np.ndarray,
    pixels: tuple[int, ...],
    binning: int,
) -> Cone:
    """Cone beam of the table, lengths in mm; the axis is that of all pixels, of which binning may drop some."""
    length, pixel = _unit(told, "DistanceUnit", table), _unit(told, "PixelSizeUnit", table)
    return Cone(
        torch.from_numpy(angles), pixels[1] // binning, binning * numbers["PixelSize"] * pixel,
        0.5 * pixels[1] / binning - 0.5, rows=pixels[0] // binning, row_centre=0.5 * pixels[0] / binning - 0.5,
        source_axis=numbers["DistanceSourceOrigin"] * length,
        source_detector=numbers["DistanceSourceDetector"] * length,
    )  # fmt: skip


def _parameters(folder: Path) -> tuple[Path, dict[str, str]]:
    """The one text file that states a geometry, and its lines."""
    found = []
    for file in sorted(folder.glob("*.txt")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = dict(line.split("=", 1) for line in lines if "=" in line)
        told = {name.strip(): value.strip() for name, value in pairs.items()}
        if "GeometryType" in told:
            found.append((file, told))
    if len(found) != 1:
        raise DataError(
            f"{folder} has {len(found)} text files with a GeometryType; expected one, of the scan parameters"
        )
    table, told = found[0]
    missing = [name for name in _NUMBERS if name not in told]
    if missing or told["GeometryType"].lower() != "cone":
        raise DataError(f"{table} lacks {', '.join(missing) or 'GeometryType=Cone'}; it has {', '.join(sorted(told))}")
    return table, told


def _number(told: dict[str, str], name: str, table: Path) -> float:
    try:
        value = float(told[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (name != "AngleFirst" and value == 0):
        raise DataError(f"{table}: {name} is '{told[name]}'; expected a number")
    return value


def _unit(told: dict[str, str], name: str, table: Path) -> float:
    """Millimetres in a unit; the toolbox writes mm."""
    unit = told.get(name, "mm").lower()
    if unit not in _UNITS:
        raise DataError(f"{table}: {name} is '{unit}'; expected one of {', '.join(_UNITS)}")
    return _UNITS[unit]


def _lines(files: list[Path], binning: int, free: int, gain: float) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Line integrals and weights of all views, and the shape of an image before binning."""
    shape = image(files[0]).shape
    rows, columns = shape[0] // binning, shape[1] // binning
    if min(rows, columns) < 1 or not 1 <= free <= min(shape):
        raise ConfigError(f"binning is {binning} and free {free} for images of {shape}; expected smaller ones")
    y, weights = (np.empty((len(files), rows, columns)) for _ in range(2))
    for k, file in enumerate(files):
        raw = image(file, shape)
        bright = float(raw[:free, :free].mean()) * binning**2
        counts = raw[: rows * binning, : columns * binning].reshape(rows, binning, columns, binning).sum((1, 3))
        if not (bright > 0 and np.isfinite(counts).all() and (counts > 0).all()):
            raise DataError(
                f"{file} has {int((~(counts > 0)).sum())} pixels without a count (after binning), and {bright:g} "
                "counts where no shadow is; expected positive counts: were darks subtracted, or is more binning needed?"
            )
        y[k] = np.log(bright / counts)
        weights[k] = counts / gain
    return y, weights, shape
