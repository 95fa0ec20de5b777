"""Linear operators ``A`` from a space of fields to a space of data, by their action and that of their adjoint.

    <A x, y> = <x, A^T y>

No matrix is needed. What measures, projects or integrates (a projector, a set of sensors, a difference) is one of
these; guidance and constraints know nothing else of it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.random import Noise

__all__ = ["LinearOperator", "MatrixOperator", "Selection"]


class LinearOperator(ABC):
    """A linear map of batches.

    Attributes
    ----------
    domain, range
        Event shapes of what comes in and what goes out.
    """

    domain: tuple[int, ...]
    range: tuple[int, ...]

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """``A x``: ``(batch, *domain)`` to ``(batch, *range)``."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """``A^T y``: ``(batch, *range)`` to ``(batch, *domain)``."""

    @property
    def size(self) -> int:
        """Number of data."""
        return math.prod(self.range)

    def norm(self, iterations: int = 30, seed: int = 0) -> float:
        """Largest singular value, by power iteration on ``A^T A``: a lower bound that grows to it."""
        x = Noise.range(seed, 1).normal(self.domain, step=0, stream="norm")
        value = 0.0
        for _ in range(iterations):
            x = x / x.norm().clamp_min(torch.finfo(x.dtype).tiny)
            x = self.adjoint(self.apply(x))
            value = math.sqrt(float(x.norm()))
        return value

    def adjoint_defect(self, seed: int = 0) -> float:
        """``|<A x, y> - <x, A^T y>|`` over ``|A x| |y|`` for a random pair: the adjoint test."""
        noise = Noise.range(seed, 1)
        x = noise.normal(self.domain, step=0, stream="domain")
        y = noise.normal(self.range, step=0, stream="range")
        forward = self.apply(x).double()
        gap = (forward * y).sum() - (x * self.adjoint(y).double()).sum()
        return float(gap.abs() / (forward.norm() * y.norm()).clamp_min(torch.finfo(torch.float64).tiny))

    def check(self, x: Tensor, shape: tuple[int, ...], name: str) -> None:
        """Refuse a batch whose event shape is not `shape`."""
        if tuple(x.shape[1:]) != shape:
            raise ShapeError(f"{name} has shape {tuple(x.shape)}; expected (batch, {', '.join(map(str, shape))})")


class MatrixOperator(LinearOperator):
    """A matrix, dense or sparse, on flattened events.

    Parameters
    ----------
    matrix
        Shape ``(prod(range), prod(domain))``.
    domain
        Event shape of what comes in; flat by default.
    """

    def __init__(self, matrix: Tensor, domain: tuple[int, ...] | None = None) -> None:
        self.domain = (matrix.shape[1],) if domain is None else tuple(domain)
        if matrix.ndim != 2 or math.prod(self.domain) != matrix.shape[1]:
            raise ShapeError(f"matrix has shape {tuple(matrix.shape)}; expected (data, {math.prod(self.domain)})")
        self.range = (matrix.shape[0],)
        self.matrix = matrix

    def apply(self, x: Tensor) -> Tensor:
        """``A x``."""
        self.check(x, self.domain, "x")
        return (self.matrix.to(x) @ x.flatten(1).T).T

    def adjoint(self, y: Tensor) -> Tensor:
        """``A^T y``."""
        self.check(y, self.range, "y")
        return (self.matrix.to(y).T @ y.T).T.reshape(-1, *self.domain)


class Selection(LinearOperator):
    """The values of a field at some sites: sensors, given pixels, fixed coordinates.

    Parameters
    ----------
    mask
        True at the sites that are seen; its shape is the event shape.
    """

    def __init__(self, mask: Tensor) -> None:
        self.domain = tuple(mask.shape)
        self.index = torch.nonzero(mask.flatten())[:, 0]
        if len(self.index) == 0:
            raise ShapeError("the mask selects nothing; mark at least one site")
        self.range = (len(self.index),)

    def apply(self, x: Tensor) -> Tensor:
        """Values at the sites."""
        self.check(x, self.domain, "x")
        return x.flatten(1)[:, self.index.to(x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        """Put the values at their sites, and 0 elsewhere."""
        self.check(y, self.range, "y")
        out = y.new_zeros(len(y), math.prod(self.domain))
        out[:, self.index.to(y.device)] = y
        return out.reshape(-1, *self.domain)
