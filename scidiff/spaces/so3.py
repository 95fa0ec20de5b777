"""Rotations of R^3 as unit quaternions ``q = (w, u)``, ``w = cos(omega / 2)``, ``u = sin(omega / 2) axis``.

``q`` and ``-q`` are one rotation; the canonical sign makes the first entry that is not zero positive. A tangent vector
at ``q`` is a rotation vector ``v`` (axis times angle, radians) in the frame of the body:

    exp_q(v) = q * (cos|v|/2, sin(|v|/2)/|v| v)        log_q(p) = rotation vector of q^-1 p

The metric is ``<u, v> = sum(u v)``, so that the distance is the rotation angle, in ``[0, pi]``. Geodesics turn about
one axis; parallel transport along ``exp(s xi)`` turns body vectors by ``-xi / 2``. Tie rule: at an angle of exactly
``pi`` the axis whose first entry that is not zero is positive is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.random import Source
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.smooth import arcsin_ratio, cos_sinc, safe_norm, squared_norm, unit

__all__ = ["SO3", "from_matrix", "multiply", "rotate", "rotation_vector", "to_matrix", "versor"]


def multiply(p: Tensor, q: Tensor) -> Tensor:
    """Hamilton product of quaternions on the last axis."""
    a, b, c, d = p.unbind(-1)
    w, x, y, z = q.unbind(-1)
    return torch.stack(
        (
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ),
        dim=-1,
    )


def conjugate(q: Tensor) -> Tensor:
    """Inverse of a unit quaternion."""
    return torch.cat((q[..., :1], -q[..., 1:]), dim=-1)


def canonical(q: Tensor) -> Tensor:
    """Choose the sign that makes the first entry that is not zero positive."""
    sign = q.detach().sign()
    first = sign[..., :1]
    for k in range(1, 4):
        first = torch.where(first == 0, sign[..., k : k + 1], first)
    return torch.where(first < 0, -q, q)


def versor(v: Tensor) -> Tensor:
    """Quaternion of a rotation vector, shapes ``(..., 3)`` to ``(..., 4)``; the sign is not made canonical."""
    cos, sinc = cos_sinc(squared_norm(v) / 4)
    return torch.cat((cos, sinc * v / 2), dim=-1)


def rotation_vector(q: Tensor) -> Tensor:
    """Rotation vector of a unit quaternion, of length in ``[0, pi]``; see the tie rule of the module."""
    q = canonical(q)
    w, u = q[..., :1], q[..., 1:]
    return 2 * arcsin_ratio(squared_norm(u), w, torch.finfo(q.dtype).tiny ** 0.5) * u


def rotate(q: Tensor, vector: Tensor) -> Tensor:
    """Apply rotations to vectors of R^3: ``v + 2 w (u x v) + 2 u x (u x v)``; leading axes broadcast."""
    q, vector = torch.broadcast_tensors(q, torch.cat((vector[..., :1], vector), dim=-1))
    u, vector = q[..., 1:], vector[..., 1:]
    turn = 2 * torch.linalg.cross(u, vector)
    return vector + q[..., :1] * turn + torch.linalg.cross(u, turn)


def to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices of unit quaternions, shape ``(..., 3, 3)``."""
    w, x, y, z = q.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def from_matrix(matrix: Tensor) -> Tensor:
    """Unit quaternions of rotation matrices, canonical sign, shape ``(..., 4)``.

    Each of the four rows of ``4 q q^T`` can be read off the matrix; the one with the largest diagonal entry, at least
    1, is divided by its norm.
    """
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrix.unbind(-2))
    rows = torch.stack(
        (
            torch.stack((1 + a + e + i, h - f, c - g, d - b), dim=-1),
            torch.stack((h - f, 1 + a - e - i, b + d, c + g), dim=-1),
            torch.stack((c - g, b + d, 1 - a + e - i, f + h), dim=-1),
            torch.stack((d - b, c + g, f + h, 1 - a - e + i), dim=-1),
        ),
        dim=-2,
    )
    best = rows.detach().diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = rows.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    return canonical(row / row.norm(dim=-1, keepdim=True))


@dataclass(frozen=True)
class SO3(Manifold):
    """Rotations of R^3; a point is a unit quaternion ``(w, x, y, z)`` of canonical sign.

    Examples
    --------
    >>> import torch
    >>> from scidiff.spaces import SO3
    >>> identity = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    >>> quarter = SO3().exp(identity, torch.tensor([[0.0, 0.0, torch.pi / 2]]))
    >>> [round(value, 4) for value in quarter[0].tolist()]  # cos and sin of half the angle
    [0.7071, 0.0, 0.0, 0.7071]
    """

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (4,)

    @property
    def tangent_shape(self) -> tuple[int]:
        """Shape of one rotation vector."""
        return (3,)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return 3

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Turn on by the rotation vector ``v``, given in the frame of the body."""
        return self.project(multiply(x, versor(v)))

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Rotation vector, in the frame of the body, that leads from ``x`` to ``y``."""
        return rotation_vector(multiply(conjugate(x), y))

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Angle of the rotation between ``x`` and ``y``, radians."""
        q = multiply(conjugate(x), y)
        return 2 * torch.atan2(safe_norm(q[..., 1:]), q[..., :1].abs()).squeeze(-1)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Turn ``v`` by half of ``-log(x, y)``."""
        return rotate(versor(-self.log(x, y) / 2), v)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Return ``v``: every rotation vector is tangent."""
        return v

    def project(self, x: Tensor) -> Tensor:
        """Divide by the norm and make the sign canonical; the zero quaternion goes to the identity."""
        one = torch.zeros_like(x)
        one[..., 0] = 1
        return canonical(unit(x, one))

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw rotations by the Haar measure, float64."""
        return self.project(noise.normal(tuple(shape), step=step, stream=stream))
