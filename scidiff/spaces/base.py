"""The contract of a space: geometry and nothing else.

A space knows its points, how far they are from each other, and the embedding ``phi(x, x0)`` of a clean endpoint in
which every process of the package is linear: the network of any space predicts ``m(x_t, t) = E[phi(x_t, x_0) | x_t]``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.random import Source

__all__ = ["Space"]


class Space(ABC):
    """A set of points of event shape `shape`; a batch has shape ``(batch, *shape)``.

    A size of ``None`` in `shape` is free, and is fixed by the states that come.
    """

    shape: tuple[int | None, ...]

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` is a batch of points."""
        fits = x.ndim == len(self.shape) + 1 and all(
            want is None or want == got for want, got in zip(self.shape, x.shape[1:], strict=True)
        )
        if not fits:
            raise ShapeError(f"{name} has shape {tuple(x.shape)}; expected (batch, {self.shape}) for {self!r}")

    @abstractmethod
    def phi(self, x: Tensor, x0: Tensor) -> Tensor:
        """Embedding of the clean endpoint ``x0`` seen from ``x``, the regression target of a network."""

    @abstractmethod
    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance between points, shape ``(batch,)``."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Nearest point of the space; idempotent."""

    @abstractmethod
    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw points uniformly, where a uniform law exists."""
