"""The finite-temperature string: principal curves, where energy and entropy are weighed against each other.

Every image has walkers that sample ``p ~ exp(-E / T)`` inside its cell, the slab between the two planes
across the curve half a spacing before and behind it,

    y = exp_x(-h g(x) + sqrt(2 h T) xi),    refused where y lies outside of the cell,

and is drawn towards their mean across the curve; its rest is ``phi_k = E[x | x in cell k]`` up to the place along it.
Voronoi cells that are thinner than the density is wide would make a straight curve unstable: a zigzag turns them into
wedges that drive it on. The pull is a constant gain at first and falls as ``1 / iterations`` afterwards, so that the
images end as averages over time. The walkers are ``consistent(1)`` in ``h``: their law has an error of first order.

References
----------
.. [1] E. Vanden-Eijnden, M. Venturoli, "Revisiting the finite temperature string method for the calculation of
   reaction tubes and free energies", doi:10.1063/1.3130083
.. [2] Moreau, Coeurdoux, Ferre, Vanden-Eijnden, "Probing the Geometry of Diffusion Models with the String Method",
   arXiv:2602.22122
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.analysis.string import Curve, Field, Smooth, arc_length, dist, inner, respace, scaled, unit
from scidiff.errors import ConfigError
from scidiff.random import Noise

__all__ = ["Pull", "Walkers", "directions", "excess", "principal_curve"]


@dataclass(frozen=True)
class Walkers:
    """How the walkers of a finite-temperature string move.

    Parameters
    ----------
    count
        Walkers of each image.
    step
        Step ``h`` of the Langevin equation, in units of squared distance per kT.
    temperature
        ``T``; 1 for ``E = -log p``.
    """

    count: int
    step: float
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1 or not (self.step > 0 and self.temperature > 0):
            raise ConfigError(
                f"count {self.count}, step {self.step}, temperature {self.temperature}; expected all positive"
            )

    def proposal(self, space: Smooth, gradient: Field, x: Tensor, noise: Noise, step: int) -> Tensor:
        """Draw where the walkers would go without cells."""
        draw = getattr(space, "random_tangent", None)
        if draw is None:
            xi = noise.normal(tuple(x.shape[1:]), step=step, stream="string").to(x)
        else:
            xi = draw(x, noise, step=step, stream="string")
        return space.exp(x, -self.step * gradient(x) + math.sqrt(2 * self.step * self.temperature) * xi)


@dataclass(frozen=True)
class Pull:
    """How the images follow their walkers.

    Parameters
    ----------
    gain
        Part of the way to the mean of its walkers that an image goes in one of the first iterations.
    smoothing
        Pull towards the neighbours in units of the pull of the walkers, against kinks and noise. It moves the curve by
        `smoothing` times its curvature times the spacing squared, towards its inside.
    free_ends
        Whether the ends move.
    """

    gain: float = 0.02
    smoothing: float = 4.0
    free_ends: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.gain <= 1 or self.smoothing < 0 or self.gain * (1 + 4 * self.smoothing) > 2:
            raise ConfigError(
                f"gain {self.gain}, smoothing {self.smoothing}; expected 0 < gain <= 1, smoothing >= 0 and "
                "gain (1 + 4 smoothing) <= 2, beyond which the string is unstable"
            )


_PULL = Pull()


def principal_curve(
    space: Smooth,
    gradient: Field,
    images: Tensor,
    *,
    walkers: Walkers,
    iterations: int,
    seed: int,
    energy: Field | None = None,
    burn: int | None = None,
    pull: Pull = _PULL,
    tolerance: float = 0.1,
) -> Curve:
    """Find the principal curve of a density by walkers confined to the cells of a string [1]_.

    Parameters
    ----------
    space, gradient, images
        As for `scidiff.analysis.string.minimum_energy_path`, whose result is a good first guess.
    walkers
        How the walkers move.
    iterations
        Steps of the walkers.
    seed
        Seed of the run.
    energy
        Energy, to be reported along the curve.
    burn
        Iterations at constant gain before the average begins; a third of all by default.
    pull
        How the images follow the walkers.
    tolerance
        Largest distance between the images at three quarters of the average and at its end, in units of their spacing,
        at which the curve counts as converged.

    Returns
    -------
    Curve
        Without saddle and barrier; `residual` is that distance.

    References
    ----------
    .. [1] E. Vanden-Eijnden, M. Venturoli, doi:10.1063/1.3130083
    """
    burn = iterations // 3 if burn is None else burn
    if len(images) < 3 or not 0 <= burn < iterations:
        raise ConfigError(
            f"{len(images)} images, burn {burn} of {iterations} iterations; expected at least 3 images and "
            "0 <= burn < iterations"
        )
    late, images = _run(space, gradient, images, walkers, pull, iterations, burn, seed)
    residual = float((dist(space, images, late) / arc_length(space, images)[-1]).max() * (len(images) - 1))
    curve = Curve(images, None, None, None, residual, iterations, residual < tolerance)
    return curve if energy is None else replace(curve, energies=energy(images))


def _run(
    space: Smooth,
    gradient: Field,
    images: Tensor,
    walkers: Walkers,
    pull: Pull,
    iterations: int,
    burn: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Images at three quarters of the average, and at its end."""
    x = late = images.repeat_interleave(walkers.count, 0)
    noise = Noise.range(seed, len(x))
    for i in range(iterations):
        y = walkers.proposal(space, gradient, x, noise, i)
        x = torch.where(_expand(excess(space, y, images, walkers.count) == 0, y), y, x)
        gain = pull.gain if i < burn else pull.gain / (1 + (i - burn) * pull.gain)
        images = _follow(space, images, x, walkers.count, replace(pull, gain=gain))
        x = _pushed(space, x, images, walkers.count)
        late = images if i == burn + 3 * (iterations - burn) // 4 else late
    return late, images


def directions(space: Smooth, images: Tensor, span: int = 2) -> Tensor:
    """Unit vectors along the string, from the images `span` places on either side: noise tilts these less."""
    row = torch.arange(len(images), device=images.device)
    ahead, behind = images[(row + span).clamp(max=len(images) - 1)], images[(row - span).clamp(min=0)]
    return unit(space, images, space.log(images, ahead) - space.log(images, behind))


def excess(space: Smooth, x: Tensor, images: Tensor, count: int) -> Tensor:
    """How far each walker lies outside of the slab of its image, with the sign of the side; 0 inside.

    Parameters
    ----------
    space
        Geometry.
    x
        Walkers, those of one image side by side, shape ``(images * count, *event)``.
    images
        The string.
    count
        Walkers of each image.
    """
    half = 0.5 * arc_length(space, images)[-1] / (len(images) - 1)
    home, along = (part.repeat_interleave(count, 0) for part in (images, directions(space, images)))
    place = inner(space, home, space.log(home, x), along)
    return place - place.clamp(-half, half)


def _expand(flags: Tensor, x: Tensor) -> Tensor:
    return flags.reshape(-1, *(1,) * (x.ndim - 1))


def _pushed(space: Smooth, x: Tensor, images: Tensor, count: int) -> Tensor:
    """Push walkers that their moving slab has left behind along the string to its edge."""
    home, along = (part.repeat_interleave(count, 0) for part in (images, directions(space, images)))
    beyond = excess(space, x, images, count)
    back = space.exp(home, space.log(home, x) - scaled(beyond, along))
    return torch.where(_expand(beyond == 0, x), x, back)


def _follow(space: Smooth, images: Tensor, x: Tensor, count: int, pull: Pull) -> Tensor:
    """Draw the images across the string to the means of their walkers, smooth them and put them at equal distances."""
    ways = space.log(images.repeat_interleave(count, 0), x)
    move = ways.reshape(len(images), count, *ways.shape[1:]).mean(1)
    middle = images[1:-1]
    move[1:-1] += pull.smoothing * (space.log(middle, images[:-2]) + space.log(middle, images[2:]))
    along = directions(space, images)
    move = pull.gain * (move - scaled(inner(space, images, move, along), along))
    if not pull.free_ends:
        move[0], move[-1] = 0.0, 0.0
    return respace(space, space.exp(images, move))
