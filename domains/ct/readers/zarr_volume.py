"""Volumes as Zarr groups: the array ``values`` in chunks, its axes named, unit, voxel size and provenance beside it.

A chunk that is missing from a store reads as zeros; so the hash of all values is kept, and a volume that does not have
it is refused. xarray opens the store with ``xarray.open_zarr(path, consolidated=False)``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import DataError
from scidiff.io.provenance import provenance

from ..grid import Grid
from ..volume import Volume
from .folders import whole_folder
from .packages import optional

__all__ = ["read_zarr", "write_zarr"]

_FORMAT = "scidiff ct volume 1"
_CHUNK = 128
_FIELDS = ("format", "unit", "voxel_mm", "sha256")


def write_zarr(path: str | Path, volume: Volume, facts: Mapping[str, Any] | None = None) -> None:
    """Write a volume; the store appears whole or not at all.

    Parameters
    ----------
    path
        Folder of the store, ``.zarr``; an earlier store is replaced.
    volume
        Image or stack.
    facts
        What else the store should say.

    Raises
    ------
    MissingPackageError
        If zarr is not installed.
    DataError
        If something else than a store lies at `path`.
    """
    zarr = optional("zarr", "zarr", "writing Zarr")
    values = np.ascontiguousarray(volume.values.float().numpy())
    about = provenance(**{**volume.facts, **(facts or {})})
    own = {"format": _FORMAT, "unit": volume.unit, "voxel_mm": list(volume.grid.lengths), "sha256": _hash(values)}
    with whole_folder(path, _is_store, "Zarr store") as folder:
        group = zarr.open_group(str(folder), mode="w")
        axes = ["z", "y", "x"][-values.ndim :]
        chunks = tuple(min(n, _CHUNK) for n in values.shape)
        array = group.create_array("values", shape=values.shape, dtype="float32", chunks=chunks, dimension_names=axes)
        array[...] = values
        array.attrs["units"] = volume.unit
        group.attrs.update({**own, "provenance": json.loads(json.dumps(about, default=str))})


def read_zarr(path: str | Path) -> Volume:
    """Read what `write_zarr` wrote.

    Parameters
    ----------
    path
        Folder of the store.

    Returns
    -------
    Volume
        Values as float32.

    Raises
    ------
    MissingPackageError
        If zarr is not installed.
    DataError
        If the store is missing, was not written by `write_zarr`, or is not whole.
    """
    zarr = optional("zarr", "zarr", "reading Zarr")
    if not _is_store(Path(path)):
        raise DataError(f"{path} is no Zarr store; expected a folder that write_zarr wrote")
    try:
        group = zarr.open_group(str(path), mode="r")
        told = dict(group.attrs)
        missing = [name for name in _FIELDS if name not in told] + ([] if "values" in group else ["values"])
        if missing or told["format"] != _FORMAT:
            raise DataError(
                f"{path} lacks {', '.join(missing) or 'the format ' + _FORMAT}; expected a store that write_zarr wrote"
            )
        values = np.ascontiguousarray(group["values"][...], dtype=np.float32)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path}: {error}; expected a whole Zarr store: copy it again") from error
    if _hash(values) != told["sha256"]:
        raise DataError(
            f"{path}: values have another sha256 than when they were written, so that a chunk is missing or "
            "damaged: copy it again"
        )
    grid = Grid(tuple(values.shape), tuple(float(v) for v in told["voxel_mm"]))
    return Volume(torch.from_numpy(values), grid, str(told["unit"]), told.get("provenance", {}))


def _hash(values: np.ndarray) -> str:
    return hashlib.sha256(repr(values.shape).encode() + values.astype("<f4").tobytes()).hexdigest()


def _is_store(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))
