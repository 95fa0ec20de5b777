"""Hashes of the files of a data set, and images of TIFF files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import DataError, IntegrityError
from scidiff.io.files import sha256_file, sha256_lines

from ..readers.tiff import grey_pages

__all__ = ["PUBLISHED", "checked", "folder_of", "image", "numbered"]

PUBLISHED = "from the publication, not verified on the files"


def checked(files: Sequence[Path], expected: str, root: Path) -> dict[str, Any]:
    """Hash the files that are read, and compare with what was expected.

    Parameters
    ----------
    files
        The files.
    expected
        Their hash, or nothing.
    root
        Folder that names are relative to.

    Returns
    -------
    dict
        Facts: ``sha256``, and the names or the number of the files.

    Raises
    ------
    DataError
        If a file cannot be read.
    IntegrityError
        If the hash is another one.
    """
    named = sorted((file.relative_to(root).as_posix(), sha256_file(file)) for file in files)
    digest = named[0][1] if len(named) == 1 else sha256_lines(f"{value}  {name}" for name, value in named)
    if expected and digest != expected.strip().lower():
        which = files[0] if len(files) == 1 else f"{len(files)} files of {root}"
        raise IntegrityError(
            f"{which}: sha256 is {digest}; expected {expected}: the files are damaged, or of another version; copy "
            "them again, or leave sha256 out"
        )
    return {"sha256": digest, "files": [name for name, _ in named] if len(named) <= 8 else len(named)}


def folder_of(path: str | Path, what: str) -> Path:
    """The folder of a data set.

    Raises
    ------
    DataError
        If there is none.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{path} is not a folder; expected {what}")
    return folder


def numbered(folder: Path, names: Sequence[str], what: str) -> list[Path]:
    """Files by their names.

    Raises
    ------
    DataError
        With the names that are missing.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(f"{folder} has no {shown}; expected {what}")
    return [folder / name for name in names]


def image(path: Path, like: tuple[int, ...] | None = None) -> np.ndarray:
    """One grey image of a TIFF file, float64.

    Parameters
    ----------
    path
        The file.
    like
        Shape that it has to have.

    Raises
    ------
    MissingPackageError
        If tifffile is not installed.
    DataError
        If the file is cut short, is no TIFF, or has another shape.
    """
    values = grey_pages(path).astype(np.float64)
    if values.ndim != 2 or (like is not None and values.shape != like):
        raise DataError(f"{path} has shape {values.shape}; expected {like or 'a grey image'}")
    return values
