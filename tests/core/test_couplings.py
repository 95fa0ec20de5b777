"""Couplings: permutations, least cost, sorting on the line, and refusals."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process import DiscreteProcess, GaussianProcess, Kind, VPSchedule, uniform
from scidiff.random import Noise, SharedNoise
from scidiff.spaces import SO3, Categorical, Euclidean, Flat, Power, Space, Sphere, Torus, se3
from scidiff.train import IndependentCoupling, OptimalTransportCoupling, PairedCoupling
from scidiff.train.couplings import transport_costs
from scidiff.train.denoising import DenoisingTask
from scidiff.train.noise_allocation import FixedNoise
from scidiff.train.noise_levels import ClockAxis, LogNoiseAxis, UniformLevels

COUNT = 40
NOISE = Noise.range(2, COUNT)
OPTIMAL = OptimalTransportCoupling()
SPACES = [Flat(2), Sphere(2), SO3(), Torus(2)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def points(space: Space, stream: str, noise: Noise = NOISE) -> Tensor:
    return space.project(noise.normal(space.shape, step=0, stream=stream))


@pytest.mark.parametrize("coupling", [IndependentCoupling(), PairedCoupling(), OPTIMAL])
def test_pairs_are_permutations(coupling):
    x0, x1 = (points(Sphere(2), s) for s in "ab")
    i, j = coupling(Sphere(2), x0, x1, generator())
    assert torch.equal(i.sort().values, torch.arange(COUNT)) and torch.equal(j.sort().values, torch.arange(COUNT))
    assert i.dtype == j.dtype == torch.int64
    again = coupling(Sphere(2), x0, x1, generator())
    assert torch.equal(j, again[1])
    assert torch.equal(i, j) is isinstance(coupling, PairedCoupling)


def test_a_random_permutation_is_uniform():
    """All six permutations of three rows: 600 draws against 100 each, below the 99.99 % point of chi-square(5)."""
    x, source, seen = torch.zeros(3, 1), generator(), {p: 0 for p in itertools.permutations(range(3))}
    for _ in range(600):
        seen[tuple(IndependentCoupling()(Flat(1), x, x, source)[1].tolist())] += 1
    assert sum((count - 100) ** 2 / 100 for count in seen.values()) < 25.7


@pytest.mark.parametrize("space", SPACES, ids=lambda space: repr(space)[:20])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_cost_is_least(space, power):
    """No dearer than the identity, and equal to the best of all permutations of five rows."""
    x0, x1 = (points(space, s) for s in "ab")
    coupling = OptimalTransportCoupling(power)
    i, j = coupling(space, x0, x1, generator())
    cost = lambda left, right: float((space.dist(left, right) ** power).sum())  # noqa: E731
    assert cost(x0[i], x1[j]) < cost(x0, x1)
    i, j = coupling(space, x0[:5], x1[:5], generator())
    best = min(cost(x0[:5], x1[list(p)]) for p in itertools.permutations(range(5)))
    assert cost(x0[i], x1[j]) == pytest.approx(best, rel=1e-12)


def test_on_the_line_it_sorts():
    x0, x1 = (points(Flat(1), s) for s in "ab")
    i, j = OPTIMAL(Flat(1), x0, x1, generator())
    assert torch.equal(x0[i].argsort(0), x1[j].argsort(0))


def test_it_finds_a_shuffled_copy(dtype):
    x0 = points(SO3(), "a").to(dtype)
    order = torch.randperm(COUNT, generator=generator())
    i, j = OPTIMAL(SO3(), x0, -x0[order], generator())
    assert torch.equal(order[j], i)


def test_costs_of_sites_and_factors_add_up():
    """Two sites of a power, the same points as bare sites, and the factors of a product: sums of squares."""
    x0, x1 = (SO3().project(NOISE.normal((2, 4), step=0, stream=s)) for s in "ab")
    each = sum(transport_costs(SO3(), x0[:, k], x1[:, k]) for k in range(2))
    assert torch.allclose(transport_costs(Power(SO3(), (2,)), x0, x1), each, rtol=1e-12)
    assert torch.allclose(transport_costs(SO3(), x0, x1), each, rtol=1e-12)
    shift = [NOISE.normal((3,), step=0, stream=s) for s in "cd"]
    left, right = ({"rotation": x[:, 0], "translation": v} for x, v in zip((x0, x1), shift, strict=True))
    both = transport_costs(SO3(), x0[:, 0], x1[:, 0]) + transport_costs(Flat(3), *shift)
    assert torch.allclose(transport_costs(se3(), left, right), both, rtol=1e-12)
    assert torch.equal(OPTIMAL(se3(), left, right, generator())[1].sort().values, torch.arange(COUNT))


def test_rows_in_chunks_are_rows(monkeypatch):
    x0, x1 = (points(Sphere(2), s) for s in "ab")
    whole = transport_costs(Sphere(2), x0, x1)
    monkeypatch.setattr("scidiff.train.couplings._PAIRS", 3 * COUNT)
    assert torch.allclose(transport_costs(Sphere(2), x0, x1), whole, rtol=1e-13)
    assert torch.allclose(whole[3, 7], Sphere(2).dist(x0[3], x1[7]) ** 2, rtol=1e-14)


def test_refusals():
    x = points(Flat(2), "a")
    with pytest.raises(ShapeError, match="as many of each"):
        OPTIMAL(Flat(2), x, x[:3], generator())
    with pytest.raises(NumericalError, match="NaN or infinite"):
        OPTIMAL(Flat(2), x * float("nan"), x, generator())
    with pytest.raises(NumericalError, match="overflows"):
        OPTIMAL(Flat(2), x * 1e200, x, generator())
    with pytest.raises(ConfigError, match="power"):
        OptimalTransportCoupling(0.0)


class _Shift(torch.nn.Module):
    """Network of one number, which sees what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[torch.Tensor] = []

    def forward(self, x, t, condition=None):
        self.seen.append(x.detach())
        return x + self.shift


@pytest.mark.parametrize(
    "coupling",
    [None, PairedCoupling(), IndependentCoupling(), OptimalTransportCoupling()],
    ids=["drawn", "paired", "independent", "transport"],
)
def test_training_takes_the_pairs_of_its_coupling(coupling):
    """The noise in ``x_t = a x_0 + s eps`` is that of the batch in another order, the cheapest one for transport."""
    process = GaussianProcess(Euclidean((2,)), VPSchedule())
    levels = FixedNoise(LogNoiseAxis(process.schedule, 0.1, 10.0), UniformLevels())
    data = Noise.range(3, 64).normal((2,), step=0, stream="data")
    network = _Shift()
    task = DenoisingTask(data, data, process, network, Kind.MEAN, levels, batch_size=64, coupling=coupling)
    generator = torch.Generator().manual_seed(5)
    task.loss(task.network, data, generator)[0].backward()
    again = torch.Generator().manual_seed(5)
    t = levels.draw(64, again).t.unsqueeze(1)
    eps = SharedNoise(again, 64).normal((2,))
    made = (network.seen[0] - process.schedule.alpha(t) * data) / process.schedule.sigma(t)
    order = torch.cdist(made, eps).argmin(1)
    # round-off of a few sums over a noise level of 0.1
    assert torch.allclose(made, eps[order], atol=1e-9) and len(set(order.tolist())) == 64
    kept = bool((order == torch.arange(64)).all())
    assert kept is (coupling is None or isinstance(coupling, PairedCoupling))
    if isinstance(coupling, OptimalTransportCoupling):
        _, best = coupling(process.space, data, eps, again)
        assert torch.equal(order, best)
        assert float((data - made).square().sum()) < 0.7 * float((data - eps).square().sum())
    assert ("as drawn" in task.card()["coupling"]) is (coupling is None)


def test_a_finite_set_has_no_coupling():
    process = DiscreteProcess(Categorical(3, (2,)), uniform(3))
    data = torch.zeros(4, 2, dtype=torch.int64)
    levels = FixedNoise(ClockAxis(), UniformLevels())
    with pytest.raises(ConfigError, match="a coupling came with a DiscreteProcess"):
        DenoisingTask(data, data, process, _Shift(), Kind.LOGITS, levels, coupling=PairedCoupling())
