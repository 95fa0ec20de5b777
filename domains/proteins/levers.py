"""How internal coordinates move a chain: the geometric Jacobian, and the metric of displacement.

Turning a torsion by ``d theta`` moves every atom ``x`` beyond its bond by ``axis x (x - origin) d theta``; opening a
bond angle does the same about the normal of its plane. For each residue the six variables are

    phi, psi, omega, N-CA-C, CA-C-N, C-N-CA        (of `torsions.Internal`)

With ``J`` the derivative of all CA, and ``P`` the projection that takes rigid motions away, ``J^T P J`` measures how
far a change of the variables deforms a chain, in Å. Descent in this metric is insensitive to the length of the levers.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["VARIABLES", "axes", "ca_jacobian", "displacement_metric"]

VARIABLES = 6


def axes(xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Axes of the variables of chains.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.

    Returns
    -------
    axis, origin
        Unit axes and points on them, shape ``(batch, length, 6, 3)``; zero axes for the last residue where the next
        one is needed.
    """
    n, ca, c = xyz.unbind(2)
    on = torch.cat((n[:, 1:], c[:, -1:]), dim=1)
    beyond = torch.cat((ca[:, 1:], c[:, -1:]), dim=1)
    directions = (
        ca - n,
        c - ca,
        on - c,
        torch.linalg.cross(n - ca, c - ca),
        torch.linalg.cross(ca - c, on - c),
        torch.linalg.cross(c - on, beyond - on),
    )
    axis = torch.nn.functional.normalize(torch.stack(directions, dim=2), dim=-1)
    return axis, torch.stack((ca, c, on, ca, c, on), dim=2)


def ca_jacobian(xyz: Tensor, mask: Tensor) -> Tensor:
    """Derivative of CA by the variables, the first residue held.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.

    Returns
    -------
    Tensor
        ``d CA_j / d variable``, Å per radian, shape ``(batch, length, 3, length, 6)``.
    """
    axis, origin = axes(xyz)
    ca, size = xyz[:, :, 1], xyz.shape[1]
    arm = ca[:, :, None, None] - origin.unsqueeze(1)
    moved = torch.linalg.cross(axis.unsqueeze(1).expand_as(arm), arm)
    place = torch.arange(size, device=xyz.device)
    beyond = (place.unsqueeze(1) > place) & mask.unsqueeze(1) & mask.unsqueeze(2)
    return (moved * beyond[..., None, None]).permute(0, 1, 4, 2, 3)


def displacement_metric(xyz: Tensor, mask: Tensor) -> Tensor:
    """Sum of squared displacements of CA, rigid motion apart, as a form on the variables.

    Parameters
    ----------
    xyz, mask
        As of `ca_jacobian`.

    Returns
    -------
    Tensor
        Shape ``(batch, 6 length, 6 length)``, Å squared per radian squared.
    """
    batch, size = mask.shape
    jacobian = ca_jacobian(xyz, mask).reshape(batch, 3 * size, VARIABLES * size)
    weight = mask.to(xyz).unsqueeze(-1)
    centred = (xyz[:, :, 1] - (xyz[:, :, 1] * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)) * weight
    unit = torch.eye(3, dtype=xyz.dtype, device=xyz.device)
    turned = torch.linalg.cross(unit.expand(batch, size, 3, 3), centred.unsqueeze(2).expand(batch, size, 3, 3))
    rigid = torch.cat(((unit * weight.unsqueeze(-1)), turned), dim=2).transpose(2, 3).reshape(batch, 3 * size, 6)
    basis = torch.linalg.qr(rigid).Q
    inside = basis.transpose(1, 2) @ jacobian
    return jacobian.transpose(1, 2) @ jacobian - inside.transpose(1, 2) @ inside
