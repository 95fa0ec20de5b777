"""Bookkeeping of graphs that grow bond by bond and can always be joined into one.

For every row of a batch: the free valence of each atom, the part each atom belongs to, and the free valence of each
part, counted apart for given atoms (which bond to new atoms only) and new ones. With ``C`` parts, ``S`` free valence of
given and ``N`` of new atoms, the parts can be joined if and only if every part has free valence (or ``C = 1``) and

    slack = min(S, C - 1) + N - 2 (C - 1) >= 0.

Only if: the ``C - 1`` bonds have ``2 (C - 1)`` ends, and at most one end of each is a given atom. If: choose one free
valence of every part, a new one where it has one, and ``C - 2`` more, so that at most ``C - 1`` are given; a part with
one of them can then always be bonded to a part with more, and what remains is the same task with one part less.

A bond is allowed if both hold after it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .graphs import pair_index
from .vocabulary import Bond

__all__ = ["ORDER", "Assembly"]

ORDER = np.array([0, 1, 2, 3, 1])
"""Valence that each bond class uses at either end; the pi electron of an aromatic bond is not counted."""


class Assembly:
    """Free valences and parts of a batch of graphs.

    It starts with the given bonds; `begin` adds the tokens of the new atoms.

    Parameters
    ----------
    real
        True where an atom exists, shape ``(batch, size)``.
    free
        Free sites: ``atoms`` are new ones; ``bonds`` are pairs still to be drawn.
    bonds
        Classes of the pairs; those that are free are not read.
    valence
        Free valence of given atoms, shape ``(batch, size)``.
    """

    def __init__(
        self, real: np.ndarray, free: Mapping[str, np.ndarray], bonds: np.ndarray, valence: np.ndarray
    ) -> None:
        batch, size = real.shape
        self.real, self.new, self.rows = real, free["atoms"], np.arange(batch)
        self.i, self.j = pair_index(size)
        self.left = np.where(real & ~self.new, valence, 0)
        self.used = np.zeros((batch, size), dtype=np.int64)
        self.part = np.tile(np.arange(size), (batch, 1))
        self.parts = real.sum(1)
        self.slot = np.zeros((batch, size), dtype=np.int64)
        given = np.where(free["bonds"] | ~real[:, self.j], Bond.NONE, bonds)
        for pair in np.flatnonzero(given.any(0)):
            rows = np.flatnonzero(given[:, pair])
            ends = np.full(len(rows), self.i[pair]), np.full(len(rows), self.j[pair])
            for end in ends:
                self.used[rows, end] += ORDER[given[rows, pair]]
            self._merge(rows, *ends)
        self._count()

    @property
    def need(self) -> np.ndarray:
        """Least free valence of the new atoms with which everything can be joined, shape ``(batch,)``."""
        joints = np.maximum(self.parts - 1, 0)
        return 2 * joints - np.minimum(self.given_left, joints)

    @property
    def joinable(self) -> np.ndarray:
        """Whether the graph can be joined, and no atom has more bonds than it can carry, shape ``(batch,)``."""
        hungry = self.real & (np.take_along_axis(self.slot, self.part, 1) == 0)
        joins = (self.new_left >= self.need) & ~hungry.any(1)
        return (self.left >= 0).all(1) & (joins | (self.parts <= 1))

    @property
    def last_of_part(self) -> np.ndarray:
        """Whether an atom is the last chance of its part to have free valence, shape ``(batch, size)``."""
        size = self.new.shape[1]
        same = self.part[:, :, None] == self.part[:, None, :]
        later = np.triu(np.ones((size, size), dtype=bool), 1)
        return self.new & ~(same & self.new[:, None, :] & later).any(2)

    def begin(self, budget: np.ndarray) -> None:
        """Give the new atoms their valence budgets, shape ``(batch, size)``."""
        self.left = np.where(self.new, budget - self.used, self.left)
        self._count()

    def _count(self) -> None:
        self.given_left = np.where(self.new, 0, self.left).sum(1)
        self.new_left = np.where(self.new, self.left, 0).sum(1)
        self.slot = np.zeros_like(self.left)
        np.add.at(self.slot, (self.rows[:, None], self.part), self.left)

    def _merge(self, rows: np.ndarray, i: np.ndarray, j: np.ndarray) -> None:
        a, b = self.part[rows, i], self.part[rows, j]
        joins = a != b
        rows, a, b = rows[joins], a[joins], b[joins]
        labels = self.part[rows]
        self.part[rows] = np.where(labels == b[:, None], a[:, None], labels)
        self.slot[rows, a] += self.slot[rows, b]
        self.slot[rows, b] = 0
        self.parts[rows] -= 1

    def bind(self, rows: np.ndarray, i: np.ndarray, j: np.ndarray, bond: np.ndarray) -> None:
        """Add one bond to each of the rows."""
        order = ORDER[bond]
        for end in (i, j):
            self.left[rows, end] -= order
            self.slot[rows, self.part[rows, end]] -= order
            new = self.new[rows, end]
            self.new_left[rows] -= np.where(new, order, 0)
            self.given_left[rows] -= np.where(new, 0, order)
        self._merge(rows, i, j)

    def room(self, rows: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Largest valence that a bond of a free pair may use at either end, from 0 (none fits) to 3.

        It is the least of the free valences of the two ends and, while parts remain to be joined after the bond, of
        what keeps ``slack >= 0`` and one free valence in the part that the bond lies in.

        Parameters
        ----------
        rows, i, j
            Row and atoms of each pair; they broadcast.
        """
        least = np.minimum(self.left[rows, i], self.left[rows, j])
        a, b = self.part[rows, i], self.part[rows, j]
        joins = a != b
        joints = self.parts[rows] - 1 - joins
        new_left, new_ends = self.new_left[rows], 1 + (self.new[rows, i] & self.new[rows, j])
        slack = np.minimum((new_left - joints) // new_ends, (self.given_left[rows] + new_left) // 2 - joints)
        inside = (self.slot[rows, a] + np.where(joins, self.slot[rows, b], 0) - 1) // 2
        room = np.where(joints > 0, np.minimum(np.minimum(least, slack), inside), least)
        return room.clip(0, ORDER.max())

    def apart(self, rows: np.ndarray) -> np.ndarray:
        """Whether the two atoms of every pair lie in different parts, shape ``(rows, pairs)``."""
        part = self.part[rows]
        return part[:, self.i] != part[:, self.j]
