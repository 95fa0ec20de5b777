"""Scores by an external program: lines on its standard input, one line for each on its standard output.

A line in is the value of one column, e.g. a SMILES string, or the row as one JSON object: its texts, truths and
numbers, with null for a number that is not finite; arrays stay out. A line out is a number, a JSON object with the key
``score``, or ``null`` or an empty line where there is no value. A batch that takes longer than its timeout, ends with
an error or returns another number of lines is cut in halves, down to single rows: so one bad row costs itself only, and
says why. Values that came in good order are kept in the cache and not asked for again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scidiff.campaign.score_cache import ScoreCache
from scidiff.errors import ConfigError, DataError
from scidiff.io.files import sha256_file
from scidiff.io.json_values import json_value

if TYPE_CHECKING:
    from scidiff.campaign.scores import Scored

__all__ = ["Command"]


class _Refused(Exception):
    """A batch that the program did not score."""


@dataclass(frozen=True)
class Command:
    """A program that scores lines.

    Parameters
    ----------
    arguments
        The program and its arguments; a relative program is looked up in `folder`, then on the path.
    column
        Column that it reads; None for JSON.
    timeout
        Seconds for a batch.
    batch
        Rows of a batch.
    folder
        Where the program runs.

    Raises
    ------
    ConfigError
        If there is no such program.
    """

    arguments: tuple[str, ...]
    column: str | None
    timeout: float
    batch: int
    folder: str

    def __post_init__(self) -> None:
        program = self.arguments[0]
        if shutil.which(program) is None and not os.access(Path(self.folder) / program, os.X_OK):
            raise ConfigError(
                f"there is no program '{program}' on the path or in {self.folder}; install it, or name it"
            )

    def fingerprint(self) -> str:
        """SHA-256 of the arguments, of the file of the program, and of those files that the arguments name."""
        digest = hashlib.sha256(json.dumps([self.arguments, self.column]).encode())
        program = shutil.which(self._resolved()[0])
        for path in (program and Path(program), *(Path(self.folder) / each for each in self.arguments[1:])):
            if path and os.path.isfile(path) and os.access(path, os.R_OK):
                digest.update(bytes.fromhex(sha256_file(path)))
        return digest.hexdigest()

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> Scored:
        """Score rows.

        Parameters
        ----------
        columns
            Columns of the rows.

        Returns
        -------
        Scored
            The values, and why some are missing.

        Raises
        ------
        DataError
            If the rows have no column of that name.
        """
        from scidiff.campaign.scores import Scored

        lines = self._lines(columns)
        cache = ScoreCache.of(self.fingerprint())
        found: dict[str, float | None] = cache.get(set(lines))
        reasons: dict[str, str] = {}
        wanted = sorted(set(lines) - set(found))
        for first in range(0, len(wanted), self.batch):
            self._score(wanted[first : first + self.batch], found, reasons)
        cache.put({line: found[line] for line in wanted if line in found})
        said = [reasons.get(line, "" if found.get(line) is not None else "the program gave no value") for line in lines]
        return Scored([found.get(line) for line in lines], said)

    def _lines(self, columns: Mapping[str, Sequence[Any]]) -> list[str]:
        if self.column is None:
            rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
            return [json.dumps(json_value(_without_arrays(row)), sort_keys=True, allow_nan=False) for row in rows]
        if self.column not in columns:
            raise DataError(f"the rows have no column '{self.column}'; they have {', '.join(sorted(columns))}")
        return [" ".join(str(value).split()) for value in columns[self.column]]

    def _score(self, lines: list[str], found: dict[str, float | None], reasons: dict[str, str]) -> None:
        """Score a batch; where it fails, its halves."""
        try:
            found.update(zip(lines, self._call(lines), strict=True))
        except _Refused as error:
            if len(lines) == 1:
                reasons[lines[0]] = str(error)
                return
            half = len(lines) // 2
            self._score(lines[:half], found, reasons)
            self._score(lines[half:], found, reasons)

    def _call(self, lines: list[str]) -> list[float | None]:
        """Run the program once."""
        text = "".join(f"{line}\n" for line in lines)
        with subprocess.Popen(
            self._resolved(),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                out, said = process.communicate(text, timeout=self.timeout)
            except subprocess.TimeoutExpired as error:
                raise _Refused(f"the program took more than {self.timeout:g} s") from error
            finally:
                _end(process)
        if process.returncode:
            last = said.strip().splitlines()[-1:] or ["nothing on standard error"]
            raise _Refused(f"the program ended with {process.returncode}: {last[0]:.200}")
        answers = out.splitlines()
        if len(answers) != len(lines):
            raise _Refused(f"the program wrote {len(answers)} lines for {len(lines)}")
        return [_number(answer) for answer in answers]

    def _resolved(self) -> tuple[str, ...]:
        own = Path(self.folder).resolve() / self.arguments[0]
        return (str(own), *self.arguments[1:]) if os.access(own, os.X_OK) and own.is_file() else self.arguments


def _without_arrays(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not getattr(value, "ndim", 0)}


def _end(process: subprocess.Popen) -> None:
    """End what is left of the program, and what it started and left running in its group."""
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _number(answer: str) -> float | None:
    """Read a line of the program; NaN is no value, as it is in the cache."""
    text = answer.strip()
    if not text:
        return None
    try:
        value = json.loads(text)
        value = value.get("score") if isinstance(value, dict) else value
        number = math.nan if value is None else float(value)
        return None if math.isnan(number) else number
    except (ValueError, TypeError, OverflowError) as error:
        raise _Refused(f"the program wrote {text!r:.80}; expected a number, or JSON with 'score'") from error
