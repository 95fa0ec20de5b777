"""Brownian motion as a process: memoryless noise, score, loss, time per point, and the sampler on it."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import IGSO3, HeatProcess, Kind, SphereHeatKernel, WrappedNormal
from scidiff.random import Noise
from scidiff.sample import Grid, RetractedHeat, RunState, run, uniform_grid
from scidiff.spaces import SO3, Power, Sphere, Torus

COUNT = 5
NOISE = Noise.range(3, COUNT)
ROTATIONS = HeatProcess(IGSO3(), SO3(), 9.0)
ANGLES = HeatProcess(WrappedNormal(Torus(2)), Torus(2), 18.0)
names = lambda value: repr(value)[:32]  # noqa: E731


def start(process: HeatProcess, seed: int, count: int) -> Tensor:
    return process.space.uniform(Noise.range(seed, count), process.space.shape, step=0, stream="x")


@pytest.mark.parametrize("steps", [1, 3])
def test_noise_has_no_memory(steps):
    """E cos of each angle is e^(-v/2), in one draw and in several; 20000 draws, five standard errors."""
    count, t = 20000, 0.4
    process, noise = HeatProcess(WrappedNormal(), Torus(1), 4.0), Noise.range(0, count)
    x0 = torch.full((count, 1), 0.7, dtype=torch.float64)
    x = x0
    for k in range(steps):
        x = process.renoise(x, t * k / steps, t * (k + 1) / steps, noise, stream=f"r{k}")
    assert abs(float((x - x0).cos().mean()) - math.exp(-4 * t**2 / 2)) < 5 * math.sqrt(0.5 / count)


def test_clean_sites_stay_and_times_are_per_point():
    space = Power(SO3(), (3,))
    process = HeatProcess(IGSO3(), space, 4.0)
    x0 = space.uniform(NOISE, (3, 4), step=0, stream="x")
    t = torch.full((COUNT, 3), 0.5)
    whole = process.noise(x0, 0.5, NOISE)
    assert torch.equal(process.noise(x0, t.unsqueeze(-1).expand(COUNT, 3, 4), NOISE), whole)
    t[:, 1] = 0
    part = process.noise(x0, t, NOISE)
    assert torch.equal(part[:, 1], x0[:, 1]) and torch.allclose(part[:, ::2], whole[:, ::2], atol=1e-12)
    loss = process.loss(torch.zeros(COUNT, 3, 3, dtype=torch.float64), x0, part, t)
    assert loss.shape == (COUNT, 3) and bool((loss[:, 1] == 0).all()) and bool((loss[:, 0] > 0).all())


@pytest.mark.parametrize("process", [ANGLES, ROTATIONS], ids=names)
def test_target_is_the_gradient_of_the_density(process):
    """Along a tangent vector, by a central difference whose error is of order 1e-9."""
    space, h = process.space, 1e-4
    x0, x = start(process, 1, COUNT), start(process, 2, COUNT)
    v = space.random_tangent(x, NOISE, step=0, stream="v")
    rise = process.log_density(x0, space.exp(x, h * v), 0.5) - process.log_density(x0, space.exp(x, -h * v), 0.5)
    score = process.target(x0, x, 0.5)
    assert torch.allclose(rise / (2 * h), space.inner(x, score, v), atol=1e-6)
    assert float(process.loss(score, x0, x, 0.5).max()) == 0
    eps = -score * math.sqrt(process.variance * 0.25)
    assert torch.allclose(process.convert(eps, Kind.EPS, x, 0.5), score, atol=1e-13)
    assert torch.equal(process.convert(score, Kind.SCORE, x, 0.5), score)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("process", [ANGLES, ROTATIONS], ids=names)
def test_the_uniform_law_flows_to_the_data(process, eta):
    """Three data with the exact score: equal shares by chi-square at 99.9 %, and every sample at its datum."""
    count, data = 400, start(process, 2, 3)
    denoiser = ManifoldDatasetDenoiser(process, HeatProcess.log_density, data).denoiser
    grid, noise = Grid(uniform_grid(20)), Noise.range(0, count)
    x = run(denoiser, process, RetractedHeat(eta), grid, noise=noise, shape=process.space.shape).x
    dist = torch.stack([process.space.dist(x, point.expand_as(x)) for point in data], dim=1)
    counts = torch.bincount(dist.argmin(1), minlength=3).double()
    assert float(((counts - count / 3) ** 2 / (count / 3)).sum()) < chi2.ppf(0.999, 2)
    assert float(dist.amin(1).median()) < 0.01
    assert float((process.space.project(x) - x).abs().max()) < 1e-12


def test_order_of_the_probability_flow():
    """On rotations: slope between 20 and 60 steps within 0.25 of 1, against 360 steps.

    The reference errs by 1/6 of the fine error in the same direction; with ``e = c/n`` the slope measured is
    ``log((1/20 - 1/360)/(1/60 - 1/360))/log 3 = 1.11``.
    """
    data, ends = start(ROTATIONS, 2, 3), []
    denoiser = ManifoldDatasetDenoiser(ROTATIONS, HeatProcess.log_density, data).denoiser
    state = RunState.at(start(ROTATIONS, 5, 12), 0.8, Noise.range(0, 12))
    for steps in (20, 60, 360):
        grid = Grid(uniform_grid(steps, start=0.8, end=0.3))
        ends.append(run(denoiser, ROTATIONS, RetractedHeat(), grid, state=state).x)
    coarse, fine = (float(SO3().dist(x, ends[2]).median()) for x in ends[:2])
    assert abs(math.log(coarse / fine, 3) - 1.11) < 0.25


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_one_datum_keeps_the_law(eta):
    """Small noise around one angle is Gaussian, where a step is exact: variance v(s) of 20000 draws, five errors."""
    count, process = 20000, HeatProcess(WrappedNormal(), Torus(1), 0.1)
    x0 = torch.full((count, 1), 0.7, dtype=torch.float64)
    denoiser = Denoiser(lambda x, t, condition: process.target(x0, x, t), Kind.SCORE)
    noise = Noise.range(0, count)
    state = RunState.at(process.noise(x0, 1.0, noise), 1.0, noise)
    x = run(denoiser, process, RetractedHeat(eta), Grid(uniform_grid(4, end=0.5)), state=state).x
    assert abs(float(x.var()) / 0.025 - 1) < 5 * math.sqrt(2 / count)


def test_refusals():
    x = start(ROTATIONS, 1, COUNT)
    m = torch.zeros(COUNT, 3, dtype=torch.float64)
    with pytest.raises(ConfigError, match="kernel of the site"):
        HeatProcess(SphereHeatKernel(Sphere(3)), Sphere(2), 1.0)
    with pytest.raises(ConfigError, match="positive variance"):
        HeatProcess(IGSO3(), SO3(), 0.0)
    with pytest.raises(ConfigError, match="SCORE or EPS"):
        ROTATIONS.convert(m, Kind.TANGENT, x, 0.5)
    with pytest.raises(ShapeError, match="tangent vector"):
        ROTATIONS.convert(m[:, :2], Kind.SCORE, x, 0.5)
    with pytest.raises(ConfigError, match="noise is added"):
        ROTATIONS.renoise(x, 0.5, 0.4, NOISE)
    with pytest.raises(ConfigError, match="eta is 2"):
        RetractedHeat(2.0)
    state, up = RunState.at(x, 0.5, NOISE), torch.full((COUNT, 4), 0.6, dtype=torch.float64)
    with pytest.raises(ConfigError, match="grid that falls"):
        RetractedHeat()(ROTATIONS, state, m, up)
    with pytest.raises(ConfigError, match="expected a HeatProcess"):
        RetractedHeat()(ANGLES.kernel, state, m, up)
