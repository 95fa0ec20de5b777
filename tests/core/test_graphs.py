"""Torch-geometric batches pass through the samplers: the way there and back, and equal samples in both forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GINEConv

from scidiff.denoise import Denoiser
from scidiff.denoise.graphs import OnDense, OnFlat, pyg_denoiser
from scidiff.errors import ConfigError, DataError, ShapeError
from scidiff.nets.egnn import EGNN, EGNNConfig
from scidiff.process import DiscreteProcess, GaussianProcess, Kind, ProductProcess, VPSchedule, uniform
from scidiff.random import Noise
from scidiff.sample import Ancestral, FactorRule, Grid, TableRule, ancestral, ddim, log_snr_grid, run
from scidiff.spaces import Categorical, Centred, Euclidean
from scidiff.spaces.graphs import DenseGraphs, all_pairs, from_dense, from_pyg, near, pair_ends, to_dense, to_pyg

SIZES = (4, 1, 3, 5)
FEATURES, CLASSES = 3, 3


def molecule(nodes: int, edges: list[tuple[int, int, int]], seed: int) -> Data:
    """A graph with float features, bond classes from 1, and positions."""
    noise = Noise.range(seed, 1)
    both = [(i, j, c) for i, j, c in edges] + [(j, i, c) for i, j, c in edges]
    index = torch.tensor([(i, j) for i, j, _ in both], dtype=torch.int64).reshape(-1, 2).T.contiguous()
    attr = torch.tensor([c for *_, c in both], dtype=torch.int64)
    x = noise.normal((nodes, FEATURES), step=0, stream="x")[0]
    pos = noise.normal((nodes, 3), step=0, stream="pos")[0]
    return Data(x=x, edge_index=index, edge_attr=attr, pos=pos - pos.mean(0))


def molecules() -> list[Data]:
    """A chain with a branch, a lone node, three nodes of which one is isolated, and a ring of five."""
    ring = [(k, (k + 1) % 5, 1 + k % 2) for k in range(5)]
    edges = [[(0, 1, 1), (1, 2, 2), (1, 3, 1)], [], [(0, 2, 2)], ring]
    return [molecule(n, e, seed) for seed, (n, e) in enumerate(zip(SIZES, edges, strict=True))]


def same(a: Data, b: Data) -> bool:
    a, b = a.coalesce(), b.coalesce()
    return all(torch.equal(a[key], b[key]) for key in ("x", "edge_index", "edge_attr", "pos"))


class Messages(nn.Module):
    """Two rounds of messages over the listed edges; nodes and edges are predicted. Called flat or dense."""

    def __init__(self) -> None:
        super().__init__()
        width = 8
        self.node, self.time = nn.Linear(FEATURES, width), nn.Linear(1, width)
        self.bond = nn.Embedding(CLASSES, width)
        mix = [nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(2)]
        self.rounds = nn.ModuleList(GINEConv(each, train_eps=True) for each in mix)
        self.out, self.pair = nn.Linear(width, FEATURES), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor, t: Tensor) -> dict:
        h, e = self.node(x) + self.time(t[batch, None]), self.bond(edge_attr)
        for each in self.rounds:
            h = h + each(h, edge_index, e)
        source, target = edge_index
        return {"nodes": self.out(h), "edges": self.pair(F.silu(h[source] + h[target] + e))}

    def dense(self, x: dict[str, Tensor], t: dict[str, Tensor], graphs: DenseGraphs) -> dict[str, Tensor]:
        """The same function with sums over all of the n nodes, written without torch-geometric."""
        mask, i_j = graphs.mask, pair_ends(graphs.mask.shape[1])
        clock = t["nodes"].flatten(1).amax(1)
        h = self.node(x["nodes"]) + self.time(clock[:, None, None])
        pairs = self.bond(x["edges"])
        e = h.new_zeros(*mask.shape, mask.shape[1], h.shape[-1])
        real = torch.zeros(e.shape[:3], dtype=torch.bool)
        for a, b in (i_j, i_j[::-1]):
            e[:, a, b], real[:, a, b] = pairs, graphs.pairs
        for each in self.rounds:
            message = torch.where(real.unsqueeze(-1), F.relu(h.unsqueeze(1) + e), 0.0).sum(2)
            h = h + each.nn(message + (1 + each.eps) * h)
        i, j = i_j
        return {"nodes": self.out(h), "edges": self.pair(F.silu(h[:, i] + h[:, j] + pairs))}


def network() -> Messages:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Messages().double()


PROCESS = ProductProcess(
    {
        "nodes": GaussianProcess(Euclidean((None, FEATURES)), VPSchedule()),
        "edges": DiscreteProcess(Categorical(CLASSES, (None,)), uniform(CLASSES)),
    }
)
GRID = log_snr_grid(VPSchedule(), 6)
RULE = FactorRule({"nodes": TableRule(ancestral(VPSchedule(), GRID)), "edges": Ancestral()})
KINDS = {"nodes": Kind.MEAN, "edges": Kind.LOGITS}


def sample(denoiser: Denoiser, graphs: DenseGraphs, noise: Noise) -> DenseGraphs:
    names = ("nodes", "edges")
    blank = {name: torch.zeros_like(part) for name, part in graphs.state(*names).items()}
    start = {"shape": graphs.shape(*names), "free": graphs.free(*names), "clean": blank}
    end = run(denoiser, PROCESS, RULE, Grid(GRID), noise=noise, condition=graphs, **start)
    return graphs.put(end.x)


def test_a_batch_comes_back():
    graphs = molecules()
    dense = from_pyg(Batch.from_data_list(graphs))
    assert dense.mask.sum(1).tolist() == list(SIZES) and dense.edges.shape == (4, 10)
    assert not bool(dense.nodes[~dense.mask].any()) and not bool(dense.edges[~dense.pairs].any())
    back = to_pyg(dense).to_data_list()
    assert all(same(a, b) for a, b in zip(graphs, back, strict=True))
    # bond (0, 2) of class 2 of the third graph is pair 2 (2 - 1)/2 + 0 = 1
    assert dense.edges[2].tolist() == [0, 2] + [0] * 8
    wide = from_pyg(Batch.from_data_list(graphs), size=7)
    assert torch.equal(wide.edges[:, :10], dense.edges) and not bool(wide.edges[:, 10:].any())
    assert same(from_pyg_one(graphs[0]), graphs[0])


def from_pyg_one(graph: Data) -> Data:
    return to_pyg(from_pyg(graph)).to_data_list()[0]


def test_empty_graphs_and_missing_parts_pass():
    none = molecule(0, [], 9)
    dense = from_pyg(Batch.from_data_list([none, molecules()[1], none]))
    assert dense.mask.tolist() == [[False], [True], [False]]
    cloud = Batch.from_data_list([Data(pos=torch.ones(n, 3)) for n in SIZES])
    dense = from_pyg(cloud)
    assert dense.nodes is None and dense.edges is None and set(dense.state()) == {"positions"}
    assert torch.equal(to_pyg(dense).pos, cloud.pos) and to_pyg(dense).edge_index is None
    bare = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
    assert from_pyg(bare).edges.tolist() == [[1, 0, 0]]


def test_flat_and_dense_calls_are_one_function():
    """Nodes and edges, in float64 to round-off; and the way back of the way there is the network itself."""
    net, batch = network(), Batch.from_data_list(molecules())
    graphs = from_pyg(batch)
    state = graphs.state("nodes", "edges")
    t = torch.tensor([0.9, 0.1, 0.5, 0.7], dtype=torch.float64)
    time = {name: t.reshape(-1, *(1,) * (part.ndim - 1)).expand(part.shape) for name, part in state.items()}
    flat, dense = OnDense(net, listed=all_pairs)(state, time, graphs), net.dense(state, time, graphs)
    for name, free in graphs.free("nodes", "edges").items():
        real = free[..., :1] if name == "nodes" else free.unsqueeze(-1)
        assert torch.allclose(flat[name], torch.where(real, dense[name], 0.0), rtol=1e-12, atol=1e-12)
    every = from_dense(graphs, all_pairs)
    listed = (every.x, every.edge_index, every.edge_attr, every.batch, t)
    again = OnFlat(lambda x, t, c: OnDense(net, listed=all_pairs)(x, t, c), ("nodes", "edges"))
    # a pair of class 0 is no edge, so it is given a class here: all directed edges of the ring of five
    ring = every.batch[every.edge_index[0]] == 3
    attr = torch.where(every.edge_attr == 0, 1, every.edge_attr)
    out, direct = again(*listed[:2], attr, *listed[3:]), net(*listed[:2], attr, *listed[3:])
    assert torch.allclose(out["nodes"], direct["nodes"], rtol=1e-12, atol=1e-12)
    assert torch.allclose(out["edges"][ring], direct["edges"][ring], rtol=1e-12, atol=1e-12)


def test_both_forms_give_equal_samples():
    """The same seeds through the same loop: classes equal, features to the round-off of 6 steps."""
    graphs, noise, net = from_pyg(Batch.from_data_list(molecules())), Noise.range(3, 4), network()
    flat = sample(pyg_denoiser(net, KINDS, listed=all_pairs), graphs, noise)
    dense = sample(Denoiser(net.dense, KINDS), graphs, noise)
    assert torch.equal(flat.edges, dense.edges) and torch.allclose(flat.nodes, dense.nodes, rtol=1e-10, atol=1e-10)
    assert not bool(flat.nodes[~graphs.mask].any()) and not bool(flat.edges[~graphs.pairs].any())
    assert len({int(c) for c in flat.edges[graphs.pairs]}) > 1


def test_order_and_padding_of_a_batch_change_nothing():
    """Graphs permuted, alone, and with more padding: the samples of each graph stay, to round-off."""
    graphs, noise = from_pyg(Batch.from_data_list(molecules())), Noise.range(3, 4)
    denoiser = pyg_denoiser(network(), KINDS, listed=all_pairs)
    whole = sample(denoiser, graphs, noise)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = sample(denoiser, graphs.take(order), noise.take(order))
    wide = from_pyg(Batch.from_data_list(molecules()), size=7)
    cases = [(shuffled, order.tolist()), (sample(denoiser, wide, noise), [0, 1, 2, 3])]
    cases += [(sample(denoiser, from_pyg(one), noise.take([k])), [k]) for k, one in enumerate(molecules())]
    for got, rows in cases:
        for mine, k in zip(to_pyg(got).to_data_list(), rows, strict=True):
            want = to_pyg(whole).to_data_list()[k]
            assert torch.equal(mine.edge_index, want.edge_index) and torch.equal(mine.edge_attr, want.edge_attr)
            assert torch.allclose(mine.x, want.x, rtol=1e-10, atol=1e-10)


def test_a_fixed_topology_is_a_condition():
    """Only the features move; messages pass along the bonds, so an isolated node ends as it would alone."""
    net, graphs = network(), from_pyg(Batch.from_data_list(molecules()))
    denoiser = pyg_denoiser(lambda *parts: net(*parts)["nodes"], Kind.MEAN)
    rule = TableRule(ddim(VPSchedule(), GRID))

    def features(graphs: DenseGraphs, noise: Noise) -> Tensor:
        options = {"shape": graphs.nodes.shape[1:], "free": graphs.free("nodes")["nodes"], "clean": graphs.nodes}
        return run(denoiser, PROCESS.factors["nodes"], rule, rule.plan, noise=noise, condition=graphs, **options).x

    end = features(graphs, Noise.range(0, 4))
    # node 1 of the third graph has no bond; a graph of it alone, at its place among the draws
    loose = graphs.put({"edges": torch.zeros_like(graphs.edges)})
    alone = features(loose, Noise.range(0, 4))
    assert torch.allclose(end[2, 1], alone[2, 1], atol=1e-12) and not torch.allclose(end[2, 0], alone[2, 0], atol=1e-3)


def test_point_clouds_pass_through_a_flat_network():
    """An EGNN called flat by `OnDense` samples what it samples dense; so does a network with a cutoff."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = EGNN(EGNNConfig(features=FEATURES, layers=2, width=8)).double()
    graphs = from_pyg(Batch.from_data_list(molecules()))
    process = GaussianProcess(Centred(mask=graphs.mask), VPSchedule())

    def flat(x, edge_index, edge_attr, batch, t, pos):
        return net(pos, x, t, batch=batch).vectors

    def dense(x, t, condition):
        return net(x, condition.nodes, t.amax(-1), mask=condition.mask).vectors

    rule = TableRule(ancestral(VPSchedule(), GRID))
    options = {"shape": graphs.positions.shape[1:], "free": graphs.free("positions")["positions"]}
    options |= {"clean": graphs.positions, "noise": Noise.range(1, 4), "condition": graphs}
    ends = []
    settings = {"moving": "positions", "listed": near(2.0), "per_node": True, "reads_positions": True}
    for each in (pyg_denoiser(flat, Kind.EPS, **settings), Denoiser(dense, Kind.EPS)):
        ends.append(run(each, process, rule, rule.plan, **options).x)
    assert torch.allclose(*ends, rtol=1e-10, atol=1e-10) and bool(ends[0][graphs.mask].abs().max() > 0.1)
    assert near(2.0)(graphs).sum() < all_pairs(graphs).sum()


INDEX = torch.tensor([[0, 1], [1, 0]])
TWO = torch.zeros(2, dtype=torch.int64)
WRONG = {
    "one direction": ((None, INDEX[:, :1], None, TWO), DataError, "both directions"),
    "twice": ((None, INDEX.repeat(1, 2), None, TWO), DataError, "twice"),
    "self-loop": ((None, torch.zeros(2, 1, dtype=torch.int64), None, TWO), DataError, "itself"),
    "two graphs": ((None, INDEX, None, torch.tensor([0, 1])), DataError, "joins two graphs"),
    "out of range": ((None, INDEX + 1, None, TWO), DataError, "names nodes"),
    "directed values": ((None, INDEX, torch.tensor([1, 2]), TWO), DataError, "different edge_attr"),
    "value 0": ((None, INDEX, torch.tensor([0, 0]), TWO), DataError, "means no edge"),
    "rows of edge_attr": ((None, INDEX, torch.ones(3), TWO), ShapeError, "one per edge"),
    "rows of x": ((torch.zeros(3, 1), INDEX, None, TWO), ShapeError, "one row per node"),
    "falling batch": ((None, INDEX, None, torch.tensor([1, 0])), ShapeError, "rising"),
    "shape of edge_index": ((None, INDEX.T[:, :1], None, TWO), DataError, "itself|both"),
}


@pytest.mark.parametrize(("parts", "error", "says"), WRONG.values(), ids=WRONG)
def test_wrong_graphs_are_refused(parts, error, says):
    with pytest.raises(error, match=says):
        to_dense(*parts)


def test_wrong_calls_are_refused():
    graphs, net = from_pyg(Batch.from_data_list(molecules())), network()
    state = graphs.state("nodes", "edges")
    with pytest.raises(ConfigError, match="not all pairs"):
        OnDense(net)(state, 0.5, graphs)
    with pytest.raises(ConfigError, match="DenseGraphs"):
        OnDense(net)(state, 0.5, None)
    with pytest.raises(ConfigError, match="by name"):
        OnDense(lambda *_: {"nodes": graphs.nodes})(state, 0.5, graphs)
    with pytest.raises(ShapeError, match="rows for nodes"):
        OnDense(lambda *_: torch.zeros(2, 1))(graphs.nodes, 0.5, graphs)
    with pytest.raises(ConfigError, match="no edges"):
        from_dense(DenseGraphs(graphs.mask, graphs.nodes))
    with pytest.raises(ConfigError, match="no positions"):
        near(1.0)(DenseGraphs(graphs.mask))
    with pytest.raises(ConfigError, match="positive"):
        near(0.0)
    with pytest.raises(ConfigError, match="these graphs have"):
        DenseGraphs(graphs.mask).state("edges")
    with pytest.raises(ConfigError, match="a graph has"):
        graphs.put({"bonds": graphs.edges})
    with pytest.raises(ShapeError, match="for this mask"):
        DenseGraphs(graphs.mask, edges=torch.zeros(4, 9))
    with pytest.raises(ShapeError, match="expected bool"):
        DenseGraphs(graphs.mask.double())
    with pytest.raises(ShapeError, match="larger size"):
        from_pyg(Batch.from_data_list(molecules()), size=4)
    flat = from_dense(graphs)
    with pytest.raises(ShapeError, match="expected one number"):
        OnFlat(net.dense, ("nodes", "edges"))(flat.x, flat.edge_index, flat.edge_attr, flat.batch, torch.ones(2, 2))
