"""Scores: numbers that every good row gets.

A score is found in this order: an own function (``callable``), an own program (``command``), a score of the domain, a
plug-in of the entry-point group ``scidiff.scores``::

    [project.entry-points."scidiff.scores"]
    polarity = "my_package.scores:polarity"

Own functions and plug-ins take one row, a mapping from column to value, and return a number or None. A row whose score
fails keeps the reason; the other rows go on.
"""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from scidiff.campaign.external import Command
from scidiff.campaign.own_function import own_function
from scidiff.campaign.specification import Score
from scidiff.domain import CampaignAdapter, resolve
from scidiff.errors import ConfigError, UnknownNameError
from scidiff.io.provenance import package_version

__all__ = ["GROUP", "Scored", "Scorer", "check_parameters", "find_scorer"]

GROUP = "scidiff.scores"
Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Scored:
    """Values of a score, and why some are missing.

    Parameters
    ----------
    values
        One number for each row; None where there is none.
    reasons
        One line for each row; empty where there is nothing to say.
    """

    values: list[float | None]
    reasons: list[str]


@dataclass(frozen=True)
class Scorer:
    """A score with its name.

    Parameters
    ----------
    name
        Name of the column.
    fingerprint
        What its values depend on, as far as it can be told: version, source, arguments.
    function
        Takes the columns of good rows.
    own
        Whether it belongs to the domain, and so may take the place of a column of the same name.
    """

    name: str
    fingerprint: str
    function: Callable[[Columns], Scored]
    own: bool = False

    def __call__(self, columns: Columns) -> Scored:
        """Score the rows; a number that is not finite counts as missing."""
        if not next(iter(columns.values()), ()):
            return Scored([], [])
        scored = self.function(columns)
        values, reasons = [], []
        for value, reason in zip(scored.values, scored.reasons, strict=True):
            good = value is not None and math.isfinite(value)
            values.append(float(value) if good and value is not None else None)
            reasons.append(reason if reason or good else f"the score is {value}")
        return Scored(values, reasons)


def find_scorer(score: Score, adapter: CampaignAdapter, source: Path) -> Scorer:
    """Find a score.

    Parameters
    ----------
    score
        What the specification says.
    adapter
        The domain's part.
    source
        Folder in which own modules and relative paths of commands are looked up.

    Returns
    -------
    Scorer
        The score.

    Raises
    ------
    UnknownNameError
        If neither the domain nor a plug-in has the score.
    ConfigError
        If a function, its module or a program cannot be found.
    """
    if score.command is not None:
        command = Command(tuple(score.command), score.input, score.timeout, score.batch, str(source))
        return Scorer(score.name, command.fingerprint(), command)
    if score.callable is not None:
        function, text = own_function(score.callable, source)
        return Scorer(score.name, f"{score.callable} {text}", _RowByRow(function, score.parameters))
    name = score.of or score.name
    if name in adapter.scores:
        function = adapter.scores[name]
        return Scorer(score.name, f"scidiff {package_version('scidiff')}", _Whole(function, score.parameters), True)
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if name not in plugins:
        raise UnknownNameError("score", name, [*adapter.scores, *plugins])
    point = plugins[name]
    version = point.dist.version if point.dist is not None else "unknown"
    return Scorer(score.name, f"{point.value} {version}", _RowByRow(resolve(point.value), score.parameters))


@dataclass(frozen=True)
class _Whole:
    """A score of the domain, made for all rows in one call."""

    function: Callable[..., Sequence[float | None]]
    parameters: Mapping[str, Any]

    def __call__(self, columns: Columns) -> Scored:
        values = list(self.function(columns, **self.parameters))
        return Scored(values, [""] * len(values))


@dataclass(frozen=True)
class _RowByRow:
    """An own function, called for one row after the other."""

    function: Callable[..., Any]
    parameters: Mapping[str, Any]

    def __call__(self, columns: Columns) -> Scored:
        values, reasons = [], []
        for row in zip(*columns.values(), strict=True):
            value, reason = self._one(dict(zip(columns, row, strict=True)))
            values.append(value)
            reasons.append(reason)
        return Scored(values, reasons)

    def _one(self, row: dict[str, Any]) -> tuple[float | None, str]:
        try:
            value = self.function(row, **self.parameters)
            return (None, "the function returned None") if value is None else (float(value), "")
        except Exception as error:
            return None, f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def check_parameters(score: Score, adapter: CampaignAdapter) -> None:
    """Refuse arguments that a score of the domain does not take, or leaves to be wished: it scores no rows.

    Parameters
    ----------
    score
        What the specification says.
    adapter
        The domain's part.

    Raises
    ------
    ConfigError
        If the arguments do not fit.
    """
    function = None if score.callable or score.command else adapter.scores.get(score.of or score.name)
    if function is None:
        return
    try:
        inspect.signature(function).bind({}, **score.parameters)
        function(defaultdict(list), **score.parameters)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"they do not fit '{score.of or score.name}': {error}; correct them") from error
