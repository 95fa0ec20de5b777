"""EGNN, and what all networks on point clouds share: the two forms, neighbour lists, sums over edges, the checks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.nets import neighbours as lists
from scidiff.nets.cost import cost_by_size
from scidiff.nets.egnn import EGNN, EGNNConfig
from scidiff.nets.equivariant import CentredVectors, EquivariantNetwork, Nodes, Prediction
from scidiff.nets.neighbours import complete_edges, envelope, radius_edges
from scidiff.nets.scatter import scatter_attention, scatter_sum
from scidiff.process import GaussianProcess, Kind, VPSchedule
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, dpmpp_2m, log_snr_grid, run
from scidiff.spaces import Centred
from scidiff.testing import check_equivariant

MASK = torch.arange(6) < torch.tensor([6, 4, 1, 5]).unsqueeze(1)


def network(seed: int = 0, dtype: torch.dtype = torch.float64, **options) -> EGNN:
    """Small network with steps of the size of the clouds, so that later layers see moved points."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = EGNN(EGNNConfig(features=3, scalars=2, layers=3, width=16, **options))
        for layer in made.layers:
            nn.init.xavier_uniform_(layer.step[-1].weight, gain=3.0)
    return made.to(dtype)


def clouds(d: int = 3, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, h = torch.randn(4, 6, d, generator=generator), torch.randn(4, 6, 3, generator=generator)
    return x.to(dtype), h.to(dtype), torch.rand(4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("cutoff", [None, 1.5])
@pytest.mark.parametrize("d", [2, 3, 5])
def test_it_commutes_with_every_motion(d, cutoff, dtype):
    """To 1e-10 in float64 and 1e-4 in float32; reflections too."""
    net = network(cutoff=cutoff, dtype=dtype)
    errors = check_equivariant(net, *clouds(d, dtype), mask=MASK)
    assert net.reflections and errors["reflection"] <= {torch.float64: 1e-10, torch.float32: 1e-4}[dtype]
    assert errors["values of padding"] == errors["more padding"] == 0


class _Wrong(EquivariantNetwork):
    """Network that breaks one promise."""

    features, reflections = 3, True

    def __init__(self, output) -> None:
        super().__init__()
        self.output = output

    def flat(self, x, h, t, edges):
        difference = scatter_sum(x[edges.target] - x[edges.source], edges.target, len(x))
        return self.output(x, difference, h)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (lambda x, v, h: Prediction(v + 0.01, h), "rotation"),
        (lambda x, v, h: Prediction(v * torch.tensor([1.0, 1.0, 1.001]), h), "rotation"),
        (lambda x, v, h: Prediction(v, v[:, :1]), "rotation"),
        (lambda x, v, h: Prediction(v.cross(v.roll(1, 0), dim=1), h), "reflection"),
        (lambda x, v, h: Prediction(x, h), "shift"),
        (lambda x, v, h: Prediction(v, h * torch.arange(len(h)).unsqueeze(1)), "permutation"),
        (lambda x, v, h: Prediction(v * len(x), h.cumsum(0)), "permutation"),
    ],
)
def test_a_broken_promise_is_found(output, says):
    with pytest.raises(AssertionError, match=says):
        check_equivariant(_Wrong(output), *clouds())


def test_a_promise_that_is_not_made_is_found():
    net = network()
    net.reflections = False
    with pytest.raises(AssertionError, match="does not say so"):
        check_equivariant(net, *clouds())
    with pytest.raises(NumericalError, match="above 0"):
        check_equivariant(_Wrong(lambda x, v, h: Prediction(0 * v, h)), *clouds())


def test_a_cloud_does_not_see_the_others():
    """Each cloud of a padded batch gives what it gives alone, to round-off."""
    x, h, t = clouds()
    batch = network()(x, h, t, mask=MASK)
    for row, size in enumerate(MASK.sum(1).tolist()):
        alone = network()(x[row, :size], h[row, :size], t[row])
        for a, b in zip(batch, alone, strict=True):
            assert torch.allclose(a[row, :size], b, rtol=0, atol=1e-13)
        assert not any(bool(part[row, size:].any()) for part in batch)
    assert not bool(batch.vectors[2].any())  # a point alone has no direction


def test_batches_of_torch_geometric_pass():
    from torch_geometric.data import Batch, Data

    x, h, t = clouds()
    graphs = [Data(pos=a[m], x=b[m]) for a, b, m in zip(x, h, MASK, strict=True)]
    batch = Batch.from_data_list(graphs)
    sparse, dense = network()(batch.pos, batch.x, t, batch=batch.batch), network()(x, h, t, mask=MASK)
    for a, b in zip(sparse, dense, strict=True):
        assert torch.equal(a, b[MASK])


def test_all_forms_of_a_time_agree():
    net, (x, h, t) = network(), clouds()
    want = net(x, h, t)
    for form in (t[:, None], t[:, None, None], t[:, None].expand(4, 6), t[:, None, None].expand(4, 6, 3)):
        assert torch.equal(net(x, h, form).vectors, want.vectors)
    flat, graph = (x.flatten(0, 1), h.flatten(0, 1)), torch.arange(4).repeat_interleave(6)
    for form in (t, t[:, None], t[graph], t[graph, None], t[graph, None].expand(24, 3)):
        assert torch.equal(net(*flat, form, batch=graph).vectors, want.vectors.flatten(0, 1))
    assert torch.equal(net(x, h, 0.3).vectors, net(x, h, torch.full((4,), 0.3)).vectors)
    assert not torch.equal(net(x, h, 0.3).vectors, want.vectors)
    with pytest.raises(ShapeError, match="different times"):
        net(x, h, torch.rand(4, 6, 3))
    for wrong in (3, 5):
        with pytest.raises(ShapeError, match="expected one time, 4"):
            net(x, h, torch.rand(wrong))


def test_wrong_shapes_are_refused():
    net, (x, h, t) = network(), clouds()
    graph = torch.zeros(24, dtype=torch.int64)
    for args, options in [
        ((x[0, 0], h, t), {}),
        ((x, h[..., :2], t), {}),
        ((x, h, t), {"mask": MASK[:3]}),
        ((x, h, t), {"batch": graph}),
        ((x[0], h[0], t), {"mask": MASK}),
        ((x[0], h[0], t), {"batch": graph}),
    ]:
        with pytest.raises(ShapeError, match="expected"):
            net(*args, **options)


@pytest.mark.parametrize("bad", [{"layers": 0}, {"width": 0}, {"time": 3}, {"cutoff": 0.0}, {"features": -1}])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(ConfigError, match="expected"):
        EGNNConfig(**{"features": 3, **bad})


@pytest.mark.parametrize("cutoff", [None, 1.5])
def test_gradients_are_right_where_points_coincide(cutoff):
    """Analytic and numerical gradients agree with three points in one place, and a fourth at the cutoff of another."""
    net = network(cutoff=cutoff)
    h = clouds()[1][0, :5]
    x = torch.zeros(5, 3, dtype=torch.float64)
    x[3], x[4] = torch.tensor([0.6, -0.3, 0.2]), torch.tensor([1.5, 0.0, 0.0])
    assert torch.autograd.gradcheck(lambda x: net(x, h, 0.4), x.requires_grad_(), atol=1e-6)
    net.float()(x.float(), h.float(), 0.4).vectors.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_nothing_jumps_at_the_cutoff():
    """A point that is ``e`` inside of it changes another one's vector by ``O(e^3)``: 1000 times less for ``e / 10``."""
    net, h = network(cutoff=1.5), clouds()[1][0, :3]
    changes = []
    for e in (0.1, 0.01):
        outs = []
        for distance in (1.5 - e, 1.5):
            x = torch.tensor([[0.0, 0, 0], [1, 0, 0], [-distance, 0, 0]], dtype=torch.float64)
            outs.append(net(x, h, 0.4).vectors[0])
        changes.append(float((outs[0] - outs[1]).detach().norm()))
    assert 0 < changes[1] < changes[0] / 800
    assert envelope(torch.tensor([0.0, 2.25, 9.0]), 1.5).tolist() == [1, 0, 0]


@pytest.mark.parametrize("limit", [0, 2048], ids=["tree", "matrix"])
@pytest.mark.parametrize("d", [2, 3])
def test_neighbour_lists(monkeypatch, limit, d):
    """Both algorithms against the definition, with graphs in any order of their nodes and one node far out."""
    monkeypatch.setattr(lists, "DENSE_LIMIT", limit)
    generator = torch.Generator().manual_seed(2)
    x = 3 * torch.rand(60, d, generator=generator)
    x[7] += 1e4
    graph = torch.randint(0, 4, (60,), generator=generator)
    every = [(i, j) for i in range(60) for j in range(60) if i != j and graph[i] == graph[j]]
    near = [(i, j) for i, j in every if float((x[i].double() - x[j].double()).norm()) < 0.8]
    for edges, want in ((complete_edges(graph), every), (radius_edges(x, graph, 0.8), near)):
        assert sorted(zip(edges.target.tolist(), edges.source.tolist(), strict=True)) == want
        assert edges.target.tolist() == sorted(edges.target.tolist())
    assert len(near) > 40
    with pytest.raises(ConfigError, match="positive"):
        radius_edges(x, graph, 0.0)


def test_a_large_cloud_takes_the_tree():
    """The lists of both algorithms are equal, entry by entry, so the result is too."""
    generator = torch.Generator().manual_seed(3)
    x = 12 * torch.rand(lists.DENSE_LIMIT + 100, 3, generator=generator, dtype=torch.float64)
    graph = torch.zeros(len(x), dtype=torch.int64)
    tree = radius_edges(x, graph, 0.7)
    near = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(9.0) < 0.7
    target, source = near.nonzero(as_tuple=True)
    assert torch.equal(tree.target, target) and torch.equal(tree.source, source)


def test_clouds_without_edges():
    net = network(cutoff=0.5)
    for x in (torch.zeros(0, 3), torch.zeros(1, 3), torch.eye(3)):
        out = net(x.double(), torch.ones(len(x), 3, dtype=torch.float64), 0.5)
        assert out.vectors.shape == x.shape and not bool(out.vectors.any()) and out.scalars.shape == (len(x), 2)


def test_attention_is_a_softmax_with_one_more_entry():
    """Per receiver: the softmax over its edges and over a logit 0; huge logits do not overflow, weight 0 is nothing."""
    logits = torch.tensor([[1.0], [-2.0], [700.0], [3.0], [-900.0]], dtype=torch.float64)
    weight = torch.tensor([1.0, 0.5, 1.0, 0.0, 1.0], dtype=torch.float64)
    index = torch.tensor([0, 0, 1, 1, 3])
    got = scatter_attention(logits, weight, index, 4)[:, 0]
    both = torch.softmax(torch.tensor([0.0, 1.0, -2.0 + torch.log(torch.tensor(0.5))], dtype=torch.float64), 0)
    assert torch.allclose(got, torch.tensor([both[1], both[2], 1.0, 0.0, 0.0], dtype=torch.float64), atol=1e-7)


def test_a_turned_prior_gives_turned_samples(dtype):
    """The whole run commutes with rotations: solver, network in either precision, projection. The state is float64."""
    schedule, space = VPSchedule(), Centred((None, 3), MASK)
    process, rule = GaussianProcess(space, schedule), TableRule(dpmpp_2m(schedule, log_snr_grid(schedule, 6)))
    denoiser, condition = Denoiser(CentredVectors(network(dtype=dtype)), Kind.V), Nodes(clouds()[1], MASK)
    noise = Noise.range(0, 4)
    prior = process.prior(noise, (6, 3))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64))[0]
    runs = [
        run(denoiser, process, rule, rule.plan, state=RunState.at(x, 1.0, noise), condition=condition).x
        for x in (prior, prior @ turn.T)
    ]
    space.check(runs[0])
    assert runs[0].dtype == torch.float64
    error = float((runs[0] @ turn.T - runs[1]).abs().max() / runs[0].abs().max())
    assert error < {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    assert float((runs[0] - prior).abs().max()) > 0.1


def test_it_runs_in_mixed_precision():
    """Under bfloat16 autocast outputs and gradients are within 1 % (8 bits, some hundred terms) of float32."""
    net, (x, h, t) = network(dtype=torch.float32), clouds(dtype=torch.float32)
    want = net(x, h, t, mask=MASK).vectors.detach()
    with torch.autocast("cpu", torch.bfloat16):
        got = net(x, h, t, mask=MASK)
    got.vectors.square().sum().backward()
    assert float((got.vectors - want).detach().norm() / want.norm()) < 0.01
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_costs_are_measured():
    rows = cost_by_size(network(cutoff=2.0), [4, 20, 100], repeats=1)
    assert [row.nodes for row in rows] == [4, 20, 100]
    assert all(0 < row.forward < row.both for row in rows) and rows[2].edges > rows[1].edges
    assert cost_by_size(network(), [10])[0].edges == 90
