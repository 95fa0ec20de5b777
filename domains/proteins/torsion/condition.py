"""What is asked of a chain: secondary structure, strand pairs, a motif; each part may be unknown.

A condition is a mapping of tensors, batch first, so that the core's loop can take rows of it:

    mask            True where a residue is real                                     (batch, length)
    states          `COIL`, `HELIX`, `STRAND` or `UNKNOWN_STATE`                     (batch, length)
    pairing         `NONE`, `PARALLEL`, `ANTI` or `UNKNOWN_PAIR`                     (batch, length, length)
    group           rigid body of a motif residue, from 1; 0 where there is none     (batch, length)
    motif_torsions  phi and psi of motif residues                                    (batch, length, 2)
    motif_xyz       N, CA, C of motif residues, Å                                    (batch, length, 3, 3)

Of the motif's coordinates only what does not change when a rigid body moves is used.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..chains import frames_of
from .geometry_features import pair_geometry
from .pairing import UNKNOWN_PAIR, UNKNOWN_STATE

__all__ = ["Condition", "blank", "motif_features"]

Condition = dict[str, Tensor]


def blank(mask: Tensor) -> Condition:
    """Return the condition that asks for nothing.

    Parameters
    ----------
    mask
        True where a residue is real, shape ``(batch, length)``.
    """
    batch, length = mask.shape
    return {
        "mask": mask,
        "states": torch.full((batch, length), UNKNOWN_STATE),
        "pairing": torch.full((batch, length, length), UNKNOWN_PAIR),
        "group": torch.zeros(batch, length, dtype=torch.int64),
        "motif_torsions": torch.zeros(batch, length, 2),
        "motif_xyz": torch.zeros(batch, length, 3, 3),
    }


def motif_features(condition: Condition) -> tuple[Tensor, Tensor]:
    """Return whether a residue is in the motif, and the geometry of pairs in one rigid body.

    Returns
    -------
    kept
        0 or 1, shape ``(batch, length, 1)``.
    given
        Features of `geometry_features.pair_geometry` and a flag, 0 for other pairs, shape ``(batch, length, length,
        GEOMETRY + 1)``.
    """
    group, xyz = condition["group"], condition["motif_xyz"].float()
    kept = group > 0
    same = (group.unsqueeze(1) == group.unsqueeze(2)) & kept.unsqueeze(1)
    with torch.no_grad():
        frames, ca = frames_of(xyz)
        features = pair_geometry(ca, frames)[0]
        flag = torch.ones_like(features[..., :1])
        given = torch.where(same.unsqueeze(-1), torch.cat((features, flag), dim=-1), 0.0)
    return kept.unsqueeze(-1).float(), given
