"""Enumeration A: grow every graph by one atom and keep one code per isomorphism class.

Every connected graph with n + 1 vertices has a vertex whose removal leaves it connected (a leaf of a spanning tree),
so all of them come from the graphs with n vertices by one new atom and its bonds b_1..b_n, 1 <= sum b_i <= V(new),
b_i <= free valence of atom i. All Kekulé forms are kept as different graphs here: a form that looks redundant now can
grow into a molecule that its twin does not reach.

Canonical code. Vertices get the invariant h (element in the top bits, then a few rounds of h_v <- mix(h_v) + sum_u
mix(h_u, b_uv) modulo 2^64) and are sorted by it; the code is the smallest among all orders that keep h sorted. Two
isomorphic graphs have the same set of such orders up to the isomorphism and so the same code, and a chance collision of
two hashes only adds orders to try: the result is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from .graphs import decode, encode, free_valence, pairs, valences

__all__ = ["canonical", "grow"]

_CHUNK = 200_000
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def grow(max_atoms: int, elements: str) -> Iterator[np.ndarray]:
    """Yield the codes of all connected graphs with 1, 2, ..., `max_atoms` atoms.

    Parameters
    ----------
    max_atoms
        Largest number of atoms, at most 7.
    elements
        Element letters; a code holds indices into this string.

    Yields
    ------
    codes
        For each size the sorted canonical codes, shape ``(classes,)``.
    """
    valence = valences(elements)
    codes = np.arange(len(elements), dtype=np.int64)
    yield codes
    for atoms in range(1, max_atoms):
        labels, bonds = decode(codes, atoms)
        found = np.empty(0, dtype=np.int64)
        for chunk in _chunks(_children(labels, bonds, valence)):
            found = np.union1d(found, canonical(*chunk))
        codes = found
        yield codes


def _children(labels: np.ndarray, bonds: np.ndarray, valence: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield labels and bonds of all graphs with one more atom, one batch per vector of new bonds and element."""
    free = free_valence(labels, bonds, valence)
    for new in product(range(min(3, int(valence.max())) + 1), repeat=labels.shape[1]):
        if not 1 <= sum(new) <= valence.max():
            continue
        parents = np.flatnonzero((free >= np.array(new)).all(axis=1))
        grown = np.concatenate([bonds[parents], np.tile(np.array(new, dtype=np.int8), (len(parents), 1))], axis=1)
        for element in np.flatnonzero(valence >= sum(new)):
            last = np.full((len(parents), 1), element, dtype=np.int8)
            yield np.concatenate([labels[parents], last], axis=1), grown


def _chunks(batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Join small batches into chunks, so that array work dominates and memory stays bounded."""
    held: list[tuple[np.ndarray, np.ndarray]] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += len(batch[0])
        if rows >= _CHUNK:
            yield np.concatenate([labels for labels, _ in held]), np.concatenate([bonds for _, bonds in held])
            held, rows = [], 0
    if rows:
        yield np.concatenate([labels for labels, _ in held]), np.concatenate([bonds for _, bonds in held])


def canonical(labels: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Return the canonical code of each graph: equal for two graphs exactly if they are isomorphic.

    Parameters
    ----------
    labels
        Element indices, shape ``(count, n)``.
    bonds
        Bond orders, shape ``(count, n(n-1)/2)``.

    Returns
    -------
    code
        Shape ``(count,)``.
    """
    atoms = labels.shape[1]
    if atoms == 1:
        return encode(labels, bonds)
    place = _place_table(atoms)
    invariant = _invariant(labels, bonds, place)
    order = np.argsort(invariant, axis=1, kind="stable")
    invariant = np.take_along_axis(invariant, order, axis=1)
    labels = np.take_along_axis(labels, order, axis=1)
    first, second = (np.array(side, dtype=np.int64) for side in zip(*pairs(atoms), strict=True))
    bonds = np.take_along_axis(bonds, place[order[:, first], order[:, second]], axis=1)
    ties = (invariant[:, 1:] == invariant[:, :-1]) @ (1 << np.arange(atoms - 1))
    smallest = np.empty(len(bonds), dtype=np.int64)
    for pattern in np.unique(ties):
        rows = np.flatnonzero(ties == pattern)
        smallest[rows] = _smallest(bonds[rows], _orders(int(pattern), atoms), place)
    return smallest + encode(labels, np.zeros_like(bonds))


def _smallest(bonds: np.ndarray, orders: list[tuple[int, ...]], place: np.ndarray) -> np.ndarray:
    """Return the smallest bond code over vertex orders; exact in float64, because bond codes have at most 42 bits."""
    index = pairs(place.shape[0])
    weights = np.empty((bonds.shape[1], len(orders)))
    for column, order in enumerate(orders):
        weights[[place[order[i], order[j]] for i, j in index], column] = 4.0 ** np.arange(len(index))
    values = bonds.astype(np.float64)
    step = max(1, 4_000_000 // len(orders))
    parts = [(values[at : at + step] @ weights).min(axis=1) for at in range(0, len(values), step)]
    return np.concatenate(parts).astype(np.int64)


def _orders(pattern: int, atoms: int) -> list[tuple[int, ...]]:
    """Return all orders of the vertices that permute within runs of ties; bit i says that i and i + 1 are tied."""
    runs = [[0]]
    for vertex in range(1, atoms):
        if pattern >> (vertex - 1) & 1:
            runs[-1].append(vertex)
        else:
            runs.append([vertex])
    return [sum(parts, ()) for parts in product(*(permutations(run) for run in runs))]


def _place_table(atoms: int) -> np.ndarray:
    """Return the symmetric table of pair indices."""
    table = np.zeros((atoms, atoms), dtype=np.int64)
    for place, (i, j) in enumerate(pairs(atoms)):
        table[i, j] = table[j, i] = place
    return table


def _invariant(labels: np.ndarray, bonds: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return a 64-bit invariant of each vertex: its element in the top bits, then its refined surroundings."""
    atoms = labels.shape[1]
    matrix = bonds[:, place].astype(np.uint64)
    matrix[:, np.arange(atoms), np.arange(atoms)] = 0
    value = _mix(labels.astype(np.uint64) + np.uint64(1))
    for _ in range(atoms - 1):
        near = _mix(value[:, None, :] + matrix * _MIX[0]) * (matrix > 0)
        value = _mix(value) + near.sum(axis=2, dtype=np.uint64)
    return (labels.astype(np.uint64) << np.uint64(62)) | (value >> np.uint64(2))


def _mix(value: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (the finaliser of SplitMix64, doi:10.1145/2714064.2660195)."""
    value = (value ^ (value >> np.uint64(30))) * _MIX[1]
    value = (value ^ (value >> np.uint64(27))) * _MIX[2]
    return value ^ (value >> np.uint64(31))
