"""What every classical method returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..grid import Grid

__all__ = ["Reconstruction"]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image with what is known of its making.

    Parameters
    ----------
    image
        Attenuation, 1/mm, float64, shape of the grid.
    grid
        Its grid.
    method
        Published name.
    chi2
        ``chi^2 / n`` of the image; 1 for the truth.
    iterations
        Number of iterations; 0 for direct methods.
    converged
        Whether the stopping rule was met within the iterations allowed.
    facts
        Numbers of the method: weight, duality gap, residual.
    state
        Where an iteration can go on from.
    """

    image: Tensor
    grid: Grid
    method: str
    chi2: float
    iterations: int = 0
    converged: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    state: tuple[Tensor, ...] = ()

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from ..display import image_card

        return image_card(self)
