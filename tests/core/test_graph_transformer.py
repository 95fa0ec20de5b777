"""Symmetries of the graph transformer, to round-off in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.nets.graph_transformer import GraphTransformer, GraphTransformerConfig, fourier, pair_map

CONFIG = GraphTransformerConfig(layers=3, width=24, pair_width=8, heads=4, product=6)
ROUND_OFF = 1e-12
"""Three layers of sums of some tens of terms of order one, in float64."""


def network(config: GraphTransformerConfig = CONFIG) -> GraphTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GraphTransformer(config).double()


def inputs(nodes: int, batch: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, nodes * (nodes - 1) // 2, CONFIG.pair_width)
    h = torch.randn(batch, nodes, CONFIG.width, generator=generator, dtype=torch.float64)
    return h, torch.randn(shape, generator=generator, dtype=torch.float64)


def full(nodes: int) -> Tensor:
    return torch.ones(2, nodes, dtype=torch.bool)


def pairs_of(order: Tensor) -> Tensor:
    """Positions of the old pairs in the order of the new ones."""
    nodes = len(order)
    j, i = torch.tril_indices(nodes, nodes, -1)
    return pair_map(nodes, order.device).view(nodes, nodes)[order[i], order[j]]


@pytest.mark.parametrize("nodes", [2, 5, 9])
def test_permuting_the_nodes_permutes_the_result(nodes: int) -> None:
    net, (h, e) = network(), inputs(nodes)
    nodes_out, pairs_out = net(h, e, full(nodes))
    for seed in range(3):
        order = torch.randperm(nodes, generator=torch.Generator().manual_seed(seed))
        permuted_nodes, permuted_pairs = net(h[:, order], e[:, pairs_of(order)], full(nodes))
        assert torch.allclose(permuted_nodes, nodes_out[:, order], rtol=0, atol=ROUND_OFF)
        assert torch.allclose(permuted_pairs, pairs_out[:, pairs_of(order)], rtol=0, atol=ROUND_OFF)


def test_a_batch_is_its_rows() -> None:
    net, (h, e) = network(), inputs(6, batch=2)
    together = net(h, e, full(6))
    for row in range(2):
        alone = net(h[[row]], e[[row]], full(6)[[row]])
        for one, all_rows in zip(alone, together, strict=True):
            assert torch.allclose(one[0], all_rows[row], rtol=0, atol=ROUND_OFF)


def padded(h: Tensor, e: Tensor, extra: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    batch, nodes, _ = h.shape
    more_h, more_e = inputs(nodes + extra, batch, seed)
    more_h[:, :nodes], more_e[:, : e.shape[1]] = h, e
    mask = (torch.arange(nodes + extra) < nodes).expand(batch, -1)
    return more_h, more_e, mask


def test_what_stands_in_the_padding_is_never_seen() -> None:
    net, (h, e) = network(), inputs(5)
    results = [net(*padded(h, e, 3, seed)) for seed in (2, 3)]
    for first, second, count in zip(*results, (5, e.shape[1]), strict=True):
        assert torch.equal(first[:, :count], second[:, :count])


def test_how_much_padding_there_is_does_not_matter() -> None:
    net, (h, e) = network(), inputs(5)
    nodes_out, pairs_out = net(h, e, full(5))
    more_nodes, more_pairs = net(*padded(h, e, 3, 2))
    assert torch.allclose(more_nodes[:, :5], nodes_out, rtol=0, atol=ROUND_OFF)
    assert torch.allclose(more_pairs[:, : e.shape[1]], pairs_out, rtol=0, atol=ROUND_OFF)


def test_every_pair_reaches_every_other() -> None:
    """In three layers a change of one pair moves all nodes and all pairs."""
    net, (h, e) = network(), inputs(6)
    before = net(h, e, full(6))
    e[:, 3] = inputs(6, seed=4)[1][:, 3]
    after = net(h, e, full(6))
    for old, new in zip(before, after, strict=True):
        assert ((new - old).abs().amax(-1) > 1e-9).all()


def test_the_product_over_third_nodes_sees_cycles() -> None:
    """A six-ring and two three-rings have equal neighbourhoods; without the product no layer tells them apart."""

    def features(bonds: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        apart, bonded = inputs(3)[1][0, :2]
        e = apart.expand(2, 15, -1).clone()
        for i, j in bonds:
            e[:, max(i, j) * (max(i, j) - 1) // 2 + min(i, j)] = bonded
        return inputs(1)[0][:1].expand(2, 6, -1), e

    hexagon = features([(k, (k + 1) % 6) for k in range(6)])
    triangles = features([(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)])
    net = network()
    difference = (net(*hexagon, full(6))[0] - net(*triangles, full(6))[0]).abs().max()
    assert difference > 1e-3
    with torch.no_grad():
        for layer in net.layers:
            layer.pair_product.weight.zero_()
    difference = (net(*hexagon, full(6))[0] - net(*triangles, full(6))[0]).abs().max()
    assert difference < ROUND_OFF


def test_gradients_are_finite_also_with_padding_and_one_node(dtype: torch.dtype) -> None:
    for nodes, extra in ((1, 0), (1, 3), (4, 2)):
        net = network().to(dtype)
        h, e, mask = padded(*inputs(nodes), extra, 5)
        out_h, out_e = net(h.to(dtype), e.to(dtype), mask)
        (out_h[:, :nodes].square().sum() + out_e.square().sum()).backward()
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)
        assert out_h.dtype == dtype


def test_times_become_waves() -> None:
    """At t = 0 all cosines are one and all sines zero; the lowest wave has a period of four, the highest of 1/64."""
    features = fourier(torch.tensor([0.0, 1.0, 1 / 64]), 16)
    assert torch.equal(features[0], torch.cat([torch.ones(8), torch.zeros(8)]))
    assert features[1, 0] == pytest.approx(math.cos(math.pi / 2), abs=1e-6)
    assert features[2, 7] == pytest.approx(1.0, abs=1e-4)
    assert fourier(torch.zeros(3, 4, dtype=torch.float64), 10).shape == (3, 4, 10)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="width 30 is not a multiple of heads 8"):
        GraphTransformerConfig(width=30)
