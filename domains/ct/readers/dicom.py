"""A DICOM series as a volume in HU.

Slices are sorted by their position along the normal of the image plane, never by file name; the slice distance comes
from the positions. ``HU = RescaleSlope * stored + RescaleIntercept``. What cannot be stacked without a lie is refused:
several series, slices that are missing or come twice, a tilted gantry, and an image that is no CT or does not state
its scale. Where the volume lies is kept among the facts, see `orientation`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import DataError

from ..grid import Grid
from ..volume import HU, Volume
from .orientation import located, patient_map
from .packages import optional
from .places import in_file

__all__ = ["read_dicom", "stack"]

_FIELDS = {
    "Rows": 1, "Columns": 1, "PixelSpacing": 2, "ImageOrientationPatient": 6, "ImagePositionPatient": 3,
    "ConvolutionKernel": 0, "RescaleSlope": 1, "RescaleIntercept": 1,
    "PixelPaddingValue": 1, "Modality": 0,
}  # fmt: skip
_OWN = ("ImagePositionPatient", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue")
_OPTIONAL = ("ConvolutionKernel", "PixelPaddingValue", "Modality")
_BROKEN = (
    OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, zlib.error, struct.error,
)  # fmt: skip
_AIR = -1000.0
_TILT = 0.01


def read_dicom(path: str | Path, series: str = "") -> Volume:
    """Read a series.

    Parameters
    ----------
    path
        Folder with the files of one series, or of several and `series`.
    series
        SeriesInstanceUID, where the folder holds several.

    Returns
    -------
    Volume
        Values in HU, slices from low to high along the normal.

    Raises
    ------
    MissingPackageError
        If pydicom, or the decoder of a compressed file, is not installed.
    DataError
        If the folder holds no series, or one that cannot be stacked; the file and the field are named.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{path} is not a folder; expected one with the files of a DICOM series")
    pydicom = optional("pydicom", "pydicom", "reading DICOM")
    found: dict[str, list[Any]] = {}
    skipped = []
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            dataset = pydicom.dcmread(file)
            uid = str(getattr(dataset, "SeriesInstanceUID", ""))
        except pydicom.errors.InvalidDicomError:
            skipped.append(file.name)
            continue
        except _BROKEN as error:
            raise DataError(f"cannot read {file}: {error}; the file is damaged or cut short") from error
        if "PixelData" not in dataset:
            raise DataError(f"{file} has no PixelData; the file is cut short, or holds no image")
        dataset.filename = file.name
        found.setdefault(uid, []).append(dataset)
    _no_headless(folder, skipped, found)
    if not found:
        raise DataError(f"{path} holds no DICOM image ({len(skipped)} other files)")
    if series and series not in found:
        raise DataError(f"{path} holds no series '{series}'; it has {', '.join(found)}")
    if not series and len(found) > 1:
        raise DataError(f"{path} holds {len(found)} series; choose one: {', '.join(found)}")
    with in_file(path):
        return stack(found[series or next(iter(found))], {"skipped": skipped})


def stack(slices: Sequence[Any], facts: dict[str, Any] | None = None) -> Volume:
    """Stack the slices of one series.

    Parameters
    ----------
    slices
        Data sets with the attributes of the CT image object and ``pixel_array``.
    facts
        What else is known.

    Returns
    -------
    Volume
        Values in HU.

    Raises
    ------
    DataError
        If the slices do not form a volume.
    """
    first = slices[0]
    for name in _FIELDS:
        for dataset in slices:
            value, other = _field(dataset, name), _field(first, name)
            if value is None and name not in _OPTIONAL:
                raise DataError(f"{_name(dataset)} has no {name}, or an empty one; expected a CT image that states it")
            if name not in _OWN and not _same(value, other):
                raise DataError(f"{_name(dataset)} has {name} {value}, {_name(first)} {other}; these are two series")
    if getattr(first, "Modality", None) not in (None, "", "CT"):
        raise DataError(f"{_name(first)} has Modality {first.Modality}; expected CT: only its values are HU")
    orientation = np.array([float(v) for v in first.ImageOrientationPatient]).reshape(2, 3)
    normal = np.cross(*orientation)
    positions = np.array([[float(v) for v in dataset.ImagePositionPatient] for dataset in slices])
    order = np.argsort(positions @ normal, kind="stable")
    alone = getattr(first, "SpacingBetweenSlices", None)
    places = positions[order]
    distance, tilt = _distance(places, normal, [_name(slices[i]) for i in order], alone)
    if tilt > _TILT:
        raise DataError(f"slices shift by {tilt:.3f} mm per mm: the gantry was tilted; resample the series first")
    values, padding = [], 0
    for i in order:
        hu, padded = _hounsfield(slices[i])
        values.append(hu)
        padding += padded
    rows, columns = (float(v) for v in first.PixelSpacing)
    volume = torch.from_numpy(np.stack(values))
    step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else distance * normal
    where = patient_map(columns * orientation[0], rows * orientation[1], step, places[0])
    known = {"series": str(getattr(first, "SeriesInstanceUID", "")), "padding": padding, **(facts or {})}
    told = {"kvp": "KVP", "kernel": "ConvolutionKernel", "slice_thickness": "SliceThickness"}
    known |= {key: str(getattr(first, name, "")) for key, name in told.items()} | located(where, volume.shape)
    return Volume(volume, Grid(tuple(volume.shape), (distance, rows, columns)), HU, known)


def _field(dataset: Any, name: str) -> Any:
    """A field of a slice, whose numbers have to be numbers, as many as it takes."""
    try:
        value = getattr(dataset, name, None)
        if value is not None and _FIELDS[name]:
            numbers = np.asarray(value, dtype=float).reshape(-1)
            if len(numbers) != _FIELDS[name] or not np.isfinite(numbers).all():
                raise ValueError(f"expected {_FIELDS[name]} finite numbers")
    except _BROKEN as error:
        raise DataError(f"{_name(dataset)}: {name} cannot be read ({error}); the file is damaged") from error
    return value


def _no_headless(folder: Path, skipped: Sequence[str], found: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a file without a DICOM header that is named like the slices: one of them lost its beginning."""
    endings = {Path(one.filename).suffix.lower() for some in found.values() for one in some} - {""}
    for name in skipped:
        if Path(name).suffix.lower() in endings:
            raise DataError(
                f"{folder / name} is named like a slice and has no DICOM header; it is damaged or cut short"
            )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, str | int) or a is None:
        return a == b
    return np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), atol=1e-4) if _numbers(a) else a == b


def _numbers(value: Any) -> bool:
    try:
        np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return False
    return True


def _name(dataset: Any) -> str:
    return str(getattr(dataset, "filename", "a slice"))


def _distance(
    positions: np.ndarray, normal: np.ndarray, names: Sequence[str], alone: float | None
) -> tuple[float, float]:
    """Distance of slices, and how far they shift across it for each mm; one slice alone has to state it."""
    if len(positions) == 1 and alone is not None and float(alone) > 0:
        return float(alone), 0.0
    if len(positions) == 1:
        raise DataError(f"the series has one slice ({names[0]}); expected at least two, or its SpacingBetweenSlices")
    steps = np.diff(positions @ normal)
    step = float(np.median(steps))
    for i, value in enumerate(steps):
        if value < 1e-3:
            raise DataError(f"{names[i]} and {names[i + 1]} lie at the same place; remove one")
        if abs(value - step) > 0.01 * step + 1e-3:
            raise DataError(
                f"between {names[i]} and {names[i + 1]} lie {value:.3f} mm, elsewhere {step:.3f}: a slice is missing"
            )
    shift = np.diff(positions, axis=0) - steps[:, None] * normal
    return step, float(np.abs(shift).max() / step)


def _hounsfield(dataset: Any) -> tuple[np.ndarray, int]:
    """Values of one slice in HU, and the number of padded pixels, which become air."""
    try:
        stored = np.asarray(dataset.pixel_array)
    except _BROKEN as error:
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        raise DataError(
            f"{_name(dataset)}: pixels cannot be decoded ({error}); the file is cut short, or its syntax "
            f"'{getattr(syntax, 'name', syntax)}' needs a decoder (pip install pylibjpeg pylibjpeg-openjpeg)"
        ) from error
    hu = stored.astype(np.float32) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    padding = getattr(dataset, "PixelPaddingValue", None)
    if padding is None:
        return hu, 0
    # some writers state the bits of a negative value as an unsigned one
    mask = stored == np.array(int(padding)).astype(stored.dtype)
    hu[mask] = _AIR
    return hu, int(mask.sum())
