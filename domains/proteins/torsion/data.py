"""Chains as training wants them: torsions, CA, states and strand pairs, and crops that are compact again.

A crop of a chain is a chain; its bridges are those with both ends in it, and a strand residue that has lost all its
partners counts as coil.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..chains import Chains
from ..secondary import COIL, STRAND, assign
from ..shape import COMPACT, rg_ratio
from ..torsions import measure
from .pairing import bridges

__all__ = ["Cut", "TrainingChains"]

_TRIES = 4


@dataclass(frozen=True)
class Cut:
    """Residues ``start ... stop - 1`` of one chain."""

    row: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class TrainingChains:
    """A set of chains with what a batch is made of.

    Parameters
    ----------
    chains
        Intact chains, float64.
    """

    chains: Chains

    def __len__(self) -> int:
        return len(self.chains)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Number of residues of each chain."""
        return self.chains.lengths.numpy()

    @cached_property
    def torsions(self) -> Tensor:
        """phi and psi, float64, shape ``(batch, length, 2)``."""
        return measure(self.chains.xyz, self.chains.mask).torsions[..., :2]

    @cached_property
    def states(self) -> Tensor:
        """Secondary structure, shape ``(batch, length)``."""
        return assign(self.chains)

    @cached_property
    def pairing(self) -> Tensor:
        """Maps of bridges, uint8, shape ``(batch, length, length)``."""
        return bridges(self.chains).to(torch.uint8)

    def cut(self, row: int, shortest: int, longest: int, random: np.random.Generator) -> Cut:
        """Take a chain, or a compact part of it with a length in the given range; the last try need not be compact."""
        size = int(self.lengths[row])
        part = Cut(row, 0, min(size, longest))
        if size <= longest and random.random() < 0.5:
            return part
        for _ in range(_TRIES):
            wanted = int(random.integers(min(shortest, size), min(longest, size) + 1))
            start = int(random.integers(size - wanted + 1))
            part = Cut(row, start, start + wanted)
            ca = self.chains.ca[row : row + 1, part.start : part.stop]
            if float(rg_ratio(ca, torch.ones(1, wanted, dtype=torch.bool))) <= COMPACT:
                return part
        return part

    def plan(self, part: Cut) -> tuple[Tensor, Tensor]:
        """States and map of a part, shapes ``(length,)`` and ``(length, length)``."""
        inside = slice(part.start, part.stop)
        states, pairing = self.states[part.row, inside].clone(), self.pairing[part.row, inside, inside].long()
        states[(states == STRAND) & ~pairing.any(1)] = COIL
        return states, pairing
