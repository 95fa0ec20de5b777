"""The molecular network: symmetric, blind to padding and to what is not in its input, of the sizes that are stated."""

from __future__ import annotations

import pytest
import torch
from scidiff.domains.molecules.graphs import pair_count, pair_index
from scidiff.domains.molecules.network import GraphDenoiserConfig, GraphDenoiserNetwork
from scidiff.domains.molecules.recipes import SIZES

from .molecule_cases import MOSES, QM9, small_network

ROUND_OFF = 1e-11
"""Two layers and two heads with logits of order ten, in float64; both sides have the same features of time."""


def graph(nodes: int, seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = {
        "atoms": torch.randint(0, 13, (3, nodes), generator=generator),
        "bonds": torch.randint(0, 5, (3, pair_count(nodes)), generator=generator),
    }
    t = {key: torch.rand(value.shape, generator=generator, dtype=torch.float64) for key, value in x.items()}
    return x, t, torch.ones(3, nodes, dtype=torch.bool)


def test_renaming_the_atoms_renames_the_answer() -> None:
    net = small_network(QM9, 9, double=True)
    x, t, mask = graph(7)
    answer = net(x, t, mask)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(3))
    i, j = (order[torch.from_numpy(index)] for index in pair_index(7))
    low, high = torch.minimum(i, j), torch.maximum(i, j)
    place = {"atoms": order, "bonds": high * (high - 1) // 2 + low}
    renamed = net(*({key: part[key][:, place[key]] for key in place} for part in (x, t)), mask)
    for key, index in place.items():
        assert torch.allclose(renamed[key], answer[key][:, index], rtol=0, atol=ROUND_OFF)
        assert answer[key].std() > 0.1


def test_padding_is_not_seen() -> None:
    net = small_network(QM9, 9, double=True)
    x, t, mask = graph(8)
    mask = mask & (torch.arange(8) < 5)
    other, later, _ = graph(8, seed=1)
    for key, count in (("atoms", 5), ("bonds", pair_count(5))):
        other[key][:, :count], later[key][:, :count] = x[key][:, :count], t[key][:, :count]
    first, second = net(x, t, mask), net(other, later, mask)
    assert torch.equal(first["atoms"][:, :5], second["atoms"][:, :5])
    assert torch.equal(first["bonds"][:, : pair_count(5)], second["bonds"][:, : pair_count(5)])


def test_class_time_and_size_all_matter() -> None:
    net = small_network(QM9, 9, double=True)
    x, t, mask = graph(6)
    answer = net(x, t, mask)
    for key in ("atoms", "bonds"):
        changed = {**x, key: torch.where(torch.arange(x[key].shape[1]) == 1, (x[key] + 1) % 5, x[key])}
        later = {**t, key: t[key] * 0.5}
        for other in (net(changed, t, mask), net(x, later, mask)):
            assert (other["atoms"] - answer["atoms"]).abs().max() > 1e-3
            assert (other["bonds"] - answer["bonds"]).abs().max() > 1e-3
    with torch.no_grad():
        net.size.weight[6] += 1.0
    assert (net(x, t, mask)["atoms"] - answer["atoms"]).abs().max() > 1e-3


@pytest.mark.parametrize(("size", "millions"), [("tiny", 0.35), ("small", 0.9), ("medium", 4.9), ("large", 16.0)])
def test_sizes_are_as_stated(size: str, millions: float) -> None:
    """Within 6 %, for the vocabulary and the largest molecule of MOSES."""
    config = GraphDenoiserConfig(17, 5, len(MOSES), 5, 27, SIZES[size])
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in GraphDenoiserNetwork(config).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.06)


def test_a_configuration_survives_its_card() -> None:
    config = small_network(MOSES, 20).config
    assert GraphDenoiserConfig.from_json(config.to_json()) == config


def test_gradients_are_finite(dtype: torch.dtype) -> None:
    net = small_network(QM9, 9, double=dtype == torch.float64)
    x, t, mask = graph(5)
    sum(value.square().sum() for value in net(x, t, mask).values()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert all(torch.isfinite(parameter.grad).all() for parameter in net.parameters())
