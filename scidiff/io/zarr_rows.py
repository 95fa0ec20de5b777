"""Rows with arrays, written one after the other as a Zarr group: one array for each column, rows along the first axis.

xarray opens it with ``xarray.open_zarr(path, consolidated=False)``: axes are named, the first one ``row``. The group
appears under its name when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import DataError, MissingPackageError

__all__ = ["write_zarr"]

_CHUNK = 16
_NUMBERS = (np.ndarray, np.number, np.bool_, int, float)


def write_zarr(
    path: Path,
    rows: Iterator[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    axes: Mapping[str, Sequence[str]],
) -> int:
    """Write the numbers and the arrays of rows; texts stay out, and so does a column that is None in all rows.

    Parameters
    ----------
    path
        Folder of the group; one that is there is replaced.
    rows
        Mappings from column to value; the arrays of a column have one shape. Where a number is None, there is NaN.
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
    part = _beside(path, "part")
    group = zarr.open_group(part, mode="w", attributes={"provenance": dict(provenance)})
    count = 0
    names: dict[str, None] = {}
    try:
        while chunk := list(islice(rows, _CHUNK)):
            names |= {name: None for row in chunk for name, value in row.items() if isinstance(value, _NUMBERS)}
            for name in names:
                _append(group, name, [row.get(name) for row in chunk], axes.get(name, ()), count)
            count += len(chunk)
        if not count:
            raise DataError(f"no row has arrays, {path.name} is not written; select other rows")
        _replace(path, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count


def _beside(path: Path, ending: str) -> Path:
    """A hidden name in the same folder, of this call alone."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.{ending}")


def _replace(path: Path, part: Path) -> None:
    """Rename a folder over what is there, which is deleted last and comes back if that fails."""
    old = _beside(path, "old")
    with contextlib.suppress(FileNotFoundError):
        path.rename(old)
    try:
        part.rename(path)
    except BaseException:
        if os.path.lexists(old) and not os.path.lexists(path):
            old.rename(path)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def _append(group: Any, name: str, values: list[Any], axes: Sequence[str], before: int) -> None:
    """Add the values of a column; one that begins late, or whose type grows, is written anew."""
    begun = name in group
    shapes = {np.shape(value) for value in values} | ({group[name].shape[1:]} if begun else {()} if before else set())
    if len(shapes) != 1:
        raise DataError(f"column '{name}' has arrays of shapes {sorted(shapes)}; expected one: select such rows")
    stacked = np.stack([np.asarray(np.nan if value is None else value) for value in values])
    if begun and np.can_cast(stacked.dtype, group[name].dtype, "same_kind"):
        group[name].append(stacked.astype(group[name].dtype))
        return
    if before:
        stacked = np.concatenate([group[name][:] if begun else np.full(before, np.nan), stacked])
    if begun:
        del group[name]
    named = ("row", *(axes or (f"{name}_{k}" for k in range(stacked.ndim - 1))))
    chunks = (_CHUNK, *stacked.shape[1:])
    made = group.create_array(name, shape=stacked.shape, chunks=chunks, dtype=stacked.dtype, dimension_names=named)
    made[:] = stacked
