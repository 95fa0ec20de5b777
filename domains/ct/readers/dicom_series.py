"""Write a volume as a DICOM series of CT images that viewers, archives and `read_dicom` understand.

Values are HU, ``HU = slope * stored + intercept`` with stored 16-bit integers: the slope is 1 wherever the values fit,
so that they are rounded to whole HU, and else the least one that holds them; either way the error is at most half a
slope. Slices lie along z; the position of each is stated, and the first voxel of the grid is its upper left corner.

All identifiers are derived from the content (``2.25.`` and a number made of a hash, DICOM PS3.5 B.2), and no date is
written: the same image with the same facts gives the same bytes, and another image other identifiers. The derivation
description tells method, seed and version, the image comments all facts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.io.provenance import package_version

from ..units import MU_WATER, to_hu
from ..volume import HU, Volume
from .folders import whole_folder
from .packages import optional

__all__ = ["write_dicom"]

_CT_IMAGE, _LITTLE_ENDIAN = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
_LOW, _HIGH = -32768, 32767
_DESCRIPTION, _COMMENTS, _SHORT = 1024, 10240, 64


def write_dicom(
    path: str | Path, volume: Volume, facts: Mapping[str, Any] | None = None, mu_water: float = MU_WATER
) -> None:
    """Write a series, one file for each slice; the folder appears whole or not at all.

    Parameters
    ----------
    path
        Folder; one with an earlier series of this writer is replaced.
    volume
        Image or stack; values in 1/mm become HU.
    facts
        What else is known: ``method``, ``seed``, ``patient_id`` (empty by default), and more.
    mu_water
        Attenuation of water, 1/mm, for values in 1/mm.

    Raises
    ------
    MissingPackageError
        If pydicom is not installed.
    DataError
        If something else lies at `path`.
    """
    pydicom = optional("pydicom", "pydicom", "writing DICOM")
    known = {"unit": volume.unit, "scidiff": package_version("scidiff"), **dict(volume.facts), **(facts or {})}
    values = volume.values.double().numpy()
    hu = np.asarray(values if volume.unit == HU else to_hu(values, mu_water)).reshape(-1, *values.shape[-2:])
    if volume.unit != HU:
        known["mu_water_per_mm"] = mu_water
    stored, slope, intercept = _stored(hu)
    lengths = (1.0,) * (3 - volume.grid.dimension) + volume.grid.lengths
    common = {**_image(pydicom, hu.shape, lengths, slope, intercept), **_told(known)}
    told = json.dumps([common, lengths], sort_keys=True, default=str).encode()
    content = hashlib.sha256(told + np.ascontiguousarray(stored, dtype="<i2").tobytes()).hexdigest()
    with whole_folder(path, _ours, "DICOM series of this writer") as folder:
        for k, image in enumerate(stored):
            dataset = _slice(pydicom, common, content, k, image, hu.shape, lengths)
            dataset.save_as(folder / f"{k:05d}.dcm", enforce_file_format=True)


def _stored(hu: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Stored integers, slope and intercept."""
    low, high = float(hu.min()), float(hu.max())
    if _LOW <= round(low) and round(high) <= _HIGH:
        return np.rint(hu).astype("<i2"), 1.0, 0.0
    # one part in 1e6 more, so that rounding the slope to the 16 letters of the format never drops an end
    slope = float(f"{(high - low) / (_HIGH - _LOW) * 1.000001:.9g}")
    intercept = float(f"{low - slope * _LOW:.9g}")
    stored = np.rint((hu - intercept) / slope)
    return np.clip(stored, _LOW, _HIGH).astype("<i2"), slope, intercept


def _image(
    pydicom: Any, shape: tuple[int, ...], lengths: tuple[float, ...], slope: float, intercept: float
) -> dict[str, Any]:
    """What all slices have in common, by the names of the standard."""
    number = pydicom.valuerep.format_number_as_ds
    return {
        "SOPClassUID": _CT_IMAGE, "Modality": "CT", "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "PatientName": "", "PatientBirthDate": "", "PatientSex": "", "ReferringPhysicianName": "",
        "AccessionNumber": "", "StudyDate": "", "StudyTime": "", "StudyID": "", "SeriesNumber": 1,
        "PositionReferenceIndicator": "",
        "Manufacturer": "scidiff", "ManufacturerModelName": "scidiff", "KVP": None, "AcquisitionNumber": None,
        "Rows": shape[1], "Columns": shape[2], "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, "BurnedInAnnotation": "NO",
        "RescaleSlope": number(slope), "RescaleIntercept": number(intercept), "RescaleType": "HU",
        "PixelSpacing": [number(lengths[1]), number(lengths[2])],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SliceThickness": number(lengths[0]), "SpacingBetweenSlices": number(lengths[0]),
    }  # fmt: skip


def _told(known: Mapping[str, Any]) -> dict[str, Any]:
    """Facts in the fields of the standard that take text."""
    plain = {name: value for name, value in known.items() if isinstance(value, str | int | float | bool)}
    method, seed = str(known.get("method", "not stated")), known.get("seed", "not stated")
    version = str(known["scidiff"])
    description = f"scidiff {version}; method {method}; seed {seed}; label {known.get('label', 'not stated')}"
    comments, left = json.dumps(plain, sort_keys=True, ensure_ascii=False), 0
    while len(comments) > _COMMENTS:
        longest = max(plain, key=lambda name: len(str(plain[name])))
        del plain[longest]
        left += 1
        comments = json.dumps({**plain, "facts_left_out": left}, sort_keys=True, ensure_ascii=False)
    return {
        "PatientID": str(known.get("patient_id", ""))[:_SHORT],
        "SoftwareVersions": f"scidiff {version}"[:_SHORT],
        "SeriesDescription": f"scidiff {method}"[:_SHORT],
        "DerivationDescription": description[:_DESCRIPTION],
        "ImageComments": comments,
    }


def _slice(
    pydicom: Any,
    common: Mapping[str, Any],
    content: str,
    k: int,
    image: np.ndarray,
    shape: tuple[int, ...],
    lengths: tuple[float, ...],
) -> Any:
    """Data set of one slice."""
    number = pydicom.valuerep.format_number_as_ds
    dataset = pydicom.Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for name, value in common.items():
        setattr(dataset, name, value)
    z, y, x = (-0.5 * (n - 1) * h for n, h in zip(shape, lengths, strict=True))
    dataset.SOPInstanceUID = _uid(content, f"image {k}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(content, "study"), _uid(content, "series")
    dataset.FrameOfReferenceUID = _uid(content, "frame")
    dataset.InstanceNumber = k + 1
    dataset.ImagePositionPatient = [number(v) for v in (x, y, z + k * lengths[0])]
    dataset.PixelData = np.ascontiguousarray(image, dtype="<i2").tobytes()
    dataset["PixelData"].VR = "OW"
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = _CT_IMAGE, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = _LITTLE_ENDIAN
    meta.ImplementationClassUID, meta.ImplementationVersionName = _uid("scidiff", "writer"), "SCIDIFF"
    dataset.file_meta = meta
    return dataset


def _uid(content: str, which: str) -> str:
    """Identifier of a part of some content."""
    digest = bytearray(hashlib.sha256(f"{content} {which}".encode()).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


def _ours(folder: Path) -> bool:
    """Whether a folder holds nothing but files of a series that this writer wrote."""
    pydicom = optional("pydicom", "pydicom", "writing DICOM")
    for file in folder.iterdir():
        if not file.is_file() or file.suffix != ".dcm":
            return False
        try:
            head = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Manufacturer"])
        except (OSError, EOFError, ValueError, KeyError, pydicom.errors.InvalidDicomError):
            return False
        if str(getattr(head, "Manufacturer", "")) != "scidiff":
            return False
    return True
