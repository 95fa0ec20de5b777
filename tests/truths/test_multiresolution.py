"""Multiresolution denoising of Gaussian random fields: the law of the result is known mode by mode."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import CosineSchedule, Kind, LinearFlowSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import ddim, dpmpp_3m, log_snr_grid
from scidiff.sample.continuous.bands import NestedNoise, coarsen, radial_spectrum, refine, wavenumber
from scidiff.sample.continuous.multiresolution import CoarseSchedule, Level, levels_of_steps, multiresolution, retimed
from scidiff.testing_targets.fields import TorusField, fourier_w2

SCHEDULE = VPSchedule()
FIELD = TorusField((64,), 4.0)
SIZES = ((8,), (16,), (32,), (64,))
GRID = log_snr_grid(SCHEDULE, 40)
EVEN_ODD = pytest.mark.parametrize(
    ("fine", "coarse"), [((16,), (8,)), ((15,), (9,)), ((12, 10), (7, 4)), ((8, 6, 10), (4, 6, 5))]
)


@EVEN_ODD
def test_bands_are_orthonormal(fine, coarse):
    """R R^T = 1, so that white noise stays white, and R^T R is a projection: both to round-off."""
    dim = math.prod(fine)
    eye = torch.eye(dim, dtype=torch.float64).reshape(dim, *fine)
    r = coarsen(eye, coarse, white=True).reshape(dim, -1).T
    assert torch.allclose(r @ r.T, torch.eye(len(r), dtype=torch.float64), atol=1e-13)
    small = torch.eye(len(r), dtype=torch.float64).reshape(len(r), *coarse)
    assert torch.allclose(refine(small, fine, white=True).reshape(len(r), -1), r, atol=1e-13)


def test_bands_of_two_steps_are_those_of_one():
    x = Noise.range(0, 3).normal((2, 24, 32), step=0, stream="x")
    twice = coarsen(coarsen(x, (12, 16), white=True), (6, 8), white=True)
    assert torch.allclose(twice, coarsen(x, (6, 8), white=True), atol=1e-13)


def test_a_smooth_field_keeps_its_values():
    """A field of waves below the band: the coarse one is the fine one at every second site, and comes back."""
    r = torch.arange(32, dtype=torch.float64) / 32
    x = 1 + torch.sin(2 * math.pi * 3 * r) + 0.5 * torch.cos(2 * math.pi * 5 * r)
    assert torch.allclose(coarsen(x[None, None], (16,))[0, 0], x[::2], atol=1e-13)
    assert torch.allclose(refine(coarsen(x[None, None], (16,)), (32,))[0, 0], x, atol=1e-13)
    with pytest.raises(ShapeError, match="use refine"):
        coarsen(x[None, None], (64,))
    with pytest.raises(ShapeError, match="use coarsen"):
        refine(x[None, None], (16,))


def test_noise_is_nested_and_keyed_like_plain_noise():
    nested = NestedNoise.of(Noise.range(7, 3), (16, 16))
    fine = nested.normal((2, 16, 16), step=3, stream="table")
    assert torch.equal(fine, Noise.range(7, 3).normal((2, 16, 16), step=3, stream="table"))
    assert torch.equal(nested.normal((2, 8, 8), step=3, stream="table"), coarsen(fine, (8, 8), white=True))
    assert torch.equal(nested.take([2]).normal((2, 16, 16), step=3, stream="table"), fine[2:])
    assert torch.equal(nested.normal((), step=1, stream="x"), Noise.range(7, 3).normal((), step=1, stream="x"))


def test_the_coarse_schedule_and_the_change_of_schedule():
    """Ratio and inverse of the coarse schedule; a denoiser of another schedule gives the same mean."""
    coarse = CoarseSchedule(SCHEDULE, 0.25)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert torch.allclose(coarse.lam(t), (coarse.alpha(t) / coarse.sigma(t)).log(), atol=1e-12)
    assert torch.allclose(coarse.t(coarse.lam(t)), t, atol=1e-9)
    native = CosineSchedule()
    own, want = FIELD.denoiser(native), FIELD.denoiser(coarse)
    x = Noise.range(0, 2).normal((1, 64), step=0, stream="x")
    time = torch.full((2, 1, 1), 0.4, dtype=torch.float64)
    assert torch.allclose(retimed(own, native, coarse)(x, time), torch.as_tensor(want(x, time)), atol=1e-8)
    with pytest.raises(ConfigError, match="MEAN or EPS"):
        retimed(Denoiser(lambda x, t, c: x, Kind.V), native, coarse)


def test_the_spectrum_is_measured():
    """Bands of 400 draws against the closed form: five errors of a mean of squares, two modes a band."""
    sd = FIELD.spectrum.sqrt()
    x = torch.fft.ifft(torch.fft.fft(Noise.range(1, 400).normal((1, 64), step=0, stream="x")) * sd).real
    k = torch.arange(1, 32, dtype=torch.float64)
    found = radial_spectrum(x, 1)(k)
    assert float((found / FIELD.at(k) - 1).abs().max()) < 5 / math.sqrt(400)
    assert wavenumber((4, 4))[1, 2] == pytest.approx(math.sqrt(5))


def test_the_rule_refines_when_the_band_rises_above_the_noise():
    used = levels_of_steps(SIZES, SCHEDULE, GRID, FIELD.at)
    assert list(used) == sorted(used) and used[0] == 0 and used[-1] == 3
    for step, number in enumerate(used):
        ratio = float(SCHEDULE.snr(GRID[step + 1])) if step + 1 < len(GRID) - 1 else math.inf
        snr = [ratio * float(FIELD.at(torch.tensor(n[0] / 2.0))) for n in SIZES]
        assert number == 3 or snr[number] < 1
        assert number == 0 or snr[number - 1] >= 1
    assert set(levels_of_steps(SIZES, SCHEDULE, GRID, FIELD.at, 0.0)) == {3}


@pytest.mark.parametrize("sites", [(64,), (24, 24)], ids=["line", "plane"])
def test_the_distance_falls_with_the_threshold(sites):
    """Exact W2: 4 to 9 % of the size of the field at threshold 1, proportional to the threshold, at half the cost."""
    field = TorusField(sites, 4.0)
    sizes = [tuple(n // k for n in sites) for k in (8, 4, 2, 1)]
    far, cost = zip(*(fourier_w2(field, SCHEDULE, GRID, dpmpp_3m, sizes, threshold=h) for h in (1, 0.1)), strict=True)
    fine, whole = fourier_w2(field, SCHEDULE, GRID, dpmpp_3m, sizes[-1:])
    assert whole == 1 and cost[0] < cost[1] < 0.75
    assert fine < 5e-3 and 0.02 < far[0] < 0.1
    assert far[1] < 0.25 * far[0]


@pytest.mark.parametrize("threshold", [0.1, 1.0, 4.0])
def test_a_matched_band_is_exact_for_gaussian_fields(threshold):
    """What is left is the solver: each of three restarts of 40 steps errs by no more than 0.3 %."""
    found, cost = fourier_w2(FIELD, SCHEDULE, GRID, dpmpp_3m, SIZES, threshold=threshold, matched=True)
    assert found < 0.009 and cost < 0.75
    plain, _ = fourier_w2(FIELD, SCHEDULE, GRID, dpmpp_3m, SIZES, threshold=4.0)
    assert plain > 0.05


def test_a_run_with_noise_has_the_law_of_the_field():
    """Ancestral steps, 400 samples: the variance of every octave against the fine run, five errors of chi-square."""
    count = 400
    levels = [FIELD.level(SCHEDULE, sites) for sites in SIZES]
    solver = partial(ddim, eta=1.0)
    done = {
        name: multiresolution(levels[first:], SCHEDULE, GRID, solver, FIELD.at, Noise.range(3, count), matched=True)
        for name, first in (("many", 0), ("one", 3))
    }
    power = {name: torch.fft.fft(each.state.x[:, 0], norm="ortho").abs() ** 2 for name, each in done.items()}
    for low, high in ((1, 4), (4, 8), (8, 16), (16, 32)):
        many, one = (power[name][:, low:high].mean() for name in ("many", "one"))
        assert abs(float(many / one) - 1) < 5 * math.sqrt(2 / (count * (high - low)))
    assert done["many"].state.calls.tolist() == [40] * count
    # the runs share their large scales; the finest band has had other noise for most of the time
    x, y = (torch.fft.fft(done[name].state.x[:, 0], norm="ortho") for name in ("many", "one"))
    close = ((x - y).abs() ** 2).mean(0) / (y.abs() ** 2).mean(0)
    assert float(close[1:3].max()) < 0.02


def test_samples_do_not_depend_on_the_batch():
    levels = [FIELD.level(SCHEDULE, sites) for sites in SIZES]
    draw = lambda noise: multiresolution(levels, SCHEDULE, GRID, dpmpp_3m, FIELD.at, noise).state.x  # noqa: E731
    whole = draw(Noise.range(0, 5))
    assert torch.allclose(torch.cat([draw(Noise.range(0, 2)), draw(Noise.range(0, 3, first=2))]), whole, atol=1e-12)


def test_wrong_levels_are_refused():
    same = Level((8,), FIELD.level(SCHEDULE, (8,)).denoiser)
    for levels, threshold in (([], 1.0), ([same, same], 1.0), ([same], -1.0)):
        with pytest.raises(ConfigError, match="from coarse to fine"):
            multiresolution(levels, SCHEDULE, GRID, ddim, FIELD.at, Noise.range(0, 1), threshold=threshold)


@pytest.mark.parametrize("base", [LinearFlowSchedule(), VPSchedule()], ids=["no signal", "little signal"])
def test_a_state_of_noise_alone_has_the_unit_of_the_noise(base):
    """At ``t = 1`` the state is factor sigma eps, and the denoiser gets sigma eps; to round-off of the clocks."""
    native, coarse = LinearFlowSchedule(), CoarseSchedule(base, 0.5)
    seen = retimed(Denoiser(lambda x, t, c: x, Kind.MEAN), native, coarse)
    x, time = torch.full((2, 3), 0.5, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    signal, noise = float(coarse.alpha(1.0)), float(coarse.sigma(1.0))
    assert torch.allclose(torch.as_tensor(seen(x, time)), x / (signal + noise), rtol=1e-9, atol=0)
