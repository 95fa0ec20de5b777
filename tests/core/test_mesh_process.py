"""The space of cochains, the schedules of its modes, and the process: conversions, times, loss, refusals."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError, DataError, NumericalError, ShapeError
from scidiff.mesh import HodgeLaplacian, spectrum, torus, whitney_stars
from scidiff.process import (
    CochainProcess,
    CosineSchedule,
    EDMSchedule,
    Kind,
    LinearFlowSchedule,
    ModeSchedule,
    OperatorSchedule,
    VPSchedule,
    eps_weight,
)
from scidiff.random import Noise
from scidiff.sample import ModeRule, RunState, ancestral, ddim, dpmpp_2m, run, uniform_grid
from scidiff.spaces import Cochain

KINDS = [Kind.MEAN, Kind.EPS, Kind.V]
CLOCKS = [VPSchedule(), CosineSchedule()]
every_clock = pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)


@functools.cache
def space(modes: int | None = None) -> Cochain:
    return Cochain(spectrum(HodgeLaplacian(whitney_stars(torus(8, 5)), 1), modes))


def process(clock=CLOCKS[0], modes: int | None = None, **options) -> CochainProcess:
    return CochainProcess(space(modes), OperatorSchedule(clock, 0.02), **options)


def cochains(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, *space().shape)))


def test_geometry():
    x, y, z = cochains(seed=0), cochains(seed=1), cochains(seed=2)
    for each in (space(), space(20)):
        assert torch.equal(each.phi(x, y), y) and torch.equal(each.exp(x, y), x + y)
        assert torch.allclose(each.exp(x, each.log(x, y)), y, atol=1e-14)
        assert torch.allclose(each.inner(x, y, z), each.inner(x, z, y), rtol=1e-12)
        assert torch.allclose(each.dist(x, y) ** 2, each.inner(x, x - y, x - y), rtol=1e-12)
        # coefficients are an isometry of the span
        p, q = each.project(x), each.project(y)
        assert torch.allclose(each.inner(x, p, q), (each.coefficients(p) * each.coefficients(q)).sum(1), rtol=1e-10)
        assert torch.allclose(each.values(each.coefficients(p)), p, atol=1e-12)
        assert torch.allclose(each.project(p), p, atol=1e-12)
        with pytest.raises(ConfigError, match="no uniform law"):
            each.uniform(Noise.range(0, 1), each.shape, step=0, stream="u")
    few = space(20)
    rest = x - few.project(x)
    assert torch.allclose(few.inner(x, rest, few.project(y)), torch.zeros(4, dtype=torch.float64), atol=1e-11)
    assert repr(few) == "Cochain(degree=1, simplices=120, modes=20)"


def test_points_are_checked():
    space().check(cochains())
    space(20).check(space(20).project(cochains()))
    space(20).check(space(20).project(cochains().float()))
    with pytest.raises(DataError, match=r"x0\[0\] has .* outside the 20 modes"):
        process(modes=20).noise(cochains(), 0.5, Noise.range(0, 4))
    with pytest.raises(ShapeError, match="expected"):
        space().check(cochains()[:, :7])


@every_clock
@pytest.mark.parametrize(("rate", "power"), [(1.0, 1.0), (0.3, 2.0), (40.0, 40.0)])
def test_mode_schedules_invert(clock, rate, power):
    """``t(lam(t)) = t`` up to an error of ``2^-50 |lam|`` in `lam`; and `lam` is the logarithm of the ratio."""
    schedule = ModeSchedule(clock, rate, power)
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    lam = schedule.lam(t)
    assert bool((lam.diff() < 0).all())
    slope = (schedule.lam(t + 1e-6) - schedule.lam(t - 1e-6)) / 2e-6
    assert bool(((schedule.t(lam) - t).abs() * slope.abs() < 2.0**-46 * (1 + lam.abs())).all())
    assert torch.allclose(lam.exp() * schedule.sigma(t), schedule.alpha(t), rtol=1e-11, atol=0)
    assert float(schedule.sigma(0.0)) == 0 and float(schedule.alpha(0.0)) == 1 and float(schedule.t(torch.inf)) == 0
    if rate == power:
        # unit variance is kept
        assert torch.allclose(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, torch.ones(50).double(), rtol=1e-12)
    if rate == power == 1:
        assert torch.allclose(schedule.lam(t), clock.lam(t), rtol=1e-12, atol=1e-12)


def test_small_times_keep_their_digits():
    """Near the data ``sigma^2 = q B`` to first order, with all digits: the next term is ``r B / 2`` of it."""
    schedule, t = OperatorSchedule(VPSchedule(), 0.5), 1e-12
    l = torch.tensor([0.0, 1.0, 9.0], dtype=torch.float64)
    assert torch.allclose(schedule.sigma(t, l) ** 2, 0.1 * t * (1 + 0.5 * l), rtol=1e-10, atol=0)
    pure = OperatorSchedule(VPSchedule(), 0.5, identity=0.0, power=torch.ones_like)
    assert float(pure.sigma(1.0, l)[0] ** 2) == pytest.approx(10.05, rel=1e-12)
    assert schedule.mode(9.0) == ModeSchedule(VPSchedule(), 5.5, 5.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: OperatorSchedule(EDMSchedule(), 1.0),
        lambda: OperatorSchedule(LinearFlowSchedule(), 1.0),
        lambda: OperatorSchedule(VPSchedule(), -1.0),
        lambda: OperatorSchedule(VPSchedule(), 1.0, identity=-1.0),
        lambda: ModeSchedule(VPSchedule(), 0.0, 1.0),
        lambda: ModeSchedule(VPSchedule(), 1.0, 0.0),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()


@every_clock
@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(KINDS, 2)), ids=lambda k: k.name)
def test_conversions_return(clock, source, target):
    """There and back within 1e-10, at times where the weakest signal is at least 1e-3 of the noise."""
    law, x0 = process(clock), cochains()
    t = torch.tensor([0.02, 0.1, 0.3, 0.4], dtype=torch.float64)
    x_t = law.noise(x0, t, Noise.range(0, 4))
    one = law.convert(x0 + 0.1, Kind.MEAN, x_t, t, to=source)
    back = law.convert(law.convert(one, source, x_t, t, to=target), target, x_t, t, to=source)
    assert torch.allclose(back, one, rtol=1e-10, atol=1e-10)


def test_conversions_are_the_definitions():
    law, x0, noise = process(), cochains(), Noise.range(0, 4)
    eps = law.eps(noise, x0.shape[1:], step=0, stream="noise")
    x_t = law.noise(x0, 0.2, noise)
    alpha, sigma = law.levels(0.2, x0)
    by_modes = lambda gain, u: space().values(gain * space().coefficients(u))  # noqa: E731
    assert torch.allclose(x_t, by_modes(alpha, x0) + by_modes(sigma, eps), atol=1e-12)
    assert torch.allclose(law.target(x0, x_t, 0.2, Kind.EPS), eps, atol=1e-11)
    assert torch.allclose(law.target(x0, x_t, 0.2, Kind.V), by_modes(alpha, eps) - by_modes(sigma, x0), atol=1e-11)
    assert law.target(x0, x_t, 0.2) is x0
    # at the clean end all kinds give the state
    for kind in (Kind.EPS, Kind.V):
        assert torch.allclose(law.convert(eps, kind, x0, 0.0), x0, atol=1e-12)
    assert not bool(law.convert(x0, Kind.MEAN, x0, 0.0, to=Kind.EPS).any())
    for kind in (Kind.SCORE, Kind.LOGITS):
        with pytest.raises(ConfigError, match=kind.name):
            law.convert(x0, kind, x_t, 0.2)
    with pytest.raises(ShapeError, match="prediction"):
        law.convert(x0[:, :3], Kind.EPS, x_t, 0.2)


def test_a_vanished_signal_determines_no_mean():
    law, x = CochainProcess(space(), OperatorSchedule(VPSchedule(), 10.0)), cochains()
    with pytest.raises(NumericalError, match="signal of a mode has vanished"):
        law.convert(x, Kind.EPS, x, 1.0)
    assert bool(law.convert(x, Kind.V, x, 1.0).isfinite().all())


def test_results_have_the_dtype_of_the_state(dtype):
    law, x0, noise = process(), cochains().to(dtype), Noise.range(0, 4)
    x_t = law.noise(x0, 0.3, noise)
    assert x_t.dtype == law.renoise(x_t, 0.3, 0.5, noise).dtype == dtype
    assert law.convert(x0, Kind.V, x_t, 0.3).dtype == law.loss(x0, x0, x_t, 0.3).dtype == dtype
    exact = law.noise(x0.double(), 0.3, noise)
    assert float((x_t - exact).abs().max()) <= 4 * torch.finfo(dtype).eps * float(exact.abs().max())


def test_times_are_per_sample():
    """A scalar, a vector and an equal value per simplex agree bitwise; different values are refused."""
    law, x0, noise = process(), cochains(), Noise.range(0, 4)
    full = torch.full(x0.shape, 0.4, dtype=torch.float64)
    results = []
    for t in (0.4, full[:, 0], full):
        x_t = law.noise(x0, t, noise)
        results.append(
            [x_t, law.renoise(x0, 0.0, t, noise), law.convert(x0, Kind.V, x_t, t), law.loss(x0, x_t, x_t, t)]
        )
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    full[1, 3] = 0.0
    with pytest.raises(ConfigError, match="one time per sample"):
        law.noise(x0, full, noise)
    t = torch.tensor([0.0, 0.5, 0.0, 1.0], dtype=torch.float64)
    assert torch.equal((law.noise(x0, t, noise) == x0).all(1), t == 0)
    with pytest.raises(ConfigError, match="s > t"):
        law.renoise(x0, 0.5, 0.4, noise)


def test_noise_of_few_modes_begins_that_of_many():
    """What a low mode draws does not depend on how many modes there are."""
    noise = Noise.range(0, 4)
    many, few = (process(modes=m).white(noise, step=2, stream="z") for m in (None, 20))
    assert many.shape == (4, 120) and torch.equal(many[:, :20], few)
    prior = space(20).coefficients(process(modes=20).prior(noise, space().shape))
    sigma = process(modes=20).levels(1.0, prior)[1]
    assert torch.allclose(prior, sigma * noise.normal((20,), step=0, stream="prior"), atol=1e-12)
    with pytest.raises(ShapeError, match="120"):
        process().prior(noise, (7,))


def test_the_loss_is_the_squared_norm():
    """Shares of the simplices sum to the weighted norm in the mass; only the sum is positive."""
    law, x0, m = process(weight=eps_weight), cochains(), cochains(seed=3)
    t = torch.tensor([0.0, 0.1, 0.5, 1.0], dtype=torch.float64)
    loss = law.loss(m, x0, x0, t)
    want = VPSchedule().snr(t[1:]) * space().dist(m, x0)[1:] ** 2
    assert torch.allclose(loss.sum(1)[1:], want, rtol=1e-12) and not bool(loss[0].any())


def test_the_rule_moves_each_mode_by_its_table():
    """One DDIM step against its formula, mode by mode; and noise of the ancestral sampler, from the same draw."""
    law, noise = process(), Noise.range(0, 4)
    grid = torch.tensor([0.6, 0.3], dtype=torch.float64)
    x, m = cochains(seed=1), cochains(seed=2)
    state = RunState.at(x, 0.6, noise)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = law.levels(0.6, x), law.levels(0.3, x)
    c, d = space().coefficients(x), space().coefficients(m)
    got = ModeRule.build(law, grid, ddim)(law, state, m, torch.full_like(x, 0.3))
    want = alpha_s * d + sigma_s * (c - alpha_t * d) / sigma_t
    assert torch.allclose(space().coefficients(got), want, atol=1e-11)
    got = ModeRule.build(law, grid, ancestral)(law, state, m, torch.full_like(x, 0.3))
    v = sigma_s**2 * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2)
    z = noise.normal((120,), step=0, stream="table")
    want = alpha_s * d + (sigma_s**2 - v).sqrt() * (c - alpha_t * d) / sigma_t + v.sqrt() * z
    assert torch.allclose(space().coefficients(got), want, atol=1e-11)


def test_a_run_can_be_cut_and_reaches_a_constant():
    """A denoiser that knows the answer leads there; half of the batch alone gives the same samples."""
    law = process(modes=20)
    answer = space(20).project(cochains(1))
    denoiser = Denoiser(lambda x, t, condition: answer.expand(len(x), -1), Kind.MEAN)
    rule = ModeRule.build(law, uniform_grid(6), dpmpp_2m)
    final = run(denoiser, law, rule, rule.plan, noise=Noise.range(0, 4), shape=space().shape)
    assert torch.allclose(final.x, answer.expand(4, -1), atol=1e-11) and final.calls.tolist() == [6] * 4
    whole, half = (
        run(denoiser, law, rule, rule.plan, noise=noise, shape=space().shape, until=3)
        for noise in (Noise.range(0, 4), Noise.range(0, 2, first=2))
    )
    # results of other batches agree to round-off: matrix products depend on the shape
    assert torch.allclose(whole.x[2:], half.x, atol=1e-13)
    again = run(denoiser, law, rule, rule.plan, state=RunState.from_bytes(whole.to_bytes()))
    assert torch.equal(again.x, final.x)


def test_the_rule_refuses_what_is_not_its_own():
    law, x = process(), cochains()
    rule = ModeRule.build(law, uniform_grid(3), ddim)
    state = RunState.at(x, 1.0, Noise.range(0, 4))
    s = torch.full_like(x, float(uniform_grid(3)[1]))
    with pytest.raises(ConfigError, match="the plan goes elsewhere"):
        rule(law, state, x, torch.full_like(x, 0.5))
    with pytest.raises(ConfigError, match="another schedule"):
        rule(CochainProcess(space(), OperatorSchedule(VPSchedule(), 0.03)), state, x, s)
    with pytest.raises(ConfigError, match="other modes"):
        rule(process(modes=20), state, x, s)
    with pytest.raises(ConfigError, match="at step 3"):
        rule(law, RunState(x, s, s > 0, Noise.range(0, 4), i=3), x, s)
    with pytest.raises(ConfigError, match="one grid"):
        ModeRule((rule.tables[0], ddim(law.schedule.mode(0.0), uniform_grid(4))))
    clamped = torch.ones_like(x, dtype=torch.bool)
    clamped[:, 0] = False
    with pytest.raises(ConfigError, match="clamp nothing"):
        rule(law, RunState.at(x, 1.0, Noise.range(0, 4), free=clamped), x, s)
