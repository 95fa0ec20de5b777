"""What an evaluation returns: numbers with their intervals, and what they were computed from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .intervals import Interval

__all__ = ["PROTOCOL", "Metric", "Report"]

PROTOCOL = "scidiff.molecules.metrics/1"


@dataclass(frozen=True)
class Metric:
    """One number.

    Parameters
    ----------
    value
        The number, or None where it is not defined; `note` then says why.
    low, high
        Ends of the interval, or None where none was computed.
    count
        What the number is a share or a mean of: the denominator of a rate, the molecules behind a distance.
    note
        Definition in a few words.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int
    note: str = ""

    @classmethod
    def of(cls, value: float, interval: Interval | None, count: int, note: str = "") -> Metric:
        """Make a metric from a number and its interval; a number that is not finite is not defined."""
        if not math.isfinite(value):
            return cls(None, None, None, count, f"not defined: {note}")
        low, high = (None, None) if interval is None else (float(interval.low), float(interval.high))
        return cls(float(value), low, high, count, note)

    @classmethod
    def undefined(cls, count: int, reason: str) -> Metric:
        """Make a metric that cannot be computed, for a stated reason."""
        return cls(None, None, None, count, f"not defined: {reason}")


@dataclass(frozen=True)
class Report:
    """The metrics of one set of generated molecules.

    Parameters
    ----------
    protocol
        Name and version of the definitions.
    split
        Name of the reference set, e.g. ``"test"`` or ``"test_scaffolds"``.
    attempts, returned, valid
        Attempts, strings returned, valid molecules.
    seed
        Seed of everything random.
    confidence
        Nominal coverage of the intervals.
    rows
        The metrics by name.
    train_rows
        The same metrics of as many molecules of the training set, drawn by the seed; None without a training set.
    train_count
        Molecules of the training row.
    sources
        For the reference, training and scaffold sets: distinct hash, size, and strings left out because they are no
        valid molecules.
    seconds
        Time of each group of metrics and of the whole, in seconds.
    versions
        Versions of the packages that define the numbers.
    """

    protocol: str
    split: str
    attempts: int
    returned: int
    valid: int
    seed: int
    confidence: float
    rows: Mapping[str, Metric]
    train_rows: Mapping[str, Metric] | None
    train_count: int
    sources: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    versions: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Metric:
        return self.rows[name]

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object.

        It holds a header; the value and the interval of each metric by its published name, such as ``valid`` and
        ``valid_interval``; and under ``metrics`` all that is known of each.
        """
        header = {
            "protocol": self.protocol,
            "split": self.split,
            "attempts": self.attempts,
            "returned": self.returned,
            "count": self.attempts,
            "count_valid": self.valid,
            "seed": self.seed,
            "confidence": self.confidence,
            "train_count": self.train_count,
            "sources": {name: dict(source) for name, source in self.sources.items()},
            "seconds": dict(self.seconds),
            "versions": dict(self.versions),
        }
        train = None if self.train_rows is None else {name: asdict(metric) for name, metric in self.train_rows.items()}
        values = {name: metric.value for name, metric in self.rows.items()}
        bounded = {name: metric for name, metric in self.rows.items() if metric.low is not None}
        intervals = {f"{name}_interval": [metric.low, metric.high] for name, metric in bounded.items()}
        return {
            **header,
            **values,
            **intervals,
            "metrics": {name: asdict(metric) for name, metric in self.rows.items()},
            "training_set": train,
        }

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from scidiff.io.html import report_card

        return report_card(f"molecules against {self.split}", self.as_json())

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.as_json(), indent=2, allow_nan=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each metric: name, value, low, high, count, value of the training set, note."""
        train = self.train_rows or {}
        return [
            {"name": name, **asdict(metric), "training_set": train[name].value if name in train else None}
            for name, metric in self.rows.items()
        ]
