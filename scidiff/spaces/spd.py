"""Symmetric positive definite matrices with two metrics.

*Log-Euclidean* [1]_: the logarithm is an isometry onto the symmetric matrices. Tangent vectors are given there,

    exp_X(V) = exp(log X + V)    log_X(Y) = log Y - log X    d = |log X - log Y|_F

*Affine-invariant* [2]_: ``d(A X A^T, A Y A^T) = d(X, Y)``; curvature between -1/2 and 0. Tangent vectors are whitened,
``V = X^(-1/2) dX X^(-1/2)``,

    exp_X(V) = X^(1/2) exp(V) X^(1/2)    log_X(Y) = log(X^(-1/2) Y X^(-1/2))    d = |log_X(Y)|_F

In both frames ``<U, V> = tr(U V)``: the frame is orthonormal. There is no cut locus.

References
----------
.. [1] V. Arsigny et al., "Log-Euclidean metrics for fast and simple calculus on diffusion tensors",
   doi:10.1002/mrm.20965
.. [2] X. Pennec et al., "A Riemannian framework for tensor computing", doi:10.1007/s11263-005-3222-z
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.spectral import exp_symmetric, inverse_sqrt, log_positive, sqrt_positive, symmetric

__all__ = ["SPDAffineInvariant", "SPDLogEuclidean"]


@dataclass(frozen=True)
class _SPD(Manifold):
    """Matrices ``size x size``, symmetric and positive definite.

    Parameters
    ----------
    size
        Number of rows, at least 1.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; expected the number of rows, at least 1")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one point."""
        return (self.size, self.size)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return self.size * (self.size + 1) // 2

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Symmetric part of ``v``."""
        return symmetric(v)

    def project(self, x: Tensor) -> Tensor:
        """Symmetric part, with eigenvalues below ``100 size eps`` times the largest magnitude raised to twice that.

        The set is open, so that a nearest point need not exist; a matrix inside only becomes symmetric.
        """
        x = symmetric(x)
        values, vectors = torch.linalg.eigh(x.detach())
        top = values.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        floor = 100 * self.size * torch.finfo(x.dtype).eps * top
        lift = (2 * floor - values).clamp_min(0) * (values < floor)
        return x + symmetric((vectors * lift.unsqueeze(-2)) @ vectors.mT)


class SPDLogEuclidean(_SPD):
    """Symmetric positive definite matrices with the log-Euclidean metric; flat."""

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Add ``v`` to the logarithm."""
        return exp_symmetric(log_positive(x) + symmetric(v))

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Difference of the logarithms."""
        return log_positive(y) - log_positive(x)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Return ``v``: the metric is flat."""
        return v

    def condition(self, x: Tensor, y: Tensor) -> Tensor:
        """Condition numbers of the matrices: round-off enters the logarithm relative to the largest eigenvalue."""
        return torch.linalg.cond(x) + torch.linalg.cond(y)


class SPDAffineInvariant(_SPD):
    """Symmetric positive definite matrices with the affine-invariant metric."""

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Whiten, follow the one-parameter group, colour."""
        root = sqrt_positive(x)
        return symmetric(root @ exp_symmetric(symmetric(v)) @ root)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm of the whitened ``y``."""
        return log_positive(_whitened(x, y))

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Conjugate by the orthogonal matrix ``Y^(-1/2) X^(1/2) (X^(-1/2) Y X^(-1/2))^(1/2)``."""
        turn = inverse_sqrt(y) @ sqrt_positive(x) @ sqrt_positive(_whitened(x, y))
        return symmetric(turn @ v @ turn.mT)

    def condition(self, x: Tensor, y: Tensor) -> Tensor:
        """Condition numbers of the matrices, times the growth ``cosh(d / sqrt 2)`` of geodesics that diverge."""
        growth = (self.dist(x, y) / math.sqrt(2)).cosh()
        return (torch.linalg.cond(x) * torch.linalg.cond(y)) * growth


def _whitened(x: Tensor, y: Tensor) -> Tensor:
    white = inverse_sqrt(x)
    return symmetric(white @ y @ white)
