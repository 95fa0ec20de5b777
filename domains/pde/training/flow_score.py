r"""Matching the law of the end of a run to that of the flows: the energy score around each set of obstacles.

For a law ``p`` of flows ``y`` around given obstacles, and two independent draws ``x, x'`` of the model around the same,
the energy score [1]_

.. math::
    S = E\|x - y\|_f - \tfrac12 E\|x - x'\|_f,   \qquad \|x\|_f = \frac1P \sum_{p \le P} |f_p(x)| / c_f

is least where the law of ``f_p(x)`` is that of ``f_p(y)``: it is a strictly proper score for every window ``p``. The
features are the whole flow, windows of 8 x 8 velocities, and windows of 4 x 4 and of one value of the vorticity, so
that size, spread and tails count at every scale; ``c_f`` is the mean distance of two flows, so that ``S`` is near 1/2
for each. All snapshots of the obstacles are averaged over, which costs no call of the network.

One network call ends a run of ``k`` jumps: the first ``k - 1`` are made without gradient, the last one is trained.

References
----------
.. [1] T. Gneiting, A. Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 102, 359 (2007),
   doi:10.1198/016214506000001437
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import unfold

if TYPE_CHECKING:
    from scidiff.denoise.flow_map import FlowMap

__all__ = ["FEATURES", "end_of_run", "energy_score", "feature_distance"]

_TINY = 1e-8


def _whole(flow: Tensor) -> Tensor:
    return flow.flatten(1).unsqueeze(1)


def _windows(flow: Tensor) -> Tensor:
    return unfold(flow, 8, stride=4).mT


def _turning(flow: Tensor) -> Tensor:
    """Vorticity at the corners of the cells, in units of one cell, shape ``(batch, 1, nx, ny)``."""
    u, v = flow[:, :1], flow[:, 1:]
    return (v - v.roll(1, -2)) - (u - u.roll(1, -1))


def _turning_windows(flow: Tensor) -> Tensor:
    return unfold(_turning(flow), 4, stride=2).mT


def _turning_points(flow: Tensor) -> Tensor:
    return _turning(flow).flatten(1).unsqueeze(2)


FEATURES: tuple[Callable[[Tensor], Tensor], ...] = (_whole, _windows, _turning_windows, _turning_points)
"""Features of flows, shape ``(batch, 2, nx, ny)`` to ``(batch, windows, values)``."""


def feature_distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean over windows of the Euclidean distance, for features that broadcast: ``(..., windows, values)``."""
    return ((x - y).square().sum(-1) + _TINY**2).sqrt().mean(-1)


def energy_score(first: Tensor, second: Tensor, truth: Tensor) -> Tensor:
    """Mean energy score of the features, one for each set of obstacles, shape ``(groups,)``.

    Parameters
    ----------
    first, second
        Independent draws of the model, shape ``(groups, 2, nx, ny)``.
    truth
        Snapshots, shape ``(groups, each, 2, nx, ny)``, at least two of each.
    """
    groups, each = truth.shape[:2]
    total = first.new_zeros(groups)
    for feature in FEATURES:
        seen = feature(truth.flatten(0, 1)).unflatten(0, (groups, each))
        a, b = feature(first).unsqueeze(1), feature(second).unsqueeze(1)
        unit = feature_distance(seen, seen.roll(1, 1)).mean().clamp_min(_TINY)
        near = 0.5 * (feature_distance(a, seen) + feature_distance(b, seen)).mean(1)
        total = total + (near - 0.5 * feature_distance(a, b)[:, 0]) / unit
    return total / len(FEATURES)


def end_of_run(flow: FlowMap, x: Tensor, calls: int, condition: Tensor) -> Tensor:
    """End of a run of equal jumps from noise; the gradient is that of the last jump."""
    times = torch.linspace(1, 0, calls + 1, dtype=torch.float64, device=x.device)
    with torch.no_grad():
        for t, s in pairwise(times[:-1]):
            x = flow(x, t.expand(len(x)), s.expand(len(x)), condition)
    return flow(x, times[-2].expand(len(x)), times[-1].expand(len(x)), condition)
