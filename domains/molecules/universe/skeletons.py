"""Enumeration B: decorate every simple graph and keep one decoration per orbit of its symmetry group.

The skeleton of a molecule is its simple graph (all bonds single, all atoms alike). Molecules with different skeletons
differ, so each skeleton of at most seven vertices is taken from the complete atlas of graphs, given every assignment of
elements and of bond orders 1..3 that the valences allow, and two assignments are the same molecule exactly if an
automorphism of the skeleton carries one to the other. The smallest code of each orbit stands for it.

References
----------
R. C. Read and R. J. Wilson, "An Atlas of Graphs", Oxford University Press 1998 (as held by NetworkX).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .graphs import encode, pairs, valences

__all__ = ["decorate"]


def decorate(atoms: int, elements: str) -> np.ndarray:
    """Return one code per connected molecular graph with `atoms` atoms.

    Parameters
    ----------
    atoms
        Number of atoms, at most 7.
    elements
        Element letters; a code holds indices into this string.

    Returns
    -------
    codes
        Shape ``(classes,)``. The representatives differ from those of `growth.grow`; the classes are the same.
    """
    valence = valences(elements)
    found = [_orbits(atoms, edges, valence) for edges in _skeletons(atoms, int(valence.max()))]
    return np.concatenate(found)


@cache
def _skeletons(atoms: int, largest_degree: int) -> list[list[tuple[int, int]]]:
    """Return the edges of every connected simple graph with bounded degrees."""
    import networkx
    from networkx.generators.atlas import graph_atlas_g

    found = []
    for graph in graph_atlas_g():
        degrees = [degree for _, degree in graph.degree()]
        if len(degrees) == atoms and max(degrees) <= largest_degree and networkx.is_connected(graph):
            found.append(sorted((min(edge), max(edge)) for edge in graph.edges()))
    return found


def _orbits(atoms: int, edges: list[tuple[int, int]], valence: np.ndarray) -> np.ndarray:
    """Return the smallest code of each orbit of decorations of one skeleton."""
    labels, orders = _assignments(atoms, edges, valence)
    order_of = {edge: place for place, edge in enumerate(edges)}
    digits = np.concatenate([labels, orders], axis=1).astype(np.float64)
    smallest = np.full(len(digits), np.inf)
    for image in _automorphisms(atoms, set(edges)):
        columns = [order_of[min(image[i], image[j]), max(image[i], image[j])] for i, j in edges]
        weights = np.empty(digits.shape[1])
        weights[[*image, *(atoms + column for column in columns)]] = 4.0 ** np.arange(digits.shape[1])
        np.minimum(smallest, digits @ weights, out=smallest)
    _, first = np.unique(smallest, return_index=True)
    return encode(labels[first], _full_bonds(orders[first], edges, atoms))


def _automorphisms(atoms: int, edges: set[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Return the permutations that map edges to edges, by extending partial maps vertex by vertex."""
    partial: list[tuple[int, ...]] = [()]
    for vertex in range(atoms):
        near = [(other, vertex) in edges for other in range(vertex)]
        partial = [
            (*image, target)
            for image in partial
            for target in range(atoms)
            if target not in image
            and all(((min(image[i], target), max(image[i], target)) in edges) == near[i] for i in range(vertex))
        ]
    return partial


def _assignments(atoms: int, edges: list[tuple[int, int]], valence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all elements per atom and bond orders per edge that respect the valences, as rows."""
    degree = np.bincount(np.array(edges, dtype=np.int64).reshape(-1), minlength=atoms)
    choices = [np.flatnonzero(valence >= degree[vertex]) for vertex in range(atoms)]
    labels = np.stack(np.meshgrid(*choices, indexing="ij"), axis=-1).reshape(-1, atoms).astype(np.int8)
    free = valence[labels] - degree
    orders = np.empty((len(labels), 0), dtype=np.int8)
    for i, j in edges:
        rows, extra = np.nonzero(np.minimum(free[:, i], free[:, j])[:, None] >= np.arange(3))
        labels, free = labels[rows], free[rows]
        orders = np.concatenate([orders[rows], (extra + 1)[:, None].astype(np.int8)], axis=1)
        free[:, i] -= extra
        free[:, j] -= extra
    return labels, orders


def _full_bonds(orders: np.ndarray, edges: list[tuple[int, int]], atoms: int) -> np.ndarray:
    """Spread orders per edge to orders per pair of atoms."""
    place = {pair: index for index, pair in enumerate(pairs(atoms))}
    bonds = np.zeros((len(orders), len(place)), dtype=np.int8)
    bonds[:, [place[edge] for edge in edges]] = orders
    return bonds
