r"""Measured or invented: how strongly the data speak for each structure of an image.

A structure ``c t_r`` is what stands out of its surroundings around a point ``r``: ``t_r`` is a disc of a given
diameter, ``c`` the mean of the image over it less the mean over the ring around it, from 1.5 to 2.5 of its radii.
Without it the image would be ``x - c t_r``. If the rest of the image is right, the data give the contrast by least
squares,

    c' = c + <t_r, A^T W (y - A x)> / |A t_r|_W^2,        z = c' |A t_r|_W,

and ``z`` is a normal variate of standard deviation 1 around the signal-to-noise ratio that the structure itself has in
the data, ``|A c t_r|_W`` with the *true* contrast. A structure that the prior put in and the data do not know has
``z`` near 0, however clear it looks: taking it out would not change the fit.

The rest of an image is never quite right. The mean of posterior samples is smooth and holds a part of a structure in
its surroundings: there ``z`` is about half of that ratio, so that marking begins near twice the threshold (``scidiff
bench ct`` measures both). And where a prior insists on a structure that its own contrast would show at many deviations,
the surroundings give way to it, and ``z`` can pass the threshold though the structure is not there.

A structure is marked as **measured** where ``|z| >= 3`` (`THRESHOLD`): chance alone does this at one place in 370, and
taking the structure out would raise ``chi^2`` by at least 9. What is visible and not measured is **invented**.
``|A t_r|_W`` is found exactly at a lattice of points and interpolated between them, as it varies slowly.

References
----------
A. Rose, J. Opt. Soc. Am. 38 (1948) 196, doi:10.1364/JOSA.38.000196, for the signal-to-noise ratio of a disc
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from scidiff.errors import ConfigError, ShapeError

from .grid import Grid
from .scan import Scan

__all__ = ["THRESHOLD", "Evidence", "evidence"]

THRESHOLD = 3.0
"""Least ``|z|`` of a structure that counts as measured."""

_FINE, _PLACES, _TOGETHER = 8, 9, 32


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the data say of the structures of one size.

    Parameters
    ----------
    contrast
        Contrast ``c`` of the image around each point, 1/mm, shape of the grid.
    z
        Evidence of the data for the structure, in standard deviations, same shape.
    per_contrast
        ``|A t_r|_W``, the signal-to-noise ratio of a contrast of 1/mm, mm, same shape.
    diameter
        Of the disc, mm.
    threshold
        Least ``|z|`` that counts as measured.
    """

    contrast: Tensor
    z: Tensor
    per_contrast: Tensor
    diameter: float
    threshold: float

    @property
    def measured(self) -> Tensor:
        """True where the data know the structure."""
        return self.z.abs() >= self.threshold

    def invented(self, visible: float) -> Tensor:
        """True where a structure of at least this contrast, 1/mm, is not measured."""
        return (self.contrast.abs() >= visible) & ~self.measured

    @property
    def least(self) -> Tensor:
        """Least contrast that this scan can measure at each point, 1/mm."""
        return self.threshold / self.per_contrast.clamp_min(torch.finfo(torch.float64).tiny)


def evidence(
    scan: Scan, image: Tensor, grid: Grid, diameter: float | None = None, threshold: float = THRESHOLD
) -> Evidence:
    """Ask the data for the structures of an image.

    Parameters
    ----------
    scan
        The data that the image was made from.
    image
        Attenuation, 1/mm, shape of the grid; of a posterior its mean, which is what is shown.
    grid
        Two-dimensional image grid.
    diameter
        Of the structures, mm; three pixels by default.
    threshold
        Least ``|z|`` that counts as measured.

    Raises
    ------
    ShapeError
        If the image does not belong to the grid.
    ConfigError
        If the diameter is below one pixel or above a quarter of the grid, or the threshold is not positive.
    """
    if grid.dimension != 2 or tuple(image.shape) != grid.shape:
        raise ShapeError(f"image has shape {tuple(image.shape)}, the grid {grid.shape}; expected two equal dimensions")
    pixel = max(grid.lengths)
    width = 3 * pixel if diameter is None else diameter
    widest = 0.25 * min(n * h for n, h in zip(grid.shape, grid.lengths, strict=True))
    if not (pixel <= width <= widest and threshold > 0):
        raise ConfigError(
            f"diameter is {width:g} mm and threshold {threshold:g}; expected {pixel:g} to {widest:g} mm, and a "
            "threshold above 0"
        )
    disc, ring = _stencil(grid, 0.0, 0.5 * width), _stencil(grid, 0.75 * width, 1.25 * width)
    x = image.double()
    contrast = _around(x, disc / disc.sum()) - _around(x, ring / ring.sum())
    operator = scan.operator(grid)
    pull = operator.adjoint((scan.weights * (scan.projections - operator.apply(x[None])[0]))[None])[0]
    per_contrast = _signal(scan, grid, disc)
    z = contrast * per_contrast + _around(pull, disc, "constant") / per_contrast.clamp_min(1e-12)
    return Evidence(contrast, z, per_contrast, width, threshold)


def _stencil(grid: Grid, inner: float, outer: float) -> Tensor:
    """Share of each pixel within two radii around the middle of the middle pixel; odd edges."""
    half = [int(outer / h + 0.5) + 1 for h in grid.lengths]
    fine = Grid(tuple(2 * k + 1 for k in half), grid.lengths).refined(_FINE)
    r = fine.points().norm(dim=-1)
    inside = ((r >= inner) & (r < outer)).double()
    return inside.reshape(2 * half[0] + 1, _FINE, 2 * half[1] + 1, _FINE).mean((1, 3))


def _around(x: Tensor, stencil: Tensor, mode: str = "replicate") -> Tensor:
    """Sum of an image under a stencil at every pixel."""
    rows, columns = stencil.shape
    edges = (columns // 2, columns // 2, rows // 2, rows // 2)
    return conv2d(pad(x[None, None], edges, mode=mode), stencil[None, None])[0, 0]


def _signal(scan: Scan, grid: Grid, disc: Tensor) -> Tensor:
    """``|A t_r|_W`` at a lattice of points, interpolated to all."""
    places = [torch.linspace(0, n - 1, min(_PLACES, n)).round().long() for n in grid.shape]
    at = torch.cartesian_prod(*places)
    operator, found = scan.operator(grid), []
    for part in at.split(_TOGETHER):
        points = torch.zeros(len(part), *grid.shape, dtype=torch.float64)
        points[torch.arange(len(part)), part[:, 0], part[:, 1]] = 1.0
        rows, columns = disc.shape
        discs = conv2d(points[:, None], disc[None, None], padding=(rows // 2, columns // 2))[:, 0]
        found.append((scan.weights * operator.apply(discs) ** 2).flatten(1).sum(1))
    lattice = torch.cat(found).reshape(1, 1, *(len(p) for p in places))
    return interpolate(lattice, size=grid.shape, mode="bilinear", align_corners=True)[0, 0].clamp_min(0.0).sqrt()
