"""Sensors of the medium and of the head, with what they read: checked once, from arrays or from a file.

A file is a table ``field,i,j,value`` with the field ``a`` or ``u`` and the numbers of a cell (CSV), or holds arrays
``a_index, a_values, u_index, u_values`` (NPZ). Readings are exact. What contradicts the problem is refused with its
place: a sensor outside the grid, two at one cell, a reading that is not finite, a coefficient that is neither of the
two values of the medium, a head that is not positive although the source is (maximum principle).
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from scidiff.errors import ConfigError, DataError, ShapeError

from ..errors import SensorError
from ..sensors import Sensors
from .chart import HIGH, LOW, Chart
from .conditions import blank, show_heads, show_signs

__all__ = ["Observations", "Readings", "read_observations"]


@dataclass(frozen=True, eq=False)
class Readings:
    """Values of one field at sensors.

    Parameters
    ----------
    sensors
        Cells.
    values
        What was read there, shape ``(sensors,)``.
    """

    sensors: Sensors
    values: np.ndarray

    @property
    def index(self) -> np.ndarray:
        """Cells, shape ``(sensors, 2)``."""
        return self.sensors.index

    def at(self, field: np.ndarray) -> np.ndarray:
        """Values of fields at the sensors, shape ``(..., sensors)``."""
        return field[..., self.index[:, 0], self.index[:, 1]]


@dataclass(frozen=True, eq=False)
class Observations:
    """What is known of a pair.

    Parameters
    ----------
    medium, head
        Readings of coefficient and head; None where there are none.
    """

    medium: Readings | None = None
    head: Readings | None = None

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        *,
        a: tuple[ArrayLike, ArrayLike] | None = None,
        u: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Observations:
        """Check cells and values of either field.

        Parameters
        ----------
        shape
            Cells of the grid.
        a, u
            Cells, shape ``(sensors, 2)``, and readings, shape ``(sensors,)``.

        Raises
        ------
        SensorError
            If a sensor or its reading contradicts the problem; it says which.
        ShapeError
            If cells and readings do not match.
        """
        medium = None if a is None else _readings("a", shape, *a, _neither, f"expected {LOW:g} or {HIGH:g}")
        head = None if u is None else _readings("u", shape, *u, _not_positive, "expected a positive head")
        return cls(medium, head)

    @property
    def signs(self) -> np.ndarray:
        """+1 at sensors of a high medium, -1 at the others."""
        return np.zeros(0) if self.medium is None else np.where(self.medium.values == HIGH, 1.0, -1.0)

    def channels(self, chart: Chart) -> np.ndarray:
        """Condition of a network, shape ``(1, CHANNELS, n, n)``."""
        out = blank(chart, 1)
        if self.medium is not None:
            show_signs(out, self.medium.index, self.signs[None])
        if self.head is not None:
            show_heads(out, chart, self.head.index, self.head.values[None])
        return out

    def as_json(self) -> dict[str, int]:
        """Number of sensors of each field."""
        return {
            "medium": 0 if self.medium is None else len(self.medium.sensors),
            "head": 0 if self.head is None else len(self.head.sensors),
        }


def _neither(values: np.ndarray) -> np.ndarray:
    return (values != LOW) & (values != HIGH)


def _not_positive(values: np.ndarray) -> np.ndarray:
    return values <= 0


def _readings(
    name: str,
    shape: tuple[int, int],
    index: ArrayLike,
    values: ArrayLike,
    wrong: Callable[[np.ndarray], np.ndarray],
    wanted: str,
) -> Readings:
    sensors, values = Sensors(np.asarray(index), shape), np.asarray(values, dtype=np.float64)
    if values.shape != (len(sensors),):
        raise ShapeError(
            f"{len(sensors)} sensors of {name} came with readings of shape {values.shape}; expected one each"
        )
    for bad, what in ((~np.isfinite(values), "expected a finite number"), (wrong(values), wanted)):
        if bad.any():
            where = np.flatnonzero(bad)
            raise SensorError(
                f"sensor {where[0]} of {name} at {tuple(map(int, sensors.index[where[0]]))} reads "
                f"{values[where[0]]:g} ({len(where)} such); {what}: leave it out or correct it",
                where,
            )
    return Readings(sensors, values)


def read_observations(path: str | Path, shape: tuple[int, int]) -> Observations:
    """Read sensors of a ``.csv`` or ``.npz`` file.

    Parameters
    ----------
    path
        The file, see the head of this module.
    shape
        Cells of the grid.

    Raises
    ------
    ConfigError
        If the ending is another one.
    DataError
        If the file cannot be read, or lacks columns or arrays; `SensorError` if what it says is impossible.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".npz"):
        raise ConfigError(f"the sensors are in '{path}'; expected a file that ends in .csv or .npz")
    try:
        found = _table(path) if path.suffix == ".csv" else _arrays(path)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"'{path}' cannot be read as sensors ({error}); expected columns field,i,j,value with field a or u, or "
            "arrays a_index, a_values, u_index, u_values"
        ) from error
    return Observations.of(shape, **found)


def _table(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rows: dict[str, list[tuple[int, int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["field"].strip(), []).append((int(row["i"]), int(row["j"]), float(row["value"])))
    if not rows or not rows.keys() <= {"a", "u"}:
        raise ValueError(f"fields {sorted(rows)}")
    return {
        name: (np.array([row[:2] for row in part]), np.array([row[2] for row in part])) for name, part in rows.items()
    }


def _arrays(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with np.load(path, allow_pickle=False) as kept:
        found = {n: (kept[f"{n}_index"], kept[f"{n}_values"]) for n in "au" if f"{n}_index" in kept.files}
    if not found:
        raise KeyError("no a_index and no u_index")
    return found
