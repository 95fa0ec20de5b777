"""Where a volume lies in the patient: an affine map among its facts, of voxel index ``(x, y, z)`` to mm.

The map is ``p = A[:, :3] (i, j, k) + A[:, 3]`` with ``A`` of three rows and four columns; ``i`` runs along the last
axis of the array. Coordinates are those of NIfTI, to the right, to the front and to the head (RAS); DICOM counts to
the left and to the back (LPS), so that two rows change their sign. Beside the map stand the shape that it was stated
for and NIfTI's code of the coordinates: 0 unknown, 1 of the scanner, 2 to 4 of an atlas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..grid import Grid

__all__ = ["SCANNER", "UNKNOWN", "located", "orientation_of", "patient_map"]

UNKNOWN, SCANNER = 0, 1
_CODES = range(5)
_LENGTHS = 0.02


def located(affine: np.ndarray, shape: Sequence[int], code: int = SCANNER) -> dict[str, Any]:
    """Facts that tell where a volume lies.

    Parameters
    ----------
    affine
        The map to RAS coordinates in mm, ``(3, 4)``.
    shape
        Shape of the array that it belongs to.
    code
        NIfTI's code of the coordinates.
    """
    return {"affine": affine.tolist(), "affine_shape": list(shape), "affine_code": code}


def orientation_of(facts: Mapping[str, Any], grid: Grid) -> tuple[np.ndarray, int] | None:
    """Map and code among some facts, or None where there is none, or one of another grid.

    Parameters
    ----------
    facts
        Facts of a volume.
    grid
        Its grid: a volume that was cut has another shape, one that was resampled other voxels, than the map.
    """
    code, shape = facts.get("affine_code", SCANNER), facts.get("affine_shape", grid.shape)
    try:
        affine = np.asarray(facts.get("affine"), dtype=np.float64)
        fits = tuple(shape) == grid.shape and code in _CODES
    except (TypeError, ValueError):
        return None
    if not fits or affine.shape not in ((3, 4), (4, 4)) or not np.isfinite(affine).all():
        return None
    lengths = np.linalg.norm(affine[:3, : grid.dimension], axis=0)
    if not np.allclose(lengths, grid.lengths[::-1], rtol=_LENGTHS) or np.linalg.det(affine[:3, :3]) == 0:
        return None
    return affine[:3], int(code)


def patient_map(along_x: np.ndarray, along_y: np.ndarray, along_z: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map to RAS coordinates from what DICOM states in LPS coordinates.

    Parameters
    ----------
    along_x, along_y, along_z
        Steps from one voxel to the next along the columns, rows and slices, mm.
    first
        Position of the first voxel, mm.

    Returns
    -------
    numpy.ndarray
        ``(3, 4)``.
    """
    return np.array([[-1.0], [-1.0], [1.0]]) * np.column_stack([along_x, along_y, along_z, first])
