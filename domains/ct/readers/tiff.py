"""TIFF images, one file of many pages or a folder of files in natural order, with a scale that the caller states."""

from __future__ import annotations

import io
import json
import logging
import math
import re
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
from ..volume import PER_MM, Volume
from .packages import optional
from .places import in_file

__all__ = ["grey_pages", "read_tiff", "write_tiff"]

_BROKEN = (OSError, ValueError, IndexError, KeyError, TypeError, RuntimeError, MemoryError, struct.error, zlib.error)


def read_tiff(path: str | Path, voxel: float, unit: str = PER_MM, slope: float = 1.0, intercept: float = 0.0) -> Volume:
    """Read images.

    Parameters
    ----------
    path
        A file, or a folder whose ``.tif`` and ``.tiff`` files are the slices.
    voxel
        Edge of a voxel, mm; the format does not state it.
    unit
        Unit of ``slope * stored + intercept``.
    slope, intercept
        Scale of the stored numbers.

    Returns
    -------
    Volume
        One image or a stack.

    Raises
    ------
    MissingPackageError
        If tifffile is not installed.
    DataError
        If a file cannot be read, or the pages differ in shape.
    """
    optional("tifffile", "tifffile", "reading TIFF")
    source = Path(path)
    files = [source] if source.is_file() else sorted(source.glob("*.tif*"), key=_natural)
    if not files:
        raise DataError(f"{path} is neither a TIFF file nor a folder with some")
    pages = []
    for file in files:
        pages.append(grey_pages(file))
        if pages[-1].shape != pages[0].shape or pages[-1].ndim not in (2, 3):
            raise DataError(
                f"{file} has shape {pages[-1].shape}, {files[0]} {pages[0].shape}; expected grey images alike"
            )
    stored = pages[0] if len(pages) == 1 else np.concatenate([np.atleast_3d(p.T).T for p in pages])
    values = torch.from_numpy(stored.astype(np.float32) * np.float32(slope) + np.float32(intercept))
    with in_file(path):
        return Volume(values, Grid(tuple(values.shape), voxel), unit, {"file": source.name, "files": len(files)})


def grey_pages(path: str | Path) -> np.ndarray:
    """Stored numbers of one file, ``(rows, columns)`` or ``(pages, rows, columns)``.

    tifffile reads what is left of a file that was cut short and notes the rest in its log; here that is an error. Of
    pages that were written one by one it reads the first alone; here all are stacked.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MissingPackageError
        If tifffile is not installed.
    DataError
        If the file is damaged, cut short, no TIFF, has colours, or pages that differ in shape.
    """
    tifffile = optional("tifffile", "tifffile", "reading TIFF")
    complaints = _Complaints()
    logger = logging.getLogger("tifffile")
    logger.addHandler(complaints)
    try:
        with tifffile.TiffFile(path) as file:
            samples = file.pages[0].samplesperpixel
            values = np.asarray(file.asarray()) if len(file.series) == 1 else _pages(file, str(path))
    except DataError:
        raise
    except (*_BROKEN, tifffile.TiffFileError) as error:
        raise DataError(f"cannot read {path}: {error}; the file is damaged, cut short or no TIFF") from error
    finally:
        logger.removeHandler(complaints)
    if complaints.said:
        raise DataError(f"cannot read {path}: {complaints.said[0]}; the file is damaged or cut short: copy it again")
    if samples != 1:
        raise DataError(f"{path} has {samples} samples for each pixel; expected grey images: choose one channel")
    return values


def _pages(file: Any, path: str) -> np.ndarray:
    """All pages of a file whose pages were not written as one array, without its previews."""
    pages = [page for page in file.pages if not page.is_reduced]
    shapes = sorted({page.shape for page in pages})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise DataError(
            f"{path} has pages of the shapes {', '.join(map(str, shapes))}; expected grey images alike: write the "
            "slices to one file, and other images to another"
        )
    frames = sum(math.prod(series.shape[:-2]) for series in file.series if not series.keyframe.is_reduced)
    if frames != len(pages):
        raise DataError(
            f"{path} has {len(pages)} pages for {frames} images; expected a page for each: write them as one array"
        )
    return np.stack([page.asarray() for page in pages])


class _Complaints(logging.Handler):
    """What a logger calls an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.said.append(record.getMessage())


def write_tiff(path: str | Path, volume: Volume, facts: Mapping[str, Any] | None = None) -> None:
    """Write float32 pages; the description of the first holds unit, voxel size and provenance as JSON.

    Parameters
    ----------
    path
        ``.tif`` or ``.tiff``.
    volume
        Image or stack.
    facts
        What else the description should say.
    """
    tifffile = optional("tifffile", "tifffile", "writing TIFF")
    about = {**volume.facts, **(facts or {}), "unit": volume.unit, "voxel_mm": volume.grid.lengths}
    text = json.dumps(provenance(**about), default=str)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, volume.values.float().numpy(), photometric="minisblack", description=text, metadata=None)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getvalue())


def _natural(path: Path) -> list[Any]:
    """Sort ``a2`` before ``a10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
