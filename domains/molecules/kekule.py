"""Kekulé structures of aromatic parts by maximum matching.

An aromatic atom whose valence budget is not used up by its sigma bonds (aromatic bonds count one) has a pi electron
to place: neutral ``c`` without an exocyclic double bond, two-connected ``n``, ``[n+]``; but not ``[nH]``, ``o``,
``s``. The aromatic part has a Kekulé structure iff the graph of aromatic bonds between pi atoms has a perfect
matching; a matched bond is double, every other aromatic bond single. Where no perfect matching exists a maximum one
is taken that leaves hetero atoms rather than carbon unmatched; an unmatched atom takes a hydrogen.

Given atoms, those of a scaffold, are matched among themselves and new atoms among themselves: the given part keeps a
Kekulé structure of its own, whatever is fused to it.

References
----------
J. Edmonds, "Paths, trees, and flowers", Can. J. Math. 17 (1965) 449; implementation: networkx, where pairing greedily
does not find a perfect matching at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .vocabulary import Bond, Vocabulary

__all__ = ["KekuleForm", "kekule_form"]

Edge = tuple[int, int, int]


@dataclass(frozen=True)
class KekuleForm:
    """Bond orders without aromatic bonds.

    Parameters
    ----------
    orders
        ``(i, j, order)`` with order 1, 2 or 3.
    unmatched
        Atoms whose pi electron found no partner.
    """

    orders: list[Edge]
    unmatched: list[int]


def kekule_form(
    tokens: Sequence[int], edges: Sequence[Edge], vocabulary: Vocabulary, given: Iterable[int] = ()
) -> KekuleForm:
    """Place the double bonds of aromatic parts.

    Parameters
    ----------
    tokens
        Class of each atom.
    edges
        ``(i, j, bond class)`` of every bonded pair.
    vocabulary
        Gives the budgets of the classes.
    given
        Atoms of a scaffold: their double bonds stay between them.
    """
    aromatic = [(i, j) for i, j, bond in edges if bond == Bond.AROMATIC]
    if not aromatic:
        return KekuleForm(list(edges), [])
    left = [int(vocabulary.budgets[k]) for k in tokens]
    for i, j, bond in edges:
        order = 1 if bond == Bond.AROMATIC else bond
        left[i] -= order
        left[j] -= order
    pi = {a for edge in aromatic for a in edge if left[a] > 0}
    given = set(given)
    pairs = [(i, j) for i, j in aromatic if i in pi and j in pi and (i in given) == (j in given)]
    worth = {a: 1 + (vocabulary.tokens[tokens[a]].element == "C") for a in pi}
    double = _matching(pairs, worth)
    matched = {a for pair in double for a in pair}
    orders = [(i, j, 1 + ((i, j) in double) if bond == Bond.AROMATIC else bond) for i, j, bond in edges]
    return KekuleForm(orders, sorted(pi - matched))


def _matching(pairs: list[tuple[int, int]], worth: Mapping[int, int]) -> set[tuple[int, int]]:
    """Maximum matching that covers nodes of the greatest worth, as the pairs came."""
    found = _greedy(pairs, worth)
    if found is None:
        import networkx

        graph = networkx.Graph()
        graph.add_weighted_edges_from((i, j, worth[i] + worth[j]) for i, j in pairs)
        found = {frozenset(pair) for pair in networkx.max_weight_matching(graph, maxcardinality=True)}
    return {pair for pair in pairs if frozenset(pair) in found}


def _greedy(pairs: list[tuple[int, int]], nodes: Iterable[int]) -> set[frozenset[int]] | None:
    """Perfect matching from always pairing a node that has the fewest partners left; ``None`` where that fails."""
    partners: dict[int, set[int]] = {node: set() for node in nodes}
    for i, j in pairs:
        partners[i].add(j)
        partners[j].add(i)
    found = set()
    while partners:
        node = min(partners, key=lambda k: (len(partners[k]), k))
        if not partners[node]:
            return None
        mate = min(partners[node], key=lambda k: (len(partners[k]), k))
        found.add(frozenset((node, mate)))
        for end in (node, mate):
            for other in partners.pop(end):
                partners.get(other, set()).discard(end)
    return found
