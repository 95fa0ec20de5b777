"""Calls of other packages around a model, against closed forms, against the loop, and against their own schedulers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scidiff.denoise import GaussianMixture
from scidiff.errors import ConfigError, NumericalError, ShapeError, UnknownNameError
from scidiff.interchange import (
    PREDICTION_TYPES,
    DiscreteSchedule,
    from_deepinv,
    from_diffusers,
    to_deepinv,
    to_diffusers,
)
from scidiff.process import CosineSchedule, EDMSchedule, GaussianProcess, LinearFlowSchedule, Schedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import ddim, dpmpp_2m
from scidiff.spaces import Euclidean
from scidiff.testing import check_denoiser
from scidiff.testing_targets.gaussian import follow

MEAN, VARIANCE = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64), 0.49
SCHEDULES = [VPSchedule(), CosineSchedule(), EDMSchedule(), DiscreteSchedule.linear()]
NAMES = [type(schedule).__name__ for schedule in SCHEDULES]
ROUND_OFF = 1e-10
"""Relative; the longest chain multiplies 64-bit round-off by ratios of signal and noise up to 1e4."""


def target(schedule: Schedule) -> GaussianMixture:
    return GaussianMixture.gaussian(schedule, MEAN, torch.tensor(VARIANCE, dtype=torch.float64))


def process(schedule: Schedule) -> GaussianProcess:
    return GaussianProcess(Euclidean((3,)), schedule)


def points(count: int = 7) -> Tensor:
    return 2 * Noise.range(0, count).normal((3,), step=0, stream="x")


def wiener(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Denoised mean of the Gaussian, by hand."""
    return MEAN + alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2) * (x - alpha * MEAN)


def close(a: Tensor, b: Tensor, tolerance: float = ROUND_OFF) -> bool:
    return bool((a - b).abs().max() <= tolerance * (1 + b.abs().max()))


def test_a_discrete_schedule_goes_through_its_levels():
    steps = DiscreteSchedule.linear(1000)
    levels = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    t = steps.time(torch.arange(1000))
    assert close(steps.alpha(t) ** 2, levels, 1e-13) and close(steps.sigma(t) ** 2, 1 - levels, 1e-13)
    assert float(steps.alpha(0.0)) == 1 and float(steps.sigma(0.0)) == 0
    assert close(torch.cumprod(1 - steps.betas, 0), levels, 1e-12)
    assert close(steps.timestep(t), torch.arange(1000).double(), 1e-12)


@pytest.mark.parametrize("steps", [DiscreteSchedule.linear(), DiscreteSchedule.scaled_linear(50)], ids=["1000", "50"])
def test_a_discrete_schedule_is_inverted(steps):
    """Round-off of the logarithm moves the place within an interval by at most ``K r / (r' K) 1e-16``."""
    t = torch.linspace(0, 1, 4321, dtype=torch.float64)
    assert close(steps.t(steps.lam(t)), t, 1e-12)
    assert bool((steps.lam(t).diff() < 0).all())
    assert float(steps.t(-99.0)) == 1


def test_levels_of_any_schedule():
    """At ``(k + 1) / K`` of its clock; a clock that begins with too little noise starts at the floor."""
    t = torch.arange(1, 101, dtype=torch.float64) / 100
    for schedule in SCHEDULES[:2]:
        assert close(DiscreteSchedule.of(schedule, 100).lam(t), schedule.lam(t))
    late = DiscreteSchedule.of(EDMSchedule(), 100).ratio(t)
    assert close(late[[0, -1]], torch.tensor([0.002, 80.0], dtype=torch.float64))
    with pytest.raises(ConfigError, match="does not fall"):
        DiscreteSchedule.of(LinearFlowSchedule())
    assert DiscreteSchedule.of(LinearFlowSchedule(), end=0.999).count == 1000


@pytest.mark.parametrize("levels", [[0.9, 0.9], [0.5, 0.8], [1.0, 0.5], [0.5, 0.0], []], ids=str)
def test_levels_that_do_not_fall_are_refused(levels):
    with pytest.raises(ConfigError, match="alphas_cumprod"):
        DiscreteSchedule(torch.tensor(levels))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_model_with_timesteps_predicts_the_closed_form(schedule, prediction_type):
    steps = DiscreteSchedule.scaled_linear()
    model = to_diffusers(target(schedule).denoiser, process(schedule), steps, prediction_type=prediction_type)
    x = points()
    for k in (torch.tensor(0), 400, torch.tensor([0, 1, 10, 100, 500, 998, 999])):
        level = steps.alphas_cumprod[torch.as_tensor(k)].reshape(-1, 1)
        alpha, sigma = level.sqrt(), (1 - level).sqrt()
        m = wiener(x, alpha, sigma)
        eps = (x - alpha * m) / sigma
        truth = {"epsilon": eps, "sample": m, "v_prediction": alpha * eps - sigma * m}[prediction_type]
        assert close(model(x, k).sample, truth)
        assert torch.equal(model(x, k, return_dict=False)[0], model(x, k).sample)
    assert model(x.float(), 3).sample.dtype == torch.float32


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_there_and_back_is_the_same_denoiser(schedule, prediction_type):
    """At every level that a timestep has, between them as well, up to the end of the clock."""
    gaussian = target(schedule)
    model = to_diffusers(gaussian.denoiser, process(schedule), prediction_type=prediction_type)
    back = from_diffusers(model, model.steps, schedule, prediction_type=prediction_type)
    for t in (*schedule.t(-torch.tensor([0.02, 0.3, 1.0, 7.7]).log()).tolist(), 1.0):
        x = points() * float(schedule.sigma(t))
        assert close(back(x, torch.full(x.shape, t, dtype=torch.float64)), gaussian(x, t), 1e-9)


def test_an_exact_model_with_timesteps_keeps_the_contract_of_a_denoiser():
    steps = DiscreteSchedule.linear()

    def exact(sample: Tensor, timestep: Tensor):
        time = steps.time(timestep).reshape(-1, 1)
        return (wiener(sample, steps.alpha(time), steps.sigma(time)),)

    denoiser = from_diffusers(exact, steps, VPSchedule(), prediction_type="sample")
    check_denoiser(denoiser, process(VPSchedule()), points(), per_site=False, times=(0.02, 0.5, 0.98, 1.0))


def test_a_scheduler_by_hand_and_the_loop_agree():
    """DDIM at integer timesteps, written out, makes the states of the table on the same nodes."""
    steps = DiscreteSchedule.linear()
    model = to_diffusers(target(steps).denoiser, process(steps), steps)
    ks = [999, 800, 550, 300, 120, 20, 0]
    start, levels = points(), [*steps.alphas_cumprod[ks].tolist(), 1.0]
    x = start
    for k, now, then in zip(ks, levels, levels[1:], strict=False):
        eps = model(x, k).sample
        x = then**0.5 * (x - (1 - now) ** 0.5 * eps) / now**0.5 + (1 - then) ** 0.5 * eps
    grid = torch.cat([steps.time(torch.tensor(ks)), torch.zeros(1, dtype=torch.float64)])
    assert close(x, follow(ddim(steps, grid), target(steps).denoiser, steps, start).x)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_the_schedulers_of_diffusers_drive_a_model(name, prediction_type):
    """The same nodes give the states of the tables, but single precision of ``1 - abar_0 = 1e-4`` is 6e-4 of it."""
    diffusers = pytest.importorskip("diffusers")
    schedule = VPSchedule()
    model = to_diffusers(target(schedule).denoiser, process(schedule), prediction_type=prediction_type)
    options = {"DDIMScheduler": {"clip_sample": False}, "DPMSolverMultistepScheduler": {"lower_order_final": False}}
    scheduler = getattr(diffusers, name)(
        trained_betas=model.steps.betas.numpy(),
        prediction_type=prediction_type,
        timestep_spacing="trailing",
        **options.get(name, {}),
    )
    scheduler.set_timesteps(20)
    start = points()
    x = start * float(scheduler.init_noise_sigma)
    for k in scheduler.timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, k), k).sample, k, x).prev_sample
    grid = torch.cat([model.steps.time(scheduler.timesteps), torch.zeros(1, dtype=torch.float64)])
    table = (dpmpp_2m if name.startswith("DPM") else ddim)(model.steps, grid)
    own = to_deepinv(target(schedule).denoiser, process(schedule))
    denoiser = from_deepinv(own, model.steps)
    assert close(x.double(), follow(table, denoiser, model.steps, start).x, 2e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_a_denoiser_of_images_is_the_closed_form(schedule):
    denoise = to_deepinv(target(schedule).denoiser, process(schedule))
    x = points()
    for sigma in (0.02, torch.tensor(1.5), torch.logspace(-2, 1.5, 7, dtype=torch.float64)):
        level = torch.as_tensor(sigma).double().reshape(-1, 1)
        assert close(denoise(x, sigma), wiener(x, torch.ones_like(level), level))
    assert torch.equal(denoise(x, 0.0), x)


def test_gradients_pass_through_a_denoiser_of_images():
    """The slope of the Wiener filter is ``s^2 / (s^2 + sigma^2)``."""
    x = points().requires_grad_()
    to_deepinv(target(VPSchedule()).denoiser, process(VPSchedule()))(x, 0.7).sum().backward()
    assert close(x.grad, torch.full_like(x, VARIANCE / (VARIANCE + 0.49)))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_images_there_and_back(schedule):
    gaussian = target(schedule)
    back = from_deepinv(to_deepinv(gaussian.denoiser, process(schedule)), schedule)
    check_denoiser(back, process(schedule), points(), per_site=False, times=(0.02, 0.5, 0.98))
    for t in (0.02, 0.5, 1.0):
        x = points() * float(schedule.sigma(t))
        assert close(back(x, torch.full(x.shape, t, dtype=torch.float64)), gaussian(x, t))


def test_plug_and_play_of_deepinv_takes_a_model():
    """Its plug-and-play prior calls the model with the level; its proximal step is the denoiser."""
    deepinv = pytest.importorskip("deepinv")
    denoise = to_deepinv(target(VPSchedule()).denoiser, process(VPSchedule()))
    x = points()
    found = deepinv.optim.PnP(denoiser=denoise).prox(x, sigma_denoiser=0.3)
    assert close(found, wiener(x, torch.ones(1).double(), torch.tensor(0.3, dtype=torch.float64)))


def test_a_network_gets_numbers_of_its_own_type():
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.seen: list[torch.dtype] = []

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            self.seen += [x.dtype, level.dtype]
            return x * self.weight

    network = Half()
    x = points()
    assert from_deepinv(network, VPSchedule())(x, torch.full(x.shape, 0.5)).dtype == torch.float64
    assert set(network.seen) == {torch.float32}


def test_what_other_packages_do_not_know_is_refused():
    schedule, x = VPSchedule(), points()
    denoiser, own = target(schedule).denoiser, process(schedule)
    with pytest.raises(ConfigError, match=r"157.* at most 152"):
        to_diffusers(denoiser, own, DiscreteSchedule.linear())
    with pytest.raises(UnknownNameError, match="v_prediction"):
        to_diffusers(denoiser, own, prediction_type="v-prediction")
    model = to_diffusers(denoiser, own)
    for k in (-1, 1000):
        with pytest.raises(ConfigError, match="timesteps"):
            model(x, k)
    with pytest.raises(ShapeError, match="timestep"):
        model(x, torch.arange(3))
    denoise = to_deepinv(denoiser, own)
    for sigma in (-0.1, 1e6):
        with pytest.raises(ConfigError, match="sigma"):
            denoise(x, sigma)
    uneven = torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(ConfigError, match="different times"):
        from_deepinv(denoise, schedule)(x, uneven)
    with pytest.raises(ShapeError, match="different times"):
        from_diffusers(model, model.steps, schedule)(x, uneven)
    with pytest.raises(NumericalError, match="no mean"):
        from_diffusers(model, model.steps, LinearFlowSchedule())(x, 1.0)
    with pytest.raises(ConfigError, match="tuple"):
        from_diffusers(lambda sample, timestep: sample, model.steps, schedule)(x, 0.5)
    with pytest.raises(ConfigError, match="one tensor"):
        to_deepinv(denoiser, object())
