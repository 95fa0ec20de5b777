"""System matrices on the disk, so that a scan that comes again is not traced again.

A matrix is kept as ``KEY.npz``. The key is a hash of all rays, the grid, the type of the entries and the scheme of the
projector, so that a change of any of them asks for another file. The archive is one of `scipy.sparse.save_npz`
(arrays, no pickle; `scipy.sparse.load_npz` reads it) with one text more: key, shape, and the hashes of the three
arrays. What does not agree with this text is not used: it is removed, told with `MatrixFileWarning`, and built again.
A folder that may be read but not written is used as it is.

Nothing is kept unless a folder is named: by the argument ``folder`` of `system_matrix`, or by the environment variable
``SCIDIFF_CT_MATRICES``. The folder holds at most `limit` bytes (``SCIDIFF_CT_MATRICES_BYTES``, 4 GiB by default); the
files that were used longest ago go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
import torch

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import atomic_write, locked

from ..geometry import Geometry
from ..grid import Grid

__all__ = ["BYTES", "FOLDER", "MatrixFileWarning", "MatrixFolder", "matrix_key"]

FOLDER, BYTES = "SCIDIFF_CT_MATRICES", "SCIDIFF_CT_MATRICES_BYTES"
_SCHEME = "joseph 1"
_LIMIT = 4 << 30
_BROKEN = (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error)


class MatrixFileWarning(UserWarning):
    """A kept system matrix could not be used and was built again, or could not be kept."""


def matrix_key(geometry: Geometry, grid: Grid, dtype: torch.dtype) -> str:
    """Name of a system matrix: a hash of everything that its entries depend on.

    Parameters
    ----------
    geometry, grid
        Two-dimensional.
    dtype
        Type of the entries.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    points, directions = geometry.rays()
    digest = hashlib.blake2b(repr((_SCHEME, grid, geometry.shape, str(dtype))).encode(), digest_size=32)
    for part in (points, directions):
        digest.update(np.ascontiguousarray(part.reshape(-1, grid.dimension).numpy()))
    return digest.hexdigest()


@dataclass(frozen=True)
class MatrixFolder:
    """A folder of system matrices, of bounded size.

    Parameters
    ----------
    path
        The folder; it is made when the first matrix comes.
    limit
        Bytes that its matrices may take together; a matrix that alone is larger is not kept.
    """

    path: Path
    limit: int = _LIMIT

    @classmethod
    def named(cls, folder: str | Path | None = None) -> MatrixFolder | None:
        """The folder of an argument, else that of the environment, else None.

        Parameters
        ----------
        folder
            The folder; ``$SCIDIFF_CT_MATRICES`` by default.

        Raises
        ------
        ConfigError
            If ``$SCIDIFF_CT_MATRICES_BYTES`` is no positive whole number.
        """
        name = os.environ.get(FOLDER, "").strip() if folder is None else str(folder)
        if not name:
            return None
        text = os.environ.get(BYTES, "").strip() or str(_LIMIT)
        if not text.isdigit() or int(text) == 0:
            raise ConfigError(f"{BYTES} is '{text}'; expected a positive whole number of bytes, or unset it")
        return cls(Path(name).expanduser(), int(text))

    def get(self, key: str, build: Callable[[], scipy.sparse.csr_matrix]) -> scipy.sparse.csr_matrix:
        """Read a matrix, or build and keep it.

        Parameters
        ----------
        key
            Its name, from `matrix_key`.
        build
            Makes the matrix.

        Returns
        -------
        scipy.sparse.csr_matrix
            The matrix, equal to the built one bit by bit.
        """
        path = self.path / f"{key}.npz"
        if os.path.exists(path):
            try:
                matrix = _read(path, key)
            except _BROKEN as error:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                _warn(f"{path} cannot be used ({error}); the matrix is built again and replaces it")
            else:
                with contextlib.suppress(OSError):
                    os.utime(path)
                return matrix
        matrix = build()
        try:
            self._keep(path, key, matrix)
        except (OSError, DataError) as error:
            _warn(f"the system matrix could not be kept in {self.path} ({error}); choose another folder by {FOLDER}")
        return matrix

    def _keep(self, path: Path, key: str, matrix: scipy.sparse.csr_matrix) -> None:
        """Write a matrix, after the oldest ones made room for it."""
        size = sum(part.nbytes for part in (matrix.data, matrix.indices, matrix.indptr))
        if size > self.limit:
            return
        with locked(self.path / ".lock"):
            self._make_room(size)
            with atomic_write(path, "wb") as file:
                parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
                told = np.array(json.dumps(_about(key, matrix)))
                np.savez(file, format=np.bytes_(b"csr"), shape=matrix.shape, about=told, **parts)

    def _make_room(self, size: int) -> None:
        """Remove the matrices that were used longest ago until `size` bytes fit."""
        files = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in self.path.glob("*.npz"))
        total = sum(length for _, length, _ in files)
        for _, length, file in files:
            if total + size <= self.limit:
                return
            file.unlink(missing_ok=True)
            total -= length


def _about(key: str, matrix: scipy.sparse.csr_matrix) -> dict[str, object]:
    """What an archive says of itself."""
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    hashes = {name: hashlib.sha256(np.ascontiguousarray(part)).hexdigest() for name, part in parts.items()}
    return {"key": key, "shape": [int(n) for n in matrix.shape or ()], "sha256": hashes}


def _read(path: Path, key: str) -> scipy.sparse.csr_matrix:
    """A matrix whose text agrees with its name and its arrays."""
    with np.load(path, allow_pickle=False) as archive:
        told = json.loads(str(archive["about"]))
    matrix = scipy.sparse.load_npz(path)
    if not isinstance(matrix, scipy.sparse.csr_matrix):
        raise ValueError(f"it holds a {type(matrix).__name__}; expected a csr_matrix")
    if told != _about(key, matrix):
        raise ValueError("its arrays are not those that it was written with, or it has another name")
    return matrix


def _warn(message: str) -> None:
    warnings.warn(message, MatrixFileWarning, stacklevel=4)
