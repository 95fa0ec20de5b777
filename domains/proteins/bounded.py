"""Internal coordinates whose local geometry is right by construction, from unbounded variables.

    angle = mean + 3.99 sd tanh(u)        omega = state + 19.9 degrees tanh(v)        bonds ideal

with ``state`` pi (trans) or 0 (cis). Whatever ``u`` and ``v`` are, every bond, bond angle and peptide lies within the
rules of `checks`, 4 sd and 20 degrees, with room for round-off; phi and psi are free.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .geometry import ANGLE_SD, ANGLES
from .torsions import Internal, ideal

__all__ = ["SLOPES", "bounded", "from_bounded"]

_SDS = 3.99
_SLACK = math.radians(19.9)
_EDGE = 0.999
SLOPES = (_SLACK, *(_SDS * sd for sd in ANGLE_SD))
"""Change of omega and of the three angles with ``v`` and ``u`` at zero, radians."""


def bounded(internal: Internal) -> tuple[Tensor, Tensor, Tensor]:
    """Return the unbounded variables of angles and omega, and the state of each peptide.

    Parameters
    ----------
    internal
        Internal coordinates; values outside their bounds are brought to 0.999 of them.

    Returns
    -------
    u, v, state
        ``u`` of shape ``(batch, length, 3)``, ``v`` of shape ``(batch, length)``, and 0 or pi of that shape.
    """
    mean, sd = internal.angles.new_tensor(ANGLES), internal.angles.new_tensor(ANGLE_SD)
    u = ((internal.angles - mean) / (_SDS * sd)).clamp(-_EDGE, _EDGE).atanh()
    omega = internal.torsions[..., 2]
    state = (omega.abs() > math.pi / 2).to(omega) * math.pi
    off = torch.remainder(omega - state + math.pi, 2 * math.pi) - math.pi
    return u, (off / _SLACK).clamp(-_EDGE, _EDGE).atanh(), state


def from_bounded(phi_psi: Tensor, u: Tensor, v: Tensor, state: Tensor, mask: Tensor) -> Internal:
    """Return internal coordinates of exact local geometry; differentiable.

    Parameters
    ----------
    phi_psi
        Radians, shape ``(batch, length, 2)``.
    u, v, state
        As of `bounded`.
    mask
        True where a residue is real, shape ``(batch, length)``.

    Returns
    -------
    Internal
        Ready for `backbone.build`.
    """
    angles = u.new_tensor(ANGLES) + _SDS * u.new_tensor(ANGLE_SD) * u.tanh()
    torsions = torch.cat((phi_psi, (state + _SLACK * v.tanh()).unsqueeze(-1)), dim=-1)
    return ideal(torsions, mask, angles)
