"""The law of the noise of frames: rotations and CA, each with its own process, and atoms from frames and back.

A state has two factors. ``rotation``, shape ``(L, 4)``, holds the unit quaternions of the frames N, CA, C
(`chains.frames_of`); its law is one of `rotations`. ``ca``, shape ``(L, 3)``, holds centred CA positions in units of
`UNIT`, on straight paths to the ideal polymer of `torsion.process`: noise that is connected like a chain leaves more of
the fold to be seen than independent noise does, and spares the network the learning of bond lengths.

N and C stand at their ideal places in the frame: C at ``l_CAC e_1``, N at ``l_NCA (cos theta, sin theta, 0)`` with
``theta`` the angle N CA C.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scidiff.process.base import ProductProcess
from scidiff.process.geodesic import GeodesicFlow
from scidiff.spaces import Power
from scidiff.spaces.flat import Flat
from scidiff.spaces.so3 import from_matrix, to_matrix

from ..chains import frames_of
from ..geometry import ANGLES, BONDS
from ..torsion.process import UNIT, Polymer
from .rotations import RotationLaw

__all__ = ["atoms_of", "frame_process", "quaternions_of"]


def frame_process(law: RotationLaw, temperature: float = 1.0) -> ProductProcess:
    """Law of both factors.

    Parameters
    ----------
    law
        Law of rotations.
    temperature
        Square of the factor of the CA prior; 1 is the law of training.
    """
    ca = GeodesicFlow(Power(Flat(3), (None,)), base=Polymer(math.sqrt(temperature)))
    return ProductProcess({"rotation": law.process, "ca": ca})


def quaternions_of(xyz: Tensor, mask: Tensor) -> Tensor:
    """Quaternions of the frames of residues, shape ``(batch, length, 4)``; the identity at padding.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``.
    mask
        True where a residue is real, shape ``(batch, length)``.
    """
    one = torch.eye(3, dtype=xyz.dtype, device=xyz.device)
    return from_matrix(torch.where(mask[..., None, None], frames_of(xyz)[0], one))


def atoms_of(rotation: Tensor, ca: Tensor) -> Tensor:
    """N, CA, C of frames, Å.

    Parameters
    ----------
    rotation
        Quaternions, shape ``(batch, length, 4)``.
    ca
        In units of `UNIT`, shape ``(batch, length, 3)``.

    Returns
    -------
    Tensor
        Shape ``(batch, length, 3, 3)``.
    """
    corner = ANGLES[0]
    local = ca.new_tensor(
        ((BONDS[0] * math.cos(corner), BONDS[0] * math.sin(corner), 0.0), (0.0, 0.0, 0.0), (BONDS[1], 0.0, 0.0))
    )
    return local @ to_matrix(rotation).transpose(-1, -2) + (UNIT * ca).unsqueeze(-2)
