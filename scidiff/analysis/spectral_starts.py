"""Where an embedding of a finite metric space starts: axes of classical scaling, dealt out to the factors of a product.

Classical scaling [1]_ takes the eigenvectors of ``B = -J D^2 J / 2`` with ``J = 1 - 1/N``, times the roots of their
eigenvalues. For an l2 product of metrics ``D^2 = D_1^2 (+) D_2^2`` the matrix splits, ``B = B_1 (+) B_2``: every
eigenvector belongs to one factor, up to rotations among equal eigenvalues. Which one is not known beforehand, so the
starts differ in how the axes are dealt out, and in the rotation of axes whose eigenvalues are close.

A factor reads its axes ``c`` as what its own points would show,

    E^n    c                                n axes       S^n   c / |c|, radius mean |c|                     n + 1 axes
    H^n    distance |c| / R along c         n axes       T^n   the angle of (c_1, c_2), radius mean |c|     2n axes

or, bent less, as normal coordinates around a point, the limit of a large radius. Any other manifold starts at random.

References
----------
.. [1] W. Torgerson, "Multidimensional scaling: I. Theory and method", Psychometrika 17 (1952),
   doi:10.1007/BF02288916
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import singledispatch

import torch
from torch import Tensor

from scidiff.random import Noise
from scidiff.spaces import Flat, Hyperbolic, Manifold, Sphere, Torus

__all__ = ["axes_of", "classical_scaling", "deal", "start"]

_NEAR = 0.95
_LARGE = 3.0
_BLEND, _JITTER = 0.05, 1e-3


def classical_scaling(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of classical multidimensional scaling.

    Parameters
    ----------
    distances
        Matrix of distances, shape ``(count, count)``.

    Returns
    -------
    tuple of Tensor
        Coordinates, shape ``(count, count)``, and eigenvalues, falling. Axes of negative eigenvalues are zero.
    """
    squares = distances.double() ** 2
    centred = squares - squares.mean(0) - squares.mean(1, keepdim=True) + squares.mean()
    values, vectors = torch.linalg.eigh(-(centred + centred.T) / 4)
    values, vectors = values.flip(0), vectors.flip(1)
    return vectors * values.clamp_min(0).sqrt(), values


def _mixed(axes: Tensor, values: Tensor, noise: Noise) -> Tensor:
    """Rotate the axes of close eigenvalues among each other, at random."""
    out, begin = axes.clone(), 0
    for end in range(1, len(values) + 1):
        if end < len(values) and values[end] > _NEAR * values[end - 1] and values[end] > 1e-9 * values[0]:
            continue
        size = end - begin
        if size > 1 and values[begin] > 1e-9 * values[0]:
            gauss = noise.normal((size, size), step=begin, stream="embedding/rotation")[0]
            out[:, begin:end] = axes[:, begin:end] @ torch.linalg.qr(gauss)[0]
        begin = end
    return out


def deal(scaled: tuple[Tensor, Tensor], widths: Mapping[str, int], noise: Noise, *, mixed: bool) -> dict[str, Tensor]:
    """Deal the leading axes out to the factors.

    Parameters
    ----------
    scaled
        What `classical_scaling` returned.
    widths
        Number of axes that each factor wants.
    noise
        One row.
    mixed
        Deal in a random order, after a random rotation among close eigenvalues; otherwise in the order that they have.

    Returns
    -------
    dict
        Axes of every factor, shape ``(count, width)``. Points that the leading axes do not tell apart would stay
        together, or part in disorder, so a little of all axes is blended into each, in directions drawn once: what
        the metric treats alike is moved alike.
    """
    axes, values = scaled
    total, size = sum(widths.values()), math.sqrt(float(values[0]) / len(values))
    weights = noise.normal((axes.shape[1], total), step=0, stream="embedding/blend")[0]
    blend = axes @ weights
    blend = blend * (_BLEND * size / max(float(blend.square().mean().sqrt()), 1e-300))
    jitter = _JITTER * size * noise.normal(tuple(blend.shape), step=0, stream="embedding/jitter")[0]
    if mixed:
        axes = _mixed(axes, values, noise)
    axes = torch.nn.functional.pad(axes, (0, max(0, total - axes.shape[1])))[:, :total] + blend + jitter
    order = noise.uniform((total,), step=0, stream="embedding/order")[0].argsort() if mixed else torch.arange(total)
    return dict(zip(widths, axes[:, order].split(list(widths.values()), dim=1), strict=True))


@singledispatch
def axes_of(space: Manifold) -> int:
    """Number of axes that a start on this manifold reads."""
    return 0


@singledispatch
def start(space: Manifold, axes: Tensor, radius: float | None, bent: Sequence[bool], noise: Noise) -> tuple:
    """Points to start from, and a radius.

    Parameters
    ----------
    space
        Manifold of scale 1. `singledispatch` chooses by its type; others may be registered.
    axes
        Axes dealt to it, shape ``(count, axes_of(space))``, in the unit of the target.
    radius
        Radius, where it is given; None lets the start choose.
    bent
        For each degree of freedom, whether the start may close round the space.
    noise
        One row.

    Returns
    -------
    tuple
        Points, shape ``(count, *space.shape)``, and the radius.
    """
    draws = noise.normal((len(axes), *space.shape), step=0, stream="embedding/points")[0]
    return space.project(draws), radius or 1.0


def _spread(axes: Tensor) -> float:
    """Root of the mean squared length."""
    return max(float(axes.square().sum(-1).mean().sqrt()), 1e-300)


@axes_of.register
def _(space: Flat) -> int:
    return space.dim


@start.register
def _(space: Flat, axes: Tensor, radius: float | None, bent: Sequence[bool], noise: Noise) -> tuple:
    return axes / (radius or 1.0), radius or 1.0


@axes_of.register
def _(space: Sphere) -> int:
    return space.dim + 1


@start.register
def _(space: Sphere, axes: Tensor, radius: float | None, bent: Sequence[bool], noise: Noise) -> tuple:
    radius = radius or (1.0 if bent[0] else _LARGE) * _spread(axes)
    if bent[0]:
        return space.project(axes), radius
    pole = torch.zeros_like(axes)
    pole[:, -1] = 1
    return space.exp(pole, torch.nn.functional.pad(axes[:, :-1] / radius, (0, 1))), radius


@axes_of.register
def _(space: Hyperbolic) -> int:
    return space.dim


@start.register
def _(space: Hyperbolic, axes: Tensor, radius: float | None, bent: Sequence[bool], noise: Noise) -> tuple:
    radius = radius or (0.5 if bent[0] else _LARGE) * _spread(axes)
    length = axes.norm(dim=-1, keepdim=True)
    return space.project(torch.cat((length / radius, axes), dim=-1)), radius


@axes_of.register
def _(space: Torus) -> int:
    return 2 * space.dim


@start.register
def _(space: Torus, axes: Tensor, radius: float | None, bent: Sequence[bool], noise: Noise) -> tuple:
    closed = torch.tensor(list(bent))
    across, along = axes[:, ::2], axes[:, 1::2]
    if radius is None and bool(closed.any()):
        radius = _spread(torch.stack((across[:, closed], along[:, closed]), dim=-1))
    radius = radius or _LARGE * _spread(axes)
    return space.project(torch.where(closed, torch.atan2(along, across), across / radius)), radius
