"""Brownian motion on rotations: the isotropic Gaussian IGSO(3).

The generator is half the Laplacian of the metric in which distance is the rotation angle ``w``: a rotation vector has
variance ``t`` per axis for small ``t``, and ``E tr R = 3 e^(-t)``. (Papers with variance ``sigma^2`` or ``eps^2`` mean
``t = sigma^2`` where their exponent is ``l (l+1) sigma^2 / 2``, and ``t = 2 eps^2`` where it is ``l (l+1) eps^2``.) The
density with respect to the Haar probability measure has two series:

    f(w) = sum_l (2l+1) e^(-l(l+1)t/2) sin((l+1/2)w) / sin(w/2)                              converges fast for large t
         = sqrt(2 pi) t^(-3/2) e^(t/8) sum_k (-1)^k (w+2 pi k) e^(-(w+2 pi k)^2/2t) / sin(w/2)           for small t

the second by Poisson summation over the half-integers. In the first, ``sin((l+1/2)w)/sin(w/2) = 1 + 2 sum_j cos jw``
gives a cosine series, with ``sin jw / sin w`` in its derivative; in the second, images ``k`` and ``-k`` are added
before they cancel. Both are then even functions of ``w`` without a pole, and so is ``slope = f'/(f w)``. The angle has
density ``f(w) (1 - cos w)/pi`` on [0, pi]; the volume of the space is ``8 pi^2``.

References
----------
.. [1] D. I. Nikolayev and T. I. Savyolova, "Normal distribution on the rotation group SO(3)", doi:10.1155/TSM.29.201
.. [2] A. Leach et al., "Denoising diffusion probabilistic models on SO(3) for rotational alignment", ICLR 2022 workshop
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.process.radial import RadialHeatKernel
from scidiff.spaces.smooth import cos_sinc, series
from scidiff.spaces.so3 import SO3

__all__ = ["IGSO3", "igso3_images", "igso3_spectral"]

_SWITCH = 2.0
_DEGREES = 16
_IMAGES = 3
_COTANGENT = (1 / 12, 1 / 720, 1 / 30240, 1 / 1209600, 1 / 47900160, 691 / 1307674368000)
_SINHC = tuple(1 / math.factorial(2 * j + 1) for j in range(9))
_COSH_LESS_SINHC = tuple(2 * j / math.factorial(2 * j + 1) for j in range(1, 9))


def igso3_spectral(w: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the density and its slope by the spectral series of 16 degrees, exact to round-off for ``t >= 0.5``.

    Parameters
    ----------
    w
        Rotation angle, radians, in [0, pi], float64.
    t
        Variance, same shape.

    Returns
    -------
    log_density, slope
        ``log f`` with respect to the Haar probability measure, and ``(d log f / dw) / w``.
    """
    above = torch.zeros_like(w)
    terms = [(2 * l + 1) * (-l * (l + 1) * t / 2).exp() for l in range(_DEGREES)]
    weights = []
    for term in reversed(terms):
        above = above + term
        weights.insert(0, above)
    x = w.cos()
    f, fall = weights[0], torch.zeros_like(w)
    cos, cos_before, sines, sines_before = x, torch.ones_like(w), torch.ones_like(w), torch.zeros_like(w)
    for l in range(1, _DEGREES):
        f = f + 2 * weights[l] * cos
        fall = fall + 2 * l * weights[l] * sines
        cos, cos_before = 2 * x * cos - cos_before, cos
        sines, sines_before = 2 * x * sines - sines_before, sines
    return f.log(), -cos_sinc(w**2)[1] * fall / f


def igso3_images(w: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the density and its slope by the sum over images, exact to round-off for ``t <= 3``; see above."""
    total, derivative = torch.ones_like(w), torch.zeros_like(w)
    for k in range(1, _IMAGES + 1):
        a = 2 * math.pi * k
        y = a * w / t
        near = (-a * (a - 2 * w) / (2 * t)).exp()
        far = (-a * (a + 2 * w) / (2 * t)).exp()
        cosh = (near + far) / 2
        small = y < 0.5
        safe, low = torch.where(small, 1.0, y), torch.where(small, y, 0.0) ** 2
        level = (-(a**2) / (2 * t)).exp()
        sinhc = torch.where(small, level * series(_SINHC, low), -near * torch.expm1(-2 * safe) / (2 * safe))
        rest = torch.where(small, level * series(_COSH_LESS_SINHC, low), (cosh - sinhc) / safe**2)
        sign = (-1) ** k
        total = total + sign * (2 * cosh - 2 * a**2 / t * sinhc)
        derivative = derivative + sign * (a / t) ** 2 * (2 * sinhc - 2 * a**2 / t * rest)
    _, sinc = cos_sinc(w**2 / 4)
    log_f = math.log(2 * math.sqrt(2 * math.pi)) - 1.5 * t.log() + t / 8 - w**2 / (2 * t) - sinc.log() + total.log()
    return log_f, _cotangent_gap(w) - 1 / t + derivative / total


def _cotangent_gap(w: Tensor) -> Tensor:
    """Return ``(1/w - cot(w/2)/2) / w``."""
    small = w < 0.3
    safe = torch.where(small, 1.0, w)
    return torch.where(
        small, series(_COTANGENT, torch.where(small, w, 0.0) ** 2), (1 / safe - 0.5 / (safe / 2).tan()) / safe
    )


@dataclass(frozen=True)
class IGSO3(RadialHeatKernel):
    """Heat kernel of `SO3`: ``t`` is the variance of a small rotation vector per axis, radians squared.

    Parameters
    ----------
    space
        The rotations.
    """

    space: SO3 = field(default_factory=SO3)

    @property
    def reach(self) -> float:
        """Largest rotation angle."""
        return math.pi

    def _both(self, w: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        small = t < _SWITCH
        near = igso3_images(w, torch.where(small, t, _SWITCH))
        far = igso3_spectral(w, torch.where(small, _SWITCH, t))
        return tuple(torch.where(small, a, b) for a, b in zip(near, far, strict=True))

    def log_haar(self, w: Tensor, t: Tensor) -> Tensor:
        """Logarithm of the density ``f(w)`` with respect to the Haar probability measure."""
        return self._both(w, t)[0]

    def log_radial(self, r: Tensor, t: Tensor) -> Tensor:
        """Logarithm of the density with respect to volume."""
        return self.log_haar(r, t) - math.log(8 * math.pi**2)

    def slope(self, r: Tensor, t: Tensor) -> Tensor:
        """Return ``(d log f / dw) / w``."""
        return self._both(r, t)[1]

    def log_area(self, r: Tensor) -> Tensor:
        """Logarithm of ``16 pi sin^2(w/2)``."""
        return math.log(16 * math.pi) + 2 * (r / 2).sin().log()

    def horizon(self, t: Tensor) -> Tensor:
        """Eleven standard deviations, at most ``pi``."""
        return (11 * t.sqrt()).clamp_max(math.pi)
