"""Ideal local geometry of a peptide, and the two atoms that N, CA and C determine.

Lengths in Å, angles in radians. The means and standard deviations of `BONDS` and `ANGLES` were measured on the 1,657
intact training and validation chains of 40 residues and more (`scidiff.domains.proteins.data`).

* CB lies at ``CA + p a + q b + r c`` with ``b = CA - N``, ``c = C - CA``, ``a = b x c``: L handedness by construction.
* O lies in the plane of CA, C and the next N, at `O_LENGTH` from C and `O_ANGLE` from CA, opposite to the next N.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "ANGLES",
    "ANGLE_SD",
    "BONDS",
    "BOND_SD",
    "CA_STEP",
    "O_ANGLE",
    "O_LENGTH",
    "angle",
    "dihedral",
    "ideal_cb",
    "place",
    "place_oxygen",
]

BONDS = (1.460, 1.525, 1.331)
"""Mean N-CA, CA-C and C-N (to the next residue), Å."""
BOND_SD = (0.013, 0.013, 0.009)
ANGLES = (math.radians(111.1), math.radians(116.7), math.radians(121.5))
"""Mean N-CA-C, CA-C-N and C-N-CA, radians."""
ANGLE_SD = (math.radians(2.5), math.radians(1.3), math.radians(1.6))
CA_STEP = 3.80
O_LENGTH = 1.231
O_ANGLE = math.radians(120.4)
_CB = (-0.58273431, 0.56802827, -0.54067466)


def _dot(u: Tensor, v: Tensor) -> Tensor:
    return (u * v).sum(-1)


def _norm(v: Tensor) -> Tensor:
    """Length with a gradient of zero, not NaN, at the zero vector."""
    square = _dot(v, v)
    return torch.where(square > 0, square, 1).sqrt() * (square > 0)


def angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Angle at ``b``, radians in ``[0, pi]``; points ``(..., 3)``, by arctan so that it is exact near 0 and pi."""
    u, v = a - b, c - b
    return torch.atan2(_norm(torch.linalg.cross(u, v)), _dot(u, v))


def dihedral(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Dihedral angle about ``b - c`` by the IUPAC sign, radians in ``(-pi, pi]``; points ``(..., 3)``."""
    u, v, w = b - a, c - b, d - c
    left, right = torch.linalg.cross(u, v), torch.linalg.cross(v, w)
    return torch.atan2(_norm(v) * _dot(u, right), _dot(left, right))


def place(
    a: Tensor, b: Tensor, c: Tensor, length: Tensor | float, bend: Tensor | float, turn: Tensor | float
) -> Tensor:
    """Place the point ``d`` with ``|d - c| = length``, angle ``b c d = bend`` and dihedral ``a b c d = turn``.

    Parameters
    ----------
    a, b, c
        Points, shape ``(..., 3)``.
    length
        Å.
    bend, turn
        Radians; all three are numbers or broadcast to ``(...)``.

    Returns
    -------
    Tensor
        Shape ``(..., 3)``.
    """
    length, bend, turn = (
        torch.as_tensor(v, dtype=c.dtype, device=c.device).unsqueeze(-1) for v in (length, bend, turn)
    )
    u = torch.nn.functional.normalize(c - b, dim=-1)
    n = torch.nn.functional.normalize(torch.linalg.cross(b - a, u), dim=-1)
    m = torch.linalg.cross(n, u)
    return c + length * (-bend.cos() * u + bend.sin() * (turn.cos() * m + turn.sin() * n))


def ideal_cb(n: Tensor, ca: Tensor, c: Tensor) -> Tensor:
    """Place CB of an L residue.

    Parameters
    ----------
    n, ca, c
        Positions, Å, shape ``(..., 3)``.

    Returns
    -------
    Tensor
        Shape ``(..., 3)``; for alanine half of the residues are within 0.04 Å of the measured atom.
    """
    back, on = ca - n, c - ca
    return ca + _CB[0] * torch.linalg.cross(back, on) + _CB[1] * back + _CB[2] * on


def place_oxygen(n: Tensor, ca: Tensor, c: Tensor, mask: Tensor | None = None) -> Tensor:
    """Place the carbonyl oxygens of chains.

    Parameters
    ----------
    n, ca, c
        Positions, Å, shape ``(..., length, 3)``.
    mask
        True where a residue is real and belongs to the chain, shape ``(..., length)``; all by default.

    Returns
    -------
    Tensor
        Shape ``(..., length, 3)``. The last residue of a chain has no next N; its oxygen is placed at psi = -47
        degrees, that of a helix, by the dihedral N-CA-C-O = psi + 180 degrees.
    """
    last = place(n, ca, c, O_LENGTH, O_ANGLE, math.radians(-47.0 + 180.0))
    following = place(n[..., 1:, :], ca[..., :-1, :], c[..., :-1, :], O_LENGTH, O_ANGLE, math.pi)
    bonded = torch.ones(ca.shape[:-1], dtype=torch.bool, device=ca.device) if mask is None else mask
    bonded = bonded[..., 1:].unsqueeze(-1)
    return torch.cat((torch.where(bonded, following, last[..., :-1, :]), last[..., -1:, :]), dim=-2)
