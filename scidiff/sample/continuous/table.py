"""Solvers as data: a table of coefficients, and the one rule that applies it.

    x_(i+1) = sum_j a_ij x_(i-j) + sum_j b_ij m_(i-j) + sqrt(c_i^2 + spread_i^2) xi_i

DDIM, the ancestral sampler, Heun, exponential Adams (DPM-Solver++, UniPC, SA-Solver), DEIS and learned solvers are all
rows of this form; column 0 is the present evaluation. A stage of a multi-stage method is a row that moves to a repeated
time; its base is the column of `a` that is not zero. A corrector that re-uses the evaluation of the next step needs no
rows of its own: it adds ``sum_j d_ij m_(i-j)`` to ``x_i`` before the step, hence ``a_i0 d_ij`` to ``b_ij``.

A row without any `b` uses no prediction and costs no network call: it adds noise (c), as churn and restarts do; only
such rows may lead back in time.

A table is checked when it is made. Unless it is labelled biased, a constant prediction ``m = m*`` must give the exact
transfer of ``x_t = alpha_t m* + sigma_t z``: the mean is reproduced, and so is the noise level (noise `c` belongs to
the process; `spread` is the posterior covariance of the data, which a constant has not). The declared order is checked
by moments where the grid is fine enough for the check to mean anything.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import atomic_write
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.moments import moment_defect
from scidiff.sample.grids import Grid, check_grid
from scidiff.sample.state import RunState

__all__ = ["Table", "TableRule"]

_LABEL = re.compile(r"exact|biased|consistent\(\d+\)")
_VECTORS = ("nodes", "alpha", "sigma", "a", "b", "c", "spread")
_ROUND_OFF = 1e-9
_FINE = 0.5


@dataclass(frozen=True, eq=False)
class Table:
    """Coefficients of a solver on one grid of one schedule; data only.

    Parameters
    ----------
    name
        Published name of the solver.
    nodes
        Times, shape ``(steps + 1,)``.
    alpha, sigma
        Signal and noise at the nodes, same shape.
    a, b
        Coefficients of past states and predictions, shape ``(steps, depth)``; 0 before the start.
    c, spread
        Standard deviation of the noise of the process, and of the posterior covariance, shape ``(steps,)``.
    order
        Order of convergence that is claimed.
    label
        ``exact``, ``consistent(order)`` or ``biased``.
    citation
        Where the solver was published.

    Examples
    --------
    >>> from scidiff.process import VPSchedule
    >>> from scidiff.sample import dpmpp_2m, log_snr_grid
    >>> schedule = VPSchedule()
    >>> table = dpmpp_2m(schedule, log_snr_grid(schedule, 10))
    >>> table.label, table.steps, table.b.shape
    ('consistent(2)', 10, (10, 2))
    >>> bool((table.c == 0).all())  # no noise: a deterministic solver
    True
    """

    name: str
    nodes: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    spread: np.ndarray
    order: int
    label: str
    citation: str

    def __post_init__(self) -> None:
        for name in _VECTORS:
            value = np.array(getattr(self, name), dtype=np.float64)
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        self._check_shapes()
        if self.label != "biased":
            self._check_consistency()
            self._check_order()

    @property
    def steps(self) -> int:
        """Number of rows."""
        return len(self.a)

    @property
    def rests(self) -> np.ndarray:
        """True for the rows that use no prediction, shape ``(steps,)``."""
        return ~self.b.any(axis=1)

    @property
    def calls(self) -> int:
        """Number of network calls."""
        return int((~self.rests).sum())

    @property
    def depth(self) -> int:
        """Number of evaluations that a row combines."""
        return self.a.shape[1]

    def fits(self, schedule: Schedule) -> bool:
        """Whether the table was made for a schedule: signal and noise at all nodes agree."""
        return _fits(schedule, *self._levels)

    @cached_property
    def _levels(self) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(part.tolist()) for part in (self.nodes, self.alpha, self.sigma))

    @property
    def grid(self) -> Tensor:
        """Times as a tensor."""
        return torch.from_numpy(self.nodes.copy())

    def _check_shapes(self) -> None:
        check_grid(self.grid, returns=True)
        steps, shape = len(self.nodes) - 1, self.a.shape
        wanted = {"alpha": (steps + 1,), "sigma": (steps + 1,), "c": (steps,), "spread": (steps,)}
        wanted |= {"a": (steps, shape[-1] if shape else 0), "b": shape}
        wrong = {name: getattr(self, name).shape for name, want in wanted.items() if getattr(self, name).shape != want}
        if wrong:
            raise ConfigError(f"table '{self.name}' has members of shape {wrong}; expected {wanted}")
        if not all(np.isfinite(getattr(self, name)).all() for name in _VECTORS):
            raise ConfigError(f"table '{self.name}' has coefficients that are not finite; check the ends of the grid")
        early = np.arange(self.depth)[None, :] > np.arange(steps)[:, None]
        if np.any(self.a[early]) or np.any(self.b[early]) or np.any(self.c < 0) or np.any(self.spread < 0):
            raise ConfigError(f"table '{self.name}' has a row that reaches before the start, or a negative noise")
        moves = np.diff(self.nodes)[~self.rests]
        if (moves > 0).any() and (moves < 0).any():
            raise ConfigError(
                f"table '{self.name}' goes both ways by rows that use predictions; only rows without b may go back"
            )
        if not _LABEL.fullmatch(self.label) or self.order < 1:
            raise ConfigError(
                f"table '{self.name}' has label '{self.label}' and order {self.order}; "
                "expected exact, consistent(order) or biased, and an order of at least 1"
            )

    def _check_consistency(self) -> None:
        """Transfer ``x = alpha m* + sigma z`` exactly: the mean row by row, the noise by its recursion."""
        noise = np.zeros((self.steps + 1, self.steps + 1))
        noise[0, 0] = self.sigma[0]
        for i in range(self.steps):
            past = [i - j for j in range(min(self.depth, i + 1))]
            a, b = self.a[i, : len(past)], self.b[i, : len(past)]
            mean, size = a @ self.alpha[past] + b.sum(), np.abs(a) @ self.alpha[past] + np.abs(b).sum()
            noise[i + 1] = a @ noise[past]
            noise[i + 1, i + 1] = self.c[i]
            std, scale = np.linalg.norm(noise[i + 1]), np.abs(a) @ self.sigma[past] + self.c[i]
            if abs(mean - self.alpha[i + 1]) > _ROUND_OFF * size or abs(std - self.sigma[i + 1]) > _ROUND_OFF * scale:
                raise ConfigError(
                    f"row {i} of table '{self.name}' moves a constant m = 1 to {mean:.12g} with noise {std:.12g}; "
                    f"expected {self.alpha[i + 1]:.12g} with {self.sigma[i + 1]:.12g}; label it biased, or mend it"
                )
            noise[i + 1] *= self.sigma[i + 1] / std if std > 0 else 0.0

    def _check_order(self) -> None:
        """Compare with exact solutions for polynomial predictions; needs steps of less than 1/2 in `lam`."""
        inner = np.flatnonzero((self.alpha > 0) & (self.sigma > 0))
        if len(inner) < 2 * self.depth + 2 or self.sigma[0] == 0 or self.rests.any():
            return
        first, last = inner[0], inner[-1]
        lam = np.log(self.alpha[first : last + 1]) - np.log(self.sigma[first : last + 1])
        h = float(np.max(np.abs(np.diff(lam))))
        if h > _FINE:
            return
        # on a grid that runs forward the flow spreads, and early errors grow with sigma / alpha
        growth = float(np.exp(max(0.0, lam[0] - lam[-1])))
        rows = slice(first, last)
        for degree in range(1, self.order):
            error, size = moment_defect(
                lam, self.alpha[first : last + 1], self.a[rows], self.b[rows], 2 * self.depth, degree
            )
            bound = 2 * max(1.0, size) * h**self.order * growth
            if error > bound:
                raise ConfigError(
                    f"table '{self.name}' claims order {self.order} but errs by {error:.3g} on m = lam^{degree} with "
                    f"steps of {h:.3g}, where that order stays below {bound:.3g}: lower the order"
                )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        texts = {name: getattr(self, name) for name in ("name", "order", "label", "citation")}
        return texts | {name: getattr(self, name).tolist() for name in _VECTORS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Table:
        """Rebuild a table from `as_dict`; it is checked again.

        Raises
        ------
        DataError
            If members are missing, or are no numbers and texts.
        """
        members = {"name", "order", "label", "citation", *_VECTORS}
        if set(values) != members:
            raise DataError(f"a table has members {sorted(values)}; expected {sorted(members)}")
        texts = {name: values[name] for name in ("name", "label", "citation")}
        if not all(isinstance(text, str) for text in texts.values()) or not isinstance(values["order"], Integral):
            raise DataError(f"a table has {texts} and order {values['order']!r}; expected texts and a whole number")
        try:
            vectors = {name: np.array(values[name], dtype=np.float64) for name in _VECTORS}
        except (TypeError, ValueError) as error:
            raise DataError(f"a table has entries that are no numbers ({error}); write it by Table.save") from error
        return cls(**{**values, **vectors})

    def save(self, path: str | Path) -> None:
        """Write as JSON; every coefficient survives to the last bit."""
        with atomic_write(path) as file:
            json.dump(self.as_dict(), file)

    @classmethod
    def load(cls, path: str | Path) -> Table:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file holds no table.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path} is no JSON file ({error}); expected a table written by Table.save") from error
        if not isinstance(values, Mapping):
            raise DataError(f"{path} holds a {type(values).__name__}; expected a table written by Table.save")
        return cls.from_dict(values)


@lru_cache(maxsize=64)
def _fits(schedule: Schedule, nodes: tuple[float, ...], alpha: tuple[float, ...], sigma: tuple[float, ...]) -> bool:
    times = torch.tensor(nodes, dtype=torch.float64)
    levels = [*schedule.alpha(times).tolist(), *schedule.sigma(times).tolist()]
    return all(map(math.isclose, levels, [*alpha, *sigma]))


@dataclass(frozen=True)
class TableRule:
    """Rule that moves all free sites of a Gaussian process by the rows of a table.

    Parameters
    ----------
    table
        The coefficients.
    offset
        Number of steps that the run has made when the table begins.
    """

    table: Table
    offset: int = 0

    @property
    def memory(self) -> int:
        """Number of past evaluations that the rows use."""
        return self.table.depth - 1

    @property
    def label(self) -> str:
        """What the table claims."""
        return self.table.label

    @property
    def plan(self) -> Grid:
        """Plan that belongs to the table."""
        gaps = np.diff(self.table.nodes)
        return Grid(self.table.grid, self.offset, returns=bool((gaps > 0).any() and (gaps < 0).any()))

    def rests(self, state: RunState) -> bool:
        """Whether the next row uses no prediction."""
        row = state.i - self.offset
        return 0 <= row < self.table.steps and bool(self.table.rests[row])

    def __call__(self, process: GaussianProcess, state: RunState, m: Tensor, s: Tensor) -> Tensor:
        """Return the state at ``s``, float64."""
        table, row = self.table, state.i - self.offset
        self._check(process, state, s, row)
        xs = [state.x, *(stamp.x for stamp in reversed(state.history))]
        ms = [m, *(stamp.m for stamp in reversed(state.history))]
        x = torch.zeros_like(state.x, dtype=torch.float64)
        for coefficients, past in ((table.a[row].tolist(), xs), (table.b[row].tolist(), ms)):
            for coefficient, part in zip(coefficients, past, strict=False):
                if coefficient:
                    x.add_(part, alpha=coefficient)
        _, noise = self.drift(state)
        return x + noise * self.xi(process, state).to(x) if noise > 0 else x

    def drift(self, state: RunState) -> tuple[float, float]:
        """Coefficient of the present prediction in the next step, and the standard deviation of its noise."""
        row = state.i - self.offset
        return float(self.table.b[row, 0]), float(np.hypot(self.table.c[row], self.table.spread[row]))

    def xi(self, process: GaussianProcess, state: RunState) -> Tensor:
        """Standard normal noise of the next step, the same whenever it is asked for."""
        return process.eps(state.noise, state.x.shape[1:], step=state.i, stream="table")

    def _check(self, process: GaussianProcess, state: RunState, s: Tensor, row: int) -> None:
        table = self.table
        if not 0 <= row < table.steps:
            raise ConfigError(f"the run is at step {row} of table '{table.name}', which has {table.steps}")
        ends = float(table.nodes[row]), float(table.nodes[row + 1])
        # where the row ends is where the next one begins
        times = (state.t, s) if row == table.steps - 1 else (state.t,)
        if any(bool(((time != end) & state.free).any()) for time, end in zip(times, ends, strict=False)):
            raise ConfigError(
                f"step {row} of table '{table.name}' leads from t = {ends[0]} to {ends[1]}, the plan goes elsewhere; "
                "use rule.plan, or a grid with the nodes of the table"
            )
        if not table.fits(process.schedule):
            raise ConfigError(f"table '{table.name}' belongs to another schedule than {process.schedule}")
