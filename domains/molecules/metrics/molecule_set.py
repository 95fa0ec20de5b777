"""A set of valid molecules whose features are computed once, when they are first asked for.

The strings are sorted, so that nothing downstream depends on the order of generation: not the random groups, not the
halves of a resampling, not the sums. Features are computed for each *distinct* string and spread over duplicates by an
index: with ``u`` the distinct strings and ``k`` the index, the set is ``u[k]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from .descriptors import brics_fragments, flat_smiles, murcko_scaffold, properties
from .filters import passes_moses, passes_pains
from .morgan import morgan
from .parallel import parallel_map
from .parsing import check

__all__ = ["MoleculeSet"]


class MoleculeSet:
    """Valid molecules and their features.

    Parameters
    ----------
    canonical
        Canonical SMILES of valid molecules, duplicates kept.
    workers
        Number of processes that compute features.
    """

    def __init__(self, canonical: Iterable[str], workers: int = 1) -> None:
        self.smiles = sorted(canonical)
        self.workers = workers
        self.unique = [text for i, text in enumerate(self.smiles) if i == 0 or text != self.smiles[i - 1]]
        fresh = [i > 0 and text != self.smiles[i - 1] for i, text in enumerate(self.smiles)]
        self.index = np.cumsum(np.array(fresh, dtype=np.int64))

    @classmethod
    def read(cls, smiles: Sequence[str | None], workers: int = 1) -> tuple[MoleculeSet, int]:
        """Parse strings of any origin.

        Parameters
        ----------
        smiles
            SMILES strings; None for a missing one.
        workers
            Number of processes.

        Returns
        -------
        molecules
            The valid ones.
        dropped
            Number of entries that were not valid.

        Raises
        ------
        DataError
            If an entry is neither a string nor None.
        """
        checked = check(smiles, workers=workers)
        return cls(checked.canonical, workers), len(smiles) - len(checked.canonical)

    def __len__(self) -> int:
        return len(self.smiles)

    def draw(self, count: int, seed: int) -> MoleculeSet:
        """Draw molecules at random without replacement.

        Parameters
        ----------
        count
            Number of molecules; all are taken where there are no more.
        seed
            Seed of the draw.

        Returns
        -------
        molecules
            The drawn ones as a set of their own.
        """
        if count >= len(self):
            return self
        rows = np.random.default_rng(seed).permutation(len(self))[:count]
        return MoleculeSet((self.smiles[row] for row in rows), self.workers)

    def _map(self, function: Callable[[str], Any]) -> list[Any]:
        """Apply a function to each distinct string."""
        return parallel_map(function, self.unique, self.workers)

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """Packed Morgan fingerprints of the distinct molecules, radius 2, 1024 bits."""
        return morgan(self.unique, workers=self.workers)

    @cached_property
    def properties(self) -> np.ndarray:
        """LogP, SA, QED and weight of every molecule, shape ``(n, 4)``."""
        return np.array(self._map(properties), dtype=np.float64).reshape(-1, 4)[self.index]

    @cached_property
    def fragments(self) -> list[tuple[str, ...]]:
        """BRICS fragments of the distinct molecules."""
        return self._map(brics_fragments)

    @cached_property
    def scaffolds(self) -> list[tuple[str, int] | None]:
        """Scaffold and its number of rings, of the distinct molecules."""
        return self._map(murcko_scaffold)

    @cached_property
    def flat(self) -> list[str]:
        """Distinct molecules with the stereo marks taken off, sorted."""
        return sorted(set(self._map(flat_smiles)))

    def passes_moses(self, rules: tuple[str, ...]) -> np.ndarray:
        """Tell which molecules pass the filters of MOSES.

        Parameters
        ----------
        rules
            Patterns of `load_moses_rules`.

        Returns
        -------
        passes
            One bool each, shape ``(n,)``.
        """
        return np.array(self._map(partial(passes_moses, rules=rules)), dtype=bool)[self.index]

    @cached_property
    def passes_pains(self) -> np.ndarray:
        """Whether every molecule is free of RDKit's PAINS patterns, shape ``(n,)``."""
        return np.array(self._map(passes_pains), dtype=bool)[self.index]
