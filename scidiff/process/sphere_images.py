"""The heat kernel of S^3 for small times as a sum over images; generator half the Laplacian.

    k(r) = e^(t/2) (2 pi t)^(-3/2) sum_k (r + 2 pi k) e^(-(r + 2 pi k)^2/2t) / sin r

For ``t <= 0.35`` two images are all of the sum to round-off. With ``p = pi - r``, ``z = 2 pi p / t``, ``E = e^-z`` and
``g(z) = (1 - e^-z)/z`` they add up without a pole at the antipode,

    k(r) = e^(t/2 - r^2/2t) (2 pi t)^(-3/2) B / sinc p,    B = 2 pi^2/t g(z) - (1 + E)

and where ``r < 1/2`` the second one is below ``e^-47`` of the first.

References
----------
.. [1] R. Camporesi, "Harmonic analysis and propagators on homogeneous spaces", doi:10.1016/0370-1573(90)90120-Q
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scidiff.spaces.smooth import cos_sinc, series

__all__ = ["three_sphere_images"]

_NEAR = 0.5
_COTANGENT = (1 / 3, 1 / 45, 2 / 945, 1 / 4725, 2 / 93555, 1382 / 638512875, 4 / 18243225)
_SHARE = tuple((-1) ** k / math.factorial(k + 1) for k in range(16))
_SLOPE = tuple((-1) ** (k + 1) * (k + 1) / math.factorial(k + 2) for k in range(16))


def _cotangent_gap(r: Tensor) -> Tensor:
    """Return ``(1/r - cot r) / r``, even in ``r``."""
    small = r < 0.3
    safe = torch.where(small, 1.0, r)
    return torch.where(small, series(_COTANGENT, torch.where(small, r, 0.0) ** 2), (1 / safe - 1 / safe.tan()) / safe)


def three_sphere_images(r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the density on S^3 with respect to volume, and its slope ``(d log k / dr) / r``.

    Parameters
    ----------
    r
        Angle, radians, in [0, pi], float64.
    t
        Variance, same shape, at most 0.4.
    """
    near = r < _NEAR
    p = torch.where(near, 1.0, math.pi - r)
    z = 2 * math.pi * p / t
    small = z < 0.5
    safe, low = torch.where(small, 1.0, z), torch.where(small, z, 0.0)
    share = torch.where(small, series(_SHARE, low), -torch.expm1(-safe) / safe)
    rate = torch.where(small, series(_SLOPE, low), ((1 + safe) * (-safe).exp() - 1) / safe**2)
    beyond = (-z).exp()
    b = 2 * math.pi**2 / t * share - (1 + beyond)
    b_rate = 2 * math.pi / t * (2 * math.pi**2 / t * rate + beyond)
    log_far = b.log() - cos_sinc(p**2)[1].log()
    slope_far = -(b_rate / b + _cotangent_gap(p) * p) / torch.where(near, 1.0, r)
    close = torch.where(near, r, 0.0)
    log_image = torch.where(near, -cos_sinc(close**2)[1].log(), log_far)
    log_k = t / 2 - r**2 / (2 * t) - 1.5 * (2 * math.pi * t).log() + log_image
    return log_k, torch.where(near, _cotangent_gap(close), slope_far) - 1 / t
