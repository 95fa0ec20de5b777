"""MATLAB files as nested mappings: version 5 by scipy, version 7.3, which is HDF5, by h5py.

In a version 7.3 file arrays lie transposed, texts as numbers of UTF-16 units, structs as groups, and cells as
references; all come back as `scipy.io.loadmat` gives them with ``simplify_cells``: arrays in MATLAB's shape without
dimensions of length 1, numbers, texts, lists and mappings.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import DataError

from .hdf5 import opened, text

__all__ = ["is_mat", "pick", "read_mat"]

_HEADER, _NEW, _OLD = 128, b"MATLAB 7.3", b"MATLAB 5.0"
_LIMIT = 4 << 30


def is_mat(path: str | Path) -> bool:
    """Whether a file begins as a MATLAB file of version 5 or 7.3 does."""
    with open(path, "rb") as file:
        head = file.read(_HEADER)
    return head.startswith((_NEW, _OLD))


def read_mat(path: str | Path) -> dict[str, Any]:
    """Read all variables of a file.

    Parameters
    ----------
    path
        ``.mat``, version 5 or 7.3.

    Returns
    -------
    dict
        Arrays, numbers, texts, lists and mappings by name.

    Raises
    ------
    MissingPackageError
        If the file has version 7.3 and h5py is not installed.
    DataError
        If the file is missing, is no MATLAB file, is cut short or is larger than 4 GiB.
    """
    try:
        size = Path(path).stat().st_size
        with open(path, "rb") as file:
            head = file.read(_HEADER)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected a .mat file") from error
    if size > _LIMIT:
        raise DataError(f"{path} has {size >> 20} MiB; expected at most {_LIMIT >> 20}: save what is needed alone")
    if head.startswith(_NEW):
        with opened(path, "a MATLAB file of version 7.3") as file:
            return {name: _value(file, file[name]) for name in file if not name.startswith("#")}
    if not head.startswith(_OLD):
        raise DataError(f"{path} begins with {head[:10]!r}; expected a MATLAB file of version 5 or 7.3")
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        loaded = loadmat(path, simplify_cells=True)
    except (
        MatReadError,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        zlib.error,
        struct.error,
    ) as e:
        raise DataError(f"cannot read {path}: {e}; the file is damaged or cut short: copy it again") from e
    return {name: value for name, value in loaded.items() if not name.startswith("__")}


def pick(values: Mapping[str, Any], name: str) -> Any:
    """Value whose name agrees whatever the case of its letters, or None."""
    wanted = name.lower()
    return next((value for key, value in values.items() if key.lower() == wanted), None)


def _value(file: Any, item: Any) -> Any:
    """One variable of a version 7.3 file."""
    if hasattr(item, "keys"):
        return {name: _value(file, item[name]) for name in item}
    if item.attrs.get("MATLAB_empty", 0):
        return "" if text(item.attrs.get("MATLAB_class", "")) == "char" else np.zeros(0)
    kind = text(item.attrs.get("MATLAB_class", ""))
    array = np.asarray(item)
    if array.dtype == object:
        cells = [_value(file, file[reference]) for reference in array.T.reshape(-1)]
        return cells[0] if len(cells) == 1 else cells
    if kind == "char":
        return array.T.astype("<u2").tobytes().decode("utf-16-le", errors="replace")
    if kind == "logical":
        array = array.astype(bool)
    plain = np.squeeze(array.T)
    return plain.item() if plain.ndim == 0 else plain
