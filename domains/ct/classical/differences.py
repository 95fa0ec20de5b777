"""Forward differences of images and their negative adjoint: ``<D x, q> = -<x, div q>``."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["divergence", "gradient"]


def gradient(x: Tensor) -> Tensor:
    """Differences of neighbours, 0 at the far end.

    Parameters
    ----------
    x
        ``(batch, *grid)``.

    Returns
    -------
    Tensor
        ``(batch, dimension, *grid)``.
    """
    parts = []
    for axis in range(1, x.ndim):
        last = x.narrow(axis, x.shape[axis] - 1, 1)
        parts.append(torch.diff(x, dim=axis, append=last))
    return torch.stack(parts, 1)


def divergence(q: Tensor) -> Tensor:
    """Negative adjoint of `gradient`.

    Parameters
    ----------
    q
        ``(batch, dimension, *grid)``.

    Returns
    -------
    Tensor
        ``(batch, *grid)``.
    """
    out = torch.zeros_like(q[:, 0])
    for axis in range(1, q.ndim - 1):
        part, count = q[:, axis - 1], q.shape[axis + 1]
        inner = part.narrow(axis, 0, count - 1)
        out.narrow(axis, 0, count - 1).add_(inner)
        out.narrow(axis, 1, count - 1).sub_(inner)
    return out
