"""Spread that a table makes of data N(0, 1) with the exact denoiser: what is lost is lost under guidance too.

With ``m_i = alpha_i x_i / (alpha_i^2 + sigma_i^2)`` every row of a table is linear in the first state and in the noise
of the steps before; the variance of the result is a sum of squares, exact and without a draw.
"""

from __future__ import annotations

import numpy as np

from scidiff.sample.continuous.table import Table

__all__ = ["table_spread"]


def table_spread(table: Table) -> float:
    """Variance of the result over that of the law at the last node; 1 for a sampler with the right spread.

    Parameters
    ----------
    table
        Solver, from its first node.
    """
    gain = table.alpha / (table.alpha**2 + table.sigma**2)
    response = np.zeros((table.steps + 1, table.steps + 1))
    response[0, 0] = np.hypot(table.alpha[0], table.sigma[0])
    for i in range(table.steps):
        past = np.arange(i, max(i - table.depth, -1), -1)
        weights = table.a[i, : len(past)] + table.b[i, : len(past)] * gain[past]
        response[i + 1] = weights @ response[past]
        response[i + 1, i + 1] = np.hypot(table.c[i], table.spread[i])
    return float((response[-1] ** 2).sum() / (table.alpha[-1] ** 2 + table.sigma[-1] ** 2))
