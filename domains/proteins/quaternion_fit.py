"""The best rotation of point sets by Horn's quaternion: no decomposition, thus fast in large batches.

With ``S = sum_i w_i x_i y_i^T`` the best quaternion is the eigenvector of the largest eigenvalue of Horn's symmetric
matrix ``N(S)``, whose characteristic polynomial is

    p(l) = l^4 - 2 |S|^2 l^2 - 8 det(S) l + det(N)

Newton's method from ``(sum w|x|^2 + sum w|y|^2) / 2`` falls monotonically to its largest root; the eigenvector is the
largest column of ``adj(l - N) = N^3 + l N^2 + (l^2 + c2) N + (l^3 + c2 l + c1)``. Where the largest root is double (all
points on a line) any rotation about that line is best, and the identity is mixed in so that a proper rotation comes
out.

References
----------
B. K. P. Horn, J. Opt. Soc. Am. A 4 (1987) 629, doi:10.1364/JOSAA.4.000629;
D. L. Theobald, Acta Cryst. A61 (2005) 478, doi:10.1107/S0108767305015266
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.spaces.so3 import to_matrix

__all__ = ["fit"]

_NEWTON = 24


def _horn(s: Tensor) -> Tensor:
    """Horn's matrix, shape ``(..., 4, 4)``."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in s.unbind(-2))
    rows = (
        torch.stack((xx + yy + zz, yz - zy, zx - xz, xy - yx), dim=-1),
        torch.stack((yz - zy, xx - yy - zz, xy + yx, zx + xz), dim=-1),
        torch.stack((zx - xz, xy + yx, yy - xx - zz, yz + zy), dim=-1),
        torch.stack((xy - yx, zx + xz, yz + zy, zz - xx - yy), dim=-1),
    )
    return torch.stack(rows, dim=-2)


def _det3(s: Tensor) -> Tensor:
    return (s[..., 0, :] * torch.linalg.cross(s[..., 1, :], s[..., 2, :])).sum(-1)


def fit(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Best rigid motion of ``x`` onto ``y``, as `superpose.kabsch` gives it, in float64.

    Parameters
    ----------
    x, y
        Points, shape ``(..., n, 3)``.
    weight
        Weights, shape ``(..., n)``.

    Returns
    -------
    rotation, shift
        Shapes ``(..., 3, 3)`` and ``(..., 3)``, in the dtype of ``x``.
    """
    w = (weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)).unsqueeze(-1)
    x_mean, y_mean = (w * x).sum(-2), (w * y).sum(-2)
    a, b = x - x_mean.unsqueeze(-2), y - y_mean.unsqueeze(-2)
    s = ((w * a).transpose(-1, -2) @ b).double()
    root = ((w * (a * a + b * b)).sum((-1, -2)) / 2).double()
    size = root.clamp(min=1e-9)
    s, root = s / size.unsqueeze(-1).unsqueeze(-1), torch.ones_like(size)
    n = _horn(s)
    square = n @ n
    c2, c1 = -2 * (s * s).sum((-1, -2)), -8 * _det3(s)
    power = square.diagonal(dim1=-1, dim2=-2).sum(-1)
    fourth = (square * square).sum((-1, -2))
    c0 = (power * power - 2 * fourth) / 8
    for _ in range(_NEWTON):
        value = ((root * root + c2) * root + c1) * root + c0
        slope = (4 * root * root + 2 * c2) * root + c1
        root = root - torch.where(slope > 1e-12, value / slope.clamp(min=1e-12), 0.0)
    eye = torch.eye(4, dtype=n.dtype, device=n.device)
    one = root.unsqueeze(-1).unsqueeze(-1)
    c2, c1 = c2.unsqueeze(-1).unsqueeze(-1), c1.unsqueeze(-1).unsqueeze(-1)
    adjugate = n @ square + one * square + (one * one + c2) * n + (one**3 + c2 * one + c1) * eye + 1e-14 * eye
    best = adjugate.diagonal(dim1=-1, dim2=-2).abs().argmax(-1)
    q = adjugate.gather(-1, best[..., None, None].expand(*best.shape, 4, 1)).squeeze(-1)
    rotation = to_matrix(q / q.norm(dim=-1, keepdim=True)).to(x)
    return rotation, y_mean - (rotation @ x_mean.unsqueeze(-1)).squeeze(-1)
