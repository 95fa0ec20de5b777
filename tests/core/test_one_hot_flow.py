"""Gaussian flow on one-hot data: the accuracy clock, and the two-token law that no factorised jump can make."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind
from scidiff.process.one_hot_flow import AccuracySchedule, OneHotFlow, decoding_error
from scidiff.random import Noise
from scidiff.sample.continuous.solvers import ddim, heun
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.grids import uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from scidiff.spaces import Euclidean

XOR = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)


def exact(flow: OneHotFlow) -> Denoiser:
    """Logits of the law that is uniform on the two sequences ``01`` and ``10``."""

    def function(x: Tensor, t: Tensor, condition: None) -> Tensor:
        time = t.flatten(1)[:, 0]
        gain = flow.schedule.alpha(time) / flow.schedule.sigma(time) ** 2
        p = torch.softmax(gain.unsqueeze(1) * torch.einsum("bsk,nsk->bn", x, XOR), dim=1)
        return torch.einsum("bn,nsk->bsk", p, XOR).log()

    return Denoiser(function, Kind.LOGITS)


def xor_law(solver: object, steps: int) -> Tensor:
    """Law of the pair of tokens: all quantiles of the one coordinate that the flow uses, no draw."""
    flow = OneHotFlow(Euclidean((2, 2)), AccuracySchedule(2))
    count = 400
    z = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    x = z[:, None, None] * 0.5 * (XOR[0] - XOR[1])
    rule = TableRule(solver(flow.schedule, uniform_grid(steps)))
    end = run(exact(flow), flow, rule, rule.plan, state=RunState.at(x, 1.0, Noise.range(0, count)))
    return torch.einsum("ni,nj->ij", end.x[:, 0], end.x[:, 1]) / count


def xor_tv(law: Tensor) -> float:
    return 0.5 * float((law - torch.tensor([[0.0, 0.5], [0.5, 0.0]], dtype=torch.float64)).abs().sum())


def test_one_step_makes_independent_tokens_and_many_make_the_law() -> None:
    """One factorised step is at distance 1/2; the map from noise to sequences splits the noise in two halves."""
    assert abs(xor_tv(xor_law(ddim, 1)) - 0.5) < 1e-12
    errors = [xor_tv(xor_law(ddim, steps)) for steps in (2, 4, 8, 16, 32, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 < errors[0]
    assert xor_tv(xor_law(heun, 32)) < 0.02


@pytest.mark.parametrize("classes", [2, 12, 1000])
def test_decoding_error_is_the_integral(classes: int) -> None:
    """Closed forms: ``1 - 1/K`` without signal, ``Phi(-r / sqrt 2)`` for two tokens."""
    r = torch.tensor([0.0, 0.5, 2.0, 6.0], dtype=torch.float64)
    error = decoding_error(classes, r)
    assert abs(float(error[0]) - (1 - 1 / classes)) < 1e-12
    assert bool((error.diff() < 0).all())
    if classes == 2:
        assert torch.allclose(error, torch.special.ndtr(-r / math.sqrt(2)), rtol=1e-10, atol=0)


def test_decoding_error_is_what_draws_show() -> None:
    """20000 draws, five standard errors."""
    eps = Noise.range(0, 20000).normal((12,), step=0, stream="eps")
    eps[:, 3] += 1.5
    seen = float((eps.argmax(1) != 3).double().mean())
    truth = float(decoding_error(12, torch.tensor(1.5)))
    assert abs(seen - truth) < 5 * math.sqrt(truth * (1 - truth) / 20000)


@pytest.mark.parametrize("classes", [2, 12, 50000])
def test_accuracy_clock_spends_time_where_tokens_are_decided(classes: int) -> None:
    schedule = AccuracySchedule(classes)
    assert float(schedule.alpha(0.0)) == 1.0 and float(schedule.sigma(1.0)) == 1.0 and float(schedule.sigma(0.0)) == 0.0
    t = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
    assert torch.allclose(schedule.t(schedule.lam(t)), t, rtol=0, atol=1e-12)
    lost = decoding_error(classes, schedule.alpha(t) / schedule.sigma(t)) / (1 - 1 / classes)
    # straight lines between 2048 levels of c: the accuracy is off by the square of their distance at most
    assert torch.allclose(lost, t, rtol=0, atol=1e-5)
    assert bool((schedule.sigma(t).diff() > 0).all())


def test_more_tokens_are_decided_later() -> None:
    half = [float(AccuracySchedule(classes).alpha(0.5)) for classes in (2, 12, 1000)]
    assert half == sorted(half)


def test_flow_converts_trains_and_decodes() -> None:
    flow = OneHotFlow(Euclidean((3, 4)), AccuracySchedule(4))
    tokens = torch.tensor([[0, 3, 1], [2, 2, 0]])
    x0 = flow.encode(tokens)
    x_t = flow.noise(x0, torch.tensor([0.3, 0.7]), Noise.range(0, 2))
    logits = torch.cos(torch.arange(24, dtype=torch.float64)).reshape(2, 3, 4)
    m = flow.convert(logits.float(), Kind.LOGITS, x_t, 0.5)
    assert m.dtype == torch.float64
    assert torch.allclose(m, torch.softmax(logits, -1), rtol=1e-6, atol=0)
    truth = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").reshape(2, 3)
    exact_m = flow.convert(logits, Kind.LOGITS, x_t, 0.5)
    assert torch.allclose(flow.loss(exact_m, x0, x_t, 0.5), truth, rtol=1e-13, atol=0)
    assert torch.equal(flow.decode(x0, Noise.range(1, 2)), tokens)
    assert torch.equal(flow.convert(x0, Kind.MEAN, x_t, 0.5), x0)
    with pytest.raises(ShapeError):
        flow.loss(m[:1], x0, x_t, 0.5)


def test_parameters_are_checked() -> None:
    with pytest.raises(ConfigError):
        AccuracySchedule(1)
    with pytest.raises(ConfigError):
        _ = OneHotFlow(Euclidean((3, None)), AccuracySchedule(4)).classes
