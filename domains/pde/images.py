"""Obstacles drawn by hand: an image file becomes a mask of solid cells.

Dark is solid. The image lies as one sees it, with x to the right and y upwards, and is averaged over the pixels of each
cell; a cell is solid where its mean brightness is below one half.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scidiff.errors import DataError

__all__ = ["read_obstacles"]

_LARGEST = 2**26


def read_obstacles(path: str | Path, shape: tuple[int, int], *, level: float = 0.5) -> np.ndarray:
    """Read a mask of solid cells from an image.

    Parameters
    ----------
    path
        PNG file, or another that matplotlib reads.
    shape
        Cells along x and y.
    level
        Brightness below which a cell is solid, between black, 0, and white, 1; transparent counts as white.

    Returns
    -------
    ndarray
        True in solid cells, shape `shape`, indexed by x and y.

    Raises
    ------
    DataError
        If the file is no image, is smaller than the grid, or leaves no fluid.
    """
    from matplotlib.image import imread

    try:
        image = np.asarray(imread(str(path)))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"'{path}' cannot be read as an image ({error}); expected a PNG file") from error
    if image.ndim not in (2, 3) or image.shape[0] < shape[1] or image.shape[1] < shape[0] or image.size > _LARGEST:
        raise DataError(
            f"the image '{path}' has shape {image.shape}; expected at least {shape[1]} rows and {shape[0]} columns, "
            f"and at most {_LARGEST} numbers"
        )
    bright = _brightness(image)[::-1].T
    mean = _averaged(_averaged(bright, shape[0]).T, shape[1]).T
    mask = mean < level
    if mask.all():
        raise DataError(f"the image '{path}' is dark everywhere; leave white where the fluid is")
    return mask


def _brightness(image: np.ndarray) -> np.ndarray:
    values = image / 255.0 if np.issubdtype(image.dtype, np.integer) else image.astype(np.float64)
    if values.ndim == 2:
        return values
    opaque = values[..., -1] if values.shape[-1] in (2, 4) else 1.0
    colours = values[..., : 3 if values.shape[-1] >= 3 else 1].mean(-1)
    return 1.0 - opaque * (1.0 - colours)


def _averaged(values: np.ndarray, cells: int) -> np.ndarray:
    """Means over `cells` equal parts of the first axis; a pixel on a border counts to both with its share."""
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, 0)])
    borders = np.linspace(0, len(values), cells + 1)
    below = np.minimum(borders.astype(int), len(values) - 1)
    at = total[below] + (borders - below)[:, None] * values[below]
    return np.diff(at, axis=0) * cells / len(values)
