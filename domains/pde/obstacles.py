"""Random solid bodies: discs, ellipses, rotated rectangles and regular polygons in a periodic box of side 1.

A body is the set of points with ``gauge(R (x - c) / r) <= 1`` for a centre c, two radii r and a rotation R; distances
are taken across the periodic seam. The gauge of a disc is the Euclidean norm, of a rectangle the maximum norm, of a
polygon the largest of its side functionals.
"""

from __future__ import annotations

import numpy as np

from scidiff.errors import ConfigError

__all__ = ["disc", "random_obstacles"]

_RADII = (0.06, 0.14)
_ASPECT = (0.6, 1.0)
_SIDES = (0, 3, 4, 5, 6)


def _body(shape: tuple[int, int], centre: np.ndarray, radii: np.ndarray, angle: float, sides: int) -> np.ndarray:
    """Cells whose centre lies in a body; 0 sides is an ellipse."""
    x, y = ((np.indices(shape) + 0.5) / shape[0]).reshape(2, *shape)
    box = 1.0, shape[1] / shape[0]
    dx, dy = (d - side * np.round(d / side) for d, side in zip((x - centre[0], y - centre[1]), box, strict=True))
    a = (np.cos(angle) * dx + np.sin(angle) * dy) / radii[0]
    b = (np.cos(angle) * dy - np.sin(angle) * dx) / radii[1]
    if sides == 0:
        return a**2 + b**2 <= 1
    normals = 2 * np.pi * np.arange(sides) / sides
    return (a[..., None] * np.cos(normals) + b[..., None] * np.sin(normals)).max(-1) <= np.cos(np.pi / sides)


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """Mask of a disc.

    Parameters
    ----------
    shape
        Number of cells along x and y; the box has length 1 along x.
    centre, radius
        In units of the length of the box along x.
    """
    return _body(shape, np.asarray(centre), np.array([radius, radius]), 0.0, 0)


def random_obstacles(shape: tuple[int, int], seed: int, index: int = 0, *, most: int = 3) -> np.ndarray:
    """Mask of one to `most` random bodies.

    Their number, kind (ellipse, triangle, square, pentagon, hexagon), radius in [0.06, 0.14], aspect in [0.6, 1],
    rotation and centre are independent and uniform; bodies may touch.

    Parameters
    ----------
    shape
        Number of cells along x and y.
    seed, index
        The mask is a function of these two.
    most
        Largest number of bodies, at least 1.

    Returns
    -------
    ndarray
        True in solid cells.
    """
    if most < 1:
        raise ConfigError(f"most is {most}; expected at least one body")
    draw = np.random.default_rng([seed, index])
    mask = np.zeros(shape, dtype=bool)
    for _ in range(int(draw.integers(1, most + 1))):
        centre = draw.random(2) * (1.0, shape[1] / shape[0])
        radius = draw.uniform(*_RADII)
        radii = radius * np.array([1.0, draw.uniform(*_ASPECT)])
        mask |= _body(shape, centre, radii, draw.uniform(0, 2 * np.pi), int(draw.choice(_SIDES)))
    return mask
