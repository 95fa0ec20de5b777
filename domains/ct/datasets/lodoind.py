"""LoDoInd: reconstructions of one industrial object at five doses and a reference.

*From the publication and the programs of its authors*: folders ``Noise1`` to ``Noise5`` and ``Ref``, in each one TIFF
file for each slice, ``recon0000.tif`` and on; DM4CT uses the slices 500 to 3499. The files state neither their unit nor
the edge of a voxel, so that both are arguments.

References
----------
J. Shi et al., "LoDoInd: introducing a benchmark low-dose industrial CT dataset", 13th Conference on Industrial Computed
Tomography (2024), https://zenodo.org/records/10391412
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scidiff.errors import ConfigError

from ..grid import Grid
from ..volume import PER_MM, Volume
from .files import PUBLISHED, checked, folder_of, image, numbered

__all__ = ["load_lodoind"]


def load_lodoind(
    path: str | Path, voxel: float, slices: range = range(500, 3500), sha256: str = "", slope: float = 1.0
) -> Volume:
    """Read slices of one reconstruction.

    Parameters
    ----------
    path
        Folder of the reconstruction, such as ``LoDoInd/Ref``.
    voxel
        Edge of a voxel, mm.
    slices
        Numbers of the slices.
    sha256
        Hash of the files of these slices.
    slope
        What the stored numbers are multiplied with to give 1/mm.

    Returns
    -------
    Volume
        Values in 1/mm.

    Raises
    ------
    MissingPackageError
        If tifffile is not installed.
    IntegrityError
        If the files have another hash.
    DataError
        If a file is missing, damaged, or of another shape.
    ConfigError
        If there is no slice.
    """
    if not len(slices):
        raise ConfigError(f"slices is {slices}; expected at least one number")
    folder = folder_of(path, "one with files recon0000.tif, ...")
    files = numbered(folder, [f"recon{k:04d}.tif" for k in slices], "a file for every slice: choose slices")
    known = checked(files, sha256, folder)
    first = image(files[0])
    values = np.empty((len(files), *first.shape), dtype=np.float32)
    for k, file in enumerate(files):
        values[k] = slope * (first if k == 0 else image(file, first.shape))
    facts = {"data": f"LoDoInd {folder.name}", "layout": PUBLISHED, "slices": [slices[0], slices[-1]], **known}
    return Volume(torch.from_numpy(values), Grid(tuple(values.shape), voxel), PER_MM, facts)
