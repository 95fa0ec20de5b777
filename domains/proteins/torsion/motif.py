"""Motifs as the model takes them: residues whose geometry is given, in one rigid body or in several."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ShapeError

from ..chains import Chains
from ..design import Layout
from ..torsions import Internal, measure

__all__ = ["Motif"]


@dataclass(frozen=True, eq=False)
class Motif:
    """Residues of a chain whose backbone is given.

    Parameters
    ----------
    group
        Rigid body of each residue of the chain, from 1, and 0 where nothing is given, int64, shape ``(length,)``.
    xyz
        N, CA, C, Å, shape ``(length, 3, 3)``; read where something is given.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a given atom is not finite.
    """

    group: Tensor
    xyz: Tensor

    def __post_init__(self) -> None:
        if self.group.ndim != 1 or tuple(self.xyz.shape) != (len(self.group), 3, 3):
            raise ShapeError(
                f"group and xyz have shapes {tuple(self.group.shape)} and {tuple(self.xyz.shape)}; expected (length,) "
                "and (length, 3, 3)"
            )
        if not bool(self.xyz[self.group > 0].isfinite().all()):
            raise ShapeError("a given residue has an atom that is not finite; give N, CA and C of all of them")

    @classmethod
    def of_layout(cls, layout: Layout, reference: Chains) -> Motif:
        """Motif of a layout with one chain; kept residues of one pose group are one rigid body."""
        group, xyz = torch.zeros(len(layout), dtype=torch.int64), torch.zeros(len(layout), 3, 3, dtype=torch.float64)
        for k in range(len(layout)):
            if layout.fixed[k]:
                group[k] = int(layout.group[k]) + 1
                xyz[k] = reference.xyz[tuple(layout.source[k])].double()
        return cls(group, xyz)

    @classmethod
    def of_chain(cls, chain: Chains, kept: Tensor) -> Motif:
        """Residues of a single chain that are to stay, as one rigid body."""
        return cls(kept.to(torch.int64), chain.xyz[0].double())

    def __len__(self) -> int:
        return len(self.group)

    @property
    def internal(self) -> Internal:
        """Internal coordinates; what reaches beyond given neighbours means nothing, see `fixed_torsions`."""
        return measure(torch.where(self.group[:, None, None] > 0, self.xyz, _spread(len(self)))[None], _all(len(self)))


def _all(length: int) -> Tensor:
    return torch.ones(1, length, dtype=torch.bool)


def _spread(length: int) -> Tensor:
    """Points in general position, so that measuring them is defined."""
    place = torch.arange(3 * length, dtype=torch.float64)
    return torch.stack((place, (1.3 * place).sin(), (0.7 * place).cos()), dim=-1).reshape(length, 3, 3)
