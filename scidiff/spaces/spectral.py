"""Functions of symmetric matrices, with gradients that stay finite at equal eigenvalues.

With ``X = U diag(l) U^T``, ``f(X) = U diag(f(l)) U^T`` and by Daleckii and Krein
``df(X)[G] = U (L * (U^T G U)) U^T``, ``L_ij = (f(l_i) - f(l_j)) / (l_i - l_j)``, ``L_ii = f'(l_i)``. Each divided
difference is written in a form without cancellation. A second derivative is refused by torch, not returned wrong.

References
----------
.. [1] N. J. Higham, "Functions of matrices", SIAM 2008, theorem 3.11, doi:10.1137/1.9780898717778
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["exp_symmetric", "inverse_sqrt", "log_positive", "sqrt_positive", "symmetric"]

_Difference = Callable[[Tensor, Tensor], Tensor]


def symmetric(x: Tensor) -> Tensor:
    """Symmetric part."""
    return (x + x.mT) / 2


class _Spectral(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], difference: _Difference) -> Tensor:
        values, vectors = torch.linalg.eigh(x)
        ctx.save_for_backward(values, vectors)
        ctx.difference = difference
        return symmetric((vectors * function(values).unsqueeze(-2)) @ vectors.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        values, vectors = ctx.saved_tensors
        divided = ctx.difference(values.unsqueeze(-1), values.unsqueeze(-2))
        inside = divided * (vectors.mT @ symmetric(grad) @ vectors)
        return symmetric(vectors @ inside @ vectors.mT), None, None


def _safe_ratio(top: Tensor, bottom: Tensor, limit: float) -> Tensor:
    zero = bottom == 0
    return torch.where(zero, limit, top / torch.where(zero, 1.0, bottom))


def _exp_difference(a: Tensor, b: Tensor) -> Tensor:
    low, gap = torch.minimum(a, b), (a - b).abs()
    return low.exp() * _safe_ratio(torch.expm1(gap), gap, 1.0)


def _log_difference(a: Tensor, b: Tensor) -> Tensor:
    low = torch.minimum(a, b)
    gap = (a - b).abs() / low
    return _safe_ratio(torch.log1p(gap), gap, 1.0) / low


def _sqrt_difference(a: Tensor, b: Tensor) -> Tensor:
    return 1 / (a.sqrt() + b.sqrt())


def _inverse_sqrt_difference(a: Tensor, b: Tensor) -> Tensor:
    return -1 / (a.sqrt() * b.sqrt() * (a.sqrt() + b.sqrt()))


def exp_symmetric(x: Tensor) -> Tensor:
    """Exponential of symmetric matrices on the last two axes."""
    return _Spectral.apply(x, torch.exp, _exp_difference)


def log_positive(x: Tensor) -> Tensor:
    """Logarithm of symmetric positive definite matrices."""
    return _Spectral.apply(x, torch.log, _log_difference)


def sqrt_positive(x: Tensor) -> Tensor:
    """Square root of symmetric positive definite matrices."""
    return _Spectral.apply(x, torch.sqrt, _sqrt_difference)


def inverse_sqrt(x: Tensor) -> Tensor:
    """Inverse square root of symmetric positive definite matrices."""
    return _Spectral.apply(x, torch.rsqrt, _inverse_sqrt_difference)
