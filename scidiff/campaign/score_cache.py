"""A cache of scores on disk: one SQLite file for each program with its arguments, shared by all campaigns.

It lies in the cache folder of the package. What is in it was returned by the program in good order; failures are not
kept. Writers wait for each other; a process that is killed leaves the file as it was.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scidiff.errors import DataError
from scidiff.io.files import cache_folder

__all__ = ["ScoreCache"]

_WAIT, _AT_ONCE = 60.0, 500
_TABLE = "CREATE TABLE IF NOT EXISTS scores (line TEXT PRIMARY KEY, value REAL) WITHOUT ROWID"


@dataclass(frozen=True)
class ScoreCache:
    """Scores that are known.

    Parameters
    ----------
    path
        The file.
    """

    path: Path

    @classmethod
    def of(cls, fingerprint: str) -> ScoreCache:
        """Return the cache of a program.

        Parameters
        ----------
        fingerprint
            What its values depend on, as a name of a file.
        """
        folder = cache_folder() / "campaign_scores"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot make {folder}: {error.strerror}; set SCIDIFF_CACHE to another folder") from error
        return cls(folder / f"{fingerprint}.sqlite")

    def get(self, lines: set[str]) -> dict[str, float | None]:
        """Return the values of those lines that are known."""
        if not self.path.exists():
            return {}
        found: dict[str, float | None] = {}
        ordered = sorted(lines)
        with self._open() as base:
            for first in range(0, len(ordered), _AT_ONCE):
                part = ordered[first : first + _AT_ONCE]
                marks = ",".join("?" * len(part))
                found.update(base.execute(f"SELECT line, value FROM scores WHERE line IN ({marks})", part))
        return found

    def put(self, values: Mapping[str, float | None]) -> None:
        """Keep values."""
        if values:
            with self._open() as base:
                base.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?)", sorted(values.items()))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT)) as base, base:
                base.execute(_TABLE)
                yield base
        except sqlite3.Error as error:
            raise DataError(f"the cache {self.path} cannot be used: {error}; delete it to begin anew") from error
