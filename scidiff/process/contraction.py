"""Density of a geodesic path from the uniform law: what remains of the volume when a manifold is drawn to a point.

The path ``x = exp_(x_0)(kbar log_(x_0)(x_1))`` with ``x_1`` uniform divides the distance to ``x_0`` by ``R / r``,
``R = r / kbar`` the distance of ``x_1`` and ``r`` that of ``x``. With ``J(r) = (A(r) / r^(n-1))`` the area of the
geodesic sphere relative to flat space, the density with respect to volume is

    p(x | x_0) = J(R) / (vol kbar^n J(r)) where log_(x_0)(x) / kbar lies within the cut locus, 0 beyond

    S^n    J = sinc(r)^(n-1)        within R < pi
    SO(3)  J = sinc(r/2)^2          within R < pi
    T^n    J = 1                    within |each angle| / kbar < pi

At the cut locus it falls to 0 on spheres, and jumps to 0 on rotations and tori.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.geodesic import GeodesicFlow, point_time
from scidiff.spaces.smooth import cos_sinc
from scidiff.spaces.so3 import SO3
from scidiff.spaces.sphere import Sphere
from scidiff.spaces.torus import Torus

__all__ = ["contracted_uniform"]


def contracted_uniform(flow: GeodesicFlow, x0: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
    """Logarithm of the density of ``x_t`` given ``x_0``, with respect to volume.

    Parameters
    ----------
    flow
        Process with the uniform prior, on spheres, rotations, tori or powers of them.
    x0, x
        Data and states, of one shape.
    t
        Time per point, positive.

    Returns
    -------
    Tensor
        One number per point, float64; ``-inf`` outside the support.

    Raises
    ------
    ConfigError
        If the prior is not uniform, the space is another one, or some ``t`` is not positive.
    """
    site = flow.site
    if flow.base is not None or not isinstance(site, Sphere | SO3 | Torus):
        raise ConfigError(
            f"a flow on {site!r} with base {flow.base!r} came; expected the uniform law on Sphere, SO3 or Torus"
        )
    kbar = flow.clock.remaining(point_time(t, x, site))
    if not bool((kbar > 0).all()):
        raise ConfigError("the density was asked for at t = 0, where the law is the point x_0; use t > 0")
    if isinstance(site, Torus):
        inside = site.log(x0.double(), x.double()).abs().amax(-1) <= math.pi * kbar
        level = -site.dim * (math.log(2 * math.pi) + kbar.log())
        return torch.where(inside, level, -torch.inf)
    r = site.dist(x0.double(), x.double())
    half, power = (1.0, site.dim - 1) if isinstance(site, Sphere) else (0.5, 2)
    inside, whole = r <= math.pi * kbar, kbar == 1
    far = cos_sinc((half * torch.where(inside, r / kbar, 0.0)) ** 2)[1].clamp_min(0.0)
    near = cos_sinc((half * torch.where(whole, 0.0, r)) ** 2)[1]
    bend = torch.where(whole, 0.0, power * (far.log() - near.log()))
    return torch.where(inside, bend - _log_volume(site) - site.dim * kbar.log(), -torch.inf)


def _log_volume(site: Sphere | SO3) -> float:
    if isinstance(site, SO3):
        return math.log(8 * math.pi**2)
    half = (site.dim + 1) / 2
    return math.log(2) + half * math.log(math.pi) - math.lgamma(half)
