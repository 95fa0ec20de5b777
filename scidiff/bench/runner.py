"""The suites, one for each domain, and the function that runs one."""

from __future__ import annotations

from collections.abc import Callable

from scidiff import __version__
from scidiff.bench.environment import environment
from scidiff.bench.report import Report
from scidiff.domain import Row
from scidiff.errors import UnknownNameError
from scidiff.registry import domains, load_domain

__all__ = ["run", "suites"]


def suites() -> tuple[str, ...]:
    """Names of the suites.

    Returns
    -------
    tuple of str
        One name for each registered domain.
    """
    return tuple(domains())


def run(suite: str, fast: bool = False, seed: int = 0, on_row: Callable[[Row], None] = lambda _row: None) -> Report:
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

    Returns
    -------
    Report
        The rows and the header.

    Raises
    ------
    UnknownNameError
        If there is no such suite.
    """
    from scidiff.io.files import sha256_file

    if suite not in suites():
        raise UnknownNameError("suite", suite, suites())
    domain = load_domain(suite)
    header = {
        "scidiff": __version__,
        "protocol": f"{suite}/{domain.protocol}",
        "fast": fast,
        "seeds": [seed],
        "hardware": environment(),
        "data": {str(path.relative_to(domain.home)): sha256_file(path) for path in domain.bundled},
    }
    rows = []
    for row in domain.bench_rows(fast, seed):
        on_row(row)
        rows.append(row)
    return Report(suite, header, tuple(rows))
