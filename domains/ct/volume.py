"""Reconstructed images as files hold them: values, unit, voxel size, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import DataError

from .grid import Grid
from .units import MU_WATER, from_hu

__all__ = ["HU", "PER_MM", "Volume"]

HU, PER_MM = "HU", "1/mm"


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or a stack of images.

    Parameters
    ----------
    values
        ``(slices, rows, columns)`` or ``(rows, columns)``, float32.
    grid
        Voxel sizes in mm.
    unit
        ``"HU"`` or ``"1/mm"``.
    facts
        Where the values came from.

    Raises
    ------
    DataError
        If the shape is not the grid's, the unit is unknown, or a value is not finite.
    """

    values: Tensor
    grid: Grid
    unit: str = PER_MM
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if tuple(self.values.shape) != self.grid.shape:
            raise DataError(
                f"values have shape {tuple(self.values.shape)}; expected that of the grid {self.grid.shape}"
            )
        if self.unit not in (HU, PER_MM):
            raise DataError(f"unit is '{self.unit}'; expected '{HU}' or '{PER_MM}'")
        if not bool(self.values.isfinite().all()):
            raise DataError(f"values hold {int((~self.values.isfinite()).sum())} that are not finite; mask them")

    def attenuation(self, mu_water: float = MU_WATER) -> Tensor:
        """Values in 1/mm, float64; below 0 only where noise in air was.

        Parameters
        ----------
        mu_water
            Attenuation of water, 1/mm, for values in HU.
        """
        values = self.values.to(torch.float64)
        return from_hu(values, mu_water) if self.unit == HU else values
