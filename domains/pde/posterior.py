"""Exact posterior of a linear-Gaussian problem from sensors.

Let the unknown be ``f = R z`` with ``z`` standard normal and ``R R^T`` its covariance, ``u = G f`` the
solution, and ``y = P u + e`` (or ``y = P f + e``) the data with ``e`` of variance ``noise^2``. With the rows
``B = P G R``, one adjoint solve for each sensor,

    K = B B^T + noise^2,      E[f | y] = R B^T K^-1 y,      E[u | y] = G E[f | y],

and ``z + B^T K^-1 (y - B z - e)`` is a draw of the posterior (Matheron's rule). No estimate has a smaller mean square
error, whatever its cost: it is the row that every learned method has to be read against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scidiff.errors import ShapeError

from .errors import ConstraintError
from .sensors import Sensors

__all__ = ["LinearGaussian", "Posterior"]

_DEPENDENT = 1e-14
Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """A linear map of a Gaussian field.

    Parameters
    ----------
    root
        ``R``, on batches of grids.
    solve
        ``G``, symmetric.
    root_adjoint
        ``R^T``; `root` itself by default.
    """

    root: Map
    solve: Map
    root_adjoint: Map | None = None

    def _back(self, field: np.ndarray) -> np.ndarray:
        return (self.root_adjoint or self.root)(field)

    def observe_solution(self, sensors: Sensors, noise: float = 0.0) -> Posterior:
        """Posterior from values of the solution."""
        return Posterior(self, sensors, self._back(self.solve(_units(sensors))), noise)

    def observe_input(self, sensors: Sensors, noise: float = 0.0) -> Posterior:
        """Posterior from values of the input."""
        return Posterior(self, sensors, self._back(_units(sensors)), noise)


def _units(sensors: Sensors) -> np.ndarray:
    units = np.zeros((len(sensors), *sensors.shape))
    units[(np.arange(len(sensors)), *sensors.index.T)] = 1.0
    return units


@dataclass(frozen=True, eq=False)
class Posterior:
    """Posterior of one set of sensors, for any number of data.

    Parameters
    ----------
    model
        The linear-Gaussian problem.
    sensors
        Where the data are.
    rows
        ``B^T``, one grid for each sensor, shape ``(sensors, nx, ny)``.
    noise
        Standard deviation of the data.
    """

    model: LinearGaussian
    sensors: Sensors
    rows: np.ndarray
    noise: float = 0.0

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        flat = self.rows.reshape(len(self.rows), -1)
        return np.linalg.eigh(flat @ flat.T + self.noise**2 * np.eye(len(flat)))

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue of ``K``."""
        values = self._spectrum[0]
        return float(values[-1] / values[0]) if values[0] > 0 else float("inf")

    def _weights(self, data: np.ndarray) -> np.ndarray:
        """``K^-1 y``; where K is singular, its pseudo-inverse, if the data lie in its range."""
        if data.shape[-1] != len(self.rows):
            raise ShapeError(f"data have shape {data.shape}; expected (batch, {len(self.rows)}), one for each sensor")
        values, vectors = self._spectrum
        kept = values > _DEPENDENT * values[-1]
        coefficients = data @ vectors
        lost = np.abs(coefficients[:, ~kept])
        if lost.size and lost.max() > 1e-6 * np.abs(data).max():
            row = int(np.unravel_index(lost.argmax(), lost.shape)[1])
            sensor = int(np.abs(vectors[:, ~kept][:, row]).argmax())
            raise ConstraintError(
                f"the data of sensor {sensor} at {tuple(map(int, self.sensors.index[sensor]))} contradict others "
                f"(rank {int(kept.sum())} of {len(values)}); drop dependent sensors or give the noise of the data",
                sensor,
            )
        return (coefficients[:, kept] / values[kept]) @ vectors[:, kept].T

    def mean(self, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior means of input and solution.

        Parameters
        ----------
        data
            Values at the sensors, in their order, shape ``(batch, sensors)``.

        Returns
        -------
        f, u
            Shape ``(batch, nx, ny)``.

        Raises
        ------
        ConstraintError
            If sensors are dependent and their data contradict each other.
        """
        f = self.model.root(np.tensordot(self._weights(data), self.rows, 1))
        return f, self.model.solve(f)

    def draw(self, data: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw one posterior sample of input and solution for each row of data; parameters as for `mean`."""
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(len(data), *self.rows.shape[1:]))
        seen = np.tensordot(z, self.rows, ((1, 2), (1, 2))) + self.noise * rng.normal(size=data.shape)
        f = self.model.root(z + np.tensordot(self._weights(data - seen), self.rows, 1))
        return f, self.model.solve(f)
