"""How different the chains of a set are: mean pairwise TM-score and clusters.

The TM-score of a pair is the larger of its two normalisations. Clusters are made greedily, in the order of the chains:
each joins the first centre with a TM-score of at least 0.5, or becomes one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .chains import Chains
from .tmalign import pair_tm

__all__ = ["SAME_FOLD", "Diversity", "diversity", "pairwise_tm"]

SAME_FOLD = 0.5
_BATCH = 128


@dataclass(frozen=True, eq=False)
class Diversity:
    """Pairwise comparison of a set.

    Parameters
    ----------
    tm
        TM-scores of all pairs, symmetric, ones on the diagonal, shape ``(count, count)``.
    centre
        Centre of the cluster of each chain, shape ``(count,)``.
    """

    tm: Tensor
    centre: Tensor

    @property
    def mean_tm(self) -> float:
        """Mean over pairs."""
        above = torch.ones_like(self.tm, dtype=torch.bool).triu(1)
        return float(self.tm[above].mean()) if bool(above.any()) else 1.0

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.centre.unique())


def pairwise_tm(chains: Chains, rounds: int = 2) -> Tensor:
    """TM-scores of all pairs, shape ``(count, count)``."""
    count = len(chains)
    tm = torch.eye(count, dtype=torch.float64)
    pairs = torch.combinations(torch.arange(count)) if count > 1 else torch.zeros(0, 2, dtype=torch.int64)
    for part in pairs.split(_BATCH):
        one, two = chains.take(part[:, 0]), chains.take(part[:, 1])
        score = pair_tm(one.ca.float(), one.mask, two.ca.float(), two.mask, rounds).max(1).values.double()
        tm[part[:, 0], part[:, 1]] = tm[part[:, 1], part[:, 0]] = score
    return tm


def diversity(chains: Chains, rounds: int = 2) -> Diversity:
    """Compare all pairs of a set and cluster it.

    Parameters
    ----------
    chains
        The set; the cost grows with its square, about 10 ms a pair.
    rounds
        Turns of dynamic programming, as of `tmalign.pair_tm`.
    """
    tm = pairwise_tm(chains, rounds)
    centres: list[int] = []
    centre = torch.zeros(len(chains), dtype=torch.int64)
    for row in range(len(chains)):
        near = next((k for k in centres if float(tm[row, k]) >= SAME_FOLD), row)
        if near == row:
            centres.append(row)
        centre[row] = near
    return Diversity(tm, centre)
