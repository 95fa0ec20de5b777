"""The plan that a prediction itself suggests, for chains that were drawn without one.

Residues ``i`` and ``j`` are taken for partners if their CA are within `_REACH` and those of their neighbours run
alongside: with ``d(a, b)`` the distance of CA,

    antiparallel   d(i-1, j+1), d(i, j), d(i+1, j-1) < 6.5 Å        parallel   d(i-1, j-1), d(i, j), d(i+1, j+1) < 6.5 Å

and both stretches are extended, ``d(i-1, i+1) > 6`` Å. Runs of at least `_RUN` such pairs become runs of the plan. A
helix is a run of residues with phi and psi near those of one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .pairing import ANTI, NONE, PARALLEL
from .plans import Ladder, Plan, plan_of

__all__ = ["found_plan"]

_REACH = 6.5
_EXTENDED = 6.0
_RUN = 3
_HELIX = (math.radians(-63), math.radians(-42))
_WIDTH = math.radians(35)
_TURNS = 5


def found_plan(ca: Tensor, torsions: Tensor) -> Plan:
    """Read a plan off a predicted chain.

    Parameters
    ----------
    ca
        Å, shape ``(length, 3)``.
    torsions
        Angles phi and psi, shape ``(length, 2)``.

    Returns
    -------
    Plan
        Its helices, and its strands as far as they have partners.
    """
    length = len(ca)
    apart = torch.cdist(ca, ca)
    near = F.pad(apart < _REACH, (1, 1, 1, 1))
    inner = slice(1, length + 1)
    stretched = torch.zeros(length, dtype=torch.bool)
    stretched[1:-1] = (ca[2:] - ca[:-2]).norm(dim=-1) > _EXTENDED
    place = torch.arange(length)
    open_pair = stretched.unsqueeze(0) & stretched.unsqueeze(1) & ((place.unsqueeze(1) - place).abs() >= 4)
    anti = near[inner, inner] & near[:length, 2:] & near[2:, :length] & open_pair
    parallel = near[inner, inner] & near[:length, :length] & near[2:, 2:] & open_pair & ~anti
    pairing = torch.where(anti, ANTI, torch.where(parallel, PARALLEL, NONE))
    ladders = [one for one in plan_of(torch.zeros(length), _sharpest(pairing, apart)).ladders if one.size >= _RUN]
    return Plan(_word(torsions, ladders), tuple(ladders))


def _sharpest(pairing: Tensor, apart: Tensor) -> Tensor:
    """Keep, of the registers of a residue side by side, the nearest partner in either direction."""
    best = torch.zeros_like(pairing)
    order = torch.where(pairing > NONE, apart, torch.inf)
    for kind in (ANTI, PARALLEL):
        mine = torch.where(pairing == kind, order, torch.inf)
        lowest = -F.max_pool1d(-mine.unsqueeze(1), 5, 1, 2).squeeze(1)
        keep = (mine == torch.minimum(lowest, lowest.T)) & (pairing == kind)
        best[keep | keep.T] = kind
    return best


def _word(torsions: Tensor, ladders: list[Ladder]) -> str:
    """Helices from torsions, strands from partners."""
    off = torsions - torch.tensor(_HELIX, dtype=torsions.dtype)
    off = (off - 2 * torch.pi * torch.round(off / (2 * torch.pi))).abs()
    turned = (off < _WIDTH).all(-1).tolist()
    word, start = ["-"] * len(turned), 0
    for k in range(len(turned) + 1):
        if k == len(turned) or not turned[k]:
            if k - start >= _TURNS:
                word[start:k] = "H" * (k - start)
            start = k + 1
    for ladder in ladders:
        for i, j in ladder.pairs:
            word[i] = word[j] = "E"
    return "".join(word)
