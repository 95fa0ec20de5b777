"""Rows with arrays, written one after the other as a Zarr group: one array for each column, rows along the first axis.

xarray opens it with ``xarray.open_zarr(path, consolidated=False)``: axes are named, the first one ``row``. The group
appears under its name when it is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import DataError, MissingPackageError

__all__ = ["write_zarr"]

_CHUNK = 16


def write_zarr(
    path: Path,
    rows: Iterator[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    axes: Mapping[str, Sequence[str]],
) -> int:
    """Write the numbers and the arrays of rows; texts stay out.

    Parameters
    ----------
    path
        Folder of the group; one that is there is replaced.
    rows
        Mappings from column to value; the arrays of a column have one shape.
    provenance
        Attribute of the group.
    axes
        Names of the axes of the array of one row, by column.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    DataError
        If there is no row, or the arrays of a column differ in shape.
    MissingPackageError
        If zarr is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise MissingPackageError("Zarr needs the package zarr: pip install 'scidiff[fields]'") from error
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    group = zarr.open_group(part, mode="w", attributes={"provenance": dict(provenance)})
    count, names = 0, None
    try:
        while chunk := list(islice(rows, _CHUNK)):
            names = names or [name for name, value in chunk[0].items() if isinstance(value, np.ndarray | int | float)]
            for name in names:
                _append(group, name, [row[name] for row in chunk], axes.get(name, ()), count)
            count += len(chunk)
        if not count:
            raise DataError(f"no row has arrays, {path.name} is not written; select other rows")
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count


def _append(group: Any, name: str, values: list[Any], axes: Sequence[str], before: int) -> None:
    """Add the values of a column."""
    shapes = {np.shape(value) for value in values}
    if len(shapes) != 1 or (before and shapes != {group[name].shape[1:]}):
        raise DataError(f"column '{name}' has arrays of shapes {sorted(shapes)}; expected one: select such rows")
    stacked = np.stack([np.asarray(np.nan if value is None else value) for value in values])
    if before:
        group[name].append(stacked.astype(group[name].dtype))
        return
    named = ("row", *(axes or (f"{name}_{k}" for k in range(stacked.ndim - 1))))
    chunks = (_CHUNK, *stacked.shape[1:])
    made = group.create_array(name, shape=stacked.shape, chunks=chunks, dtype=stacked.dtype, dimension_names=named)
    made[:] = stacked
