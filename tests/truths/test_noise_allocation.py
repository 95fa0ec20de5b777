"""The information profile in closed form and by enumeration, and an objective that the allocation leaves as it is."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from scidiff.denoise import Enumerated, markov_chain
from scidiff.process import DiscreteProcess, EDMSchedule, mask, uniform
from scidiff.sample import entropic_grid
from scidiff.spaces import Categorical
from scidiff.testing_targets.bits import bit_rate, hamming_code, information_band
from scidiff.train import (
    ClipAtResolution,
    ClockAxis,
    InfoNoise,
    LogNoiseAxis,
    LogNormalNoise,
    SubtractPlateau,
    UniformLevels,
)
from scidiff.train.entropy_rate import entropy_rate, gaussian_rate

AXIS = LogNoiseAxis(EDMSchedule())
BAND = math.log(0.42), math.log(2.12)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def middle(levels: InfoNoise) -> torch.Tensor:
    return 0.5 * (levels.edges[1:] + levels.edges[:-1])


def informed(axis=AXIS, density=None, **settings) -> InfoNoise:
    """Allocation that knows the profile of a bit."""
    levels = InfoNoise(axis, density or LogNormalNoise(), refresh=1, **settings)
    levels.record(middle(levels), bit_rate(middle(levels)))
    return levels


def test_the_information_of_a_bit_is_log_two():
    """The trapezoidal rule is spectral here; beyond s = e^12 the rate is 1/s^2, whose integral is e^-24 / 2 = 2e-11."""
    u = torch.linspace(-5.0, 12.0, 801, dtype=torch.float64)
    assert float(torch.trapezoid(bit_rate(u), u)) == pytest.approx(math.log(2), abs=1e-10)


def test_the_profile_is_the_error_of_the_exact_denoiser():
    """Monte-Carlo mean of |tanh(x/s^2) - x_0|^2 / s^2 over 2e5 draws within 5 standard errors."""
    u = torch.tensor([-1.0, 0.0, 0.7, 2.0], dtype=torch.float64).repeat_interleave(200_000)
    x0 = 2.0 * torch.randint(2, (len(u), 1), generator=generator()).double() - 1
    x = x0 + u.exp().unsqueeze(1) * torch.randn(len(u), 1, generator=generator(1), dtype=torch.float64)
    rate = gaussian_rate(torch.tanh(x * torch.exp(-2 * u).unsqueeze(1)), x0, u).reshape(4, -1)
    error = rate.std(1) / rate.shape[1] ** 0.5
    assert bool(((rate.mean(1) - bit_rate(u[::200_000])).abs() < 5 * error).all())


def test_edm_looks_elsewhere():
    """Reference figures: 80 % of the information, 34 % of EDM's draws; two digits each."""
    u = torch.linspace(*BAND, 401, dtype=torch.float64)
    assert float(torch.trapezoid(bit_rate(u), u)) / math.log(2) == pytest.approx(0.80, abs=0.025)
    ends = torch.tensor(BAND, dtype=torch.float64)
    assert float(LogNormalNoise().cdf(AXIS, ends).diff()) == pytest.approx(0.34, abs=0.005)
    # floor 0.1: 0.9 of the draws follow the profile
    assert informed().share(*BAND) == pytest.approx(0.9 * 0.821 + 0.1 * 0.339, abs=0.02)
    levels = informed()
    low, high = information_band(levels.edges, bit_rate(middle(levels)), 0.8)
    assert 0.38 < math.exp(low) < 0.47 and 1.9 < math.exp(high) < 2.3


@pytest.mark.parametrize("kernel", [mask(3), uniform(3)], ids=["mask", "uniform"])
def test_the_discrete_rate_is_the_derivative_of_the_entropy(kernel):
    """H[x_0 | x_t] of a two-site chain by enumeration; central differences of width 1e-4 are right to about 1e-7."""
    step = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.05, 0.05, 0.9]], dtype=torch.float64)
    law = markov_chain(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), step, 2)
    process, exact = DiscreteProcess(Categorical(kernel.states, (2,)), kernel), Enumerated(law, kernel)
    clean = torch.tensor(list(itertools.product(range(3), repeat=2)))
    noisy = torch.tensor(list(itertools.product(range(kernel.states), repeat=2)))

    def joint(t: float) -> torch.Tensor:
        rows = kernel.matrix(torch.tensor(t, dtype=torch.float64))
        return law.flatten()[:, None] * (rows[clean[:, None, 0], noisy[:, 0]] * rows[clean[:, None, 1], noisy[:, 1]])

    def entropy(t: float) -> float:
        p = joint(t)
        return float(-torch.special.xlogy(p, p / p.sum(0).clamp_min(1e-300)).sum())

    for t in (0.2, 0.5, 0.9):
        p = joint(t)
        x0, x_t = clean.repeat_interleave(len(noisy), 0), noisy.repeat(len(clean), 1)
        alive = p.flatten() > 0
        time = torch.full((int(alive.sum()),), t, dtype=torch.float64)
        m = process.convert(exact.posterior(x_t[alive], time), exact.denoiser().kind, x_t[alive], time)
        rate = entropy_rate(process, m, x0[alive], x_t[alive], time)
        expected = (entropy(t + 1e-4) - entropy(t - 1e-4)) / 2e-4
        assert float((p.flatten()[alive] * rate).sum()) == pytest.approx(expected, abs=1e-6)


def test_the_objective_is_unchanged():
    """E_p[w f] by midpoint quadrature on 64 x 64 points is E_q[f]: both sides have the same rule, round-off is left."""
    levels = informed()
    fine = torch.linspace(AXIS.low, AXIS.high, 64 * 64 + 1, dtype=torch.float64)
    u = 0.5 * (fine[1:] + fine[:-1])
    width = float(fine[1] - fine[0])
    f = torch.sin(3 * u) + torch.exp(-u)
    weighted = float((levels.pdf(u) * levels.weight(u).clamp_max(levels.clip) * f).sum()) * width
    plain = float((LogNormalNoise().pdf(AXIS, u) * f).sum()) * width
    assert weighted == pytest.approx(plain, rel=1e-12)
    assert float(levels.pdf(u).sum()) * width == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("density", [LogNormalNoise(), UniformLevels()], ids=["edm", "uniform"])
def test_draws_have_the_stated_law_and_keep_the_mean(density):
    """Means over 400 batches of 64 within 5 standard errors over batches, of the weighted loss and of the plain one."""
    levels = informed(AXIS, density)
    source, weighted, inside = generator(3), [], []
    for _ in range(400):
        draw = levels.draw(64, source)
        weighted.append(float((draw.weight * torch.cos(draw.u)).mean()))
        inside.append(float(((draw.u > BAND[0]) & (draw.u < BAND[1])).double().mean()))
        assert float(draw.clipped) == 0 and abs(float(draw.lost)) < 1e-12
    u = torch.linspace(AXIS.low, AXIS.high, 20001, dtype=torch.float64)
    truth = float(torch.trapezoid(density.pdf(AXIS, u) * u.cos(), u))
    for values, expected in ((weighted, truth), (inside, levels.share(*BAND))):
        values = torch.tensor(values, dtype=torch.float64)
        assert abs(float(values.mean()) - expected) < 5 * float(values.std()) / 20


def test_a_batch_is_spread_evenly():
    """In a batch of 640 the number of draws below any level differs from its expectation by less than one per part."""
    levels = informed()
    draw = levels.draw(640, generator())
    for edge in (-2.0, 0.0, 0.5, 2.0):
        assert abs(float((draw.u < edge).sum()) - 640 * levels.share(AXIS.low, edge)) < 2


def test_what_is_clipped_is_said():
    levels = informed(floor=0.01, clip=5.0)
    draws = [levels.draw(512, generator(seed)) for seed in range(20)]
    clipped = torch.stack([draw.clipped for draw in draws])
    assert float(clipped.mean()) > 0 and all(float(draw.weight.max()) <= 5.0 for draw in draws)
    assert all(float(draw.lost) > 0 for draw in draws if float(draw.clipped) > 0)
    assert set(draws[0].metrics()) == {"noise_clipped", "noise_lost"}


def test_continuous_data_have_a_plateau():
    """N(0, 1) in 3 dimensions: rate 3 / (1 + s^2). Whole, half of the draws are below s = 0.02; clipped, none."""
    settings = dict(refresh=1, floor=1e-6)
    levels = [InfoNoise(AXIS, UniformLevels(), trim=trim, **settings) for trim in (None, ClipAtResolution(0.1))]
    rate = 3 / (1 + torch.exp(2 * middle(levels[0])))
    for each in levels:
        each.record(middle(each), rate)
    whole, clipped = (each.share(AXIS.low, math.log(0.05)) for each in levels)
    assert whole > 0.45 and clipped < 1e-5
    assert bool((SubtractPlateau(3)(middle(levels[0]), rate) == 0).all())
    # a bit beside three Gaussian dimensions: what exceeds the plateau is the bit's
    both = rate + 4 * bit_rate(middle(levels[0]))
    excess = SubtractPlateau(3)(middle(levels[0]), both)
    assert 0.2 < math.exp(float(middle(levels[0])[excess.argmax()])) < 1.0
    assert float(excess[middle(levels[0]) < math.log(0.1)].sum()) < 1e-6


def test_the_profile_is_learnt_from_draws():
    """1e5 draws of an exact denoiser: the information within 5 %, and most of the draws and of the grid in the band."""
    levels = InfoNoise(AXIS, LogNormalNoise(0.0, 1.5), memory=1e9, refresh=10)
    source = generator(5)
    for _ in range(100):
        draw = levels.draw(1024, source)
        x0 = 2.0 * torch.randint(2, (1024, 1), generator=source).double() - 1
        x = x0 + draw.u.exp().unsqueeze(1) * torch.randn(1024, 1, generator=source, dtype=torch.float64)
        levels.record(draw.u, gaussian_rate(torch.tanh(x * torch.exp(-2 * draw.u).unsqueeze(1)), x0, draw.u))
    assert levels.information() == pytest.approx(math.log(2), rel=0.05)
    assert levels.share(*BAND) > 0.72
    grid = levels.grid(10)
    s = AXIS.schedule.sigma(grid)
    assert len(grid) == 11 and float(grid[0]) == 1 and float(grid[-1]) == 0 and bool((grid.diff() < 0).all())
    assert int(((s > 0.42) & (s < 2.12)).sum()) >= 6


def test_equal_losses_of_information():
    """Rate 2t on [0, 1] has C = t^2: nodes at sqrt(1 - i/N), to the width of a bin."""
    edges = torch.linspace(0.0, 1.0, 2001, dtype=torch.float64)
    grid = entropic_grid(edges, edges[1:] ** 2 - edges[:-1] ** 2, 8, floor=0.0)
    truth = (1 - torch.arange(9, dtype=torch.float64) / 8).sqrt()
    assert torch.allclose(grid, truth, atol=5e-4)


def test_the_code_is_a_code():
    words = hamming_code()
    distance = (words[:, None] != words[None]).sum(-1)
    assert len(words) == 16 and set(distance.flatten().tolist()) == {0, 4, 8}


def test_an_axis_of_the_clock():
    levels = InfoNoise(ClockAxis(), UniformLevels(), refresh=1, floor=0.2)
    levels.record(middle(levels), middle(levels) ** 3)
    assert levels.share(0.5, 1.0) == pytest.approx(0.8 * (1 - 0.5**4) + 0.2 * 0.5, abs=1e-3)
    draw = levels.draw(256, generator())
    assert torch.equal(draw.u, draw.t) and float(draw.weight.max()) <= 5.0 + 1e-9
