"""Solvers that go back up: chained tables, restarts and churn, all of them tables again.

`chain` puts tables behind one another. Where the next one begins at a higher noise than the last one ended, a row
between them adds the noise of the process, exactly and without a network call:

    x_hi = (alpha_hi / alpha_lo) x_lo + sqrt(sigma_hi^2 - (alpha_hi / alpha_lo)^2 sigma_lo^2) xi

A restart [1]_ repeats a part of the grid, each time from fresh noise: it contracts errors made before, at the price of
the calls of the repetition. Churn [2]_ goes up a little before every step of Heun's method. With an exact denoiser both
leave the law as it is; with a learned one their gains are real and small.

References
----------
.. [1] Y. Xu et al., "Restart sampling for improving generative processes", arXiv:2306.14878
.. [2] T. Karras et al., "Elucidating the design space of diffusion-based generative models", arXiv:2206.00364, alg. 2
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.solvers import heun
from scidiff.sample.continuous.table import Table

__all__ = ["chain", "edm_churn", "restart"]


def chain(schedule: Schedule, tables: Sequence[Table], name: str, citation: str = "") -> Table:
    """Put tables behind one another, with noise between them where the next one begins higher.

    Parameters
    ----------
    schedule
        Schedule of all of them.
    tables
        The parts; each begins where the one before ended, or at a later time of the clock.
    name, citation
        Of the result.

    Returns
    -------
    Table
        Of the lowest order of the parts.

    Raises
    ------
    ConfigError
        If a part begins below the end of the one before.
    """
    depth = max(table.depth for table in tables)
    nodes, rows = [tables[0].nodes[0]], []
    for table in tables:
        if table.nodes[0] < nodes[-1]:
            raise ConfigError(
                f"table '{table.name}' begins at t = {table.nodes[0]}, below the end of the one before, {nodes[-1]}"
            )
        if table.nodes[0] > nodes[-1]:
            rows.append(_rise(schedule, nodes[-1], table.nodes[0], depth))
            nodes.append(table.nodes[0])
        wide = [(0, depth - table.depth)]
        rows.extend(
            (np.pad(a, wide), np.pad(b, wide), c, spread)
            for a, b, c, spread in zip(table.a, table.b, table.c, table.spread, strict=True)
        )
        nodes.extend(table.nodes[1:])
    times = torch.tensor(nodes, dtype=torch.float64)
    order = min(table.order for table in tables)
    a, b, c, spread = (np.array(part) for part in zip(*rows, strict=True))
    return Table(
        name=name,
        nodes=times.numpy(),
        alpha=schedule.alpha(times).numpy(),
        sigma=schedule.sigma(times).numpy(),
        a=a,
        b=b,
        c=c,
        spread=spread,
        order=order,
        label="biased" if any(table.label == "biased" for table in tables) else f"consistent({order})",
        citation=citation or tables[0].citation,
    )


def restart(
    solver: Callable[[Schedule, Tensor], Table],
    schedule: Schedule,
    grid: Tensor,
    *,
    low: float,
    high: float,
    times: int = 1,
) -> Table:
    """Restart sampling [1]_: down to `low`, then `times` times up to `high` and down again, then to the end.

    Parameters
    ----------
    solver
        Makes a table of a grid, e.g. `dpmpp_2m`.
    schedule, grid
        As for the solver.
    low, high
        The part that is repeated, as times; the nearest nodes of the grid are taken.
    times
        Number of repetitions.
    """
    first, last = (int((grid - t).abs().argmin()) for t in (high, low))
    if not 0 <= first < last < len(grid) or times < 1 or float(grid[last]) == 0:
        raise ConfigError(
            f"a restart from t = {low} to {high}, {times} times, was asked for; expected 0 < low < high within the "
            f"grid from {float(grid[0])} to {float(grid[-1])}, with different nearest nodes, and one repetition or more"
        )
    again = [solver(schedule, grid[first : last + 1])] * times
    rest = [solver(schedule, grid[last:])] if last < len(grid) - 1 else []
    down = solver(schedule, grid[: last + 1])
    return chain(schedule, [down, *again, *rest], f"Restart of {down.name}", "arXiv:2306.14878")


def edm_churn(
    schedule: Schedule,
    grid: Tensor,
    *,
    churn: float = 40.0,
    least: float = 0.05,
    most: float = 50.0,
) -> Table:
    """Stochastic Heun sampler of EDM [2]_, without the inflation of the noise.

    Parameters
    ----------
    schedule, grid
        As for `heun`.
    churn
        ``S_churn``: before each of the ``N`` steps the noise-to-signal ratio grows by the factor
        ``1 + min(S_churn / N, sqrt(2) - 1)``.
    least, most
        ``S_min`` and ``S_max``: noise-to-signal ratios between which this is done.
    """
    if not 0 <= churn < math.inf or not 0 <= least <= most:
        raise ConfigError(f"churn is {churn} between {least} and {most}; expected churn >= 0 and 0 <= least <= most")
    gamma = min(churn / (len(grid) - 1), math.sqrt(2) - 1)
    top = float(schedule.lam(1.0))
    parts = []
    for k in range(len(grid) - 1):
        lam = float(schedule.lam(grid[k]))
        up = max(lam - math.log1p(gamma), top) if least <= math.exp(-lam) <= most else lam
        begin = schedule.t(up).reshape(1) if up < lam else grid[k : k + 1]
        parts.append(heun(schedule, torch.cat([begin, grid[k + 1 : k + 2]])))
    return chain(schedule, parts, f"EDM stochastic, churn {churn:g}", "arXiv:2206.00364")


def _rise(schedule: Schedule, low: float, high: float, depth: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Row that adds the noise of the process."""
    a, b = np.zeros((2, depth))
    a[0] = float(schedule.alpha(high) / schedule.alpha(low))
    gain = 2 * float(schedule.lam(high) - schedule.lam(low)) if float(schedule.sigma(low)) > 0 else -math.inf
    return a, b, float(schedule.sigma(high)) * math.sqrt(-math.expm1(gain)), 0.0
