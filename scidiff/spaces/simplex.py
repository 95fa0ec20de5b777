"""Probability vectors with the Fisher-Rao metric, as the positive orthant of a sphere of radius 2.

A point is ``z = sqrt(p)``: a unit vector with entries ``>= 0``. The Fisher-Rao metric ``sum dp^2 / p`` is
``4 |dz|^2``, so that ``d(p, q) = 2 angle(sqrt p, sqrt q)``, which is smooth up to the vertices, where ``p`` itself is
not. Two points are never more than a quarter of a great circle apart: there is no cut locus. A geodesic that meets the
boundary is reflected there, ``z -> |z|``.

References
----------
.. [1] O. Davis et al., "Fisher flow matching for generative modeling over discrete data", arXiv:2405.14664
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.sphere import Sphere

__all__ = ["Simplex"]


@dataclass(frozen=True)
class Simplex(Manifold):
    """Square roots of probability vectors over `classes` classes.

    Parameters
    ----------
    classes
        Number of classes, at least 2.

    Examples
    --------
    >>> import torch
    >>> from scidiff.spaces import Simplex
    >>> simplex = Simplex(3)
    >>> p = torch.tensor([[0.5, 0.3, 0.2]])
    >>> bool(torch.allclose(simplex.to_probs(simplex.from_probs(p)), p))
    True
    """

    classes: int

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigError(f"classes is {self.classes}; expected at least 2")

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (self.classes,)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return self.classes - 1

    @property
    def sphere(self) -> Sphere:
        """Sphere that holds the orthant."""
        return Sphere(self.classes - 1)

    def from_probs(self, p: Tensor) -> Tensor:
        """Point of a probability vector."""
        return self.project(p.clamp_min(0).sqrt())

    def to_probs(self, x: Tensor) -> Tensor:
        """Probability vector of a point."""
        return x.square()

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Follow the great circle, reflected at the boundary."""
        return self.sphere.exp(x, v).abs()

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Velocity of the great-circle arc from ``x`` to ``y``."""
        return self.sphere.log(x, y)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Fisher-Rao inner product ``4 sum(u v)``."""
        return 4 * super().inner(x, u, v)

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Fisher-Rao distance, at most ``pi``."""
        return 2 * self.sphere.dist(x, y)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Carry ``v`` along the arc."""
        return self.sphere.transport(x, y, v)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Remove the part of ``v`` along ``x``."""
        return self.sphere.project_tangent(x, v)

    def project(self, x: Tensor) -> Tensor:
        """Set negative entries to zero and divide by the norm, the nearest point of the orthant where one is left."""
        return self.sphere.project(x.clamp_min(0))

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw by Fisher-Rao volume, the Dirichlet law of parameters 1/2; float64."""
        return self.sphere.uniform(noise, shape, step=step, stream=stream).abs()

    def random_tangent(self, x: Tensor, noise: Source, *, step: int, stream: str) -> Tensor:
        """Draw a standard normal tangent vector; in these coordinates its entries have half the size."""
        return super().random_tangent(x, noise, step=step, stream=stream) / 2

    def condition(self, x: Tensor, y: Tensor) -> Tensor:
        """Two: lengths are twice those of the sphere."""
        return torch.full(self.lead(x), 2.0, dtype=x.dtype, device=x.device)
