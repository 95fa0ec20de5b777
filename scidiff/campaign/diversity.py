"""Which of many samples differ: the most distant ones, at most so many of a family, and clusters.

    packed bits  d(a, b) = 1 - |a and b| / |a or b|       (Tanimoto; 0 for two empty sets)
    numbers      d(a, b) = |a - b|_2

MaxMin picks, one after the other, the sample whose nearest picked one is farthest [1]_. The sphere exclusion of Taylor
and Butina takes the sample with most neighbours within a radius, gives it these as its cluster, and goes on with the
rest [2]_. Ties go to the sample that comes first, so that both are functions of their input.

References
----------
.. [1] M. Ashton et al., Quant. Struct.-Act. Relat. 21 (2002) 598, doi:10.1002/qsar.200290002
.. [2] D. Butina, J. Chem. Inf. Comput. Sci. 39 (1999) 747, doi:10.1021/ci9803381
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from scidiff.errors import ConfigError, ShapeError

__all__ = ["Bits", "Distances", "Vectors", "cap", "clusters", "distances_of", "maxmin"]

_BLOCK = 1 << 15
_MOST = 20_000


class Distances(Protocol):
    """Distances within a set of samples."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def from_one(self, row: int) -> np.ndarray:
        """Return the distances of all samples from one of them."""
        ...


class Bits:
    """Tanimoto distances of packed bits.

    Parameters
    ----------
    packed
        Bytes, shape ``(samples, bytes)``.
    """

    def __init__(self, packed: np.ndarray) -> None:
        wide = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
        wide[:, : packed.shape[1]] = packed
        self._words = np.ascontiguousarray(wide.view(np.uint64).T)
        self._sizes = np.zeros(len(packed), dtype=np.uint16)
        for word in self._words:
            self._sizes += np.bitwise_count(word)

    def __len__(self) -> int:
        return self._words.shape[1]

    def from_one(self, row: int) -> np.ndarray:
        """Return the distances of all samples from one of them, float32."""
        out = np.empty(len(self), dtype=np.float32)
        for start in range(0, len(self), _BLOCK):
            part = slice(start, start + _BLOCK)
            both = np.zeros(len(out[part]), dtype=np.uint16)
            for word in self._words:
                both += np.bitwise_count(word[part] & word[row])
            either = (self._sizes[part] + self._sizes[row] - both).astype(np.float32)
            out[part] = 1 - both / np.maximum(either, 1)
            out[part][either == 0] = 0
        return out


class Vectors:
    """Euclidean distances of numbers.

    Parameters
    ----------
    rows
        Shape ``(samples, numbers)``.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = np.ascontiguousarray(rows, dtype=np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def from_one(self, row: int) -> np.ndarray:
        """Return the distances of all samples from one of them, float32."""
        parts = range(0, len(self), _BLOCK)
        near = [np.linalg.norm(self._rows[k : k + _BLOCK] - self._rows[row], axis=1) for k in parts]
        return np.concatenate(near)


def distances_of(features: np.ndarray) -> Distances:
    """Return the distances that belong to the type of features.

    Parameters
    ----------
    features
        Packed bits (uint8) or numbers (float32), shape ``(samples, width)``.

    Raises
    ------
    ShapeError
        If they are neither.
    """
    if features.ndim != 2 or features.dtype not in (np.uint8, np.float32):
        raise ShapeError(f"features are {features.dtype} of shape {features.shape}; expected uint8 or float32 matrix")
    return Bits(features) if features.dtype == np.uint8 else Vectors(features)


def maxmin(distances: Distances, count: int) -> np.ndarray:
    """Pick samples that are far from each other; the first one is always picked.

    Parameters
    ----------
    distances
        Distances of the samples.
    count
        Number of picks; all samples where there are fewer.

    Returns
    -------
    ndarray
        Numbers of the samples, in the order of the picks.
    """
    count = min(count, len(distances))
    picked = np.zeros(count, dtype=np.int64)
    nearest = np.full(len(distances), np.inf, dtype=np.float32)
    for pick in range(1, count):
        np.minimum(nearest, distances.from_one(int(picked[pick - 1])), out=nearest)
        nearest[picked[pick - 1]] = -1
        picked[pick] = int(nearest.argmax())
    return picked


def clusters(distances: Distances, radius: float) -> np.ndarray:
    """Cluster samples by sphere exclusion.

    Parameters
    ----------
    distances
        Distances of at most 20,000 samples.
    radius
        Largest distance of a member from the centre of its cluster.

    Returns
    -------
    ndarray
        Number of the cluster of each sample; clusters are numbered by falling size at their forming.

    Raises
    ------
    ConfigError
        If there are more samples.
    """
    if len(distances) > _MOST:
        raise ConfigError(f"{len(distances)} samples are to be clustered; expected at most {_MOST}: pick fewer first")
    near = [np.flatnonzero(distances.from_one(row) <= radius) for row in range(len(distances))]
    sizes = np.array([len(each) for each in near])
    label = np.full(len(near), -1)
    for cluster in range(len(near)):
        centre = int(np.where(label < 0, sizes, -1).argmax())
        if label[centre] >= 0:
            break
        members = near[centre][label[near[centre]] < 0]
        label[members] = cluster
        for member in members:
            sizes[near[member]] -= 1
    return label


def cap(groups: np.ndarray, most: int) -> np.ndarray:
    """Keep at most so many samples of a family, the first ones.

    Parameters
    ----------
    groups
        Number of the family of each sample.
    most
        Samples of one family.

    Returns
    -------
    ndarray
        True where a sample is kept.
    """
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, dtype=np.int64)
    place = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    kept = np.zeros(len(groups), dtype=bool)
    kept[order[place < most]] = True
    return kept
