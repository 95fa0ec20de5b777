"""Numbers about each chain of a batch, from which the report judges.

Every number is a share, a count or a ratio for a whole chain. What each means, and which values real chains take,
stands in `validation.RULES`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .chains import Chains
from .geometry import ANGLE_SD, ANGLES, BONDS, CA_STEP
from .ramachandran import Ramachandran, classes_of
from .secondary import HELIX, STRAND, assign, helix_hands, psea
from .shape import clash_count, contact_order, long_range, rg_ratio
from .torsions import Internal, linked, measure

__all__ = ["bond_checks", "chirality", "measure_chains", "ramachandran_checks"]

_BOND_SLACK = 0.06
_ANGLE_SDS = 4
_STEP_SLACK = 0.15
_PLANAR = math.radians(20)


def _share(good: Tensor, of: Tensor) -> Tensor:
    """Share of True among those that count, one where nothing counts, over all axes but the first."""
    good, of = (good & of).flatten(1).sum(1).double(), of.flatten(1).sum(1)
    return torch.where(of > 0, good / of.clamp(min=1), 1.0)


def bond_checks(chains: Chains, internal: Internal) -> dict[str, Tensor]:
    """Shares of bonds, angles, omega and CA steps within their ranges, and the worst deviations.

    Parameters
    ----------
    chains, internal
        A batch and its internal coordinates.

    Returns
    -------
    dict
        Tensors (float64) of shape ``(batch,)``.
    """
    mask, onward = chains.mask, linked(chains.mask)
    bond_of = torch.stack((mask, mask, onward), dim=-1)
    angle_of = torch.stack((mask, onward, onward), dim=-1)
    bond_off = (internal.bonds - internal.bonds.new_tensor(BONDS)).abs()
    angle_off = (internal.angles - internal.angles.new_tensor(ANGLES)).abs() / internal.angles.new_tensor(ANGLE_SD)
    omega = internal.torsions[..., 2].abs()
    step = (chains.ca[:, 1:] - chains.ca[:, :-1]).norm(dim=-1)
    trans, pair = omega[:, :-1] > math.pi / 2, onward[:, :-1]
    return {
        "bonds": _share(bond_off <= _BOND_SLACK, bond_of),
        "peptide_bonds": _share(bond_off[..., 2] <= _BOND_SLACK, onward),
        "angles": _share(angle_off <= _ANGLE_SDS, angle_of),
        "worst_bond": (bond_off * bond_of).flatten(1).max(1).values.double(),
        "worst_angle": torch.rad2deg(
            (angle_off * internal.angles.new_tensor(ANGLE_SD) * angle_of).flatten(1).max(1).values
        ).double(),
        "omega": _share(omega >= math.pi - _PLANAR, onward),
        "cis": _share(omega < math.pi / 2, onward) * onward.any(1),
        "ca_steps": _share((step - CA_STEP).abs() <= _STEP_SLACK, pair & trans),
        "positive_phi": _share(internal.torsions[..., 0] > 0, internal.known[..., 0]) * internal.known[..., 0].any(1),
    }


def chirality(chains: Chains, cb: Tensor | None = None) -> Tensor:
    """Share of residues of L handedness, ``((N - CA) x (C - CA)) . (CB - CA) > 0``.

    Parameters
    ----------
    chains
        A batch.
    cb
        CB as found, Å, shape ``(batch, length, 3)``, NaN where there is none; the ideal CB by default, which is L by
        construction. A backbone without CB does not determine the handedness of a residue.

    Returns
    -------
    Tensor
        Shares, float64, shape ``(batch,)``.
    """
    cb = chains.cb if cb is None else cb.to(chains.xyz)
    n, ca, c = chains.xyz.unbind(2)
    side = (torch.linalg.cross(n - ca, c - ca) * (cb - ca)).sum(-1)
    return _share(side > 0, chains.mask & side.isfinite())


def ramachandran_checks(table: Ramachandran, internal: Internal, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of favoured residues and of outliers, float64, shape ``(batch,)``; parameters of `Ramachandran.judge`."""
    favoured, outlier, judged = table.judge(internal, classes)
    count = judged.sum(1).clamp(min=1).double()
    return favoured.sum(1) / count, outlier.sum(1) / count


def measure_chains(chains: Chains, table: Ramachandran, cb: Tensor | None = None) -> dict[str, Tensor]:
    """Measure all numbers of the report that need no other chains.

    Parameters
    ----------
    chains
        A batch.
    table
        Ramachandran tables.
    cb
        As of `chirality`.

    Returns
    -------
    dict
        Tensors (float64) of shape ``(batch,)`` by name.
    """
    chains = chains.to(torch.float64)
    internal, ca, mask = measure(chains.xyz, chains.mask), chains.ca, chains.mask
    classes = classes_of(chains, internal)
    found = bond_checks(chains, internal)
    found["chirality"] = chirality(chains, cb)
    found["favoured"], found["outliers"] = ramachandran_checks(table, internal, classes)
    general = ramachandran_checks(table, internal, torch.zeros_like(classes))
    found["favoured_general"], found["outliers_general"] = general
    found["clashes"] = clash_count(ca, mask).double()
    found["rg_ratio"] = rg_ratio(ca, mask)
    found["long_range"] = long_range(ca, mask)
    found["contact_order"] = contact_order(ca, mask)
    states = {"": assign(chains), "psea_": psea(chains)}
    for name, state in states.items():
        found[f"{name}helix"] = ((state == HELIX) & mask).sum(1) / mask.sum(1).double()
        found[f"{name}strand"] = ((state == STRAND) & mask).sum(1) / mask.sum(1).double()
    right, left = helix_hands(chains, states["psea_"])
    found["left_helix"] = left.double()
    found["right_helix"] = right.double()
    return found
