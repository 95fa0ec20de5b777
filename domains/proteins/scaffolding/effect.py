"""Did a condition act? Samples under the condition beside samples without it.

With ``a`` a deviation under the condition, such as the RMSD of a motif, and ``b`` the same measured without it,

    A = P(a < b) + P(a = b)/2

is 1/2 where the condition is ignored and 1 where every conditioned sample is nearer. The interval is that of the normal
approximation with the variance of Hanley and McNeil; the p-value is that of the rank-sum test, one-sided.

References
----------
J. A. Hanley, B. J. McNeil, Radiology 143 (1982) 29, doi:10.1148/radiology.143.1.7063747
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scidiff.errors import ConfigError

__all__ = ["Effect", "effect"]

_SURE = 0.01


@dataclass(frozen=True)
class Effect:
    """What a condition did.

    Parameters
    ----------
    area
        ``P(a < b) + P(a = b)/2``.
    interval
        Its 95 % interval.
    p
        One-sided p-value of the rank-sum test.
    with_condition, without
        Medians of the deviation.
    count
        Samples of each kind.
    """

    area: float
    interval: tuple[float, float]
    p: float
    with_condition: float
    without: float
    count: tuple[int, int]

    @property
    def acted(self) -> bool:
        """Whether the p-value is below 0.01."""
        return self.p < _SURE

    def as_json(self) -> dict[str, Any]:
        """All members, and the verdict."""
        return {**asdict(self), "acted": self.acted}


def effect(conditioned: Sequence[float], free: Sequence[float]) -> Effect:
    """Compare deviations with and without a condition.

    Parameters
    ----------
    conditioned, free
        Deviations, at least two of each, finite.

    Raises
    ------
    ConfigError
        If there are fewer, or one is not finite.
    """
    from scipy.stats import mannwhitneyu

    a, b = np.asarray(conditioned, dtype=float), np.asarray(free, dtype=float)
    if len(a) < 2 or len(b) < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ConfigError(f"{len(a)} and {len(b)} deviations came; expected two finite ones of each kind at least")
    test = mannwhitneyu(a, b, alternative="less")
    area = 1 - float(test.statistic) / (len(a) * len(b))
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (len(b) - 1) * (one - area**2) + (len(a) - 1) * (two - area**2)
    half = 1.96 * math.sqrt(max(spread, 0.0) / (len(a) * len(b)))
    interval = (max(area - half, 0.0), min(area + half, 1.0))
    return Effect(area, interval, float(test.pvalue), float(np.median(a)), float(np.median(b)), (len(a), len(b)))
