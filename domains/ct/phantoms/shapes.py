"""Bodies of constant attenuation with exact line integrals.

The part of a ray ``p + s d`` inside a convex body is one interval ``[s_in, s_out]``. For an ellipsoid
``|M (r - c)| <= 1`` it solves a quadratic; a half space ``n . r <= e`` cuts it linearly; a super-ellipse
``|x/a|^4 + |y/b|^4 <= 1`` needs the two roots of a convex quartic, found by Newton's method from outside, which
converges monotonically. The line integral is the attenuation times the length of the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Blob", "Body", "Ellipse", "Ellipsoid", "SuperEllipse"]


class Body(Protocol):
    """Something whose attenuation adds to the others'."""

    def integral(self, points: Tensor, directions: Tensor) -> Tensor:
        """Exact line integral, ``(*rays, D)`` to ``(*rays,)``."""
        ...

    def value(self, points: Tensor) -> Tensor:
        """Attenuation at points, ``(*n, D)`` to ``(*n,)``."""
        ...


@dataclass(frozen=True)
class Ellipsoid:
    """An axis-aligned ellipsoid (2-D or 3-D), turned about z.

    Parameters
    ----------
    density
        Attenuation that it adds, 1/mm.
    centre
        ``(x, y)`` or ``(x, y, z)``, mm.
    axes
        Semi-axes, mm, same length.
    angle
        Counter-clockwise turn about z, radians.
    cuts
        Half spaces ``(n..., e)``: only the part with ``n . r <= e`` (mm, from the origin) is kept.
    """

    density: float
    centre: tuple[float, ...]
    axes: tuple[float, ...]
    angle: float = 0.0
    cuts: tuple[tuple[float, ...], ...] = ()

    def _frame(self, vectors: Tensor, shift: bool) -> Tensor:
        """Coordinates in which the body is the unit ball."""
        out = vectors - vectors.new_tensor(self.centre) if shift else vectors
        c, s = math.cos(self.angle), math.sin(self.angle)
        x, y = out[..., 0] * c + out[..., 1] * s, -out[..., 0] * s + out[..., 1] * c
        return torch.stack([x, y, *out[..., 2:].unbind(-1)], -1) / out.new_tensor(self.axes)

    def interval(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Entry and exit along the ray, mm; equal where it misses."""
        p, d = self._frame(points, True), self._frame(directions, False)
        a, b, c = (d * d).sum(-1), (p * d).sum(-1), (p * p).sum(-1) - 1.0
        root = (b * b - a * c).clamp_min(0.0).sqrt()
        first, last = (-b - root) / a, (-b + root) / a
        for *normal, bound in self.cuts:
            n = points.new_tensor(normal)
            slope, room = (directions * n).sum(-1), bound - (points * n).sum(-1)
            at = room / torch.where(slope == 0, 1.0, slope)
            last = torch.where(slope > 0, torch.minimum(last, at), last)
            first = torch.where(slope < 0, torch.maximum(first, at), first)
            last = torch.where((slope == 0) & (room < 0), first, last)
        return first, torch.maximum(first, last)

    def integral(self, points: Tensor, directions: Tensor) -> Tensor:
        """Exact line integral."""
        first, last = self.interval(points, directions)
        return self.density * (last - first)

    def value(self, points: Tensor) -> Tensor:
        """Attenuation at points."""
        inside = self._frame(points, True).square().sum(-1) <= 1.0
        for *normal, bound in self.cuts:
            inside = inside & ((points * points.new_tensor(normal)).sum(-1) <= bound)
        return self.density * inside.to(points.dtype)


def Ellipse(
    density: float,
    centre: tuple[float, float] = (0.0, 0.0),
    axes: tuple[float, float] = (1.0, 1.0),
    angle: float = 0.0,
    cuts: tuple[tuple[float, ...], ...] = (),
) -> Ellipsoid:
    """Return the two-dimensional `Ellipsoid`.

    Parameters
    ----------
    density
        What it adds to the attenuation, 1/mm.
    centre, axes
        Centre and semi-axes, mm.
    angle
        Turn of the first axis against x, radians.
    cuts
        As for `Ellipsoid`.
    """
    return Ellipsoid(density, centre, axes, angle, cuts)


@dataclass(frozen=True)
class SuperEllipse:
    """``|x/a|^4 + |y/b|^4 <= 1``, turned.

    Parameters
    ----------
    density, centre, axes, angle
        As for `Ellipsoid`, two-dimensional.
    """

    density: float
    centre: tuple[float, float]
    axes: tuple[float, float]
    angle: float = 0.0

    def _frame(self, vectors: Tensor, shift: bool) -> Tensor:
        return Ellipsoid(0.0, self.centre, self.axes, self.angle)._frame(vectors, shift)

    def integral(self, points: Tensor, directions: Tensor) -> Tensor:
        """Line integral, exact to round-off."""
        p, d = self._frame(points, True), self._frame(directions, False)
        speed = d.norm(dim=-1)
        d = d / speed[..., None]
        middle = -(p * d).sum(-1)
        p = p + middle[..., None] * d
        # the least value lies within the circle of radius 2^(1/4) that holds the body
        low, high = torch.full_like(middle, -1.2), torch.full_like(middle, 1.2)
        for _ in range(60):
            s = 0.5 * (low + high)
            rising = ((p + s[..., None] * d) ** 3 * d).sum(-1) > 0
            low, high = torch.where(rising, low, s), torch.where(rising, s, high)
        least = 0.5 * (low + high)
        hit = ((p + least[..., None] * d) ** 4).sum(-1) < 1.0
        ends = [self._root(p, d, torch.full_like(middle, sign * 1.5), hit) for sign in (-1.0, 1.0)]
        return self.density * torch.where(hit, ends[1] - ends[0], 0.0) / speed

    @staticmethod
    def _root(p: Tensor, d: Tensor, s: Tensor, hit: Tensor) -> Tensor:
        """Root of the quartic by Newton's method from outside."""
        for _ in range(40):
            r = p + s[..., None] * d
            slope = 4.0 * (r**3 * d).sum(-1)
            step = ((r**4).sum(-1) - 1.0) / torch.where(slope == 0, 1.0, slope)
            s = torch.where(hit, s - step, s)
        return s

    def value(self, points: Tensor) -> Tensor:
        """Attenuation at points."""
        return self.density * ((self._frame(points, True) ** 4).sum(-1) <= 1.0).to(points.dtype)


@dataclass(frozen=True)
class Blob:
    """A Gaussian ``density exp(-|r - c|^2 / (2 width^2))``: smooth, so that a scheme shows its own order.

    Parameters
    ----------
    density
        Attenuation at the centre, 1/mm.
    centre
        ``(x, y)`` or ``(x, y, z)``, mm.
    width
        Standard deviation, mm.
    """

    density: float
    centre: tuple[float, ...]
    width: float

    def integral(self, points: Tensor, directions: Tensor) -> Tensor:
        """Exact line integral."""
        p = points - points.new_tensor(self.centre)
        along = (p * directions).sum(-1)
        away = (p * p).sum(-1) - along**2
        return self.density * self.width * math.sqrt(2 * math.pi) * torch.exp(-0.5 * away / self.width**2)

    def value(self, points: Tensor) -> Tensor:
        """Attenuation at points."""
        away = (points - points.new_tensor(self.centre)).square().sum(-1)
        return self.density * torch.exp(-0.5 * away / self.width**2)
