"""NIfTI-1 volumes, plain or compressed, read and written without a further package.

The header has 348 bytes; values are ``scl_slope * stored + scl_inter`` (a slope of 0 means 1), x fastest, so that the
array is ``[z, y, x]``. The affine, in mm, is kept among the facts and written again; nothing is turned. Where none is
known, or it does not fit the grid, the file says so (``sform_code`` 0) and the middle of the grid is the origin. What
is written carries its provenance as a header extension of kind 6 (text).

References
----------
NIfTI-1 Data Format, https://nifti.nimh.nih.gov/nifti-1
"""

from __future__ import annotations

import gzip
import json
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import DataError
from scidiff.io.files import atomic_write
from scidiff.io.provenance import provenance

from ..grid import Grid
from ..volume import HU, Volume
from .orientation import UNKNOWN, located, orientation_of
from .places import in_file

__all__ = ["read_nifti", "write_nifti"]

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_HEADER = 348
_LIMIT = 1 << 33
_LONGEST = 32767


def read_nifti(path: str | Path, unit: str = HU) -> Volume:
    """Read a volume.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.
    unit
        Unit of the values, which the format does not state.

    Returns
    -------
    Volume
        Values as float32.

    Raises
    ------
    DataError
        If the file is no NIfTI-1 volume, is cut short, or is larger than 8 GiB.
    """
    raw = _bytes(Path(path))
    if len(raw) < _HEADER or raw[344:348] not in (b"n+1\0", b"ni1\0"):
        raise DataError(f"{path} is no NIfTI-1 file: bytes 344 to 347 are {raw[344:348]!r}; expected 'n+1'")
    order = "<" if struct.unpack("<i", raw[:4])[0] == _HEADER else ">"
    dim = struct.unpack(order + "8h", raw[40:56])
    kind, _ = struct.unpack(order + "2h", raw[70:74])
    pixdim = struct.unpack(order + "8f", raw[76:108])
    offset, slope, inter = struct.unpack(order + "3f", raw[108:120])
    if kind not in _TYPES or not 2 <= dim[0] <= 7 or any(n != 1 for n in dim[4 : dim[0] + 1]):
        raise DataError(f"{path} has type {kind} and dimensions {dim[1 : dim[0] + 1]}; expected one volume of numbers")
    shape = tuple(reversed(dim[1 : min(dim[0], 3) + 1]))
    if min(shape) < 1 or not _HEADER <= offset < len(raw):
        raise DataError(f"{path} has dimensions {shape} and vox_offset {offset:g}; expected a volume behind the header")
    kind_of = np.dtype(order + _TYPES[kind])
    count, begin = math.prod(shape), int(offset)
    if begin + count * kind_of.itemsize > len(raw):
        raise DataError(
            f"{path} holds {len(raw) - begin} bytes of values; expected {count * kind_of.itemsize}: cut short"
        )
    stored = np.frombuffer(raw, kind_of, count, begin).reshape(shape).astype(np.float32)
    values = stored if slope == 0 or not math.isfinite(slope) else stored * np.float32(slope) + np.float32(inter)
    scale = {1: 1000.0, 2: 1.0, 3: 1e-3}.get(raw[123] & 7, 1.0)
    voxel = tuple(abs(pixdim[i]) * scale for i in range(len(shape), 0, -1))
    affine, code = _affine(raw, order, pixdim)
    facts = {"file": Path(path).name, **located(scale * affine, shape, code)}
    with in_file(path, voxel="pixdim", values="the voxels"):
        return Volume(torch.from_numpy(values), Grid(shape, voxel), unit, facts)


def _bytes(path: Path) -> bytes:
    """Contents of a plain or compressed file."""
    try:
        if path.stat().st_size > _LIMIT:
            raise DataError(f"{path} has more than {_LIMIT >> 30} GiB; cut the volume into parts")
        raw = path.read_bytes()
        if raw[:2] != b"\x1f\x8b":
            return raw
        with gzip.open(path) as file:
            out = file.read(_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; expected a whole .nii or .nii.gz file") from error
    if len(out) > _LIMIT:
        raise DataError(f"{path} unpacks to more than {_LIMIT >> 30} GiB; cut the volume into parts")
    return out


def _affine(raw: bytes, order: str, pixdim: tuple[float, ...]) -> tuple[np.ndarray, int]:
    """Voxel index ``(x, y, z)`` to patient coordinates, and their code: the sform, else the qform, else the spacing."""
    quaternion, straight = struct.unpack(order + "2h", raw[252:256])
    if straight > 0:
        rows = np.frombuffer(raw, order + "f4", 12, 280).reshape(3, 4)
        return rows.astype(float), straight
    if quaternion > 0:
        b, c, d, x, y, z = struct.unpack(order + "6f", raw[256:280])
        a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
        turn = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        steps = np.array([pixdim[1], pixdim[2], pixdim[3] * (-1.0 if pixdim[0] < 0 else 1.0)])
        return np.column_stack([turn * steps, [x, y, z]]), quaternion
    return np.column_stack([np.diag(pixdim[1:4]), np.zeros(3)]), UNKNOWN


def write_nifti(path: str | Path, volume: Volume, facts: Mapping[str, Any] | None = None) -> None:
    """Write a volume as float32 with its provenance.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.
    volume
        The volume; one image becomes one slice.
    facts
        What else the header should say; ``affine`` (see `orientation`) tells where the volume lies.

    Raises
    ------
    DataError
        If the name has another ending, or an axis is longer than the format can say.
    """
    name = str(path)
    if not name.endswith((".nii", ".nii.gz")):
        raise DataError(f"{path} ends with neither .nii nor .nii.gz; choose one of them")
    if max(volume.grid.shape) > _LONGEST:
        raise DataError(
            f"{path}: the volume has shape {volume.grid.shape}; NIfTI-1 holds at most {_LONGEST} voxels along an axis: "
            "write .npz, .tif or .zarr, or cut the volume into parts"
        )
    values = volume.values.reshape((1,) * (3 - volume.values.ndim) + tuple(volume.values.shape)).numpy()
    voxel = (1.0,) * (3 - volume.grid.dimension) + volume.grid.lengths
    known = {**volume.facts, **(facts or {})}
    about = provenance(**{**known, "unit": volume.unit})
    text = json.dumps(about, default=str).encode()
    size = -(-(len(text) + 8) // 16) * 16
    header = bytearray(_HEADER)
    struct.pack_into("<i", header, 0, _HEADER)
    struct.pack_into("<8h", header, 40, 3, *reversed(values.shape), 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 16, 32)
    struct.pack_into("<8f", header, 76, 1.0, *reversed(voxel), 0.0, 0.0, 0.0, 0.0)
    struct.pack_into("<3f", header, 108, _HEADER + 4 + size, 1.0, 0.0)
    header[123] = 2
    header[148:228] = f"scidiff, {volume.unit}".encode()[:80].ljust(80, b"\0")
    affine, code = orientation_of(known, volume.grid) or (_centred(values.shape, voxel), UNKNOWN)
    struct.pack_into("<2h", header, 252, 0, code)
    header[280:328] = affine.astype("<f4").tobytes()
    header[344:348] = b"n+1\0"
    extension = b"\1\0\0\0" + struct.pack("<2i", size, 6) + text.ljust(size - 8, b"\0")
    payload = bytes(header) + extension + np.ascontiguousarray(values, dtype="<f4").tobytes()
    with atomic_write(path, "wb") as file:
        file.write(gzip.compress(payload, mtime=0) if name.endswith(".gz") else payload)


def _centred(shape: tuple[int, ...], voxel: tuple[float, ...]) -> np.ndarray:
    """The affine of a grid whose middle is the origin, of three dimensions."""
    steps, counts = np.array(voxel[::-1]), np.array(shape[::-1])
    return np.column_stack([np.diag(steps), -0.5 * (counts - 1) * steps])
