r"""The protocol of DM4CT, and beside it the same with its geometry set right.

*As published.* An image of ``N^2`` pixels is mapped to ``s = 2 x / max x - 1``, so that air is -1. Views have angles
from 0 to ``pi`` with both ends, which measures one view twice; the detector has ``N`` pixels of the size of those of
the image and misses its corners. With ``c = -ln(1/2) / mean(A s)`` counts are ``k ~ Poisson(N_0 exp(-c A s))``, 0
becomes 1, and the data are ``-ln(k / N_0) / c``. Rings: one column in twenty gets one offset for all views, with a
standard deviation of a quarter of that of the noisy data. The same projector makes and explains the data.

``A s`` is linear in ``x``, so that the same data are those of a non-negative image, ``A x = (A s + A 1) max x / 2``,
with the variance ``(max x / 2c)^2 / k``. Methods that know noise and sign get them in this form.

*Corrected.* No view twice, a detector of ``1.5 N`` pixels, counts of the non-negative image. Nothing else changes.

Clean data get the weights of an error of 0.1 % of the largest line integral, for a method must know what to allow.

References
----------
DM4CT, arXiv:2602.18589, section 4 and its code
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.random import Noise

from ..checks import ScanWarning
from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..scan import Scan
from ..simulation import poisson_counts

__all__ = ["SETTINGS", "Experiment", "Setting", "corrected", "published"]

_CLEAN, _RING_SHARE, _RING_SD = 1e-3, 0.05, 0.25


@dataclass(frozen=True)
class Setting:
    """How an object is scanned.

    Parameters
    ----------
    name
        Roman number.
    views
        Number of views.
    photons
        ``N_0``; 0 for clean data.
    rings
        Whether columns have offsets.
    arc
        Last angle, radians.
    """

    name: str
    views: int
    photons: float = 0.0
    rings: bool = False
    arc: float = math.pi

    @property
    def words(self) -> str:
        """For notes."""
        noise = f"{self.photons:g} photons" if self.photons else "clean"
        return f"{self.views} views to {math.degrees(self.arc):.0f} degrees, {noise}{', rings' if self.rings else ''}"


SETTINGS = (
    Setting("i", 40),
    Setting("ii", 20, 1e5),
    Setting("iii", 80, 1e4),
    Setting("iv", 80, 1e4, True),
    Setting("v", 40, arc=0.75 * math.pi),
)
"""The five settings; photons as in the text of the publication, whose code says 5e3 and 1e4 as well."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """Data of one setting.

    Parameters
    ----------
    scan
        Of the non-negative image, 1/mm, with its weights.
    signed
        Of the image that reaches from -1 to 1, as published; None for the corrected protocol.
    """

    scan: Scan
    signed: Scan | None = None


def published(mu: Tensor, grid: Grid, setting: Setting, seed: int) -> Experiment:
    """Scan an image as DM4CT does.

    Parameters
    ----------
    mu
        Non-negative attenuation, 1/mm, shape of the grid.
    grid
        Square grid.
    setting
        How.
    seed
        Seed of the noise.
    """
    size, pixel, half = grid.shape[1], grid.lengths[1], 0.5 * float(mu.max())
    angles = torch.linspace(0.0, setting.arc, setting.views, dtype=torch.float64)
    geometry = Parallel(angles, size, pixel)
    ones = _line_integrals(torch.ones_like(mu), geometry, grid)
    y, sd = _measured(_line_integrals(mu / half - 1.0, geometry, grid), setting, seed)
    return Experiment(_scan((y + ones) * half, half * sd, geometry), _scan(y, sd, geometry))


def corrected(mu: Tensor, grid: Grid, setting: Setting, seed: int) -> Experiment:
    """Scan an image with a view less that comes twice, a wide detector, and counts of what attenuates.

    Parameters
    ----------
    mu, grid, setting, seed
        As for `published`.
    """
    geometry = Parallel(even_angles(setting.views, setting.arc), 3 * grid.shape[1] // 2, grid.lengths[1])
    y, sd = _measured(_line_integrals(mu, geometry, grid), setting, seed)
    return Experiment(_scan(y, sd, geometry))


def _measured(y: Tensor, setting: Setting, seed: int) -> tuple[Tensor, Tensor]:
    """Data with their noise, and its standard deviation for each ray."""
    noise = Noise.range(seed, 1)
    if setting.photons:
        c = -math.log(0.5) / float(y.mean())
        counts = poisson_counts(setting.photons * torch.exp(-c * y), noise).clamp_min(1.0)
        y, sd = -(counts / setting.photons).log() / c, counts.rsqrt() / abs(c)
    else:
        sd = torch.full_like(y, _CLEAN * float(y.abs().max()))
    if setting.rings:
        columns = y.shape[-1]
        order = noise.uniform((columns,), step=0, stream="ct/dm4ct/columns")[0].argsort()
        offsets = noise.normal((columns,), step=0, stream="ct/dm4ct/offsets")[0] * _RING_SD * y.std()
        hit = torch.zeros(columns, dtype=torch.float64)
        hit[order[: int(_RING_SHARE * columns)]] = 1.0
        y = y + hit * offsets
    return y, sd


def _line_integrals(image: Tensor, geometry: Parallel, grid: Grid) -> Tensor:
    return _scan(torch.ones(geometry.shape), torch.ones(()), geometry).operator(grid).apply(image[None].double())[0]


def _scan(y: Tensor, sd: Tensor, geometry: Parallel) -> Scan:
    """What the checks remark is kept in the scan, and a row of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        return Scan.from_projections(y, geometry, sd=sd)
