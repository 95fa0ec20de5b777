"""Weights of exponential Adams as differentiable functions of steps and nodes, in batches.

    mu_k(h) = M_k(h) / h^k,    M_k(h) = int_0^h exp(-(h - u)) u^k du,    mu_0 = 1 - exp(-h),   mu_k = 1 - k mu_(k-1) / h

For small `h` the recurrence cancels, and ``mu_k = h k! sum_p (-h)^p / (k + 1 + p)!`` is used. The weights solve
``sum_j w_j (node_j / h)^k = mu_k``, as those of `scidiff.sample.continuous.moments`, which are made for one grid in
NumPy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scidiff.process.schedule import Schedule

__all__ = ["adams_rows", "adams_weights", "scaled_moments"]

_MOST = 6
_SERIES = torch.tensor(
    [[math.factorial(k) / math.factorial(k + 1 + p) for k in range(_MOST)] for p in range(18)], dtype=torch.float64
)


def scaled_moments(h: Tensor, count: int) -> Tensor:
    """Moments ``mu_0 ... mu_(count-1)`` of the exponential kernel.

    Parameters
    ----------
    h
        Lengths of the steps, finite, any shape.
    count
        Number of moments, at most 6.

    Returns
    -------
    Tensor
        Shape ``(*h.shape, count)``, float64.
    """
    small = h.abs() < 1
    near, far = torch.where(small, h, 0.5).unsqueeze(-1), torch.where(small, 2.0, h)
    series = torch.zeros_like(near)
    for terms in _SERIES[:, :count].flip(0).to(near.device):
        series = series * -near + terms
    closed = [-torch.expm1(-far)]
    for k in range(1, count):
        closed.append(1 - k * closed[-1] / far)
    return torch.where(small.unsqueeze(-1), near * series, torch.stack(closed, -1))


def adams_weights(h: Tensor, nodes: Tensor) -> Tensor:
    """Weights ``w_j`` of predictions at `nodes` in a step of length `h`.

    Parameters
    ----------
    h
        Lengths in ``lam``, finite and not 0, shape ``(...)``.
    nodes
        Log signal-to-noise ratios of the predictions, measured from the start of the step, shape ``(..., count)``.

    Returns
    -------
    Tensor
        Shape ``(..., count)``, float64.
    """
    count = nodes.shape[-1]
    powers = torch.arange(count, dtype=torch.float64, device=h.device)
    vandermonde = (nodes / h.unsqueeze(-1)).unsqueeze(-2) ** powers.unsqueeze(-1)
    return torch.linalg.solve(vandermonde, scaled_moments(h, count))


def adams_rows(schedule: Schedule, nodes: Tensor, order: int, depth: int) -> tuple[Tensor, Tensor]:
    """Rows of exponential Adams, differentiable with respect to the times.

    Parameters
    ----------
    schedule
        Noise schedule.
    nodes
        Times, shape ``(steps + 1,)``, float64.
    order
        Number of predictions that are combined.
    depth
        Number of columns, at least `order`.

    Returns
    -------
    tuple of Tensor
        Coefficients ``a`` of the present state, shape ``(steps,)``, and weights ``w`` of past predictions, shape
        ``(steps, depth)``, of which the row of the table is ``alpha_(i+1) w``.
    """
    lam, sigma = schedule.lam(nodes), schedule.sigma(nodes)
    step = torch.arange(len(nodes) - 1, device=nodes.device)
    infinite = ~(lam[1:] - lam[:-1]).isfinite()
    counts = torch.where(infinite, 0, (step - int(lam[0].isinf())).clamp_max(order - 1) + 1)
    w = torch.zeros(len(step), depth, dtype=torch.float64, device=nodes.device)
    w[infinite, 0] = 1.0
    for count in range(1, order + 1):
        rows = torch.nonzero(counts == count)[:, 0]
        if len(rows):
            column = torch.arange(count, device=nodes.device)
            past = lam[rows.unsqueeze(1) - column] - lam[rows].unsqueeze(1)
            weights = adams_weights(lam[rows + 1] - lam[rows], past)
            w = w.index_put((rows.unsqueeze(1), column), weights)
    return sigma[1:] / sigma[:-1], w
