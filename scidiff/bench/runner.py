"""The suites, that of the core and one for each domain, and the function that runs one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from scidiff import __version__
from scidiff.bench.environment import environment
from scidiff.bench.report import Report
from scidiff.domain import Row
from scidiff.errors import ConfigError, UnknownNameError
from scidiff.registry import domains, load_domain

__all__ = ["CORE", "run", "suites", "write_report"]

CORE = "core"


def suites() -> tuple[str, ...]:
    """Names of the suites.

    Returns
    -------
    tuple of str
        ``core``, and one name for each registered domain.
    """
    return (CORE, *domains())


def run(
    suite: str,
    fast: bool = False,
    seed: int = 0,
    on_row: Callable[[Row], None] = lambda _row: None,
    keep: Path | None = None,
) -> Report:
    """Run a suite.

    Parameters
    ----------
    suite
        Name of the suite.
    fast
        Run only the part that takes at most 90 s on two cores.
    seed
        Seed of every random draw of the suite.
    on_row
        Called with each row as soon as it is measured.
    keep
        File that holds the report so far after every row, ``"complete": false`` in it until the end, so that a suite
        which is interrupted or fails loses nothing.

    Returns
    -------
    Report
        The rows and the header.

    Raises
    ------
    UnknownNameError
        If there is no such suite.
    ConfigError
        If two rows have the same name.
    """
    if suite not in suites():
        raise UnknownNameError("suite", suite, suites())
    protocol, measure, data = _core() if suite == CORE else _domain(suite)
    header = {
        "scidiff": __version__,
        "protocol": f"{suite}/{protocol}",
        "fast": fast,
        "seeds": [seed],
        "hardware": environment(),
        "data": data,
    }
    rows: list[Row] = []
    for row in _distinct(suite, measure(fast, seed)):
        on_row(row)
        rows.append(row)
        if keep is not None:
            write_report(keep, Report(suite, {**header, "complete": False}, tuple(rows)))
    report = Report(suite, header, tuple(rows))
    if keep is not None:
        write_report(keep, report)
    return report


def _distinct(suite: str, rows: Iterator[Row]) -> Iterator[Row]:
    """Rows as they come; a name that comes twice is refused, as reports are compared by it."""
    names: set[str] = set()
    for row in rows:
        if row.name in names:
            raise ConfigError(
                f"suite '{suite}' has two rows '{row.name}'; expected a name of its own for each: say what differs"
            )
        names.add(row.name)
        yield row


def write_report(path: Path, report: Report) -> None:
    """Write a report as one JSON object.

    Parameters
    ----------
    path
        The file, which is replaced at once.
    report
        The rows and the header.
    """
    from scidiff.io.files import atomic_write

    with atomic_write(path) as file:
        json.dump(report.as_json(), file, indent=2, allow_nan=False)


_Measure = Callable[[bool, int], Iterator[Row]]


def _core() -> tuple[str, _Measure, dict[str, str]]:
    """Protocol, rows and data of the suite of the core."""
    from scidiff.bench.core import PROTOCOL, rows

    return PROTOCOL, rows, {}


def _domain(name: str) -> tuple[str, _Measure, dict[str, str]]:
    """Protocol, rows and hashes of the bundled data of the suite of a domain."""
    from scidiff.io.files import sha256_file

    domain = load_domain(name)
    return (
        domain.protocol,
        domain.bench_rows,
        {str(path.relative_to(domain.home)): sha256_file(path) for path in domain.bundled},
    )
