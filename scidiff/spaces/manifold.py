"""The contract of a Riemannian manifold: ``phi(x, x0) = log_x(x0)``.

Points lie on the last axes, `shape`; any axes may stand before them. Tangent vectors at ``x`` are given in a frame of
the manifold's own choice, with `tangent_shape` on the last axes. Unless a manifold says otherwise the frame is
orthonormal: ``<u, v>_x = sum(u v)``, and a standard normal tangent vector is the projection of standard normals.

Where several shortest geodesics join two points (the cut locus) ``log`` returns one of them, by a rule that the
manifold states; its gradient there is finite.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Source
from scidiff.spaces.base import Space
from scidiff.spaces.smooth import safe_sqrt

__all__ = ["Manifold", "draw_normal"]


def draw_normal(noise: Source, shape: Sequence[int], x: Tensor, *, step: int, stream: str) -> Tensor:
    """Draw standard normals of shape ``(len(noise), *shape)``, brought to the dtype and device of ``x``."""
    return noise.normal(tuple(shape), step=step, stream=stream).to(x)


class Manifold(Space):
    """A space with exponential and logarithm maps.

    Attributes
    ----------
    shape
        Shape of one point.
    dim
        Number of degrees of freedom.
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of degrees of freedom."""

    @property
    def tangent_shape(self) -> tuple[int, ...]:
        """Shape of one tangent vector."""
        return tuple(self.shape)

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` has points on its last axes and at least one axis before them."""
        shape = tuple(self.shape)
        if x.ndim <= len(shape) or tuple(x.shape[x.ndim - len(shape) :]) != shape:
            raise ShapeError(f"{name} has shape {tuple(x.shape)}; expected (batch, ..., {shape}) for {self!r}")
        if not x.is_floating_point():
            raise ShapeError(f"{name} has dtype {x.dtype}; expected a floating-point type")

    def lead(self, x: Tensor) -> tuple[int, ...]:
        """Shape of the axes before the points."""
        return tuple(x.shape[: x.ndim - len(self.shape)])

    @abstractmethod
    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Go from ``x`` along the geodesic of initial velocity ``v`` for unit time."""

    @abstractmethod
    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Initial velocity at ``x`` of a shortest geodesic that reaches ``y`` in unit time."""

    @abstractmethod
    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Carry the tangent vector ``v`` from ``x`` to ``y``, in parallel along ``log(x, y)``."""

    @abstractmethod
    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Nearest tangent vector at ``x``; idempotent."""

    def phi(self, x: Tensor, x0: Tensor) -> Tensor:
        """Tangent vector at ``x`` that points to the clean endpoint ``x0``."""
        return self.log(x, x0)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Inner product of tangent vectors at ``x``, one number per point."""
        return (u * v).flatten(-len(self.tangent_shape)).sum(-1)

    def norm(self, x: Tensor, v: Tensor) -> Tensor:
        """Length of the tangent vector ``v``; its gradient at zero is zero."""
        return safe_sqrt(self.inner(x, v, v))

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Length of the shortest geodesic, one number per pair of points."""
        return self.norm(x, self.log(x, y))

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw points uniformly, float64; `shape` is the event shape of one sample, sites included.

        Raises
        ------
        ConfigError
            If the volume of the manifold is infinite.
        """
        raise ConfigError(f"{self!r} has infinite volume and no uniform law; draw from a heat kernel around a point")

    def random_tangent(self, x: Tensor, noise: Source, *, step: int, stream: str) -> Tensor:
        """Draw a standard normal tangent vector at every point: ``E <xi, v>_x^2 = |v|_x^2``.

        Parameters
        ----------
        x
            Points; the first axis has one row per sample of ``noise``.
        noise
            Source of the draws.
        step, stream
            As in `scidiff.random.Noise.uniform`.
        """
        shape = (*self.lead(x)[1:], *self.tangent_shape)
        return self.project_tangent(x, draw_normal(noise, shape, x, step=step, stream=stream))

    def condition(self, x: Tensor, y: Tensor) -> Tensor:
        """Largest factor by which the geometry between ``x`` and ``y`` magnifies round-off.

        It is 1 where curvature is not negative and the chart is well scaled; geodesics that diverge give more.
        """
        return torch.ones(self.lead(x), dtype=x.dtype, device=x.device)
