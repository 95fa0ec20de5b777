"""Sensors: points of a grid at which a field is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from scidiff.errors import ConfigError, ShapeError
from scidiff.spaces.linear import Selection

from .errors import SensorError

__all__ = ["Sensors", "random_sensors"]


@dataclass(frozen=True, eq=False)
class Sensors:
    """Distinct points of a grid.

    Parameters
    ----------
    index
        Integers, shape ``(count, 2)``.
    shape
        Shape of the grid.
    domain
        True at the points that belong to the domain; all by default.

    Raises
    ------
    SensorError
        If a sensor lies outside the domain, or two lie at one point; it lists them.
    """

    index: np.ndarray
    shape: tuple[int, int]
    domain: np.ndarray | None = None

    def __post_init__(self) -> None:
        index = np.asarray(self.index)
        if index.ndim != 2 or index.shape[1] != 2 or index.dtype.kind not in "iu" or not len(index):
            raise ShapeError(f"index has shape {index.shape} and dtype {index.dtype}; expected integers (count, 2)")
        object.__setattr__(self, "index", index.astype(np.int64))
        out: np.ndarray = np.any((index < 0) | (index >= np.array(self.shape)), axis=1)
        if self.domain is not None:
            out[~out] |= ~self.domain[tuple(index[~out].T)]
        if out.any():
            worst = np.flatnonzero(out)
            raise SensorError(
                f"sensor {worst[0]} at {tuple(map(int, index[worst[0]]))} ({len(worst)} such) lies outside the domain "
                f"of shape {self.shape}; leave it out or move it",
                worst,
            )
        _, first, inverse = np.unique(index, axis=0, return_index=True, return_inverse=True)
        twice = np.flatnonzero(first[inverse.ravel()] != np.arange(len(index)))
        if len(twice):
            one, other = int(first[inverse.ravel()[twice[0]]]), int(twice[0])
            raise SensorError(
                f"sensors {one} and {other} are both at {tuple(map(int, index[other]))} ({len(twice)} such); "
                "keep one of each, or average their values",
                twice,
            )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def mask(self) -> np.ndarray:
        """True at the sensors, shape ``shape``."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[tuple(self.index.T)] = True
        return mask

    @property
    def operator(self) -> Selection:
        """The linear map from a field to its values at the sensors, in the order of the grid."""
        return Selection(torch.from_numpy(self.mask))

    def inside(self, domain: np.ndarray) -> Sensors:
        """The sensors that lie in a smaller domain."""
        return Sensors(self.index[domain[tuple(self.index.T)]], self.shape, domain)


def random_sensors(shape: tuple[int, int], count: int, seed: int, domain: np.ndarray | None = None) -> Sensors:
    """Choose distinct points of a domain, uniformly.

    Parameters
    ----------
    shape
        Shape of the grid.
    count
        Number of sensors.
    seed
        Seed of the choice.
    domain
        Points to choose from, all by default.
    """
    places = np.argwhere(np.ones(shape, dtype=bool) if domain is None else domain)
    if not 1 <= count <= len(places):
        raise ConfigError(f"count is {count}; expected 1 to {len(places)}, the number of points")
    chosen = np.random.default_rng(seed).permutation(len(places))[:count]
    return Sensors(places[np.sort(chosen)], shape, domain)
