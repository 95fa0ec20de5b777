"""Losses with the residual of the equation: directions without conflict, and what training with them does."""

from __future__ import annotations

import torch
from scidiff.domains.pde.constraints.base import Nonlinear
from scidiff.domains.pde.constraints.losses import PBFMTask, PIDMTask, config_direction, with_gradient
from scidiff.domains.pde.constraints.reference_law import ReferenceLaw
from torch import nn

from scidiff.process import GaussianProcess, LinearFlowSchedule
from scidiff.process.base import Kind
from scidiff.random import Noise
from scidiff.spaces import Euclidean
from scidiff.train import FixedNoise, LogNoiseAxis, UniformLevels


def test_the_direction_has_a_positive_product_with_both_gradients():
    g = Noise.range(0, 20).normal((2, 5), step=0, stream="g")
    for first, second in g:
        joined = config_direction(first, 1e4 * second)
        assert float(joined @ first) > 0 and float(joined @ second) > 0


def test_the_direction_in_two_dimensions():
    """Orthogonal gradients: the bisector, as long as the sum of their parts along it."""
    joined = config_direction(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert torch.allclose(joined, torch.tensor([2.0, 2.0]), atol=1e-6)
    alone = torch.tensor([3.0, 4.0])
    assert torch.equal(config_direction(alone, torch.zeros(2)), alone)


def test_a_scalar_carries_any_gradient():
    p = torch.tensor([1.0, 2.0], requires_grad=True)
    value = with_gradient(torch.tensor(7.0), [p], torch.tensor([0.5, -1.0]))
    value.backward()
    assert float(value.detach()) == 7.0 and torch.equal(p.grad, torch.tensor([0.5, -1.0]))


class Mean(nn.Module):
    """A denoiser that is a constant field."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([0.5, 0.2]))

    def forward(self, x, t, condition=None):
        return self.value.expand_as(x)


def task(kind, **options):
    process = GaussianProcess(Euclidean((2,)), LinearFlowSchedule())
    levels = FixedNoise(LogNoiseAxis(process.schedule, 0.05, 5.0), UniformLevels())
    data = torch.tensor([[1.0, -1.0]]).repeat(8, 1)
    equation = Nonlinear(lambda x: x.sum(1, keepdim=True), (2,), 1)
    return kind(data, data, process, Mean(), Kind.MEAN, levels, batch_size=8, equation=equation, **options)


def gradient(trained):
    trained.network.zero_grad()
    loss, metrics = trained.loss(trained.network, trained.batch(0, 0, 1), torch.Generator().manual_seed(0))
    loss.backward()
    return trained.denoiser.value.grad.clone(), float(metrics["residual"])


def test_the_virtual_observation_pulls_the_mean_to_the_equation():
    plain, residual = gradient(task(PIDMTask, strength=0.0))
    pulled, _ = gradient(task(PIDMTask, strength=1.0))
    # R = 0.7 everywhere, and its gradient has the direction (1, 1)
    assert abs(residual - 0.49) < 1e-6
    change = pulled - plain
    assert float(change[0]) > 0 and torch.allclose(change[0], change[1], rtol=1e-5)


def test_the_unrolled_end_of_a_constant_mean_is_the_mean():
    """Euler steps of the straight path end at the last mean, however many they are."""
    results = [gradient(task(PBFMTask, unroll=n)) for n in (1, 4)]
    assert torch.allclose(results[0][0], results[1][0], rtol=1e-5)
    assert abs(results[0][1] - results[1][1]) < 1e-6
    # both losses fall along the joined direction
    data_gradient, _ = gradient(task(PIDMTask, strength=0.0))
    assert float(results[0][0] @ data_gradient) > 0 and float(results[0][0].sum()) > 0


def test_the_reference_law_is_that_of_its_data():
    root = Noise.range(1, 6).normal((6,), step=0, stream="root")
    data = Noise.range(2, 400).normal((6,), step=0, stream="data") @ root
    law = ReferenceLaw.fit(data.reshape(400, 1, 2, 3), 4)
    # variances of all directions add up: 4 modes and the mean of the two others
    total = float(law.variances.sum()) + 2 * law.rest
    assert abs(total - float(data.var(0).sum())) < 1e-9 * total
    v = Noise.range(3, 5).normal((1, 2, 3), step=0, stream="v")
    inside = (v.flatten(1) @ law.modes.T) @ law.modes
    wanted = (v.flatten(1) @ law.modes.T * law.variances) @ law.modes + law.rest * (v.flatten(1) - inside)
    assert torch.allclose(law.action(v).flatten(1), wanted, atol=1e-10)
    y = law.coefficients(data.reshape(400, 1, 2, 3))
    assert torch.allclose(y.T.cov().diagonal(), law.variances, rtol=1e-9)
