"""Bundled models under the calls of other packages say what they say in the loop."""

from __future__ import annotations

import pytest
import torch
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.priors import load_prior

from scidiff.interchange import DiscreteSchedule, from_deepinv, to_deepinv, to_diffusers
from scidiff.random import Noise
from scidiff.registry import load_domain
from scidiff.sample import log_snr_grid, unipc
from scidiff.testing_targets.gaussian import follow

GRID = Grid.square(32, 64.0)


@pytest.fixture(scope="module")
def prior():
    if not any(path.stem == "ct" for path in load_domain("ct").models):
        pytest.skip("the image prior is not bundled here")
    return load_prior("ct")


def test_an_image_prior_denoises_and_draws_the_same_images(prior):
    """Single precision inside of the network: its round-off, 1e-6 of values up to 3, through eight calls."""
    own, x = prior.denoiser(GRID), 1 + 0.3 * Noise.range(0, 2).normal(GRID.shape, step=0, stream="x")
    denoise = to_deepinv(own, prior.process)
    sigma = torch.tensor([0.1, 0.4])
    t = prior.process.schedule.t(-sigma.double().log())
    assert (denoise(x, sigma) - own(x, t.reshape(-1, 1, 1).expand(x.shape))).abs().max() < 1e-5
    schedule = prior.process.schedule
    grid = log_snr_grid(schedule, 8, start=float(schedule.t(-torch.tensor(1.0).double().log())), floor=0.05)
    back = from_deepinv(denoise, schedule)
    start = 1.0 + Noise.range(1, 2).normal(GRID.shape, step=0, stream="x")
    ends = [follow(unipc(schedule, grid), denoiser, schedule, start).x for denoiser in (own, back)]
    assert (ends[0] - ends[1]).abs().max() < 1e-4


def test_an_image_prior_has_timesteps(prior):
    """The mean behind ``epsilon`` at a timestep is the one of the level."""
    steps = DiscreteSchedule.of(prior.process.schedule, 100, floor=0.02)
    model, x = to_diffusers(prior.denoiser(GRID), prior.process, steps), torch.ones(1, *GRID.shape, dtype=torch.float64)
    k = torch.tensor(60)
    level = steps.alphas_cumprod[k]
    mean = (x - (1 - level).sqrt() * model(x, k).sample) / level.sqrt()
    sigma = ((1 - level) / level).sqrt()
    scale = 1e-5 * (1 + float(sigma))
    assert (mean - to_deepinv(prior.denoiser(GRID), prior.process)(x / level.sqrt(), sigma)).abs().max() < scale
