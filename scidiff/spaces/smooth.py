"""Functions of the squared norm that are smooth at zero, where the norm itself is not.

Exponential and logarithm maps are analytic in ``q = |v|^2``: ``cos(sqrt q)``, ``sin(sqrt q) / sqrt q`` and their
hyperbolic twins. Below a threshold each is a Taylor polynomial whose remainder lies under the round-off of float64;
above it, the function itself. The branch that is not taken gets a harmless argument, so that no gradient is NaN.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "arcsin_ratio",
    "cos_sinc",
    "cosh_sinhc",
    "inverse_sinhc",
    "orthogonal_axis",
    "safe_norm",
    "safe_sqrt",
    "series",
    "squared_norm",
    "unit",
]

_SMALL = 1e-2
_ARCSIN = (1.0, 1 / 6, 3 / 40, 5 / 112, 35 / 1152, 63 / 2816, 231 / 13312, 143 / 10240)
_EVEN = tuple(1 / math.factorial(2 * k) for k in range(7))
_ODD = tuple(1 / math.factorial(2 * k + 1) for k in range(7))
_INVERSE_SINHC = (1.0, -1 / 6, 7 / 360, -31 / 15120, 127 / 604800, -73 / 3421440, 1414477 / 653837184000)


def series(coefficients: tuple[float, ...], q: Tensor) -> Tensor:
    """Evaluate the polynomial ``sum_k coefficients[k] q^k``."""
    out = torch.full_like(q, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        out = out * q + coefficient
    return out


def squared_norm(v: Tensor) -> Tensor:
    """Sum of squares over the last axis, which is kept with size 1."""
    return v.square().sum(-1, keepdim=True)


def safe_sqrt(q: Tensor) -> Tensor:
    """Square root whose gradient at zero is zero; round-off below zero counts as zero, and NaN stays NaN."""
    flat = q <= 0
    return torch.where(flat, 0.0, torch.where(flat, 1.0, q).sqrt())


def safe_norm(v: Tensor) -> Tensor:
    """Euclidean norm over the last axis, kept with size 1; gradient zero at zero."""
    return safe_sqrt(squared_norm(v))


def cos_sinc(q: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``cos(sqrt q)`` and ``sin(sqrt q) / sqrt q``."""
    small = q < _SMALL
    root = torch.where(small, 1.0, q).sqrt()
    near = torch.where(small, q, 0.0)
    return (
        torch.where(small, series(_EVEN, -near), root.cos()),
        torch.where(small, series(_ODD, -near), root.sin() / root),
    )


def cosh_sinhc(q: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``cosh(sqrt q)`` and ``sinh(sqrt q) / sqrt q``."""
    small = q < _SMALL
    root = torch.where(small, 1.0, q).sqrt()
    near = torch.where(small, q, 0.0)
    return (
        torch.where(small, series(_EVEN, near), root.cosh()),
        torch.where(small, series(_ODD, near), root.sinh() / root),
    )


def inverse_sinhc(q: Tensor) -> Tensor:
    """Return ``sqrt q / sinh(sqrt q)``."""
    small = q < _SMALL
    root = torch.where(small, 1.0, q).sqrt()
    return torch.where(small, series(_INVERSE_SINHC, torch.where(small, q, 0.0)), root / root.sinh())


def arcsin_ratio(q: Tensor, c: Tensor, floor: float) -> Tensor:
    """Angle over sine, ``atan2(s, c) / s`` with ``q = s^2`` and ``q + c^2 = 1``.

    Parameters
    ----------
    q
        Squared sine.
    c
        Cosine; the ratio is smooth at ``q = 0`` where ``c > 0`` and has a pole there where ``c < 0``.
    floor
        At a negative cosine, sines below this count as this.
    """
    small = (q < _SMALL) & (c > 0)
    s = torch.where(small | (q < floor**2), floor, q.clamp_min(floor**2).sqrt())
    far = torch.atan2(s, torch.where(small, 1.0, c)) / s
    return torch.where(small, series(_ARCSIN, torch.where(small, q, 0.0)), far)


def orthogonal_axis(x: Tensor) -> Tensor:
    """Unit vector orthogonal to the unit vector ``x``: the coordinate axis least along ``x``, made orthogonal.

    This is the direction that breaks ties, a fixed function of ``x``.
    """
    axis = torch.nn.functional.one_hot(x.abs().argmin(-1), x.shape[-1]).to(x)
    axis = axis - (axis * x).sum(-1, keepdim=True) * x
    return axis / axis.norm(dim=-1, keepdim=True)


def unit(v: Tensor, otherwise: Tensor) -> Tensor:
    """Direction of ``v`` along the last axis; ``otherwise`` where ``v`` is zero."""
    top = v.detach().abs().amax(-1, keepdim=True)
    zero = top == 0
    scaled = torch.where(zero, 1.0, v) / torch.where(zero, 1.0, top)
    return torch.where(zero, otherwise, scaled / scaled.norm(dim=-1, keepdim=True))
