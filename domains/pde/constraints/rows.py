"""Rows of the benchmark: every method on the Gaussian oracle.

    constraints/oracle/<method>/<steps>/<number>

Bars stand on the methods of this package: constraint at most 1e-12 after the polish, mean error at most 0.01 and
covariance error at most 0.05 at 200 steps, coverage of 90 % intervals within [0.88, 0.92], written as its distance from
0.90 with the bar 0.02. The others show what they are. Rows of methods that draw noise have a Monte-Carlo error; those
of the deterministic ones have none (see `GaussianOracle`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scidiff.domain import Row

from .interface import Method
from .oracle import GaussianOracle, OracleRow, oracle_methods

__all__ = ["constraint_rows"]

_OURS = ("exact conditioning", "Gauss-Newton, C metric")
_REFERENCE = {
    "project at end, Euclidean": (10.2, 71.0),
    "ECI, mix 1": (5.7, 23.0),
    "ECI, mix 5, no resampling": (8.0, 57.0),
    "ECI, mix 5, resampling": (0.82, 0.49),
    "ECI, mix 10, resampling": (0.80, 0.47),
}


@dataclass(frozen=True)
class _Number:
    """One number of a row, with its bar."""

    name: str
    value: float
    bar: float | None
    unit: str = ""


def constraint_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Run every method on the oracle and yield one row for each number.

    Parameters
    ----------
    fast
        Whether to run 20 steps alone, and few draws; otherwise 20 and 200.
    seed
        Seed of the data and the draws.
    """
    oracle = GaussianOracle(seed)
    for name, (method, affine, most) in oracle_methods(oracle).items():
        for steps in (20,) if fast else (20, 200):
            if steps <= most and not (fast and name == "ECI, mix 10, resampling"):
                count = 200 if fast or name == "D-Flow" else 1000
                row = oracle.judge(method, steps, affine=affine, count=count, seed=seed)
                yield from _rows(name, method, steps, row)


def _rows(name: str, method: Method, steps: int, row: OracleRow) -> Iterator[Row]:
    ours, dense = name in _OURS, steps >= 200
    numbers = (
        _Number("constraint", row.constraint, 1e-12 if ours else None),
        _Number("mean", row.mean, 0.01 if ours and dense else None),
        _Number("covariance", row.covariance, 0.05 if ours and dense else None),
        _Number("spread", row.spread, None),
        _Number("coverage off 0.90", abs(row.coverage - 0.90), 0.02 if ours else None),
        _Number("time", row.milliseconds, None, "ms"),
    )
    for number in numbers:
        yield Row(
            name=f"constraints/oracle/{name}/{steps}/{number.name}",
            label=method.label,
            value=number.value,
            bar=number.bar,
            above=False,
            unit=number.unit,
            calls=row.calls,
            note=_note(name, method, row, number.name, steps),
        )


def _note(name: str, method: Method, row: OracleRow, number: str, steps: int) -> str:
    source = method.citation or "-"
    kind = "no Monte-Carlo error" if row.count == 0 else f"{row.count} draws"
    known = _REFERENCE.get(name)
    beside = ""
    if known is not None and steps == 200 and number in ("spread", "covariance"):
        beside = f"; {known[0 if number == 'spread' else 1]:g} in an earlier measurement on another draw of the data"
    return f"{source}; {kind}{beside}"
