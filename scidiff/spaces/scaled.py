"""A manifold with its metric multiplied by ``scale^2``, and how far an embedding distorts distances.

Geodesics, ``exp``, ``log`` and transport do not change; lengths are multiplied by ``scale``, curvature is divided by
``scale^2``. A sphere of radius ``R`` is ``Scaled(Sphere(n), log R)``. The scale is kept as a logarithm, a tensor that
may require a gradient, so that any optimiser can learn it.

References
----------
.. [1] A. Gu et al., "Learning mixed-curvature representations in product spaces", ICLR 2019
.. [2] O. Skopek et al., "Mixed-curvature variational autoencoders", arXiv:1911.08411
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.random import Source
from scidiff.spaces.manifold import Manifold

__all__ = ["Scaled", "average_distortion", "worst_distortion"]


@dataclass(frozen=True, eq=False)
class Scaled(Manifold):
    """A manifold whose unit of length is learnable.

    Parameters
    ----------
    space
        The manifold of scale 1.
    log_scale
        Logarithm of the scale, a tensor of shape ``()`` or a number.
    """

    space: Manifold
    log_scale: Tensor | float = 0.0

    def __post_init__(self) -> None:
        if torch.is_tensor(self.log_scale) and self.log_scale.ndim:
            raise ShapeError(f"log_scale has shape {tuple(self.log_scale.shape)}; expected one number, shape ()")

    @property
    def scale(self) -> Tensor:
        """Factor of all lengths."""
        return torch.as_tensor(self.log_scale).exp()

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of one point."""
        return self.space.shape

    @property
    def tangent_shape(self) -> tuple[int, ...]:
        """Shape of one tangent vector."""
        return self.space.tangent_shape

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return self.space.dim

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` is a batch of points."""
        self.space.check(x, name)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Exponential map; it does not depend on the scale."""
        return self.space.exp(x, v)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm map; it does not depend on the scale."""
        return self.space.log(x, y)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Inner product times ``scale^2``."""
        return self.space.inner(x, u, v) * self.scale.to(u) ** 2

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance times ``scale``."""
        return self.space.dist(x, y) * self.scale.to(x)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport; it does not depend on the scale."""
        return self.space.transport(x, y, v)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Nearest tangent vector."""
        return self.space.project_tangent(x, v)

    def project(self, x: Tensor) -> Tensor:
        """Nearest point."""
        return self.space.project(x)

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw points uniformly."""
        return self.space.uniform(noise, shape, step=step, stream=stream)

    def random_tangent(self, x: Tensor, noise: Source, *, step: int, stream: str) -> Tensor:
        """Draw a standard normal tangent vector: of length measured by the scaled metric."""
        return self.space.random_tangent(x, noise, step=step, stream=stream) / self.scale.to(x)

    def condition(self, x: Tensor, y: Tensor) -> Tensor:
        """Magnification of round-off, with the unit of length."""
        return self.space.condition(x, y) * self.scale.detach().to(x).clamp_min(1.0)


def _ratios(dist: Tensor, target: Tensor) -> Tensor:
    if dist.shape != target.shape or bool((target <= 0).any()):
        raise ShapeError(
            f"distances have shapes {tuple(dist.shape)} and {tuple(target.shape)}, smallest target "
            f"{float(target.min()):.3g}; expected equal shapes and targets > 0: leave the pairs (i, i) out"
        )
    return dist / target


def average_distortion(dist: Tensor, target: Tensor) -> Tensor:
    """Mean of ``|d / d_target - 1|`` over pairs [1]_.

    Parameters
    ----------
    dist
        Distances of the embedded pairs.
    target
        Distances wanted, positive, same shape.

    Returns
    -------
    Tensor
        One number; 0 for an isometry. Differentiable.
    """
    return (_ratios(dist, target) - 1).abs().mean()


def worst_distortion(dist: Tensor, target: Tensor) -> Tensor:
    """Largest ratio ``d / d_target`` over the smallest; 1 for an isometry up to scale. Parameters as above."""
    ratios = _ratios(dist, target)
    return ratios.max() / ratios.min()
