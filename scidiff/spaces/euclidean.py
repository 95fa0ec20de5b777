"""Euclidean space R^n: ``phi(x, x0) = x0``, ``exp_x(v) = x + v``, ``log_x(y) = y - x``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source
from scidiff.spaces.base import Space

__all__ = ["Euclidean"]


@dataclass(frozen=True)
class Euclidean(Space):
    """Real vectors, images or fields.

    Parameters
    ----------
    shape
        Event shape; ``None`` marks a free axis.

    Examples
    --------
    >>> import torch
    >>> from scidiff.spaces import Euclidean
    >>> space = Euclidean((None, 3))  # points of R^3, any number
    >>> space.exp(torch.zeros(1, 2, 3), torch.ones(1, 2, 3)).shape
    torch.Size([1, 2, 3])
    """

    shape: tuple[int | None, ...]

    def phi(self, x: Tensor, x0: Tensor) -> Tensor:
        """Return ``x0`` itself: the network predicts the denoised mean."""
        return x0

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Move from ``x`` along ``v``."""
        return x + v

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Vector that leads from ``x`` to ``y``."""
        return y - x

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Inner product of tangent vectors at ``x``, shape ``(batch,)``."""
        return (u * v).flatten(1).sum(1)

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Euclidean distance over all event axes."""
        return (x - y).flatten(1).norm(dim=1)

    def project(self, x: Tensor) -> Tensor:
        """Return ``x``: every tensor is a point."""
        return x

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Raise `ConfigError`: R^n has no uniform law."""
        raise ConfigError("R^n has no uniform law; draw from a process's prior instead")
