"""Few calls on Target A: learned solvers from a noise-to-signal ratio of 40 to 0.01, judged on starts they never saw.

The distance to the data is the sliced 2-Wasserstein distance of 3000 ends to 30000 exact draws, over 64 directions and
2000 quantiles. Two independent samples of one law are not at distance 0: the floor is that of 3000 exact draws in the
place of the ends, averaged over eight of them.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from scidiff.process import GaussianProcess
from scidiff.random import Noise
from scidiff.sample import Table, exponential_adams
from scidiff.sample.learned import Pairs, TableFit, learn, teach_flow
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, follow, target_a
from scidiff.testing_targets.orders import log_grid

__all__ = ["PROCESS", "distance", "floor", "learned", "log_table", "pairs", "sliced_w2"]

PROCESS = GaussianProcess(Euclidean((4,)), VE)
_DRAWS, _EXACT = 3000, 30000


def sliced_w2(x: Tensor, y: Tensor, *, seed: int = 0) -> float:
    """Sliced 2-Wasserstein distance of two samples, shape ``(count, dim)``, over 64 directions and 2000 quantiles."""
    directions = Noise.range(seed, 64).normal((x.shape[1],), step=0, stream="directions")
    directions = directions / directions.norm(dim=1, keepdim=True)
    levels = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    ends = [torch.quantile(part @ directions.T, levels, dim=0) for part in (x, y)]
    return float((ends[0] - ends[1]).square().mean().sqrt())


@cache
def pairs(count: int = 400, seed: int = 11) -> Pairs:
    """Starts ``40 N(0, I)`` and the ends of the flow, by 300 Runge-Kutta steps, which err by 1e-7."""
    start = PROCESS.prior(Noise.range(seed, count), (4,))
    last = float(VE.t(torch.tensor(-math.log(0.01), dtype=torch.float64)))
    return teach_flow(target_a().denoiser, PROCESS, start, last=last, steps=300)


@cache
def learned(steps: int, seed: int = 11) -> TableFit:
    """Table learned from 400 pairs, and judged on 400 others."""
    return learn(target_a().denoiser, PROCESS, pairs(400, seed), pairs(400, seed + 1), steps=steps)


def log_table(steps: int) -> Table:
    """Return exponential Adams of order 2 on the logarithmic grid."""
    return exponential_adams(VE, log_grid(steps), order=2)


@cache
def _exact(seed: int) -> Tensor:
    return target_a().draw(Noise.range(seed, _EXACT), stream="exact")


def distance(table: Table, seed: int = 12) -> float:
    """Distance of the ends of 3000 starts, none of which a fit has seen, to exact draws."""
    start = PROCESS.prior(Noise.range(seed + 1000, _DRAWS), (4,))
    return sliced_w2(follow(table, target_a().denoiser, VE, start).x, _exact(seed))


def floor(seed: int = 12) -> float:
    """Distance of 3000 exact draws to the others, the mean of eight."""
    fresh = [target_a().draw(Noise.range(seed + 2000 + k, _DRAWS), stream="fresh") for k in range(8)]
    return sum(sliced_w2(x, _exact(seed)) for x in fresh) / len(fresh)
