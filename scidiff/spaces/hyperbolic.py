"""Hyperbolic space H^n of curvature -1 in polar coordinates: radius ``r >= 0`` and unit direction ``u``.

A point is ``(r, u)``, ``n + 1`` numbers. Coordinates on the ball or the hyperboloid spend their digits on ``r`` and
lose close pairs far out; these do not:

    sinh^2(d/2) = sinh^2((r1 - r2)/2) + sinh r1 sinh r2 |u1 - u2|^2 / 4

A tangent vector at ``(r, u)`` is ``(a, b)`` in the orthonormal frame of the radial direction and the directions across:
``dr = a``, ``sinh r du = b`` with ``<b, u> = 0``; its squared length is ``a^2 + |b|^2``. With ``d = |v|``, ``k = a/d``,
``A = ((1+k) e^d + (1-k) e^-d)/2`` and ``B = ((1-k) e^d + (1+k) e^-d)/2`` the geodesic arrives at

    sinh r' u' = (e^r A - e^-r B)/2 u + sinh(d)/d b

where ``1 - |k| = |b|^2 / (d (d + |a|))``: no step subtracts large numbers, apart from what the geometry itself does.
The origin has every direction; `project` gives it the last axis. There the chart is not smooth: maps are exact,
gradients with respect to the point are finite and not meaningful. There is no cut locus. Radii and distances up to 40
(float32) or 300 (float64) do not overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.smooth import cosh_sinhc, inverse_sinhc, orthogonal_axis, safe_norm, safe_sqrt, squared_norm, unit

__all__ = ["Hyperbolic"]


@dataclass(frozen=True)
class Hyperbolic(Manifold):
    """Hyperbolic space of dimension `size`.

    Parameters
    ----------
    size
        Dimension, at least 2.

    Examples
    --------
    >>> import torch
    >>> from scidiff.spaces import Hyperbolic
    >>> x, y = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[3.0, -1.0, 0.0]])
    >>> round(float(Hyperbolic(2).dist(x, y)), 4)  # on two rays from the origin in opposite directions: 2 + 3
    5.0
    """

    size: int = 2

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ConfigError(f"size is {self.size}; expected at least 2: H^1 is the line, use Flat(1)")

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point: a radius and a unit vector."""
        return (self.size + 1,)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return self.size

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Follow the geodesic of initial velocity ``v``."""
        r, u = x[..., :1], x[..., 1:]
        v = self.project_tangent(x, v)
        a, b = v[..., :1], v[..., 1:]
        d = safe_norm(v)
        still = d == 0
        safe = torch.where(still, 1.0, d)
        less = squared_norm(b) / (safe * (safe + torch.where(a < 0, -a, a)))
        plus, minus = torch.where(a < 0, less, 2 - less), torch.where(a < 0, 2 - less, less)
        up = torch.where(still, 1.0, (plus * safe.exp() + minus * (-safe).exp()) / 2)
        down = torch.where(still, 1.0, (minus * safe.exp() + plus * (-safe).exp()) / 2)
        radial = (r.exp() * up - (-r).exp() * down) / 2
        moved = radial * u + cosh_sinhc(squared_norm(v))[1] * b
        # at rest the sum above is x itself, up to terms of second order: its gradient in a needs the first
        moved = torch.where(still, r.sinh() * u + r.cosh() * a * u + b, moved)
        return torch.cat((torch.asinh(safe_norm(moved)), unit(moved, u)), dim=-1)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Velocity of the geodesic from ``x`` to ``y``."""
        r, u, far, to = x[..., :1], x[..., 1:], y[..., :1], y[..., 1:]
        delta = to - u
        b = far.sinh() * (delta - (delta * u).sum(-1, keepdim=True) * u)
        a = (far - r).sinh() - far.sinh() * r.cosh() * squared_norm(delta) / 2
        d = 2 * torch.asinh(safe_sqrt(_half_sinh(x, y)))
        return inverse_sinhc(d**2) * torch.cat((a, b), dim=-1)

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Hyperbolic distance by the half-angle formula."""
        return (2 * torch.asinh(safe_sqrt(_half_sinh(x, y)))).squeeze(-1)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Carry ``v``: in the plane of the geodesic it keeps its angle to it, across that plane it stays as it is."""
        u, to = x[..., 1:], y[..., 1:]
        delta = to - u
        w = delta - (delta * u).sum(-1, keepdim=True) * u
        tiny = squared_norm(w) < (4 * torch.finfo(x.dtype).eps) ** 2
        axis = torch.where(tiny, orthogonal_axis(u.detach()), unit(torch.where(tiny, 1.0, w), w))
        c, s = (u * to).sum(-1, keepdim=True), torch.where(tiny, 0.0, safe_norm(w))
        turned = c * axis - s * u
        turned = turned - (turned * to).sum(-1, keepdim=True) * to
        turned = turned / turned.norm(dim=-1, keepdim=True)
        start = _direction(self.log(x, y), axis)
        end = -_direction(self.log(y, x), turned)
        a, b = v[..., :1], v[..., 1:]
        across = (b * axis).sum(-1, keepdim=True)
        along = start[..., :1] * a + start[..., 1:] * across
        beside = start[..., :1] * across - start[..., 1:] * a
        radial = end[..., :1] * along - end[..., 1:] * beside
        tangential = end[..., 1:] * along + end[..., :1] * beside
        return torch.cat((radial, b - across * axis + tangential * turned), dim=-1)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Remove the part of ``b`` along ``u``."""
        u, b = x[..., 1:], v[..., 1:]
        return torch.cat((v[..., :1], b - (b * u).sum(-1, keepdim=True) * u), dim=-1)

    def project(self, x: Tensor) -> Tensor:
        """Divide ``u`` by its norm; a negative radius turns the direction round; the origin gets the last axis."""
        r, u = x[..., :1], x[..., 1:]
        pole = torch.zeros_like(u)
        pole[..., -1] = 1
        u = unit(torch.where(r < 0, -u, u), pole)
        return torch.cat((r.abs(), torch.where(r == 0, pole, u)), dim=-1)

    def condition(self, x: Tensor, y: Tensor) -> Tensor:
        """Growth of geodesics that diverge, ``cosh``, over the distance and over the two radii."""
        return self.dist(x, y).cosh() + x[..., 0].cosh() + y[..., 0].cosh()


def _half_sinh(x: Tensor, y: Tensor) -> Tensor:
    """Return ``sinh^2(d / 2)``."""
    r, s = x[..., :1], y[..., :1]
    return ((r - s) / 2).sinh() ** 2 + r.sinh() * s.sinh() * squared_norm(x[..., 1:] - y[..., 1:]) / 4


def _direction(v: Tensor, axis: Tensor) -> Tensor:
    """Cosine and sine of ``v`` in the plane of the radial direction and ``axis``; the radial direction at rest."""
    plane = torch.cat((v[..., :1], (v[..., 1:] * axis).sum(-1, keepdim=True)), dim=-1)
    radial = torch.zeros_like(plane)
    radial[..., 0] = 1
    return unit(plane, radial)
