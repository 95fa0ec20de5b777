"""Learned solvers of few calls: a grid, then the coefficients, then both, against a teacher's ends.

Parameters are the shares of the log signal-to-noise range that the steps take, and the changes ``d_ij`` of the weights
of exponential Adams,

    x_(i+1) = (sigma_(i+1) / sigma_i) x_i + alpha_(i+1) sum_j (w_ij + d_ij) m_(i-j),

which a penalty ``pull mean(d^2)`` holds near 0. A table whose rows do not reproduce a constant prediction is labelled
biased; with ``consistent=True`` the changes of each row sum to 0 and the label is ``consistent(1)``: constants are
exact, and no order is claimed of a single grid.

References
----------
.. [1] N. Shaul et al., "Bespoke Non-Stationary Solvers for Fast Sampling of Diffusion and Flow Models",
   arXiv:2403.01329
.. [2] E. Frankel et al., "S4S: Solving for a Diffusion Model Solver", arXiv:2502.17423
.. [3] V. Tong et al., "Learning to Discretize Denoising Diffusion ODEs", arXiv:2405.15506
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Process
from scidiff.sample.continuous.adams import adams_rows
from scidiff.sample.continuous.exponential import exponential_adams
from scidiff.sample.continuous.table import Table
from scidiff.sample.learned.descent import descend, robust, robust_scale
from scidiff.sample.learned.recursion import follow_rows, gaussian, predictor
from scidiff.sample.learned.result import TableFit, row_sums, square_gap, table_error
from scidiff.sample.learned.spacing import LogSnrSpacing
from scidiff.sample.learned.teacher import Pairs

__all__ = ["Settings", "fit_grid", "fit_jointly", "fit_table", "learn"]

_CITATION = "arXiv:2403.01329"
_ROUND_OFF = 1e-12


@dataclass(frozen=True)
class Settings:
    """How a fit is made.

    Parameters
    ----------
    iterations
        Largest number of iterations of L-BFGS.
    scale
        Distance, in the unit of the data, beyond which the loss is linear; one hundredth of the spread by default.
    pull
        Weight of the penalty on changes of the coefficients.
    consistent
        Whether constant predictions must stay exact.
    floor
        Noise-to-signal ratio of the last noisy node where the teacher goes on to ``t = 0``.
    differentiable
        Whether gradients are taken by autograd; tried out by default.
    """

    iterations: int = 100
    scale: float | None = None
    pull: float = 1e-3
    consistent: bool = False
    floor: float = 0.002
    differentiable: bool | None = None

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.pull < 0 or not (self.scale is None or self.scale > 0):
            raise ConfigError(
                f"iterations {self.iterations}, pull {self.pull}, scale {self.scale}; expected >= 1, >= 0 and > 0"
            )


@dataclass(frozen=True, eq=False)
class _Job:
    """What the fits of one problem share."""

    denoiser: Denoiser
    process: Process
    pairs: Pairs
    held: Pairs
    settings: Settings

    def __post_init__(self) -> None:
        ends = [(pairs.first, pairs.last) for pairs in (self.pairs, self.held)]
        if ends[0] != ends[1]:
            raise ConfigError(
                f"the pairs to fit and to judge run over {ends[0]} and {ends[1]}; expected the same times"
            )

    def spacing(self, steps: int) -> LogSnrSpacing:
        schedule = gaussian(self.process).schedule
        return LogSnrSpacing(schedule, self.pairs.first, self.pairs.last, steps, floor=self.settings.floor)

    def fit(
        self,
        rows: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
        penalty: Callable[[Tensor], Tensor],
        first: Tensor,
        base: Table,
        close: Callable[[Tensor], Table],
    ) -> TableFit:
        """Descend from the parameters `first`; `rows` gives nodes, ``a`` and ``w``, and `close` the table."""
        begun = time.process_time()
        predict = predictor(self.denoiser, self.process, self.pairs.condition)
        scale = self.settings.scale or robust_scale(self.pairs.end)
        schedule = gaussian(self.process).schedule

        def loss(theta: Tensor) -> Tensor:
            nodes, a, w = rows(theta)
            end = follow_rows(predict, self.pairs.start, nodes, schedule.alpha(nodes), a, w)
            return robust(square_gap(self.process, end, self.pairs.end), scale) + penalty(theta)

        settings = self.settings
        found = descend(loss, first, iterations=settings.iterations, differentiable=settings.differentiable)
        table = close(found.theta)
        before, after = (table_error(self.denoiser, self.process, each, self.held) for each in (base, table))
        seconds, calls = time.process_time() - begun, found.evaluations * table.steps
        return TableFit(table.grid, found.history, before, after, seconds, calls, found.gradient, table)


def fit_grid(
    denoiser: Denoiser,
    process: Process,
    pairs: Pairs,
    held: Pairs,
    *,
    steps: int,
    order: int = 2,
    settings: Settings | None = None,
) -> TableFit:
    """Learn the grid of exponential Adams, from equal intervals of the log signal-to-noise ratio.

    Parameters
    ----------
    denoiser, process
        What the solver will be used with.
    pairs, held
        Teacher's pairs to fit, and others to judge.
    steps
        Number of steps, which is the number of network calls.
    order
        1 or 2 predictions in a row.
    settings
        How the fit is made.

    Returns
    -------
    TableFit
        Its table is that of `exponential_adams` on the learned grid.
    """
    if order not in (1, 2):
        raise ConfigError(
            f"order is {order}; expected 1 or 2: a third prediction needs another start than few steps have"
        )
    job = _Job(denoiser, process, pairs, held, settings or Settings())
    spacing = job.spacing(steps)

    def rows(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nodes = spacing.nodes(theta)
        return nodes, *adams_rows(spacing.schedule, nodes, order, order)

    def close(theta: Tensor) -> Table:
        table = exponential_adams(spacing.schedule, spacing.nodes(theta), order=order)
        return replace(table, name=f"{table.name}, learned grid")

    base = exponential_adams(spacing.schedule, spacing.nodes(spacing.start), order=order)
    return job.fit(rows, lambda _theta: torch.zeros((), dtype=torch.float64), spacing.start, base, close)


def fit_table(
    denoiser: Denoiser,
    process: Process,
    pairs: Pairs,
    held: Pairs,
    start: Table,
    *,
    depth: int | None = None,
    settings: Settings | None = None,
) -> TableFit:
    """Learn the coefficients of a table on its grid.

    Parameters
    ----------
    denoiser, process, pairs, held
        As for `fit_grid`.
    start
        Table without noise, and with the present state alone in every row.
    depth
        Number of predictions in a row; all of them by default.
    settings
        As for `fit_grid`.

    Returns
    -------
    TableFit
        The table, and its distances before and after.
    """
    job, given = _Job(denoiser, process, pairs, held, settings or Settings()), _Given(start, depth)
    nodes = start.grid

    def rows(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return nodes, given.a, given.w + given.change(theta, job.settings.consistent)

    def close(theta: Tensor) -> Table:
        return _closed(start, nodes, rows(theta)[2], job.settings.consistent)

    return job.fit(rows, lambda theta: job.settings.pull * theta.square().mean(), given.zeros, start, close)


def fit_jointly(
    denoiser: Denoiser,
    process: Process,
    pairs: Pairs,
    held: Pairs,
    start: Table,
    *,
    order: int = 2,
    settings: Settings | None = None,
) -> TableFit:
    """Learn grid and coefficients together, from a learned table: the changes stay, the weights follow the grid.

    Parameters
    ----------
    denoiser, process, pairs, held
        As for `fit_grid`.
    start
        As for `fit_table`.
    order, settings
        As for `fit_grid`; `order` is that of the exponential Adams whose weights are changed.

    Returns
    -------
    TableFit
        The table, and its distances before and after.
    """
    job, given = _Job(denoiser, process, pairs, held, settings or Settings()), _Given(start, None)
    spacing, depth = job.spacing(start.steps), given.w.shape[1]
    count, pull = spacing.count, job.settings.pull

    def rows(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nodes = spacing.nodes(theta[:count])
        a, w = adams_rows(spacing.schedule, nodes, order, depth)
        return nodes, a, w + given.change(theta[count:], job.settings.consistent)

    def close(theta: Tensor) -> Table:
        nodes, _, w = rows(theta)
        return _closed(start, nodes, w, job.settings.consistent, spacing)

    grid = spacing.theta(start.grid)
    changes = given.w - adams_rows(spacing.schedule, spacing.nodes(grid), order, depth)[1]
    first = torch.cat([grid, changes[given.mask]])
    return job.fit(rows, lambda theta: pull * theta[count:].square().mean(), first, start, close)


def learn(
    denoiser: Denoiser,
    process: Process,
    pairs: Pairs,
    held: Pairs,
    *,
    steps: int,
    orders: Sequence[int] = (2, 1),
    settings: Settings | None = None,
) -> TableFit:
    """Learn the grid, then the coefficients, then both; from several orders, since the loss has local minima.

    Parameters
    ----------
    denoiser, process, pairs, held, steps
        As for `fit_grid`.
    orders
        Orders of exponential Adams to begin with; the fit of least training loss is kept.
    settings
        As for `fit_grid`.

    Returns
    -------
    TableFit
        ``before`` is the error of exponential Adams of the first order on the grid of equal intervals; time, calls and
        history are those of all fits.
    """
    problem, fits, ends = (denoiser, process, pairs, held), [], []
    for order in orders:
        grid = fit_grid(*problem, steps=steps, order=order, settings=settings)
        table = fit_table(*problem, grid.table, settings=settings)
        both = fit_jointly(*problem, table.table, order=order, settings=settings)
        fits += [grid, table, both]
        ends += [table, both]
    return replace(
        min(ends, key=lambda fit: fit.history[-1]),
        history=tuple(value for fit in fits for value in fit.history),
        before=fits[0].before,
        seconds=sum(fit.seconds for fit in fits),
        calls=sum(fit.calls for fit in fits),
    )


class _Given:
    """Weights of a table to start from, and how parameters change them."""

    def __init__(self, table: Table, depth: int | None) -> None:
        if np.any(table.a[:, 1:]) or np.any(table.c) or np.any(table.spread):
            raise ConfigError(
                f"table '{table.name}' draws noise or combines past states; expected one of exponential_adams or ddim"
            )
        depth = table.steps if depth is None else min(max(depth, table.depth), table.steps)
        w = np.zeros((table.steps, depth))
        kept = min(depth, table.depth)
        w[:, :kept] = table.b[:, :kept] / table.alpha[1:, None]
        self.w, self.a = torch.from_numpy(w), torch.from_numpy(table.a[:, 0].copy())
        self.mask = torch.ones(table.steps, depth).tril().bool()

    @property
    def zeros(self) -> Tensor:
        """Parameters that change nothing."""
        return torch.zeros(int(self.mask.sum()), dtype=torch.float64)

    def change(self, theta: Tensor, consistent: bool) -> Tensor:
        """Change of the weights; its rows sum to 0 where constants must stay exact."""
        full = torch.zeros(self.mask.shape, dtype=torch.float64).masked_scatter(self.mask, theta)
        if not consistent:
            return full
        mean = full.sum(1, keepdim=True) / self.mask.sum(1, keepdim=True)
        return torch.where(self.mask, full - mean, 0.0)


def _closed(start: Table, nodes: Tensor, w: Tensor, consistent: bool, spacing: LogSnrSpacing | None = None) -> Table:
    """Table of learned weights, labelled by its row sums."""
    alpha, sigma = torch.from_numpy(start.alpha.copy()), torch.from_numpy(start.sigma.copy())
    if spacing is not None:
        alpha, sigma = spacing.schedule.alpha(nodes), spacing.schedule.sigma(nodes)
    a = torch.zeros(w.shape, dtype=torch.float64)
    a[:, 0] = sigma[1:] / sigma[:-1]
    table = Table(
        name=f"learned, {len(w)} calls",
        nodes=nodes.numpy(),
        alpha=alpha.numpy(),
        sigma=sigma.numpy(),
        a=a.numpy(),
        b=(alpha[1:, None] * w).numpy(),
        c=np.zeros(len(w)),
        spread=np.zeros(len(w)),
        order=1,
        label="biased",
        citation=_CITATION,
    )
    exact = bool(np.all(np.abs(row_sums(table) - 1) <= _ROUND_OFF * max(1.0, float(w.abs().sum(1).max()))))
    return replace(table, label="consistent(1)") if consistent and exact else table
