"""Sequence clusters by shared 4-mers, so that near duplicates do not sit on both sides of a split.

Two chains are linked when they share at least 40 % of the distinct 4-mers of the shorter one; a cluster is a connected
component. This is a measure of shared words and no alignment: it catches copies, point mutants, truncations and tags,
and it does not catch distant homologues.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

__all__ = ["cluster"]

_WORD = 4
_SHARED = 0.4


def cluster(sequences: Sequence[str], shared: float = _SHARED) -> np.ndarray:
    """Label sequences by cluster.

    Parameters
    ----------
    sequences
        One-letter sequences.
    shared
        Least share of common 4-mers that links two.

    Returns
    -------
    ndarray
        Shape ``(count,)``; each label is the row of the first member of the cluster.
    """
    words = [{text[k : k + _WORD] for k in range(len(text) - _WORD + 1)} or {text} for text in sequences]
    where: dict[str, list[int]] = defaultdict(list)
    root = list(range(len(sequences)))

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for row, own in enumerate(words):
        common: dict[int, int] = defaultdict(int)
        for word in own:
            for other in where[word]:
                common[other] += 1
            where[word].append(row)
        for other, count in common.items():
            if count >= shared * min(len(own), len(words[other])):
                first, second = sorted((find(row), find(other)))
                root[second] = first
    return np.array([find(row) for row in range(len(sequences))])
