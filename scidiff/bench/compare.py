"""What changed between two reports of one suite, beyond what their intervals allow.

Each value stands with its 95 % interval ``[a, b]``. Two values differ if their intervals do not meet::

    higher   a_2 > b_1        lower    b_2 < a_1

which at equal widths asks for 2.77 standard errors of the difference: a wrong alarm in about 180 rows. A value without
an interval is a point; against a point the other's interval decides. Of two points that differ nothing can be said, and
that is what is said. A row whose bar was reached and is missed now is worse whatever the intervals say. Seconds are no
part of the comparison.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scidiff.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Change", "Comparison", "Verdict", "compare", "read_report", "render_comparison"]

_LARGEST = 50_000_000


class Verdict(Enum):
    """What became of a row."""

    WORSE = "worse"
    BETTER = "better"
    CHANGED = "changed"
    GONE = "gone"
    NEW = "new"
    OPEN = "differs, no interval"
    SAME = "within its interval"


@dataclass(frozen=True)
class Change:
    """One row in both reports.

    Parameters
    ----------
    name
        Name of the row.
    verdict
        What became of it; without a bar no direction is good, and a difference is a change.
    before, after
        Its values.
    before_interval, after_interval
        The intervals of the values.
    note
        What else is to be said.
    """

    name: str
    verdict: Verdict
    before: float | None = None
    after: float | None = None
    before_interval: tuple[float, float] | None = None
    after_interval: tuple[float, float] | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the change as a JSON object."""
        return {**asdict(self), "verdict": self.verdict.value}


@dataclass(frozen=True)
class Comparison:
    """Two reports side by side.

    Parameters
    ----------
    suite
        Name of the suite.
    remarks
        What bears on the numbers: reports that are incomplete, differences of the headers.
    changes
        All rows, in the order of the first report, new ones last.
    """

    suite: str
    remarks: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def worse(self) -> bool:
        """Whether a row is worse or gone."""
        return any(change.verdict in (Verdict.WORSE, Verdict.GONE) for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as one JSON object."""
        rows = [change.as_json() for change in self.changes]
        return {"suite": self.suite, "remarks": list(self.remarks), "worse": self.worse, "rows": rows}


def read_report(path: str | Path) -> dict[str, Any]:
    """Read a report that ``scidiff bench --json`` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    DataError
        If the file is no such report.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LARGEST)
        report = json.loads(text)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected a report of 'scidiff bench --json'") from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}; expected a report of 'scidiff bench --json'") from error
    rows = report.get("rows") if isinstance(report, dict) else None
    good = isinstance(rows, list) and all(isinstance(row, dict) and {"name", "value"} <= row.keys() for row in rows)
    if not good or "protocol" not in report:
        raise DataError(f"{path} has no protocol or no rows; expected a report of 'scidiff bench --json'")
    return report


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare two reports.

    Parameters
    ----------
    before, after
        The reports, as `read_report` gives them.

    Returns
    -------
    Comparison
        What changed.

    Raises
    ------
    ConfigError
        If they are of different suites or protocols.
    """
    if before["protocol"] != after["protocol"]:
        raise ConfigError(
            f"the reports follow protocols '{before['protocol']}' and '{after['protocol']}', whose numbers cannot be "
            "compared; run one of them again"
        )
    old, new = ({row["name"]: row for row in report["rows"]} for report in (before, after))
    changes = [_change(row, new.get(name)) for name, row in old.items()]
    changes += [_change(None, row) for name, row in new.items() if name not in old]
    return Comparison(str(before.get("suite", "")), tuple(_remarks(before, after)), tuple(changes))


def _remarks(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Say which report is incomplete, and which parts of the headers differ."""
    pairs = (("first", before), ("second", after))
    found = [
        f"the {place} report is incomplete: its suite was interrupted or still runs, and rows that it lacks say nothing"
        for place, report in pairs
        if report.get("complete") is False
    ]
    found += [
        f"{name}: {before.get(name)} and {after.get(name)}"
        for name in ("fast", "seeds", "scidiff")
        if before.get(name) != after.get(name)
    ]
    if before.get("data") != after.get("data"):
        found.append("the bundled models or data differ")
    machines = [report.get("hardware", {}) for report in (before, after)]
    parts = [name for name in ("processor", "torch", "threads") if machines[0].get(name) != machines[1].get(name)]
    return found + [f"{name}: {machines[0].get(name)} and {machines[1].get(name)}" for name in parts]


def _change(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Change:
    """Judge one row."""
    if new is None or old is None:
        row = old or new or {}
        side = {"before": row["value"]} if new is None else {"after": row["value"]}
        return Change(row["name"], Verdict.GONE if new is None else Verdict.NEW, **side)
    (low, high), (lower, upper) = _range(old), _range(new)
    direction = 1 if lower > high else -1 if upper < low else 0
    points = old.get("interval") is None and new.get("interval") is None
    verdict = Verdict.SAME if direction == 0 else Verdict.OPEN if points else Verdict.CHANGED
    if verdict is Verdict.CHANGED and new.get("bar") is not None:
        verdict = Verdict.BETTER if (direction > 0) == bool(new.get("above", True)) else Verdict.WORSE
    note = ""
    if old.get("passed") and new.get("passed") is False:
        verdict, note = Verdict.WORSE, "its bar is missed now"
    elif old.get("passed") is False and new.get("passed"):
        note = "its bar is reached now"
    intervals = [None if row.get("interval") is None else tuple(row["interval"]) for row in (old, new)]
    return Change(old["name"], verdict, old["value"], new["value"], *intervals, note)


def _range(row: Mapping[str, Any]) -> tuple[float, float]:
    """Interval of a row; a point where there is none."""
    low, high = row.get("interval") or (row["value"], row["value"])
    return float(low), float(high)


def render_comparison(comparison: Comparison, every: bool = False) -> Table:
    """Draw a comparison as a table for the terminal.

    Parameters
    ----------
    comparison
        The comparison.
    every
        Show also the rows that stayed within their intervals.

    Returns
    -------
    rich.table.Table
        One line for a row, the worst first.
    """
    from rich.markup import escape
    from rich.table import Table

    order = list(Verdict)
    same = sum(change.verdict is Verdict.SAME for change in comparison.changes)
    table = Table(
        "row",
        "verdict",
        "before",
        "after",
        "note",
        title=comparison.suite,
        caption=f"{same} rows within their intervals",
    )
    for change in sorted(comparison.changes, key=lambda change: order.index(change.verdict)):
        if every or change.verdict is not Verdict.SAME:
            values = (
                _written(change.before, change.before_interval),
                _written(change.after, change.after_interval),
            )
            table.add_row(*map(escape, (change.name, change.verdict.value, *values, change.note)))
    return table


def _written(value: float | None, interval: tuple[float, float] | None) -> str:
    """Write a value with its interval."""
    if value is None:
        return ""
    return f"{value:.4g}" if interval is None else f"{value:.4g} [{interval[0]:.4g}, {interval[1]:.4g}]"
