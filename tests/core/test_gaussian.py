"""The Gaussian process: law of the noise, exact conversions, loss, tilt."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process import (
    CosineSchedule,
    EDMSchedule,
    GaussianProcess,
    Kind,
    LinearFlowSchedule,
    VESchedule,
    VPSchedule,
    eps_weight,
    velocity_weight,
)
from scidiff.random import Noise, SharedNoise
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import Impulse

SCHEDULES = [VPSchedule(), CosineSchedule(), EDMSchedule(), VESchedule(), LinearFlowSchedule()]
KINDS = [Kind.MEAN, Kind.EPS, Kind.V, Kind.SCORE]
every = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def gaussian(schedule, **options) -> GaussianProcess:
    return GaussianProcess(Euclidean((None,)), schedule, **options)


def toys(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Clean points, and one time per site away from the ends."""
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    t = 0.05 + 0.9 * torch.rand(6, 5, generator=generator, dtype=torch.float64)
    return x0.to(dtype), t


@every
@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(KINDS, 2)), ids=lambda k: k.name)
def test_conversions_return(schedule, source, target):
    """There and back within 1e-10, for signal-to-noise ratios from e^-6 to e^6."""
    process, (x0, u) = gaussian(schedule), toys()
    t = schedule.t(6 * u - 3)
    x_t = process.noise(x0, t, Noise.range(0, 6))
    one = process.convert(x0 + 0.1, Kind.MEAN, x_t, t, to=source)
    back = process.convert(process.convert(one, source, x_t, t, to=target), target, x_t, t, to=source)
    assert torch.allclose(back, one, rtol=1e-10, atol=1e-10)


@every
def test_conversions_are_the_definitions(schedule):
    process, (x0, t) = gaussian(schedule), toys()
    eps = Noise.range(0, 6).normal((5,), step=0, stream="noise")
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x_t = alpha * x0 + sigma * eps
    assert torch.equal(x_t, process.noise(x0, t, Noise.range(0, 6)))
    a, b = schedule.velocity(t)
    # x - alpha x_0 cancels where sigma is small: what is left of x has 4 ulp
    lost = 4 * 2.0**-52 * (1 + x_t.abs() / sigma)
    assert bool(((process.target(x0, x_t, t, Kind.EPS) - eps).abs() <= lost).all())
    assert bool(((process.target(x0, x_t, t, Kind.SCORE) + eps / sigma).abs() <= 2 * lost / sigma).all())
    assert bool(((process.target(x0, x_t, t, Kind.V) - (a * x0 + b * eps)).abs() <= lost * (2 + a.abs() + b)).all())
    assert process.target(x0, x_t, t) is x0
    for kind in (Kind.EPS, Kind.V, Kind.SCORE):
        m = process.convert(process.target(x0, x_t, t, kind), kind, x_t, t)
        assert torch.allclose(m, x0, rtol=0, atol=1e-11 * float((x_t / alpha).abs().max()))


def test_the_clean_end_is_exact():
    process = gaussian(VPSchedule())
    x = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    other = torch.full_like(x, 7.0)
    for kind in (Kind.EPS, Kind.V, Kind.SCORE):
        assert torch.equal(process.convert(other, kind, x, 0.0), x)
    assert torch.equal(process.convert(x, Kind.MEAN, x, 0.0, to=Kind.EPS), torch.zeros_like(x))
    with pytest.raises(NumericalError, match="sigma = 0"):
        process.convert(x, Kind.MEAN, x, 0.0, to=Kind.SCORE)


def test_the_blind_end_is_refused_where_nothing_is_known():
    process, x = gaussian(LinearFlowSchedule()), torch.ones(2, 3, dtype=torch.float64)
    for kind in (Kind.EPS, Kind.SCORE):
        with pytest.raises(NumericalError, match="alpha = 0"):
            process.convert(x, kind, x, 1.0)
    with pytest.raises(NumericalError, match="alpha = 0"):
        process.tilt(x, x, 1.0, x)
    # v = eps - x_0 and x_1 = eps
    assert torch.equal(process.convert(x - 5.0, Kind.V, x, 1.0), torch.full_like(x, 5.0))


@pytest.mark.parametrize("kind", [Kind.LOGITS, Kind.LOO_LOGITS, Kind.TANGENT], ids=lambda k: k.name)
def test_kinds_without_meaning_are_refused(kind):
    process, (x0, t) = gaussian(VPSchedule()), toys()
    with pytest.raises(ConfigError, match=kind.name):
        process.convert(x0, kind, x0, t)
    with pytest.raises(ConfigError, match=kind.name):
        process.target(x0, x0, t, kind)
    with pytest.raises(ShapeError, match="prediction"):
        process.convert(x0[:, :1], Kind.EPS, x0, t)


def test_results_have_the_dtype_of_the_state(dtype):
    process, (x0, t) = gaussian(VPSchedule()), toys(dtype)
    x_t = process.noise(x0, t, Noise.range(0, 6))
    assert x_t.dtype == process.renoise(x_t, t / 2, t, Noise.range(0, 6)).dtype == dtype
    assert process.convert(x0.float(), Kind.EPS, x_t, t).dtype == dtype
    assert process.loss(x0, x0, x_t, t).dtype == process.tilt(x0, x_t, t, x_t).dtype == dtype
    # the noise does not depend on the dtype
    exact = process.noise(x0.double(), t, Noise.range(0, 6))
    assert float((x_t - exact).abs().max()) <= 4 * torch.finfo(dtype).eps * float(exact.abs().max())


@every
def test_prior(schedule):
    noise = Noise.range(5, 3)
    z = noise.normal((4,), step=0, stream="prior")
    assert torch.equal(gaussian(schedule).prior(noise, (4,)), float(schedule.sigma(1.0)) * z)


@every
def test_renoising_composes(schedule):
    """Mean factor and variance of ``0 -> s -> t`` are those of ``0 -> t``: the response to 1 and to unit noise."""
    process = GaussianProcess(Euclidean((1,)), schedule)
    for s, t in ((0.0, 0.4), (0.2, 0.7), (0.5, 0.5 + 1e-9), (0.3, 1.0), (1.0, 1.0)):
        one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
        silent, unit = Impulse(1, at=None), Impulse(1, at=0)
        factor = float(process.renoise(one, s, t, silent))
        std = float(process.renoise(zero, s, t, unit))
        alpha_s, sigma_s = float(schedule.alpha(s)), float(schedule.sigma(s))
        assert factor * alpha_s == pytest.approx(float(schedule.alpha(t)), abs=1e-15, rel=1e-13)
        assert math.hypot(factor * sigma_s, std) == pytest.approx(float(schedule.sigma(t)), rel=1e-13)
    with pytest.raises(ConfigError, match="s > t"):
        process.renoise(one, 0.5, 0.4, silent)


def test_scalar_sample_and_site_times_agree():
    """Bitwise, for every method that takes a time."""
    process, (x0, _) = gaussian(VPSchedule()), toys()
    noise = Noise.range(0, 6)
    results = []
    for t in (0.4, torch.full((6,), 0.4, dtype=torch.float64), torch.full((6, 5), 0.4, dtype=torch.float64)):
        x_t = process.noise(x0, t, noise)
        m = process.convert(x_t, Kind.EPS, x_t, t)
        results.append(
            [x_t, process.renoise(x0, 0.0, t, noise), m, process.loss(m, x0, x_t, t), process.tilt(m, x_t, t, x0)]
        )
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_clean_site_is_left_alone():
    process, (x0, t) = gaussian(EDMSchedule(), weight=eps_weight), toys()
    t = torch.where(torch.arange(5) % 2 == 0, 0.0, t)
    x_t = process.noise(x0, t, Noise.range(0, 6))
    loss = process.loss(x0 + 1, x0, x_t, t)
    assert torch.equal(x_t[:, ::2], x0[:, ::2]) and not bool((x_t[:, 1::2] == x0[:, 1::2]).any())
    assert not bool(loss[:, ::2].any()) and bool((loss[:, 1::2] > 0).all()) and bool(loss.isfinite().all())


@pytest.mark.parametrize(("kind", "weight"), [(Kind.EPS, eps_weight), (Kind.V, velocity_weight)], ids=["eps", "v"])
@every
def test_weights_are_the_losses_of_other_kinds(schedule, kind, weight):
    """Weighted error of the mean equals the plain error of the other prediction."""
    process, (x0, t) = gaussian(schedule, weight=weight), toys()
    x_t = process.noise(x0, t, Noise.range(0, 6))
    m = x0 + 0.3 * torch.sin(x_t)
    other = process.target(m, x_t, t, kind) - process.target(x0, x_t, t, kind)
    size = process.target(x0, x_t, t, kind).abs().max() + (x_t / schedule.sigma(t)).abs().max()
    assert torch.allclose(process.loss(m, x0, x_t, t), other**2, rtol=1e-8, atol=1e-13 * float(size) ** 2)


def test_the_loss_is_least_at_the_posterior_mean():
    """Standard normal data: the best linear prediction is ``alpha x / (alpha^2 + sigma^2)``.

    The slope of the mean loss over 200 000 draws vanishes within five standard errors.
    """
    schedule = VPSchedule()
    source = SharedNoise(torch.Generator().manual_seed(0), 200_000)
    process = GaussianProcess(Euclidean((1,)), schedule)
    x0 = source.normal((1,))
    x_t = process.noise(x0, 0.3, source)
    best = float(schedule.alpha(0.3))
    slope = 2 * x_t * (best * x_t - x0)
    assert abs(float(slope.mean())) < 5 * float(slope.std()) / math.sqrt(200_000)
    losses = [float(process.loss(c * x_t, x0, x_t, 0.3).mean()) for c in (best - 0.1, best, best + 0.1)]
    assert losses[1] < min(losses[0], losses[2])


def test_tilt_of_a_gaussian_is_exact():
    """Data N(0, 1) tilted by ``exp(k x_0)`` is N(k, 1); its denoised mean is known in closed form."""
    schedule, k = EDMSchedule(), 1.7
    process = GaussianProcess(Euclidean((1,)), schedule)
    x = torch.linspace(-3, 3, 7, dtype=torch.float64).unsqueeze(1)
    for t in (0.3, 0.6, 0.9):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        gain = alpha / (alpha**2 + sigma**2)
        # log E[exp(k x_0) | x] = k gain x + const
        tilted = process.tilt(gain * x, x, t, torch.full_like(x, float(k * gain)))
        assert torch.allclose(tilted, k + gain * (x - alpha * k), rtol=1e-12, atol=1e-12)
