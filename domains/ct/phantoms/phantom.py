"""A phantom: bodies whose attenuations add, its image on any grid, and its exact data in any geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.errors import ConfigError

from ..geometry import Geometry
from ..grid import Grid
from .shapes import Body

__all__ = ["Phantom"]


@dataclass(frozen=True)
class Phantom:
    """An object of known attenuation.

    Parameters
    ----------
    name
        Name for people.
    bodies
        What it consists of.
    extent
        Edge of a square (or cube) around the axis that holds it, mm.
    """

    name: str
    bodies: tuple[Body, ...]
    extent: float

    def image(self, grid: Grid, oversample: int = 4) -> Tensor:
        """Mean attenuation of each voxel.

        Parameters
        ----------
        grid
            Where it is wanted.
        oversample
            Points on each axis of a voxel that are averaged.

        Returns
        -------
        Tensor
            1/mm, float64, the grid's shape.
        """
        fine = grid.refined(oversample)
        value = self.value(fine.points())
        shape = [size for n in grid.shape for size in (n, oversample)]
        return value.reshape(shape).mean(dim=list(range(1, 2 * grid.dimension, 2)))

    def value(self, points: Tensor) -> Tensor:
        """Attenuation at points ``(..., D)``, 1/mm."""
        out = points.new_zeros(points.shape[:-1])
        for body in self.bodies:
            out += body.value(points)
        return out

    def project(self, geometry: Geometry, subrays: int = 1) -> Tensor:
        """Exact line integrals.

        Parameters
        ----------
        geometry
            Of any kind.
        subrays
            Rays for each detector column, whose integrals are averaged: detectors integrate over their pixels.

        Returns
        -------
        Tensor
            Float64, shape of the data, no unit.

        Raises
        ------
        ConfigError
            If `subrays` is above 1 for a geometry without a pitch.
        """
        if subrays < 1:
            raise ConfigError(f"subrays is {subrays}; expected at least 1")
        if subrays == 1:
            return self._lines(geometry)
        if not hasattr(geometry, "pitch"):
            raise ConfigError(f"{type(geometry).__name__} has no pitch to divide; use subrays=1")
        fine = replace(
            geometry,
            columns=geometry.columns * subrays,
            pitch=geometry.pitch / subrays,
            centre=(geometry.axis + 0.5) * subrays - 0.5,
        )
        return self._lines(fine).unflatten(-1, (-1, subrays)).mean(-1)

    def _lines(self, geometry: Geometry) -> Tensor:
        out = torch.empty(geometry.shape, dtype=torch.float64)
        step = max(1, (1 << 20) // math.prod(geometry.detector))
        for first in range(0, geometry.views, step):
            views = slice(first, first + step)
            points, directions = geometry.rays(views)
            out[views] = sum(
                (body.integral(points, directions) for body in self.bodies), points.new_zeros(points.shape[:-1])
            )
        return out
