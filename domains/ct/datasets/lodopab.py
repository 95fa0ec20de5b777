"""LoDoPaB-CT: simulated low-dose scans of human chests with the images that they were made of.

*From the publication and the programs of its authors*: ``observation_PART_000.hdf5`` and ``ground_truth_PART_000.hdf5``
with one data set ``data`` each, 128 samples in a file; PART is ``train`` (35820 samples), ``validation`` (3522) or
``test`` (3553). An image has 362 x 362 pixels on 260 mm x 260 mm, x along its first axis, and values over the
attenuation of 3071 HU, 81.35858 / m. An observation has 1000 angles, the middles of equal parts of half a turn, and 513
pixels on 2 sqrt(2) 130 mm; it is

    -log(N / 4096) / 81.35858,        N ~ Poisson(4096 exp(-A mu)), and 0.1 where N = 0.

Here counts are made of it again, so that the weights are those of the counts and a ray without a count has none.

References
----------
J. Leuschner et al., "LoDoPaB-CT, a benchmark dataset for low-dose computed tomography reconstruction", Sci. Data 8
(2021) 109, doi:10.1038/s41597-021-00893-z; data doi:10.5281/zenodo.3384092
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from scidiff.errors import ConfigError, DataError

from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..readers.hdf5 import opened
from ..readers.places import in_file
from ..scan import Scan
from ..volume import PER_MM, Volume
from .files import PUBLISHED, checked, folder_of, numbered

__all__ = ["Pair", "load_lodopab"]

_PARTS = {"train": 35820, "validation": 3522, "test": 3553}
_IN_FILE, _PHOTONS, _LARGEST = 128, 4096.0, 81.35858
_EXTENT = 260.0


class Pair(NamedTuple):
    """A scan and the image that it was made of.

    Parameters
    ----------
    scan
        The scan.
    truth
        The image, 1/mm.
    """

    scan: Scan
    truth: Volume


def load_lodopab(path: str | Path, part: str = "test", index: int = 0, sha256: str = "") -> Pair:
    """Read one sample.

    Parameters
    ----------
    path
        Folder with the files.
    part
        ``train``, ``validation`` or ``test``.
    index
        Number of the sample.
    sha256
        Hash of the two files that hold it.

    Returns
    -------
    Pair
        Scan, with weights from the counts, and image.

    Raises
    ------
    MissingPackageError
        If h5py is not installed.
    ConfigError
        If there is no such part or sample.
    IntegrityError
        If the files have another hash.
    DataError
        If a file is missing, cut short, or has no such sample.
    """
    if part not in _PARTS or not 0 <= index < _PARTS[part]:
        raise ConfigError(f"part is '{part}' and index {index}; expected one of {_PARTS} and an index below its number")
    folder = folder_of(path, "one with observation_test_000.hdf5 and its like")
    number, place = divmod(index, _IN_FILE)
    names = [f"{kind}_{part}_{number:03d}.hdf5" for kind in ("observation", "ground_truth")]
    files = numbered(folder, names, "observations and ground truth, unpacked")
    known = checked(files, sha256, folder)
    y, truth = (_sample(file, place) for file in files)
    if truth.shape[0] != truth.shape[1]:
        raise DataError(f"{files[1]}: data has images of shape {truth.shape}; expected square ones")
    facts = {"data": "LoDoPaB-CT", "part": part, "index": index, "layout": PUBLISHED, **known}
    angles = even_angles(len(y)) + 0.5 * math.pi / len(y)
    geometry = Parallel(angles, y.shape[1], math.sqrt(2) * _EXTENT / y.shape[1])
    counts = _PHOTONS * np.exp(-_LARGEST * y)
    counts[counts < 0.5] = 0.0
    with in_file(files[0], counts="4096 exp(-81.35858 data)"):
        scan = Scan.from_counts(counts, geometry, _PHOTONS, saturation=math.inf, facts=facts)
    values = torch.from_numpy(np.ascontiguousarray(truth.T * (1e-3 * _LARGEST))).float()
    with in_file(files[1], values="data"):
        return Pair(scan, Volume(values, Grid.square(len(values), _EXTENT), PER_MM, facts))


def _sample(path: Path, place: int) -> np.ndarray:
    """One sample of a file, float64."""
    with opened(path, "a file of LoDoPaB-CT") as file:
        if "data" not in file or len(file["data"].shape) != 3:
            shape = file["data"].shape if "data" in file else None
            raise DataError(f"{path} has data of shape {shape}; expected a data set 'data' (samples, rows, columns)")
        if place >= file["data"].shape[0]:
            raise DataError(
                f"{path}: data holds {file['data'].shape[0]} samples; expected more than {place}: is it whole?"
            )
        return np.asarray(file["data"][place], dtype=np.float64)
