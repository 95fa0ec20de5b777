"""Symmetries of the periodic box with a mean flow along x: shifts, and the reflection ``y -> -y``.

On the staggered grid the reflection maps cell ``j`` to ``ny - 1 - j`` and the face towards ``j - 1`` to the face
``ny - j``, modulo ``ny``:

    (R u)[i, j] = u[i, ny - 1 - j],      (R v)[i, j] = -v[i, (ny - j) mod ny],      R R = 1

A *move* is three whole numbers: shifts along x and y, and 1 for a reflection that comes before them.
"""

from __future__ import annotations

import numpy as np

__all__ = ["move_channels", "move_flow", "move_flow_back"]


def _cells(field: np.ndarray) -> np.ndarray:
    return field[..., ::-1]


def _faces(field: np.ndarray) -> np.ndarray:
    return np.roll(field[..., ::-1], 1, -1)


def _reflect(flow: np.ndarray) -> np.ndarray:
    return np.stack([_cells(flow[..., 0, :, :]), -_faces(flow[..., 1, :, :])], -3)


def move_flow(flow: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Move a flow.

    Parameters
    ----------
    flow
        Velocities on faces, shape ``(..., 2, nx, ny)``.
    move
        Shifts along x and y in cells, and whether to reflect, shape ``(3,)``.
    """
    a, b, turned = map(int, move)
    return np.roll(_reflect(flow) if turned else flow, (a, b), (-2, -1))


def move_flow_back(flow: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Inverse of `move_flow`."""
    a, b, turned = map(int, move)
    back = np.roll(flow, (-a, -b), (-2, -1))
    return _reflect(back) if turned else back


def move_channels(channels: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Move the channels of `scidiff.domains.pde.flow_geometry.FlowGeometry` with their obstacles."""
    a, b, turned = map(int, move)
    if turned:
        fluid, free_x, free_y, near, *base = channels
        channels = np.stack([_cells(fluid), _cells(free_x), _faces(free_y), _cells(near), *_reflect(np.stack(base))])
    return np.roll(channels, (a, b), (-2, -1))
