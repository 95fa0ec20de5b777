"""Features of molecular graphs with torch-geometric: random-walk and Laplacian encodings, graph by graph and at once.

The graphs are those of a file of 5000 molecules that comes with RDKit, the first 256 with 2 to 40 heavy atoms. Both
sides start from their own form of the batch: a list of `Data`, or dense graphs. The differences are in the notes: for
walks the largest one; for eigenvectors, whose signs are arbitrary, the largest residual ``|L v - lam v|`` of each side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from measure import absent, time_row

from scidiff.domain import Row
from scidiff.interchange import to_pyg
from scidiff.nets.graph_features import adjacency, cycle_counts, laplacian_modes, return_probabilities
from scidiff.spaces.graphs import DenseGraphs

__all__ = ["rows"]

COUNT, LARGEST, STEPS, MODES = 256, 40, 16, 4


def _graphs(count: int) -> DenseGraphs:
    """Molecular graphs as dense ones."""
    from pathlib import Path

    from rdkit import Chem, RDConfig, rdBase

    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text(encoding="utf-8").splitlines()
    molecules = []
    with rdBase.BlockLogs():
        for line in lines:
            molecule = Chem.MolFromSmiles(line.split()[0])
            if molecule is not None and 2 <= molecule.GetNumAtoms() <= LARGEST:
                molecules.append(molecule)
            if len(molecules) == count:
                break
    mask = torch.zeros(count, LARGEST, dtype=torch.bool)
    nodes, edges = (
        torch.zeros(count, LARGEST, dtype=torch.int64),
        torch.zeros(count, LARGEST * (LARGEST - 1) // 2).long(),
    )
    for k, molecule in enumerate(molecules):
        mask[k, : molecule.GetNumAtoms()] = True
        for bond in molecule.GetBonds():
            i, j = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
            edges[k, j * (j - 1) // 2 + i] = 1
    return DenseGraphs(mask, nodes, edges)


def _residual(graphs: DenseGraphs, vectors: list[torch.Tensor]) -> float:
    """Largest ``|L v - lam v|`` over all graphs, with the eigenvalues of each."""
    a, worst = adjacency(graphs), 0.0
    for k, v in enumerate(vectors):
        n = int(graphs.mask[k].sum())
        own = a[k, :n, :n]
        scale = torch.where(own.sum(1) > 0, own.sum(1).clamp(min=1).rsqrt(), 0.0)
        laplacian = torch.eye(n, dtype=torch.float64) - scale[:, None] * own * scale
        lam = torch.linalg.eigvalsh(laplacian)[1 : v.shape[1] + 1]
        worst = max(worst, float((laplacian @ v[:n].double() - v[:n].double() * lam).abs().max()))
    return worst


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of walks and modes."""
    try:
        from torch_geometric.transforms import AddLaplacianEigenvectorPE, AddRandomWalkPE
    except ImportError:
        yield absent("torch_geometric")
        return
    count, repeats = (64, 3) if fast else (COUNT, 6)
    graphs = _graphs(count)
    data = to_pyg(graphs).to_data_list()
    walk = AddRandomWalkPE(STEPS)

    def theirs(transform: Any) -> list[Any]:
        return [transform(one.clone()) for one in data]

    found = return_probabilities(graphs, STEPS)
    gap = max(float((one.random_walk_pe - found[k, : one.num_nodes]).abs().max()) for k, one in enumerate(theirs(walk)))
    yield time_row(
        f"random-walk encoding, {STEPS} steps",
        "torch_geometric",
        lambda: return_probabilities(graphs, STEPS),
        lambda: theirs(walk),
        repeats=repeats,
        note=f"{count} molecules, float64 scidiff, float32 peer; largest difference {gap:.1e}",
    )
    # the peer takes a mode more than it returns, and refuses smaller graphs
    small = torch.tensor([k for k, one in enumerate(data) if one.num_nodes > MODES + 2])
    graphs, data = graphs.take(small), [data[k] for k in small.tolist()]
    modes = AddLaplacianEigenvectorPE(MODES, is_undirected=True)
    mine = _residual(graphs, list(laplacian_modes(graphs, MODES)[1]))
    other = _residual(graphs, [one.laplacian_eigenvector_pe for one in theirs(modes)])
    yield time_row(
        f"Laplacian encoding, {MODES} modes",
        "torch_geometric",
        lambda: laplacian_modes(graphs, MODES),
        lambda: theirs(modes),
        repeats=repeats,
        note=f"{len(data)} molecules; largest residual {mine:.1e} scidiff, {other:.1e} torch_geometric",
    )
    yield from _cycles(graphs, data, repeats)


def _cycles(graphs: DenseGraphs, data: list[Any], repeats: int) -> Iterator[Row]:
    """Row of cycle counts; torch-geometric has none, networkx lists the cycles."""
    import networkx as nx
    from torch_geometric.utils import to_networkx

    graphs, data = graphs.take(torch.arange(32)), data[:32]
    listed = [to_networkx(one, to_undirected=True) for one in data]

    def theirs() -> list[int]:
        return [sum(1 for _ in nx.simple_cycles(one, length_bound=5)) for one in listed]

    per = torch.tensor([3.0, 4.0, 5.0], dtype=torch.float64)
    ours = (cycle_counts(graphs).sum(1) / per).sum(-1)
    different = int((ours != torch.tensor(theirs(), dtype=torch.float64)).sum())
    yield time_row(
        "cycles of 3 to 5",
        "networkx",
        lambda: cycle_counts(graphs),
        theirs,
        repeats=repeats,
        note=f"{len(data)} molecules, closed form against enumeration; {different} graphs differ",
    )
