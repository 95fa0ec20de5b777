"""A report: the rows of one suite under a header that says what they were measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scidiff.domain import Row

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Report", "TruthRow", "number", "render", "with_interval"]


@dataclass(frozen=True)
class TruthRow(Row):
    """A row whose number has a known truth; its value is the deviation where the bar is a tolerance.

    Parameters
    ----------
    measured
        What was measured, finite.
    truth
        What it should be; None where the row shows a bias.
    """

    measured: float = 0.0
    truth: float | None = None


@dataclass(frozen=True)
class Report:
    """The rows of one run of a suite.

    Parameters
    ----------
    suite
        Name of the suite.
    header
        Protocol version, seeds, environment and data hashes.
    rows
        The rows, in the order in which they were measured.
    """

    suite: str
    header: dict[str, Any]
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether no row misses its bar."""
        return all(row.passed is not False for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {
            "suite": self.suite,
            **self.header,
            "passed": self.passed,
            "rows": [row.as_json() for row in self.rows],
        }

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from scidiff.io.html import card, facts, table

        head = ["quantity", "value [95 % interval]", "what it is", "to reach", "passed", "baseline", "note"]
        rows = [
            (
                row.name,
                with_interval(row),
                row.label,
                "" if row.bar is None else f"{'≥' if row.above else '≤'} {number(row.bar)}",
                "" if row.passed is None else row.passed,
                f"{number(row.baseline)} {row.baseline_name}".strip(),
                row.note,
            )
            for row in self.rows
        ]
        said = {name: value for name, value in self.header.items() if isinstance(value, str | int | float)}
        return card(f"benchmark of {self.suite}", facts(said), table(head, rows, noun="rows"))


def number(value: float | None) -> str:
    """Write a number with four significant digits; nothing for None."""
    return "" if value is None else f"{value:.4g}"


def with_interval(row: Row) -> str:
    """Write the value of a row with its interval and unit."""
    interval = "" if row.interval is None else f" [{number(row.interval[0])}, {number(row.interval[1])}]"
    return f"{number(row.value)}{interval}" + (f" {row.unit}" if row.unit else "")


def render(report: Report) -> Table:
    """Draw a report as a table for the terminal.

    Parameters
    ----------
    report
        The report.

    Returns
    -------
    rich.table.Table
        One line for a row.
    """
    from rich.table import Table

    table = Table(title=f"{report.suite}, protocol {report.header['protocol']}")
    columns = _TRUTHS if report.rows and all(isinstance(row, TruthRow) for row in report.rows) else _COLUMNS
    for heading in columns:
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", overflow="fold")
    for row in report.rows:
        table.add_row(*(cell(row) for cell in columns.values()))
    return table


def _bar(row: Row) -> str:
    return "" if row.bar is None else f"{'≥' if row.above else '≤'} {number(row.bar)}"


def _passed(row: Row) -> str:
    return {None: "", True: "[green]yes[/]", False: "[bold red]no[/]"}[row.passed]


def _plain(text: str) -> str:
    """Keep rich from reading brackets as markup."""
    from rich.markup import escape

    return escape(text)


def _text(read: Callable[[Any], Any]) -> Callable[[Any], str]:
    """Make the cell of an attribute: text as it is, numbers with four digits."""

    def cell(row: Any) -> str:
        found = read(row)
        return _plain(found if isinstance(found, str) else number(found))

    return cell


_NUMBERS = ("bar", "calls", "s", "measured", "truth", "deviation")
_HEAD = {"name": _text(lambda row: row.name), "label": _text(lambda row: row.label)}
_TAIL = {
    "calls": _text(lambda row: row.calls),
    "s": _text(lambda row: row.seconds),
    "note": _text(lambda row: row.note),
}
_COLUMNS: dict[str, Callable[[Any], str]] = {
    **_HEAD,
    "value [95 %]": _text(with_interval),
    "bar": _text(_bar),
    "passed": _passed,
    "baseline": _text(lambda row: f"{number(row.baseline)} {row.baseline_name}".strip()),
    **_TAIL,
}
_TRUTHS: dict[str, Callable[[Any], str]] = {
    **_HEAD,
    "measured": _text(lambda row: row.measured),
    "truth": _text(lambda row: row.truth),
    "deviation": _text(lambda row: "" if row.above else row.value),
    "bar": _text(_bar),
    "passed": _passed,
    **_TAIL,
}
