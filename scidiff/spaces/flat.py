"""R^n as a flat manifold: ``exp_x(v) = x + v``, ``log_x(y) = y - x``, so that ``phi(x, x0) = x0 - x``.

`scidiff.spaces.Euclidean` is the same set with ``phi(x, x0) = x0``, the embedding of Gaussian processes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.manifold import Manifold

__all__ = ["Flat"]


@dataclass(frozen=True)
class Flat(Manifold):
    """Vectors of length `size`.

    Parameters
    ----------
    size
        Dimension, at least 1.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; expected at least 1")

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (self.size,)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return self.size

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Move from ``x`` along ``v``."""
        return x + v

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Vector from ``x`` to ``y``."""
        return y - x

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Return ``v``: the space is flat."""
        return v

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Return ``v``: every vector is tangent."""
        return v

    def project(self, x: Tensor) -> Tensor:
        """Return ``x``: every vector is a point."""
        return x
