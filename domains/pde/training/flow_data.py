"""Flows to learn from: obstacles, fields around them, and the spectrum of the noise that fits them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Noise

from ..flow_geometry import FlowGeometry
from ..solenoidal import Profile, Solenoidal, colour

__all__ = ["FlowSet", "fit_profile", "radial_power"]

_ROUNDS = 8
_ROWS = 256


@dataclass(frozen=True)
class FlowSet:
    """Velocity fields around obstacles.

    Parameters
    ----------
    obstacles
        True in solid cells, shape ``(geometries, nx, ny)``.
    fields
        Velocities on the faces, float32, shape ``(rows, 2, nx, ny)``.
    geometry
        Number of the obstacles of each row, shape ``(rows,)``.
    """

    obstacles: np.ndarray
    fields: np.ndarray
    geometry: np.ndarray

    def __post_init__(self) -> None:
        shape = self.obstacles.shape[1:]
        if self.fields.shape[1:] != (2, *shape) or self.geometry.shape != self.fields.shape[:1] or not len(self):
            raise ShapeError(
                f"obstacles {self.obstacles.shape}, fields {self.fields.shape}, geometry {self.geometry.shape} came; "
                "expected (geometries, nx, ny), (rows, 2, nx, ny), (rows,) with at least one row"
            )

    def __len__(self) -> int:
        return len(self.fields)

    @cached_property
    def geometries(self) -> list[FlowGeometry]:
        """Each set of obstacles, with one solve for a projection: what training needs."""
        return [FlowGeometry.around(mask, rounds=1) for mask in self.obstacles]

    @property
    def scale(self) -> float:
        """Root mean square of a velocity component on free faces."""
        free = np.array([each.grid.free.sum() for each in self.geometries])
        return float(np.sqrt((self.fields.astype(np.float64) ** 2).sum((1, 2, 3)).sum() / free[self.geometry].sum()))

    @property
    def sha256(self) -> str:
        """Hash of obstacles and fields."""
        digest = hashlib.sha256()
        for part in (self.obstacles, self.fields, self.geometry.astype(np.int64)):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def centred(self, scale: float = 1.0) -> FlowSet:
        """The same flows without the potential flow of the mean, in the unit `scale`."""
        base = np.stack([each.base for each in self.geometries]).astype(np.float32)
        made = FlowSet(self.obstacles, (self.fields - base[self.geometry]) / np.float32(scale), self.geometry)
        made.__dict__["geometries"] = self.geometries
        return made


def radial_power(fields: np.ndarray) -> np.ndarray:
    """Mean power of a component at the wave numbers 0, 1, 2, ..., relative to white noise of variance 1.

    Parameters
    ----------
    fields
        Shape ``(rows, components, nx, ny)``.

    Returns
    -------
    ndarray
        One number for each rounded ``|k|``, in periods per box.
    """
    rows, columns = fields.shape[-2:]
    power = np.abs(np.fft.fft2(fields.astype(np.float64))) ** 2 / (rows * columns)
    k = np.hypot(np.fft.fftfreq(rows, 1 / rows)[:, None], np.fft.fftfreq(columns, 1 / columns)[None, :])
    shell = np.rint(k).astype(int).ravel()
    mean = power.reshape(-1, rows * columns).mean(0)
    return np.bincount(shell, mean) / np.bincount(shell)


def fit_profile(data: FlowSet, seed: int = 0) -> Profile:
    """Profile with which projected noise fluctuates as the data do, away from the walls.

    What fluctuates is the flow less the mean flow field of its obstacles: if that is Gaussian with the law of the
    noise, the flow map is a translation by the mean field. Near a wall the data have a thin layer that follows from
    the flow outside; noise need not have it, so both sides are seen through the window ``1 - exp(-(d / 5)^2)``, d the
    distance to the wall in cells. The fixed point of

        f(k) <- f(k) sqrt(power of the data / power of P F z)

    is found by iteration, and rounded to six digits, so that no round-off of a machine makes another model.

    Parameters
    ----------
    data
        Flows in the unit of the model.
    seed
        Seed of the noise.

    Raises
    ------
    ConfigError
        If the data do not fluctuate.
    """
    chosen = np.random.default_rng(seed).permutation(len(data))[:_ROWS]
    geometry = data.geometry[chosen]
    space = Solenoidal([data.geometries[g] for g in geometry])
    window = np.stack([_window(data.geometries[g].channels[3].numpy()) for g in geometry])[:, None]
    target = radial_power(window * _fluctuations(data, chosen))
    if not target.max() > 0:
        raise ConfigError("the flows around one set of obstacles are all alike; expected some that differ")
    white = Noise.range(seed, len(chosen)).normal(data.fields.shape[1:], step=0, stream="profile")
    amplitude = np.sqrt(2 * target)
    for _ in range(_ROUNDS):
        power = radial_power(window * space.apply(colour(white, Profile(tuple(amplitude)))).numpy())
        amplitude = amplitude * np.sqrt(target / np.maximum(power, 1e-12 * target.max()))
    amplitude[0] = 0.0
    return Profile(tuple(float(f"{value:.6g}") for value in amplitude))


def _window(near: np.ndarray) -> np.ndarray:
    """Window of the flow away from walls, from the channel ``exp(-d / 4)``."""
    distance = -4.0 * np.log(np.maximum(near.astype(np.float64), 1e-12))
    return 1.0 - np.exp(-((distance / 5.0) ** 2))


def _fluctuations(data: FlowSet, rows: np.ndarray) -> np.ndarray:
    """Flows less the mean field of their obstacles, with the variance of independent draws."""
    out = np.empty(data.fields[rows].shape)
    for geometry in np.unique(data.geometry[rows]):
        group = data.fields[data.geometry == geometry].astype(np.float64)
        here = data.geometry[rows] == geometry
        bessel = np.sqrt(len(group) / max(len(group) - 1, 1))
        out[here] = bessel * (data.fields[rows][here] - group.mean(0))
    return out
