"""Plans of chains: secondary structure and strand pairs, as text and as tensors.

A plan of ``L`` residues is a word of ``-HE`` and its bridges in runs, ``12a40*5``: residues 12, 13, ..., 16 pair with
40, 39, ..., 36, antiparallel; ``12p40*5`` pairs them with 40, 41, ..., 44. Residues count from 0. A bulge ends a run.
``?`` leaves a residue open; strands without any run leave the pairing open.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scidiff.errors import DataError

from ..secondary import state_letters
from .pairing import ANTI, NONE, PARALLEL, UNKNOWN_PAIR, UNKNOWN_STATE

if TYPE_CHECKING:
    from .data import TrainingChains

__all__ = ["Ladder", "Plan", "pack_plans", "plan_of", "read_plan"]

_RUN = re.compile(r"(\d+)([ap])(\d+)\*(\d+)")
_CODE = {"-": 0, "H": 1, "E": 2, "?": UNKNOWN_STATE}


@dataclass(frozen=True)
class Ladder:
    """A run of bridges.

    Parameters
    ----------
    first, second
        Residues of the first bridge, ``first < second``.
    size
        Number of bridges.
    parallel
        Whether the second strand runs as the first does.
    """

    first: int
    second: int
    size: int
    parallel: bool

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Residues of each bridge."""
        step = 1 if self.parallel else -1
        return [(self.first + k, self.second + step * k) for k in range(self.size)]

    def __str__(self) -> str:
        return f"{self.first}{'p' if self.parallel else 'a'}{self.second}*{self.size}"


@dataclass(frozen=True)
class Plan:
    """Secondary structure and strand pairs of a chain.

    Parameters
    ----------
    states
        A word of ``-HE?``.
    ladders
        Runs of bridges.
    """

    states: str
    ladders: tuple[Ladder, ...] = ()

    def __len__(self) -> int:
        return len(self.states)

    def __str__(self) -> str:
        return " ".join((self.states, *map(str, self.ladders)))

    def tensors(self) -> tuple[Tensor, Tensor]:
        """States and map of bridges, int64, shapes ``(length,)`` and ``(length, length)``."""
        states = torch.tensor([_CODE[letter] for letter in self.states])
        blind = "E" in self.states and not self.ladders
        pairing = torch.full((len(self), len(self)), UNKNOWN_PAIR if blind else NONE)
        unknown = states == UNKNOWN_STATE
        pairing[unknown.unsqueeze(0) | unknown.unsqueeze(1)] = UNKNOWN_PAIR
        for ladder in self.ladders:
            for i, j in ladder.pairs:
                pairing[i, j] = pairing[j, i] = PARALLEL if ladder.parallel else ANTI
        return states, pairing


def plan_of(states: Tensor, pairing: Tensor) -> Plan:
    """Read a plan off tensors, the inverse of `Plan.tensors`."""
    left = {(int(i), int(j)): int(pairing[i, j]) for i, j in torch.nonzero(pairing.triu(1))}
    ladders = []
    while left:
        i, j = min(left)
        kind, size = left[i, j], 0
        step = 1 if kind == PARALLEL else -1
        while left.get((i + size, j + step * size)) == kind:
            del left[i + size, j + step * size]
            size += 1
        ladders.append(Ladder(i, j, size, kind == PARALLEL))
    return Plan(state_letters(states), tuple(ladders))


def read_plan(text: str) -> Plan:
    """Read what `str` of a plan gives.

    Raises
    ------
    DataError
        If a word is no plan, or a bridge lies outside the chain.
    """
    word, *runs = text.split()
    found = [_RUN.fullmatch(run) for run in runs]
    if set(word) - set(_CODE) or None in found:
        raise DataError(f"'{text}' is no plan; expected a word of '-HE?' and runs such as 3a17*5")
    ladders = tuple(Ladder(int(m[1]), int(m[3]), int(m[4]), m[2] == "p") for m in found if m is not None)
    for ladder in ladders:
        if not all(0 <= i < j < len(word) for i, j in ladder.pairs):
            raise DataError(f"the run {ladder} leaves the chain of {len(word)} residues, or is out of order")
    return Plan(word, ladders)


def pack_plans(chains: TrainingChains) -> Sequence[str]:
    """Plans of a training set, one line each."""
    from .data import Cut

    cuts = [Cut(row, 0, int(size)) for row, size in enumerate(chains.lengths)]
    return [str(plan_of(*chains.plan(cut))) for cut in cuts]
