"""A report: the rows of one suite under a header that says what they were measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scidiff.domain import Row

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Report", "number", "render", "with_interval"]


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
    for heading in ("name", "label", "value [95 %]", "bar", "passed", "baseline", "calls", "s", "note"):
        table.add_column(heading, justify="right" if heading in ("bar", "calls", "s") else "left", overflow="fold")
    for row in report.rows:
        bar = "" if row.bar is None else f"{'≥' if row.above else '≤'} {number(row.bar)}"
        passed = {None: "", True: "[green]yes[/]", False: "[bold red]no[/]"}[row.passed]
        baseline = f"{number(row.baseline)} {row.baseline_name}".strip()
        cells = (row.name, row.label, with_interval(row), bar)
        table.add_row(
            *map(_plain, cells), passed, *map(_plain, (baseline, number(row.calls), number(row.seconds), row.note))
        )
    return table


def _plain(text: str) -> str:
    """Keep rich from reading brackets as markup."""
    from rich.markup import escape

    return escape(text)
