"""The string method: curves through a density, in three regimes.

A string is a row of images ``phi_0 ... phi_(K-1)`` that moves with a drift and is re-spaced by arc length after every
step. With the energy ``E = -log p`` (in units of kT), its gradient ``g = -score`` and unit tangents ``u``:

    transport                     dphi = v(phi, t) dt from t = 1 to 0: a continuous curve of samples
    gradient-dominated            dphi = -(g - <g, u> u): rests where the gradient is parallel to the curve, on the
                                  minimum-energy path; the top of it, climbed by ``-(g - 2 <g, u> u)``, is a saddle
    finite temperature            phi_k = E[x | x in the cell of phi_k]: the principal curve, see
                                  `scidiff.analysis.principal`

Only ``exp``, ``log``, ``inner`` and ``dist`` of a space are used. Re-spacing interpolates along geodesics, the energy
difference of two neighbours is the trapezoidal rule ``1/2 <g_x, log_x y> - 1/2 <g_y, log_y x>`` where a network knows
the score and no energy.

References
----------
.. [1] Moreau, Coeurdoux, Ferre, Vanden-Eijnden, "Probing the Geometry of Diffusion Models with the String Method",
   arXiv:2602.22122
.. [2] W. E, W. Ren, E. Vanden-Eijnden, "String method for the study of rare events", doi:10.1103/PhysRevB.66.052301
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Curve",
    "Smooth",
    "arc_length",
    "dist",
    "geodesic",
    "inner",
    "minimum_energy_path",
    "plot_curve",
    "respace",
    "tangents",
    "transport",
    "unit",
]

Field = Callable[[Tensor], Tensor]
_WINDOW = 100


class Smooth(Protocol):
    """A space with geodesics; every method takes and gives batches, and may have axes of sites behind the first."""

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Move from ``x`` along ``v``."""
        ...

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Vector at ``x`` that leads to ``y``."""
        ...

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Inner product of vectors at ``x``, one number per site."""
        ...

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance, one number per site."""
        ...


@dataclass(frozen=True, eq=False)
class Curve:
    """A string at rest.

    Parameters
    ----------
    images
        Points of the curve, equally spaced, shape ``(count, *event)``.
    energies
        Energy of the images in units of kT, shape ``(count,)``; relative to the first image where no energy was
        given. None for transport and for the principal curve without an energy.
    saddle
        Highest point of a minimum-energy path, shape ``(*event)``; None where an end is highest.
    barrier
        Energy of the saddle above the first image.
    residual
        What is left to do: see the function that made the curve.
    iterations
        Steps made.
    converged
        Whether the residual is below the tolerance.
    """

    images: Tensor
    energies: Tensor | None
    saddle: Tensor | None
    barrier: float | None
    residual: float
    iterations: int
    converged: bool


def scaled(factor: Tensor, v: Tensor) -> Tensor:
    """Scale every vector of a batch by its own factor."""
    return factor.reshape(-1, *(1,) * (v.ndim - 1)) * v


def inner(space: Smooth, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Inner product of vectors at ``x``, summed over sites, shape ``(batch,)``."""
    return space.inner(x, u, v).reshape(len(x), -1).sum(1)


def dist(space: Smooth, x: Tensor, y: Tensor) -> Tensor:
    """Distance over all sites, shape ``(batch,)``."""
    return space.dist(x, y).reshape(len(x), -1).norm(dim=1)


def unit(space: Smooth, x: Tensor, v: Tensor) -> Tensor:
    """Vectors at ``x`` brought to length 1; zero stays zero."""
    return scaled(inner(space, x, v, v).clamp(min=1e-300).rsqrt(), v)


def arc_length(space: Smooth, images: Tensor) -> Tensor:
    """Length along the string from its first image, shape ``(count,)``."""
    steps = dist(space, images[:-1], images[1:])
    return torch.cat([torch.zeros_like(steps[:1]), steps.cumsum(0)])


def respace(space: Smooth, images: Tensor, count: int | None = None) -> Tensor:
    """Put images at equal distances along the string, by geodesic interpolation between neighbours.

    Parameters
    ----------
    space
        Geometry.
    images
        The string, shape ``(images, *event)``.
    count
        Number of images wanted; as many as came by default.

    Returns
    -------
    Tensor
        Images, shape ``(count, *event)``; the ends stay.
    """
    length = arc_length(space, images)
    if not bool(torch.isfinite(length).all()):
        raise NumericalError("the string has left the finite numbers; use a smaller step")
    wanted = torch.linspace(0, 1, count or len(images), dtype=length.dtype, device=length.device) * length[-1]
    left = (torch.searchsorted(length, wanted, right=True) - 1).clamp(0, len(images) - 2)
    gap = length[left + 1] - length[left]
    part = ((wanted - length[left]) / torch.where(gap > 0, gap, 1.0)).clamp(0, 1)
    out = space.exp(images[left], scaled(part, space.log(images[left], images[left + 1])))
    out[0], out[-1] = images[0], images[-1]
    return out


def geodesic(space: Smooth, start: Tensor, end: Tensor, count: int) -> Tensor:
    """Return `count` equally spaced points of the shortest line between two points ``(*event)``.

    Parameters
    ----------
    space
        Where the line runs.
    start, end
        First and last point, shape ``(*event)``.
    count
        Number of points, both ends included.
    """
    return respace(space, torch.stack([start, end]), count)


def transport(
    space: Smooth,
    velocity: Callable[[Tensor, float], Tensor],
    images: Tensor,
    times: Sequence[float],
    *,
    tolerance: float = 0.25,
) -> Curve:
    """Push a curve of prior draws to a continuous curve of samples [1]_.

    The midpoint rule, second order in the time step: with ``y = exp_x(h v(x, t) / 2)`` the new point is
    ``exp_y(log_y(x) + h v(y, t + h/2))``. Between re-spacings the curve is a polygon; its error is second order in the
    distance of the images.

    Parameters
    ----------
    space
        Geometry.
    velocity
        ``dx/dt`` as a function of ``x`` and ``t``, e.g. of `scidiff.analysis.fields.flow_velocity`.
    images
        Curve at ``times[0]``, shape ``(count, *event)``.
    times
        Times, from noise to data.
    tolerance
        Largest distance between an image and the middle of its neighbours, in units of the spacing, up to which the
        curve counts as resolved.

    Returns
    -------
    Curve
        Without energies; `residual` is that distance, `converged` whether it is below the tolerance.

    References
    ----------
    .. [1] Moreau et al., arXiv:2602.22122
    """
    _check(images, tolerance)
    for t, s in itertools.pairwise(times):
        middle = space.exp(images, 0.5 * (s - t) * velocity(images, t))
        images = space.exp(middle, space.log(middle, images) + (s - t) * velocity(middle, 0.5 * (t + s)))
        images = respace(space, images)
    middles = space.exp(images[:-2], 0.5 * space.log(images[:-2], images[2:]))
    spacing = arc_length(space, images)[-1] / (len(images) - 1)
    sag = float((dist(space, images[1:-1], middles) / spacing).max())
    return Curve(images, None, None, None, sag, len(times) - 1, sag <= tolerance)


def minimum_energy_path(
    space: Smooth,
    gradient: Field,
    images: Tensor,
    *,
    step: float,
    energy: Field | None = None,
    iterations: int = 10_000,
    tolerance: float = 1e-3,
    free_ends: bool = True,
) -> Curve:
    """Relax a string to the minimum-energy path, then let its highest image climb to the saddle [1]_, [2]_.

    Parameters
    ----------
    space
        Geometry.
    gradient
        Gradient of the energy as a vector at ``x``, e.g. of `scidiff.analysis.fields.score_gradient`.
    images
        First guess, shape ``(count, *event)``.
    step
        First step of the descent, below 2 over the largest curvature of the energy. It is halved whenever 100
        iterations have made the residual larger: a fine string on a steep slope allows less.
    energy
        The energy, shape ``(batch,)``; without it differences come from the gradient.
    iterations
        Most steps of the string, and again of the climb.
    tolerance
        Length of the gradient across the curve, and at the saddle, below which the string rests. Images on a slope need
        a smaller one than the saddle: there a little tilt of the curve hides some gradient across it.
    free_ends
        Whether the ends descend to the next minimum; else they stay.

    Returns
    -------
    Curve
        `residual` is the largest gradient across the curve, or of the saddle if that is larger.

    References
    ----------
    .. [1] W. E, W. Ren, E. Vanden-Eijnden, doi:10.1103/PhysRevB.66.052301
    .. [2] G. Henkelman, B. P. Uberuaga, H. Jonsson, "A climbing image nudged elastic band method for finding saddle
       points and minimum energy paths", doi:10.1063/1.1329672
    """
    _check(images, step, tolerance)
    images, residual, made = _relax(space, gradient, images, step, iterations, tolerance, free_ends)
    energies = _work(space, gradient, images) if energy is None else energy(images)
    top = int(energies.argmax())
    if top in (0, len(images) - 1):
        return Curve(images, energies, None, float(energies[top] - energies[0]), residual, made, residual < tolerance)
    tangent = tangents(space, images)[top : top + 1]
    saddle, slope, climbed = _climb(space, gradient, images[top : top + 1], tangent, step, iterations, tolerance)
    if energy is None:
        height = energies[top] + _work(space, gradient, torch.cat([images[top : top + 1], saddle]))[-1]
    else:
        height = energy(saddle)[0]
    residual = max(residual, slope)
    barrier = float(height - energies[0])
    return Curve(images, energies, saddle[0], barrier, residual, made + climbed, residual < tolerance)


def _relax(
    space: Smooth, gradient: Field, images: Tensor, step: float, iterations: int, tolerance: float, free_ends: bool
) -> tuple[Tensor, float, int]:
    """Descend across the string until it rests; the images, the largest gradient across, and the steps made."""
    residual, before = math.inf, math.inf
    for made in range(iterations):
        across = _across(space, gradient(images), images, free_ends)
        residual = float(inner(space, images, across, across).max().sqrt())
        if residual < tolerance:
            return images, residual, made
        if made % _WINDOW == 0:
            step, before = (0.5 * step if residual > before else step), residual
        images = respace(space, space.exp(images, -step * across))
    return images, residual, iterations


def _check(images: Tensor, *positive: float) -> None:
    if len(images) < 3 or not images.is_floating_point() or not all(value > 0 for value in positive):
        raise ConfigError(
            f"{len(images)} images of dtype {images.dtype}, settings {positive}; "
            "expected at least 3 images of floating point, and a positive step and tolerance"
        )


def tangents(space: Smooth, images: Tensor) -> Tensor:
    """Unit vector along the string at every image, from both neighbours, from one at an end."""
    ahead, behind = space.log(images[:-1], images[1:]), space.log(images[1:], images[:-1])
    none = torch.zeros_like(ahead[:1])
    return unit(space, images, torch.cat([ahead, none]) - torch.cat([none, behind]))


def _across(space: Smooth, g: Tensor, images: Tensor, free_ends: bool) -> Tensor:
    """Gradient without its part along the string; all of it at free ends, nothing at fixed ones."""
    u = tangents(space, images)
    across = g - scaled(inner(space, images, g, u), u)
    for end in (0, -1):
        across[end] = g[end] if free_ends else 0.0
    return across


def _work(space: Smooth, gradient: Field, images: Tensor) -> Tensor:
    """Energy relative to the first image, by the trapezoidal rule."""
    g = gradient(images)
    x, y = images[:-1], images[1:]
    gain = inner(space, x, g[:-1], space.log(x, y)) - inner(space, y, g[1:], space.log(y, x))
    return torch.cat([torch.zeros_like(gain[:1]), 0.5 * gain.cumsum(0)])


def _climb(
    space: Smooth, gradient: Field, x: Tensor, tangent: Tensor, step: float, iterations: int, tolerance: float
) -> tuple[Tensor, float, int]:
    """Climb along the tangent and descend across it; the only rest is where the gradient vanishes."""
    slope = math.inf
    for made in range(iterations):
        g = gradient(x)
        slope = float(inner(space, x, g, g).sqrt())
        if slope < tolerance:
            return x, slope, made
        y = space.exp(x, -step * (g - 2 * scaled(inner(space, x, g, tangent), tangent)))
        tangent = _carry(space, x, y, tangent)
        x = y
    return x, slope, iterations


def _carry(space: Smooth, x: Tensor, y: Tensor, tangent: Tensor) -> Tensor:
    """Carry a unit vector from ``x`` to the near point ``y``, by the difference of two nearby logarithms."""
    small = 1e-3 * tangent
    return unit(space, y, space.log(y, space.exp(x, small)) - space.log(y, space.exp(x, -small)))


def plot_curve(*curves: Curve, names: Sequence[str] = ()) -> Figure:
    """Draw the energy of one or more curves over the part of their length.

    Parameters
    ----------
    *curves
        Curves with energies.
    names
        One name for each curve.
    """
    from matplotlib.figure import Figure

    if any(curve.energies is None for curve in curves):
        raise ConfigError("a curve has no energies; give an energy to the function that makes it")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for curve, name in itertools.zip_longest(curves, names, fillvalue=""):
        axes.plot(torch.linspace(0, 1, len(curve.images)), curve.energies, marker=".", label=name)
        if curve.saddle is not None and curve.energies is not None:
            axes.axhline(float(curve.energies[0]) + curve.barrier, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel="part of the path", ylabel="energy / kT")
    if names:
        axes.legend(frameon=False)
    return figure
