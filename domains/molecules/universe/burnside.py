"""Count C: how many graphs there are, without making any of them.

By the Cauchy-Frobenius (Burnside) lemma the number of isomorphism classes is the mean over the permutations of n
vertices of the number of labelled graphs that the permutation fixes. A fixed graph is constant on cycles of vertices
(element) and on orbits of pairs (bond order m in 0..3). For cycles of lengths l_i the pair orbits are

* between cycles i and j: gcd(l_i, l_j) orbits; each takes m lcm/l_i bonds from every vertex of i and m lcm/l_j of j;
* inside a cycle of length l, for each distance d = 1..floor(l/2): one orbit; it takes 2 m from every vertex, or m
  where 2d = l.

A table over the bonds taken per cycle, (0..4)^cycles, is convolved with one orbit at a time, and the number of
elements whose valence is at least the bonds taken weighs the end. This counts all graphs a_n, connected or not; the
connected ones c_n follow from prod_k (1 - x^k)^{-c_k} = sum_n a_n x^n.

References
----------
F. Harary and E. M. Palmer, "Graphical Enumeration", Academic Press 1973, chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import factorial, gcd, prod

import numpy as np

from .graphs import valences

__all__ = ["count_graphs"]

_LARGEST_ORDER = 3


def count_graphs(max_atoms: int, elements: str) -> list[int]:
    """Count connected molecular graphs before Kekulé forms are merged.

    Parameters
    ----------
    max_atoms
        Largest number of atoms; 8 takes seconds.
    elements
        Element letters.

    Returns
    -------
    counts
        Numbers of isomorphism classes with 1, 2, ..., `max_atoms` atoms.
    """
    valence = valences(elements)
    every = [Fraction(1)] + [_count_all(atoms, valence) for atoms in range(1, max_atoms + 1)]
    return _connected(every)


def _count_all(atoms: int, valence: np.ndarray) -> Fraction:
    """Return a_n, the number of classes of graphs with n vertices, connected or not."""
    total = Fraction(0)
    for cycles in _partitions(atoms, atoms):
        size = prod(cycles) * prod(factorial(cycles.count(length)) for length in set(cycles))
        total += Fraction(_fixed(cycles, valence), size)
    return total


def _partitions(total: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Yield the partitions of `total` into parts of at most `largest`: the cycle types."""
    if total == 0:
        yield ()
    for part in range(min(total, largest), 0, -1):
        for rest in _partitions(total - part, part):
            yield (part, *rest)


def _fixed(cycles: tuple[int, ...], valence: np.ndarray) -> int:
    """Return the number of labelled graphs fixed by a permutation with these cycle lengths."""
    room = int(valence.max()) + 1
    table = np.zeros((room,) * len(cycles), dtype=np.int64)
    table[(0,) * len(cycles)] = 1
    for taken in _orbits(cycles):
        table = np.sum([_shift(table, [order * step for step in taken]) for order in range(_LARGEST_ORDER + 1)], axis=0)
    weight = np.array([(valence >= bonds).sum() for bonds in range(room)], dtype=np.int64)
    for _ in cycles:
        table = np.tensordot(weight, table, axes=(0, 0))
    return int(table)


def _orbits(cycles: tuple[int, ...]) -> Iterator[list[int]]:
    """Yield for each orbit of pairs the bonds that a unit of bond order takes from the vertices of each cycle."""
    for i, length in enumerate(cycles):
        for distance in range(1, length // 2 + 1):
            yield [(1 if 2 * distance == length else 2) if k == i else 0 for k in range(len(cycles))]
        for j in range(i):
            share = {i: cycles[j] // gcd(length, cycles[j]), j: length // gcd(length, cycles[j])}
            for _ in range(gcd(length, cycles[j])):
                yield [share.get(k, 0) for k in range(len(cycles))]


def _shift(table: np.ndarray, steps: list[int]) -> np.ndarray:
    """Move the table by `steps` along its axes; what passes the largest valence is dropped."""
    moved = np.zeros_like(table)
    if all(step < size for step, size in zip(steps, table.shape, strict=True)):
        into = tuple(slice(step, None) for step in steps)
        source = tuple(slice(None, size - step) for step, size in zip(steps, table.shape, strict=True))
        moved[into] = table[source]
    return moved


def _connected(every: list[Fraction]) -> list[int]:
    """Invert the Euler transform: n a_n = sum_{k=1..n} s_k a_{n-k} with s_k = sum_{d | k} d c_d."""
    connected: list[int] = []
    sums: list[Fraction] = []
    for size in range(1, len(every)):
        value = size * every[size] - sum(sums[k - 1] * every[size - k] for k in range(1, size))
        sums.append(value)
        smaller = sum(divisor * connected[divisor - 1] for divisor in range(1, size) if size % divisor == 0)
        connected.append(int((value - smaller) / size))
    return connected
