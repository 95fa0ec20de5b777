"""Phantoms drawn at random: ellipses, discs with holes, bead packs, foam.

Non-overlapping circles are placed one after the other: a place is drawn until it keeps its distance; after a fixed
number of tries the circle is left out. Bodies that replace others carry the difference of attenuations.
"""

from __future__ import annotations

import math

import numpy as np

from scidiff.random import Noise

from ..units import MU_WATER, from_hu
from .phantom import Phantom
from .shapes import Body, Ellipse

__all__ = ["bead_pack", "disc_with_holes", "foam", "random_ellipses"]

_TRIES = 60


def _uniform(seed: int, sample: int, count: int, width: int, stream: str) -> np.ndarray:
    return Noise.range(seed, 1, sample).uniform((count, width), step=0, stream=f"phantom/{stream}")[0].numpy()


def random_ellipses(seed: int, sample: int = 0, count: int = 20, extent: float = 200.0) -> Phantom:
    """A body of water with ellipses of -0.3 to 0.5 times its attenuation, in the manner of learned-CT training sets.

    Parameters
    ----------
    seed, sample
        Which phantom of which series.
    count
        Number of ellipses.
    extent
        Edge of the square, mm.
    """
    u = _uniform(seed, sample, count + 1, 6, "ellipses")
    r = 0.5 * extent
    bodies: list[Body] = [Ellipse(MU_WATER, axes=((0.65 + 0.25 * u[0, 0]) * r, (0.65 + 0.25 * u[0, 1]) * r))]
    for row in u[1:]:
        where, turn = 0.5 * r * math.sqrt(row[0]), 2 * math.pi * row[1]
        centre = (where * math.cos(turn), where * math.sin(turn))
        axes = (r * (0.02 + 0.13 * row[2]), r * (0.02 + 0.13 * row[3]))
        bodies.append(Ellipse(MU_WATER * (0.8 * row[4] - 0.3), centre, axes, math.pi * row[5]))
    return Phantom("random ellipses", tuple(bodies), extent)


def _circles(draws: np.ndarray, count: int, inside: float, radii: tuple[float, float], gap: float) -> np.ndarray:
    """Non-overlapping circles in a disc of radius `inside`: rows ``x, y, radius``."""
    placed: list[tuple[float, float, float]] = []
    for tries in draws.reshape(count, _TRIES, 3):
        radius = radii[0] * (radii[1] / radii[0]) ** tries[0, 2]
        for u, v, _ in tries:
            where, turn = (inside - radius) * math.sqrt(u), 2 * math.pi * v
            x, y = where * math.cos(turn), where * math.sin(turn)
            if all(math.hypot(x - a, y - b) >= radius + c + gap for a, b, c in placed):
                placed.append((x, y, radius))
                break
    return np.array(placed).reshape(-1, 3)


def _packed(seed: int, sample: int, count: int, inside: float, radii: tuple[float, float], stream: str) -> np.ndarray:
    draws = _uniform(seed, sample, count * _TRIES, 3, stream)
    return _circles(draws, count, inside, radii, 0.01 * inside)


def disc_with_holes(seed: int, sample: int = 0, count: int = 8, extent: float = 80.0) -> Phantom:
    """Acrylic disc with round holes.

    Parameters
    ----------
    seed, sample
        Which phantom of which series.
    count
        Number of holes.
    extent
        Edge of the square, mm.
    """
    radius, mu = 0.44 * extent, 0.025
    holes = _packed(seed, sample, count, 0.9 * radius, (0.06 * radius, 0.22 * radius), "holes")
    bodies: list[Body] = [Ellipse(mu, axes=(radius, radius))]
    bodies += [Ellipse(-mu, (x, y), (r, r)) for x, y, r in holes]
    return Phantom("disc with holes", tuple(bodies), extent)


def foam(seed: int, sample: int = 0, count: int = 150, extent: float = 40.0) -> Phantom:
    """Disc full of bubbles of many sizes.

    Parameters
    ----------
    seed, sample, count, extent
        As for `disc_with_holes`.
    """
    radius, mu = 0.46 * extent, 0.05
    holes = _packed(seed, sample, count, 0.97 * radius, (0.02 * radius, 0.12 * radius), "foam")
    bodies: list[Body] = [Ellipse(mu, axes=(radius, radius))]
    bodies += [Ellipse(-mu, (x, y), (r, r)) for x, y, r in holes]
    return Phantom("foam", tuple(bodies), extent)


def bead_pack(seed: int, sample: int = 0, count: int = 60, extent: float = 40.0) -> Phantom:
    """Beads of fifteen attenuations, plastic to metal-like, in a tube with a wall.

    Parameters
    ----------
    seed, sample, count, extent
        As for `disc_with_holes`.
    """
    radius, wall = 0.46 * extent, float(from_hu(120.0))
    beads = _packed(seed, sample, count, 0.92 * radius, (0.04 * radius, 0.14 * radius), "beads")
    kinds = _uniform(seed, sample, count, 1, "materials")[:, 0]
    bodies: list[Body] = [
        Ellipse(wall, axes=(radius, radius)),
        Ellipse(-wall, axes=(0.95 * radius, 0.95 * radius)),
    ]
    for (x, y, r), kind in zip(beads, kinds, strict=False):
        bodies.append(Ellipse(0.012 * 1.2 ** int(15 * kind), (x, y), (r, r)))
    return Phantom("bead pack", tuple(bodies), extent)
