"""Features of dense graphs, against enumeration, against closed forms, and against torch-geometric graph by graph."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.interchange import to_pyg as pyg_batch
from scidiff.nets.graph_features import (
    adjacency,
    cycle_counts,
    laplacian_modes,
    relative_walks,
    return_probabilities,
)
from scidiff.spaces.graphs import DenseGraphs, pair_ends

GRAPHS = [
    nx.petersen_graph(),
    nx.complete_graph(5),
    nx.cycle_graph(6),
    nx.path_graph(7),
    nx.empty_graph(3),
    nx.empty_graph(1),
    nx.disjoint_union(nx.cycle_graph(3), nx.empty_graph(2)),
    *(nx.gnp_random_graph(9, 0.4, seed=seed) for seed in range(4)),
]


def dense(graphs: list[nx.Graph], size: int = 10) -> DenseGraphs:
    mask = torch.stack([torch.arange(size) < len(graph) for graph in graphs])
    i, j = pair_ends(size)
    ends = list(zip(i.tolist(), j.tolist(), strict=True))
    edges = torch.tensor([[int(graph.has_edge(*pair)) for pair in ends] for graph in graphs])
    return DenseGraphs(mask, torch.zeros(mask.shape, dtype=torch.int64), edges)


BATCH = dense(GRAPHS)


def matrix(graph: nx.Graph) -> Tensor:
    return torch.from_numpy(nx.to_numpy_array(graph, nodelist=sorted(graph)))


def test_adjacency():
    for graph, a in zip(GRAPHS, adjacency(BATCH), strict=True):
        n = len(graph)
        assert torch.equal(a[:n, :n], matrix(graph)) and not a[n:].any() and not a[:, n:].any()


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9])
def test_return_probabilities_are_powers_of_the_walk(steps):
    """Products of at most 9 stochastic matrices: round-off below 1e-14."""
    found = return_probabilities(BATCH, steps)
    for graph, rows in zip(GRAPHS, found, strict=True):
        n, a = len(graph), matrix(graph)
        p = a / a.sum(1, keepdim=True).clamp(min=1)
        truth = torch.stack([torch.linalg.matrix_power(p, k).diagonal() for k in range(1, steps + 1)], -1)
        assert (rows[:n] - truth).abs().max() < 1e-14 and not rows[n:].any()


def test_return_probabilities_of_a_complete_graph():
    """``1/n + (1 - 1/n) (-1/(n-1))^k`` on ``K_n``."""
    found = return_probabilities(BATCH, 6)[1, 0]
    assert (found - (0.2 + 0.8 * (-0.25) ** torch.arange(1.0, 7).double())).abs().max() < 1e-15


def test_relative_walks():
    found = relative_walks(BATCH, 5)
    rows = found.sum(2)
    for graph, walks, total in zip(GRAPHS, found, rows, strict=True):
        n, a = len(graph), matrix(graph)
        assert torch.equal(walks[:n, :n, 0], torch.eye(n).double())
        assert (total[:n][a.sum(1) > 0] - 1).abs().max() < 1e-14 if a.any() else not total[:, 1:].any()
        assert not walks[n:].any() and not walks[:, n:].any()
    diagonal = found.diagonal(dim1=1, dim2=2)[:, 1:].transpose(1, 2)
    assert (diagonal - return_probabilities(BATCH, 4)).abs().max() < 1e-14


def test_cycles_are_those_that_enumeration_finds():
    for graph, counts in zip(GRAPHS, cycle_counts(BATCH), strict=True):
        truth = torch.zeros(10, 3, dtype=torch.float64)
        for cycle in nx.simple_cycles(graph, length_bound=5):
            truth[cycle, len(cycle) - 3] += 1
        assert torch.equal(counts, truth)


def test_modes_of_the_laplacian():
    """Rising eigenvalues, orthonormal vectors that satisfy the equation, and zeros where there is no mode."""
    values, vectors = laplacian_modes(BATCH, 6)
    for graph, lam, v in zip(GRAPHS, values, vectors, strict=True):
        n, there = len(graph), min(6, len(graph) - 1)
        scale = torch.tensor(
            [degree**-0.5 if degree else 0.0 for _, degree in sorted(graph.degree)], dtype=torch.float64
        )
        laplacian = torch.eye(n).double() - scale[:, None] * matrix(graph) * scale
        assert (lam[:there] - torch.linalg.eigvalsh(laplacian)[1 : there + 1]).abs().max() < 1e-13 if there else True
        assert (laplacian @ v[:n] - v[:n] * lam).abs().max() < 1e-13
        assert (v[:, :there].T @ v[:, :there] - torch.eye(there)).abs().amax().item() < 1e-13 if there else True
        assert not v[n:].any() and not v[:, there:].any() and not lam[there:].any()


def test_more_modes_than_nodes():
    values, vectors = laplacian_modes(dense([nx.path_graph(2)], 2), 5)
    assert values.shape == (1, 5) and vectors.shape == (1, 2, 5)
    assert abs(float(values[0, 0]) - 2) < 1e-14 and not values[0, 1:].any()


def test_features_are_those_of_torch_geometric():
    """Its random walk is in single precision, eight products of it: 1e-6; its modes agree up to their signs."""
    from torch_geometric.transforms import AddLaplacianEigenvectorPE, AddRandomWalkPE

    keep = [k for k, graph in enumerate(GRAPHS) if graph.number_of_edges() and len(graph) > 4]
    batch = BATCH.take(torch.tensor(keep))
    walks, (values, modes) = return_probabilities(batch, 8), laplacian_modes(batch, 3)
    for k, data in enumerate(pyg_batch(batch).to_data_list()):
        n = data.num_nodes
        assert (AddRandomWalkPE(8)(data.clone()).random_walk_pe - walks[k, :n]).abs().max() < 1e-6
        theirs = AddLaplacianEigenvectorPE(3, is_undirected=True)(data.clone()).laplacian_eigenvector_pe.double()
        a = adjacency(batch)[k, :n, :n]
        scale = torch.where(a.sum(1) > 0, a.sum(1).clamp(min=1).rsqrt(), 0.0)
        laplacian = torch.eye(n).double() - scale[:, None] * a * scale
        assert (laplacian @ theirs - theirs * values[k]).abs().max() < 1e-5
        gaps = torch.cat([torch.zeros(1).double(), values[k]]).diff() > 1e-6
        single = [i for i in range(2) if gaps[i] and gaps[i + 1]]
        overlap = (theirs.T @ modes[k, :n]).diagonal()
        assert all(abs(abs(float(overlap[i])) - 1) < 1e-5 for i in single)


@pytest.mark.parametrize("function", [return_probabilities, relative_walks, laplacian_modes])
def test_no_feature_is_refused(function):
    with pytest.raises(ConfigError, match="at least 1"):
        function(BATCH, 0)
