"""What is drawn, not measured: phantoms among the crops, and thin things that lie beside a body.

Few volumes show a couch, a tube or a wire, and a prior that has never seen a line of one pixel smears it. Lines are
arcs of random radius, thickness and density, single or in pairs like the skins of a couch, averaged over 4 x 4 points
of a pixel; they are drawn in air only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Drawn", "beside", "phantoms"]

_AIR = 0.05
_FINE = 4
_LIGHT = (0.2, 1.0)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Images of phantoms: of any pixel size, and of any density.

    Parameters
    ----------
    images
        ``(count, rows, columns)``, float32, in units of the prior.
    span
        Least and largest pixel that they are shown as, mm.
    weight
        How often crops come from here, relative to other sources.
    """

    images: np.ndarray
    span: tuple[float, float]
    weight: float = 1.0

    def pixels(self, edge: int) -> tuple[float, float]:
        """Least and largest pixel of crops of that edge; the first is above the second where none fits."""
        return self.span if min(self.images.shape[1:]) >= edge else (1.0, 0.0)

    def crop(self, edge: int, random: np.random.Generator) -> tuple[np.ndarray, float]:
        """Draw one crop, with a gain; parameters as for `scidiff.domains.ct.priors.sections.Sections.crop`."""
        count, rows, columns = self.images.shape
        k, i, j = random.integers(0, (count, rows - edge + 1, columns - edge + 1))
        pixel = math.exp(random.uniform(*np.log(self.span)))
        return np.float32(random.uniform(*_LIGHT)) * self.images[k, i : i + edge, j : j + edge], pixel


def phantoms(count: int, seed: int, size: int, upper: float, span: tuple[float, float]) -> list[Drawn]:
    """Random ellipses, foam, beads and discs with holes, scaled to a largest value of `upper`; weights sum to 1.

    Parameters
    ----------
    count
        Phantoms of each kind.
    seed
        Which ones.
    size
        Pixels on each edge.
    upper
        Largest value.
    span
        Pixels that they are shown as, mm.
    """
    from ..grid import Grid
    from ..phantoms import bead_pack, disc_with_holes, foam, random_ellipses

    out = []
    for make, weight in ((random_ellipses, 0.4), (foam, 0.2), (bead_pack, 0.2), (disc_with_holes, 0.2)):
        made = [make(seed, sample) for sample in range(count)]
        grid = Grid.square(size, made[0].extent)
        images = np.stack([one.image(grid, 3).float().numpy() for one in made])
        images *= upper / images.max(axis=(1, 2), keepdims=True)
        out.append(Drawn(images.clip(0.0, upper), span, weight))
    return out


def beside(image: np.ndarray, random: np.random.Generator, upper: float = 2.5) -> np.ndarray:
    """Draw one to three lines in the air of an image.

    Parameters
    ----------
    image
        ``(edge, edge)``, in units of the prior.
    random
        Source of every choice.
    upper
        Largest value.
    """
    air = image < _AIR
    if air.mean() < _AIR:
        return image
    lines = np.zeros_like(image)
    for _ in range(int(random.integers(1, 4))):
        lines = np.maximum(lines, _line(len(image), random, upper))
    return np.where(air, np.maximum(image, lines), image).astype(np.float32)


def _line(edge: int, random: np.random.Generator, upper: float) -> np.ndarray:
    """An arc, or two concentric ones; lengths in pixels."""
    radius, thick = np.exp(random.uniform(np.log([2.0, 0.15]), np.log([300.0, 2.5])))
    heading, width = random.uniform(0, 2 * math.pi), random.uniform(0.2, 1.0) * min(math.pi, 2 * edge / radius)
    through = random.uniform(0, edge, 2)
    row, column = through - radius * np.array([math.sin(heading), math.cos(heading)])
    at = (np.arange(edge * _FINE) + 0.5) / _FINE
    y, x = at[:, None] - row, at[None, :] - column
    distance, angle = np.hypot(y, x), np.abs((np.arctan2(y, x) - heading + math.pi) % (2 * math.pi) - math.pi)
    radii = [radius] if random.uniform() < 0.5 else [radius, radius + random.uniform(2.0, 14.0)]
    hit = np.any([np.abs(distance - one) < thick / 2 for one in radii], axis=0) & (angle < width)
    value = random.uniform(0.2, upper)
    return value * hit.reshape(edge, _FINE, edge, _FINE).mean((1, 3), dtype=np.float32)
