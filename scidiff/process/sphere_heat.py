"""Exact heat kernels on spheres; generator half the Laplacian, see `scidiff.process.radial`.

On S^n with ``x = cos r`` the eigenfunctions are Gegenbauer polynomials, ``a = (n - 1)/2``,

    k(r) = (1 / vol S^n) sum_l (2l + n - 1)/(n - 1) e^(-l (l+n-1) t/2) C_l^a(x),    dC_l^a/dx = 2a C_(l-1)^(a+1)

exact to round-off relative to ``k(0)``: near the antipode digits are lost for small ``t``. On S^2 the method of descent
from S^3 gives a sum of positive terms instead. With ``phi^2 = r^2 + 2 t v^2`` and ``V^2 = 2 pi (pi - r)/t``

    k(r) = pi^(-3/2) / t e^(t/8 - r^2/2t) integral_0^V e^(-v^2) / sqrt(S) dv,
    S = sinc((phi + r)/2) sinc((phi - r)/2)

up to images a whole turn on, of relative size ``e^(-2 pi^2 / t)``: below round-off for ``t <= 0.35``, where this form
is used; above, the series keeps ten digits at the antipode and more elsewhere. The integrand is even at both ends after
``v = V sin b``, so that the midpoint rule converges faster than any power; where ``V > 7`` the end at ``V`` does not
matter and ``v`` itself is used. For small times on S^3 see `scidiff.process.sphere_images`.

References
----------
.. [1] R. Camporesi, "Harmonic analysis and propagators on homogeneous spaces", doi:10.1016/0370-1573(90)90120-Q
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.radial import RadialHeatKernel
from scidiff.process.sphere_images import three_sphere_images
from scidiff.spaces.smooth import cos_sinc
from scidiff.spaces.sphere import Sphere

__all__ = ["SphereHeatKernel", "sphere_descent", "sphere_spectral"]

_SWITCH = 0.35
_LOWEST = 0.3
_DEGREES = 24
_NODES = 40
_CUT = 7.0


def sphere_spectral(n: int, r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the density with respect to volume, and its slope, by 24 degrees of the spectral series.

    Parameters
    ----------
    n
        Dimension of the sphere, at least 2.
    r
        Angle, radians, in [0, pi], float64.
    t
        Variance, same shape, at least 0.3.
    """
    a, x = (n - 1) / 2, r.cos()
    here, before = torch.ones_like(x), torch.zeros_like(x)
    rise, rise_before = torch.ones_like(x), torch.zeros_like(x)
    total, fall = torch.ones_like(x), torch.zeros_like(x)
    for l in range(1, _DEGREES + 1):
        here, before = (2 * (l + a - 1) * x * here - (l + 2 * a - 2) * before) / l, here
        weight = (2 * l + n - 1) / (n - 1) * (-l * (l + n - 1) * t / 2).exp()
        total = total + weight * here
        fall = fall + weight * 2 * a * rise
        rise, rise_before = (2 * (l + a) * x * rise - (l + 2 * a) * rise_before) / l, rise
    log_volume = math.log(2) + (n + 1) / 2 * math.log(math.pi) - math.lgamma((n + 1) / 2)
    return total.log() - log_volume, -cos_sinc(r**2)[1] * fall / total


def _midpoints(like: Tensor) -> Tensor:
    """Midpoints of a division of (0, 1)."""
    return (torch.arange(_NODES, dtype=like.dtype, device=like.device) + 0.5) / _NODES


def _open_end(r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Integral over ``v`` up to 7, and ``(d log / dr) / r`` of it by ``dS/dr / r = (sinc phi - sinc r) / (t v^2)``."""
    v2 = (_midpoints(r) * _CUT) ** 2
    phi = (r**2 + 2 * t * v2).sqrt()
    s = cos_sinc((phi + r) ** 2 / 4)[1] * cos_sinc((phi - r) ** 2 / 4)[1]
    part = (-v2).exp() / s.sqrt()
    rise = (cos_sinc(phi**2)[1] - cos_sinc(r**2)[1]) / (t * v2)
    return part.sum(-1) * _CUT / _NODES, -(part * rise / (2 * s)).sum(-1) / part.sum(-1)


def _closed_end(r: Tensor, t: Tensor) -> Tensor:
    """Integral over ``v = V sin b``, where ``pi - (phi + r)/2`` is ``t V^2 cos^2 b / (2 pi - r + phi)``."""
    b = _midpoints(r) * math.pi / 2
    v2 = 2 * math.pi * (math.pi - r) / t * b.sin() ** 2
    phi = (r**2 + 2 * t * v2).sqrt()
    span = 2 * math.pi - r + phi
    gap = cos_sinc((2 * math.pi * (math.pi - r) * b.cos() ** 2 / span) ** 2)[1]
    other = cos_sinc((phi - r) ** 2 / 4)[1]
    part = (-v2).exp() * (span / t * (phi + r) / 2 / (gap * other)).sqrt()
    return part.sum(-1) * math.pi / (2 * _NODES)


def sphere_descent(r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the density on S^2 with respect to volume, and its slope, by descent from S^3.

    Parameters
    ----------
    r
        Angle, radians, in [0, pi], float64.
    t
        Variance, same shape, at most 0.4.
    """
    far = 2 * math.pi * (math.pi - r) > _CUT**2 * t
    integral, rise = _open_end(torch.where(far, r, 0.0).unsqueeze(-1), t.unsqueeze(-1))
    with torch.enable_grad():
        near = torch.where(far, 2.0, r) if r.requires_grad else torch.where(far, 2.0, r).requires_grad_()
        closed = _closed_end(near.unsqueeze(-1), t.unsqueeze(-1)).log()
        (rate,) = torch.autograd.grad(closed.sum(), near, create_graph=r.requires_grad)
    closed = closed if r.requires_grad else closed.detach()
    log_integral = torch.where(far, integral.log(), closed)
    log_k = t / 8 - r**2 / (2 * t) + log_integral - t.log() - 1.5 * math.log(math.pi)
    return log_k, torch.where(far, rise, rate / near.detach()) - 1 / t


@dataclass(frozen=True)
class SphereHeatKernel(RadialHeatKernel):
    """Heat kernel of a sphere: S^2 and S^3 for every ``t``, S^n with ``n > 3`` for ``t >= 0.3``.

    Parameters
    ----------
    space
        The sphere, of dimension 2 or more; for the circle use `scidiff.process.heat.WrappedNormal`.
    """

    space: Sphere = field(default_factory=Sphere)

    def __post_init__(self) -> None:
        if self.space.size < 2:
            raise ConfigError("S^1 came; use WrappedNormal(Torus(1)) for the circle")

    @property
    def reach(self) -> float:
        """Largest angle."""
        return math.pi

    def _both(self, r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        n = self.space.size
        if n > 3 and bool((t < _LOWEST).any()):
            raise ConfigError(
                f"t = {float(t.min()):.3g} came for S^{n}; the series needs t >= {_LOWEST}: "
                "use geodesic_random_walk below"
            )
        if n > 3:
            return sphere_spectral(n, r, t)
        small = t < _SWITCH
        near = (sphere_descent if n == 2 else three_sphere_images)(r, torch.where(small, t, _SWITCH))
        far = sphere_spectral(n, r, torch.where(small, _SWITCH, t))
        return tuple(torch.where(small, a, b) for a, b in zip(near, far, strict=True))

    def log_radial(self, r: Tensor, t: Tensor) -> Tensor:
        """Logarithm of the density with respect to volume."""
        return self._both(r, t)[0]

    def slope(self, r: Tensor, t: Tensor) -> Tensor:
        """Return ``(d log k / dr) / r``."""
        return self._both(r, t)[1]

    def log_area(self, r: Tensor) -> Tensor:
        """Logarithm of ``vol S^(n-1) sin^(n-1) r``."""
        n = self.space.size
        log_volume = math.log(2) + n / 2 * math.log(math.pi) - math.lgamma(n / 2)
        return log_volume + (n - 1) * r.sin().log()

    def horizon(self, t: Tensor) -> Tensor:
        """Nine standard deviations and the radius of a normal law, at most ``pi``."""
        return ((9 + math.sqrt(self.space.size)) * t.sqrt()).clamp_max(math.pi)
