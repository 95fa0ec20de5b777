"""Everything that a metric may look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .molecule_set import MoleculeSet
from .parsing import Checked

__all__ = ["Context"]


@dataclass(frozen=True, eq=False)
class Context:
    """Generated molecules, the sets they are compared with, and the settings of the intervals.

    Parameters
    ----------
    checked
        Verdicts on the generated strings.
    generated
        The valid ones.
    reference
        The set whose distribution is the target.
    train
        The training set, or None.
    targets
        Molecules whose scaffolds are to be retrieved.
    seed
        Seed of everything random.
    repeats
        Resamplings for an interval; 0 for no resampled interval.
    confidence
        Nominal coverage of the intervals.
    rules
        Patterns of MOSES, or None.
    unique_at
        Sizes ``k`` of unique@k.
    cache
        Folder of cached statistics.
    threads
        Threads of torch for network activations, or None for as many as are set.
    """

    checked: Checked
    generated: MoleculeSet
    reference: MoleculeSet
    train: MoleculeSet | None
    targets: MoleculeSet
    seed: int
    repeats: int
    confidence: float
    rules: tuple[str, ...] | None
    unique_at: tuple[int, ...]
    cache: Path
    threads: int | None

    @cached_property
    def codes(self) -> np.ndarray:
        """For each attempt the row of its distinct molecule, -1 for an attempt that gave none."""
        failed = np.full(self.checked.attempts - len(self.generated), -1, dtype=np.int64)
        return np.concatenate([self.generated.index, failed])

    @cached_property
    def novel(self) -> np.ndarray:
        """Whether each distinct generated molecule is absent from the training set."""
        known = set() if self.train is None else set(self.train.unique)
        return np.array([text not in known for text in self.generated.unique], dtype=bool)
