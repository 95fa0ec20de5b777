"""Problems with a Gaussian law as models: loaded by name and sampled like the trained ones, but exact.

    pde.load("mesh_flow").sample(16, sensors="readings.csv", noise=0.05, steps=1, seed=0)

A file of sensors is a table with a header: ``i,j,value`` with the numbers of a node on grids, ``x,y,u,v`` with a place
and the velocity there on meshes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import ConfigError, DataError

from .contract import Problem
from .function_space import FieldSamples, sample
from .layout import mesh_of
from .mesh_sensors import MeshSensors
from .sensors import Sensors

__all__ = ["EXACT", "FieldModel", "load_field"]

EXACT = ("helmholtz", "mesh_flow", "poisson")
"""Problems whose fields are Gaussian in closed form."""


def load_field(name: str, **settings: Any) -> FieldModel:
    """Model of a problem by name, with settings as for `scidiff.domains.pde.problem`."""
    from .problems import problem

    return FieldModel(name, problem(name, **settings))


@dataclass(frozen=True)
class FieldModel:
    """The exact law of a problem.

    Parameters
    ----------
    name
        Name of the problem.
    problem
        The problem: its grid or mesh, and the law of its inputs.
    """

    name: str
    problem: Problem

    def sample(
        self,
        count: int,
        *,
        sensors: Sensors | MeshSensors | str | Path | None = None,
        data: np.ndarray | None = None,
        noise: float = 0.0,
        steps: int = 4,
        seed: int = 0,
        first: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> FieldSamples:
        """Draw fields, free or from sensors.

        Parameters
        ----------
        count
            Number of samples.
        sensors
            Sensors with their `data`, or a file with both.
        data, noise, steps, seed, first
            As for `scidiff.domains.pde.function_space.sample`.
        progress
            Called with the number of samples, which are drawn together.

        Raises
        ------
        ConfigError, DataError
            As there, or if the file cannot be read.
        """
        if isinstance(sensors, str | Path):
            if data is not None:
                raise ConfigError("data came beside a file of sensors, which holds its own; give one of them")
            sensors, data = self._read(Path(sensors))
        options = {"noise": noise, "steps": steps, "seed": seed, "first": first}
        drawn = sample(self.problem, count, sensors=sensors, data=data, **options)
        if progress is not None:
            progress(count)
        return drawn

    def _read(self, path: Path) -> tuple[Sensors | MeshSensors, np.ndarray]:
        mesh = mesh_of(self.problem)
        columns = ("i", "j", "value") if mesh is None else ("x", "y", "u", "v")
        try:
            with path.open(newline="") as file:
                rows = np.array([[float(row[name]) for name in columns] for row in csv.DictReader(file)])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"'{path}' cannot be read as sensors ({error}); expected a table with columns {','.join(columns)}"
            ) from error
        if not len(rows):
            raise DataError(f"'{path}' holds no sensors; expected rows of {','.join(columns)}")
        if mesh is not None:
            return MeshSensors(mesh, rows[:, :2]), np.concatenate([rows[:, 2], rows[:, 3]])
        if (rows[:, :2] % 1 != 0).any():
            raise DataError(f"'{path}' holds places that are no node numbers; expected integers i, j")
        inner = np.pad(np.ones(tuple(n - 2 for n in self.problem.shape), dtype=bool), 1)
        return Sensors(rows[:, :2].astype(np.int64), self.problem.shape, inner), rows[:, 2]
