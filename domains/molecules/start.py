"""Where a batch starts: which sites are free, and what stands at the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .clamping import given_pairs
from .graphs import pair_count, pair_index

if TYPE_CHECKING:
    from .scaffold import Scaffold

__all__ = ["Start"]


@dataclass(frozen=True)
class Start:
    """Sites of a batch of molecules, padded to one size.

    Parameters
    ----------
    mask
        True where an atom is real, shape ``(batch, size)``.
    free
        True where a site is to be drawn: ``atoms`` (batch, size) and ``bonds`` (batch, pairs).
    clean
        Classes of the sites that are not free.
    valence
        Hydrogens of given atoms that new atoms may replace, shape ``(batch, size)``.
    """

    mask: Tensor
    free: dict[str, Tensor]
    clean: dict[str, Tensor]
    valence: Tensor

    @classmethod
    def of(cls, scaffold: Scaffold | None, sizes: np.ndarray, size: int) -> Start:
        """Start from a scaffold, or from nothing.

        Parameters
        ----------
        scaffold
            What is given.
        sizes
            Number of atoms of each sample, shape ``(batch,)``.
        size
            Padded size.
        """
        batch = len(sizes)
        mask = torch.arange(size) < torch.from_numpy(sizes).unsqueeze(1)
        atoms = torch.zeros(batch, size, dtype=torch.int64)
        bonds = torch.zeros(batch, pair_count(size), dtype=torch.int64)
        valence = torch.zeros(batch, size, dtype=torch.int64)
        given = torch.zeros_like(mask)
        if scaffold is not None:
            count = len(scaffold.tokens)
            given[:, :count] = True
            atoms[:, :count] = torch.from_numpy(scaffold.tokens)
            valence[:, :count] = torch.from_numpy(scaffold.valence)
            bonds[:, : len(scaffold.bonds)] = torch.from_numpy(scaffold.bonds)
        i, j = pair_index(size)
        fixed = given_pairs(given, ~given | (valence > 0))
        free = {"atoms": mask & ~given, "bonds": mask[:, i] & mask[:, j] & ~fixed}
        return cls(mask, free, {"atoms": atoms, "bonds": bonds}, valence)
