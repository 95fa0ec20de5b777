"""Counts of samples over the keys of a universe, and the two kinds of number that come out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scidiff.errors import DataError

__all__ = ["Estimate", "PlugIn", "count_keys"]


@dataclass(frozen=True)
class Estimate:
    """An estimate of a property of the sampler's law.

    Parameters
    ----------
    value
        The estimate.
    low, high
        Confidence interval at the level of the report.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PlugIn:
    """A statistic of the counts as they are, beside its law under a perfect sampler.

    Parameters
    ----------
    value
        The statistic with frequencies in the place of probabilities.
    floor
        Its exact mean for as many independent uniform samples.
    floor_sd
        Its exact standard deviation for as many independent uniform samples.
    """

    value: float
    floor: float
    floor_sd: float

    @property
    def excess(self) -> float:
        """The distance from the floor in standard deviations of a perfect sampler; 0 where that deviation is 0."""
        return (self.value - self.floor) / self.floor_sd if self.floor_sd > 0 else 0.0


def count_keys(samples: Iterable[str], universe: Sequence[str]) -> tuple[np.ndarray, int]:
    """Count samples over the keys of a universe.

    Parameters
    ----------
    samples
        Keys of the samples, spelled as in `universe` (RDKit's canonical SMILES without stereochemistry).
    universe
        Distinct keys.

    Returns
    -------
    counts, outside
        Integers of shape ``(len(universe),)``, and the number of samples that are no member.

    Raises
    ------
    DataError
        If a key of the universe is repeated.
    """
    place = {key: index for index, key in enumerate(universe)}
    if len(place) != len(universe):
        raise DataError(f"the universe has {len(universe)} keys, {len(place)} of them distinct; expected no repetition")
    counts = np.zeros(len(universe), dtype=np.int64)
    outside = 0
    for key, times in Counter(samples).items():
        if key in place:
            counts[place[key]] = times
        else:
            outside += times
    return counts, outside
