"""Noise with the covariance ``(i + c L) M^-1``, without a square root of ``L``.

The Laplacian of degree ``k`` is a sum of squares, and so is its noise. With independent standard normals ``z`` on the
simplices of degrees ``k - 1``, ``k`` and ``k + 1``,

    sqrt(i) M_k^-1/2 z_k  +  sqrt(c) d M_(k-1)^-1/2 z_(k-1)  +  sqrt(c) M_k^-1 d^T M_(k+1)^1/2 z_(k+1),

each mode of eigenvalue ``l`` has the variance ``i + c l``: the noise that drives the Ornstein-Uhlenbeck process of a
mesh, see `scidiff.process.OperatorSchedule`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh.laplacian import HodgeLaplacian

__all__ = ["neighbour_degrees", "rough_noise"]


def neighbour_degrees(degree: int) -> tuple[int, ...]:
    """Degrees whose normals enter the noise of a degree: itself, and the one below and above where they exist."""
    return tuple(k for k in (degree - 1, degree, degree + 1) if 0 <= k <= 2)


def rough_noise(
    laplacian: HodgeLaplacian, normals: Mapping[int, np.ndarray], *, stiffness: float, identity: float = 1.0
) -> np.ndarray:
    """Bring standard normals to the covariance ``(i + c L) M^-1``.

    Parameters
    ----------
    laplacian
        The operator; its stars have to be diagonal, and those that enter positive.
    normals
        Independent standard normals by degree, each of shape ``(simplices,)`` or ``(simplices, columns)``; the degrees
        are those of `neighbour_degrees`.
    stiffness, identity
        ``c`` and ``i``, both at least 0.

    Returns
    -------
    ndarray
        Cochains of the degree of the operator.

    Raises
    ------
    ConfigError
        If a parameter is negative, or a star is no diagonal inner product.
    ShapeError
        If normals are missing, or have another number of rows.
    """
    stars, degree = laplacian.stars, laplacian.degree
    stars.require_diagonal()
    if not (stiffness >= 0 and identity >= 0):
        raise ConfigError(f"stiffness = {stiffness}, identity = {identity}; expected both at least 0")
    for k in neighbour_degrees(degree):
        if k not in normals or len(normals[k]) != stars.complex.sizes[k]:
            came = "nothing" if k not in normals else f"shape {normals[k].shape}"
            raise ShapeError(f"normals of degree {k}: {came} came; expected {stars.complex.sizes[k]} rows")
    mass = stars.mass(degree).diagonal()
    total = identity**0.5 * _scaled(mass**-0.5, normals[degree])
    if degree > 0:
        lower = stars.mass(degree - 1).diagonal()
        total = total + stiffness**0.5 * (
            stars.complex.coboundary(degree - 1) @ _scaled(lower**-0.5, normals[degree - 1])
        )
    if degree < 2:
        upper = stars.mass(degree + 1).diagonal()
        curls = stars.complex.coboundary(degree).T @ _scaled(upper**0.5, normals[degree + 1])
        total = total + stiffness**0.5 * _scaled(1 / mass, curls)
    return total


def _scaled(factors: np.ndarray, values: np.ndarray) -> np.ndarray:
    return factors.reshape(-1, *(1,) * (values.ndim - 1)) * values
