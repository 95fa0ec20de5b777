"""A source has to lie outside the image: the lines of a projector have no end, and would see what lies behind it."""

from __future__ import annotations

import torch

from scidiff.errors import ConfigError

from ..geometry import Cone, Fan, Geometry, Vectors
from ..grid import Grid

__all__ = ["check_placement"]


def check_placement(geometry: Geometry, grid: Grid) -> None:
    """Refuse a grid that holds the source of some view.

    Parameters
    ----------
    geometry, grid
        Of one dimension.

    Raises
    ------
    ConfigError
        With the view, and the extent that would do.
    """
    if isinstance(geometry, Vectors):
        source = geometry.source
    elif isinstance(geometry, Fan):
        flat = -geometry.source_axis * geometry.frame()[1]
        source = torch.cat([flat, flat.new_zeros(len(flat), 1)], 1) if isinstance(geometry, Cone) else flat
    else:
        return
    half = source.new_tensor([0.5 * n * h for n, h in zip(grid.shape, grid.lengths, strict=True)]).flip(0)
    inside = (source.abs() <= half).all(1)
    if bool(inside.any()):
        view = int(torch.nonzero(inside)[0, 0])
        place = ", ".join(f"{value:g}" for value in source[view].tolist())
        raise ConfigError(
            f"the source of view {view} stands at ({place}) mm, inside the image, which reaches to "
            f"{tuple(half.tolist())} mm; expected it outside: choose a smaller extent, or are the distances in cm and "
            "the voxels in mm?"
        )
