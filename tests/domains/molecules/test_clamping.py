"""Parts of molecules that are given in training: connected, closed where they say so, in the right share."""

from __future__ import annotations

from itertools import pairwise

import networkx
import numpy as np
import pytest
import torch
from scidiff.domains.molecules.clamping import given_pairs, grow_parts
from scidiff.domains.molecules.graphs import GraphSet, edges, pair_count, parse
from scipy.stats import binom

from scidiff.random import Noise

from .molecule_cases import MOSES

SMILES = ["CC(=O)Nc1ccc2[nH]c(-c3ccncc3)nc2c1", "C1CC1C#N", "CCO", "CC", "C", "Fc1ccc(Cl)cc1"]


def batch(copies: int) -> tuple[torch.Tensor, torch.Tensor]:
    graphs = GraphSet.from_molecules([parse(smiles) for smiles in SMILES] * copies, MOSES)
    mask = torch.arange(graphs.atoms.shape[1]) < torch.from_numpy(graphs.sizes)[:, None]
    return torch.from_numpy(graphs.bonds).long(), mask


def test_given_parts_grow_along_bonds_from_at_most_two_seeds() -> None:
    bonds, mask = batch(60)
    given, open_atoms = grow_parts(bonds, mask, Noise.range(0, len(bonds)), 1.0)
    assert not (given & ~mask).any()
    pieces = set()
    for row, size in enumerate(mask.sum(1).tolist()):
        chosen = np.flatnonzero(given[row]).tolist()
        assert len(chosen) < size or size == 1
        graph = networkx.Graph()
        graph.add_nodes_from(range(size))
        bonded = edges(bonds[row].numpy(), size)
        graph.add_edges_from((i, j) for i, j, _ in bonded)
        pieces.add(networkx.number_connected_components(graph.subgraph(chosen)) if chosen else 0)
        closed = set(np.flatnonzero(~open_atoms[row]).tolist())
        assert closed <= set(chosen)
        assert not any((i in closed) != (j in closed) and not {i, j} <= set(chosen) for i, j, _ in bonded)
    assert pieces == {0, 1, 2}


def test_in_half_of_the_rows_atoms_without_bonds_to_the_rest_are_closed() -> None:
    """Both treatments occur; the closed set is exactly the given atoms without an outward bond. Binomial at 1e-6."""
    bonds, mask = batch(1)
    bonds, mask = bonds[:1].expand(4000, -1), mask[:1].expand(4000, -1)
    given, open_atoms = grow_parts(bonds, mask, Noise.range(1, 4000), 1.0)
    size = mask.shape[1]
    outward = torch.zeros_like(given)
    for i, j, _ in edges(bonds[0].numpy(), size):
        outward[:, i] |= ~given[:, j]
        outward[:, j] |= ~given[:, i]
    has_inner = (given & ~outward).any(1)
    treated = (~open_atoms).any(1)
    assert torch.equal(~open_atoms[treated], (given & ~outward)[treated])
    assert not treated[~has_inner].any()
    low, high = binom.ppf([5e-7, 1 - 5e-7], int(has_inner.sum()), 0.5)
    assert low <= int(treated.sum()) <= high


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_the_share_is_kept(share: float) -> None:
    """A chosen row of n atoms gets none of them with probability 1/n: share (1 - 1/n), binomial at 1e-6."""
    bonds, mask = batch(1)
    bonds, mask = bonds[5:6].expand(6000, -1), mask[5:6].expand(6000, -1)
    given, _ = grow_parts(bonds, mask, Noise.range(2, 6000), share)
    size = int(mask[0].sum())
    low, high = binom.ppf([5e-7, 1 - 5e-7], 6000, share * (1 - 1 / size))
    assert low <= int(given.any(1).sum()) <= high


def test_rows_are_chosen_by_their_own_noise() -> None:
    bonds, mask = batch(3)
    noise = Noise.range(7, len(bonds))
    given, open_atoms = grow_parts(bonds, mask, noise, 0.7)
    rows = np.array([3, 0, 11])
    again, open_again = grow_parts(bonds[rows], mask[rows], noise.take(rows), 0.7)
    assert torch.equal(again, given[rows]) and torch.equal(open_again, open_atoms[rows])


def test_given_pairs_by_definition() -> None:
    """Pairs of two given atoms, and pairs of a closed given atom with any other; nothing else."""
    random = np.random.default_rng(0)
    given = torch.from_numpy(random.random((50, 6)) < 0.5)
    open_atoms = ~given | torch.from_numpy(random.random((50, 6)) < 0.5)
    found = given_pairs(given, open_atoms)
    for row in range(50):
        for j in range(6):
            for i in range(j):
                both = bool(given[row, i] & given[row, j])
                closed = bool((given & ~open_atoms)[row, [i, j]].any())
                assert bool(found[row, pair_count(j) + i]) == (both or closed)


def test_a_chain_is_cut_into_at_most_two_intervals() -> None:
    graphs = GraphSet.from_molecules([parse("C" * 9)] * 200, MOSES)
    mask = torch.ones(200, 9, dtype=torch.bool)
    given, _ = grow_parts(torch.from_numpy(graphs.bonds).long(), mask, Noise.range(3, 200), 1.0)
    for row in given.int().tolist():
        starts = sum(b > a for a, b in pairwise([0, *row]))
        assert starts <= 2
