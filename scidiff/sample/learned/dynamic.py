"""A grid by dynamic programming over the local errors of one dense run; nothing is differentiated.

On a dense trajectory ``(x_i, m_i)`` the step of exponential Adams of order 2 from node `i` to node `j`, with the
prediction of node `p` behind it, errs by

    e[p, i, j] = mean |x_j - (sigma_j / sigma_i) x_i - alpha_j (w_0 m_i + w_1 m_p)| / sqrt(alpha_j^2 v + sigma_j^2)

in units of the spread of ``x_j``, with which the flow of Gaussian data of variance `v` carries an error on. With the
cost ``C = e^2``, as for errors that add up like independent ones, the cheapest grid of `K` steps follows from
``V[i, j] = min_p V[p, i] + C[p, i, j]`` [1]_, [2]_. Order 1 does not look at `p`.

References
----------
.. [1] D. Chen et al., "On the Trajectory Regularity of ODE-based Diffusion Sampling", arXiv:2405.11326
.. [2] Cui et al., DPCache, arXiv:2602.22654
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Process
from scidiff.process.schedule import Schedule
from scidiff.random import Noise
from scidiff.sample.continuous.adams import adams_weights
from scidiff.sample.continuous.exponential import exponential_adams
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.learned.recursion import gaussian
from scidiff.sample.loop import run
from scidiff.sample.state import RunState

__all__ = ["ProgrammedGrid", "fit_grid_dp"]


@dataclass(frozen=True, eq=False)
class ProgrammedGrid:
    """The cheapest grid and its cost.

    Parameters
    ----------
    grid
        Times, shape ``(steps + 1,)``, a part of the dense grid.
    cost
        Sum of the squared local errors.
    calls
        Network calls of the dense run, per sample.
    """

    grid: Tensor
    cost: float
    calls: int


def fit_grid_dp(
    denoiser: Denoiser,
    process: Process,
    start: Tensor,
    dense: Tensor,
    *,
    steps: int,
    order: int = 2,
    condition: Any = None,
) -> ProgrammedGrid:
    """Choose the nodes of a grid among those of a dense one.

    Parameters
    ----------
    denoiser, process
        What the solver will be used with.
    start
        States at the first node, shape ``(batch, *event)``; a hundred are enough.
    dense
        Times of the dense run, 30 to 100 steps.
    steps
        Number of steps of the grid.
    order
        Order of exponential Adams, 1 or 2.
    condition
        Handed to the denoiser.

    Returns
    -------
    ProgrammedGrid
        The nodes, and what they cost.

    Raises
    ------
    ConfigError
        If there are more steps than dense ones.
    """
    if order not in (1, 2) or not 1 <= steps <= len(dense) - 1:
        raise ConfigError(
            f"order {order} and {steps} of {len(dense) - 1} steps; expected order 1 or 2, and not more steps"
        )
    schedule = gaussian(process).schedule
    x, m = _trajectory(denoiser, process, start, dense, condition)
    path, cost = _cheapest(_costs(schedule, dense, x, m, order), steps)
    return ProgrammedGrid(dense[path], cost, len(dense) - 1)


def _trajectory(
    denoiser: Denoiser, process: Process, start: Tensor, dense: Tensor, condition: Any
) -> tuple[Tensor, Tensor]:
    """States at the dense nodes and predictions at all but the last, ``(nodes, batch, dim)``."""
    rule = TableRule(exponential_adams(gaussian(process).schedule, dense, order=3))
    state = RunState.at(start.double(), float(dense[0]), Noise.range(0, len(start)))
    seen: list[RunState] = []
    end = run(denoiser, process, rule, rule.plan, state=state, condition=condition, progress=seen.append)
    stamps = [each.history[-1] for each in seen]
    x = torch.stack([*(stamp.x for stamp in stamps), end.x]).flatten(2)
    return x, torch.stack([stamp.m.double() for stamp in stamps]).flatten(2)


def _costs(schedule: Schedule, dense: Tensor, x: Tensor, m: Tensor, order: int) -> np.ndarray:
    """Squared local errors ``C[p, i, j]``; infinite unless ``p <= i < j``; ``p = i`` stands for no node before."""
    count = len(dense)
    alpha, sigma, lam = schedule.alpha(dense), schedule.sigma(dense), schedule.lam(dense)
    variance = (x[-1] / alpha[-1]).var(0).mean()
    unit = (alpha**2 * variance + sigma**2).sqrt()
    cost = np.full((count, count, count), np.inf)
    for i in range(count - 1):
        first = i if order == 1 else 0
        for p in range(first, i + 1):
            nodes = [0.0] if p == i or not bool(lam[p].isfinite()) else [0.0, float(lam[p] - lam[i])]
            past = torch.stack([m[i], m[p]][: len(nodes)])
            ahead = torch.arange(i + 1, count)
            w = _weights(lam[ahead] - lam[i], torch.tensor(nodes, dtype=torch.float64))
            moved = (sigma[ahead] / sigma[i])[:, None, None] * x[i]
            moved = moved + alpha[ahead][:, None, None] * torch.einsum("jk,kbd->jbd", w, past)
            error = (x[ahead] - moved).norm(dim=-1).mean(1) / unit[ahead]
            cost[p, i, i + 1 :] = error.square().numpy()
    return cost


def _weights(h: Tensor, nodes: Tensor) -> Tensor:
    """Weights of steps of several lengths, of which those of infinite length use the present node alone."""
    finite = h.isfinite()
    weights = adams_weights(torch.where(finite, h, 1.0), nodes.expand(len(h), -1))
    alone = torch.zeros_like(nodes)
    alone[0] = 1.0
    return torch.where(finite.unsqueeze(1), weights, alone)


def _cheapest(cost: np.ndarray, steps: int) -> tuple[list[int], float]:
    """Path of `steps` steps from the first node to the last of least cost, by programming over pairs of nodes."""
    count = len(cost)
    own = np.arange(count)
    if np.isfinite(cost[0, 1:, :]).any():
        later = cost.copy()
        later[own, own, :] = np.inf
    else:
        later = cost[own, own, :][None, :, :].repeat(count, 0)
        later[own[:, None] >= own[None, :]] = np.inf
    value = np.full((count, count), np.inf)
    value[0] = cost[0, 0]
    before = []
    for _ in range(steps - 1):
        total = value[:, :, None] + later
        before.append(total.argmin(0))
        value = total.min(0)
    j = count - 1
    i = int(value[:, j].argmin())
    path, best = [j, i], float(value[i, j])
    for step in reversed(before):
        i, j = int(step[i, j]), i
        path.append(i)
    return path[::-1], best
