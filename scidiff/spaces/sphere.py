"""The sphere S^n: unit vectors of R^(n+1), geodesics along great circles.

With ``w = y - <x, y> x``, ``s = |w|`` and ``c = <x, y>`` the angle is ``atan2(s, c)`` and

    exp_x(v) = cos|v| x + sin|v|/|v| v        log_x(y) = atan2(s, c) / s  w

No arc cosine is taken. ``w`` is the tangential part of ``y - x`` where ``c >= 0`` and of ``y + x`` where ``c < 0``, so
that close and nearly antipodal pairs keep their digits. Tie rule: where ``s`` is below 4 units of round-off at
``c < 0``, the geodesic leaves along the coordinate axis least along ``x``, made orthogonal to ``x``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.smooth import arcsin_ratio, cos_sinc, orthogonal_axis, safe_norm, squared_norm, unit

__all__ = ["Sphere"]


@dataclass(frozen=True)
class Sphere(Manifold):
    """Unit sphere of dimension `size` in R^(size + 1).

    Parameters
    ----------
    size
        Dimension of the sphere, at least 1.

    Examples
    --------
    >>> import torch
    >>> from scidiff.spaces import Sphere
    >>> pole, east = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    >>> round(float(Sphere(2).dist(pole, east)), 4)  # a quarter of the great circle, pi / 2
    1.5708
    """

    size: int = 2

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; expected the dimension of a sphere, at least 1")

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (self.size + 1,)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return self.size

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Follow the great circle through ``x`` along ``v``."""
        cos, sinc = cos_sinc(squared_norm(v))
        moved = cos * x + sinc * v
        return moved / moved.norm(dim=-1, keepdim=True)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Velocity of the shorter great-circle arc from ``x`` to ``y``; see the tie rule above."""
        c = (x * y).sum(-1, keepdim=True)
        w = self.project_tangent(x, torch.where(c < 0, y + x, y - x))
        floor = 4 * torch.finfo(x.dtype).eps
        q = squared_norm(w)
        tie = (c < 0) & (q < floor**2)
        return arcsin_ratio(q, c, floor) * torch.where(tie, floor * orthogonal_axis(x.detach()), w)

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Angle between the points, radians."""
        return (2 * torch.atan2(safe_norm(x - y), safe_norm(x + y))).squeeze(-1)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Rotate ``v`` by the rotation in the plane of ``x`` and ``y`` that brings ``x`` to ``y``."""
        c = (x * y).sum(-1, keepdim=True)
        w = self.project_tangent(x, torch.where(c < 0, y + x, y - x))
        q = squared_norm(w)
        far = q > (4 * torch.finfo(x.dtype).eps) ** 2
        axis = torch.where(far, unit(torch.where(far, w, 1.0), w), orthogonal_axis(x.detach()))
        s = torch.where(far, safe_norm(w), 0.0)
        along = (v * axis).sum(-1, keepdim=True)
        carried = v + along * ((c - 1) * axis - s * x)
        return self.project_tangent(y, carried)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Remove the part of ``v`` along ``x``."""
        return v - (x * v).sum(-1, keepdim=True) * x

    def project(self, x: Tensor) -> Tensor:
        """Divide by the norm; the zero vector goes to the last pole."""
        pole = torch.zeros_like(x)
        pole[..., -1] = 1
        return unit(x, pole)

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw directions uniformly, float64."""
        return self.project(noise.normal(tuple(shape), step=step, stream=stream))
