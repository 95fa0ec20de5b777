"""Backbones from internal coordinates, exactly and differentiably, in ``O(log length)`` parallel steps.

Write ``M(theta, tau)`` for the rotation from the frame of one bond to that of the next, columns in (u, m, n)

    u' = (-cos theta, sin theta cos tau, sin theta sin tau)
    n' = (0, -sin tau, cos tau)
    m' = n' x u'

with ``u`` along the bond, ``m`` in the plane of the last three atoms on the side of the first, ``n = u x m``. The frame
``F_i`` of residue ``i`` (`chains.frames_of`) is that of the bond CA-C, so that

    F_{i+1} = F_i A B C      A = M(CA C N, psi_i)    B = M(C N CA, omega_i)    C = M(N CA C of i+1, phi_{i+1})
    CA_{i+1} = CA_i + F_i (l_CAC e + l_CN A e + l_NCA A B e)

All ``F_i`` are one inclusive prefix product, computed by doubling; all ``CA_i`` are one cumulative sum. The result
agrees with the atom-by-atom construction (NeRF) to round-off.

References
----------
J. Parsons et al., "Practical conversion from torsion space to Cartesian space for in silico protein synthesis", J.
Comput. Chem. 26 (2005) 1063, doi:10.1002/jcc.20237
"""

from __future__ import annotations

import torch
from torch import Tensor

from .torsions import Internal

__all__ = ["build", "build_frames", "prefix_product", "turn"]


def turn(bend: Tensor, torsion: Tensor) -> Tensor:
    """Return ``M(theta, tau)``.

    Parameters
    ----------
    bend, torsion
        Bond angle and torsion, radians, shape ``(...)``.

    Returns
    -------
    Tensor
        Rotation matrices, shape ``(..., 3, 3)``.
    """
    cos_b, sin_b, cos_t, sin_t = bend.cos(), bend.sin(), torsion.cos(), torsion.sin()
    zero = torch.zeros_like(cos_t)
    rows = (
        torch.stack((-cos_b, -sin_b, zero), dim=-1),
        torch.stack((sin_b * cos_t, -cos_b * cos_t, -sin_t), dim=-1),
        torch.stack((sin_b * sin_t, -cos_b * sin_t, cos_t), dim=-1),
    )
    return torch.stack(rows, dim=-2)


def prefix_product(matrices: Tensor) -> Tensor:
    """Return all products ``M_0 M_1 ... M_i`` along axis 1, in ``log2(length)`` batched multiplications.

    Parameters
    ----------
    matrices
        Shape ``(batch, length, d, d)``.

    Returns
    -------
    Tensor
        Same shape.
    """
    step = 1
    while step < matrices.shape[1]:
        joined = matrices[:, :-step] @ matrices[:, step:]
        matrices = torch.cat((matrices[:, :step], joined), dim=1)
        step *= 2
    return matrices


def build_frames(
    internal: Internal, rotation: Tensor | None = None, origin: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Build chains with their frames.

    Parameters
    ----------
    internal
        Internal coordinates.
    rotation, origin
        Frame of the first residue of each chain, shapes ``(batch, 3, 3)`` and ``(batch, 3)``; the identity at zero by
        default.

    Returns
    -------
    xyz, rotation, origin
        N, CA, C, Å, ``(batch, length, 3, 3)``, and the frames of all residues, ``(batch, length, 3, 3)`` and ``(batch,
        length, 3)``. Padding continues a chain with the values it holds; multiply by the mask where that matters.
    """
    phi, psi, omega = internal.torsions.unbind(-1)
    corner, toward, onto = internal.angles.unbind(-1)
    n_ca, ca_c, c_n = (bond.unsqueeze(-1) for bond in internal.bonds.unbind(-1))
    first = turn(toward[:, :-1], psi[:, :-1])
    second = first @ turn(onto[:, :-1], omega[:, :-1])
    third = second @ turn(corner[:, 1:], phi[:, 1:])
    batch = len(phi)
    if rotation is None:
        rotation = torch.eye(3, dtype=phi.dtype, device=phi.device).expand(batch, 3, 3)
    if origin is None:
        origin = phi.new_zeros(batch, 3)
    frames = prefix_product(torch.cat((rotation.unsqueeze(1), third), dim=1))
    before = frames[:, :-1]
    along = torch.zeros_like(n_ca[:, :-1].expand(-1, -1, 3)) + n_ca.new_tensor((1.0, 0.0, 0.0))
    to_ca = n_ca[:, 1:] * second[..., 0]
    step = ca_c[:, :-1] * along + c_n[:, :-1] * first[..., 0] + to_ca
    moved = (before @ step.unsqueeze(-1)).squeeze(-1)
    ca = origin.unsqueeze(1) + torch.cat((torch.zeros_like(origin).unsqueeze(1), moved.cumsum(1)), dim=1)
    back = (before @ to_ca.unsqueeze(-1)).squeeze(-1)
    start = n_ca[:, :1] * torch.stack(
        (corner[:, :1].cos(), corner[:, :1].sin(), torch.zeros_like(corner[:, :1])), dim=-1
    )
    n_first = (rotation @ start.transpose(1, 2)).transpose(1, 2)
    n = ca + torch.cat((n_first, -back), dim=1)
    c = ca + ca_c * frames[..., 0]
    return torch.stack((n, ca, c), dim=2), frames, ca


def build(internal: Internal, rotation: Tensor | None = None, origin: Tensor | None = None) -> Tensor:
    """Build chains: the atoms of `build_frames`, N, CA, C in Å, shape ``(batch, length, 3, 3)``."""
    return build_frames(internal, rotation, origin)[0]
