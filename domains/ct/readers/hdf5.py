"""HDF5 files: opened with one clear error, lengths by their unit, and datasets found through links."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import DataError, ScidiffError

from .packages import optional
from .places import numbers

__all__ = ["datasets", "length", "opened", "text"]

_DEPTH = 12
_MM = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6}
_LONG = {"meter": "m", "metre": "m", "millimeter": "mm", "millimetre": "mm", "micrometer": "um", "micrometre": "um"}


@contextlib.contextmanager
def opened(path: str | Path, what: str = "an HDF5 file") -> Iterator[Any]:
    """Open a file for reading; what cannot be read within the block, too, is a `DataError` with its name.

    Parameters
    ----------
    path
        The file.
    what
        What was expected, for the message.

    Yields
    ------
    h5py.File
        The open file.

    Raises
    ------
    MissingPackageError
        If h5py is not installed.
    DataError
        If the file is missing, is no HDF5, is cut short, or holds something else than was read.
    """
    h5py = optional("h5py", "h5py", "reading HDF5")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        if isinstance(error, ScidiffError):
            raise
        raise DataError(
            f"cannot read {path}: {error}; expected {what} (HDF5): copy it again if it is cut short"
        ) from error


def text(value: Any) -> str:
    """Text of an attribute or a dataset that holds one string."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def length(dataset: Any, place: str) -> float:
    """One length in mm by the attribute ``units``.

    Parameters
    ----------
    dataset
        HDF5 dataset of one number.
    place
        File and field, for the message.

    Raises
    ------
    DataError
        If the unit is missing or unknown, or the length is no positive number.
    """
    values = numbers(dataset, place).reshape(-1)
    unit = text(dataset.attrs.get("units", "")).strip().lower()
    factor = _MM.get(_LONG.get(unit.rstrip("s"), unit))
    if factor is None:
        raise DataError(f"{place} has the unit '{unit}'; expected one of {', '.join(_MM)}: give pitch in mm")
    if not len(values) or not (values[0] > 0 and np.isfinite(values[0])):
        raise DataError(f"{place} is {values.tolist()} {unit}; expected a positive length")
    return float(values[0]) * factor


def datasets(group: Any, trail: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Walk through a group, links included, and yield ``(path, dataset)``; broken links and loops are passed over.

    Parameters
    ----------
    group
        HDF5 group.
    trail
        Identities of the groups above, by which a loop is recognised.
    """
    own = hash(group.id)
    if own in trail or len(trail) > _DEPTH:
        return
    for name in group:
        item = group.get(name)
        if item is None:
            continue
        if hasattr(item, "shape"):
            yield f"{group.name}/{name}".replace("//", "/"), item
        elif hasattr(item, "keys"):
            yield from datasets(item, (*trail, own))
