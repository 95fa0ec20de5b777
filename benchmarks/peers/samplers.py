"""Samplers of diffusers and azula: the same network, the same nodes, the same calls.

The target is the mixture of six Gaussians in four dimensions of the core's suite, with its exact denoiser. A
deterministic sampler is a map from ``x_T`` to ``x_0``; its error is the root-mean-square distance to the end of the
exact flow from the same ``x_T``, by the classical Runge-Kutta method in 1200 steps, without Monte-Carlo error. The law
of the end of the exact flow is the law of the data.

diffusers runs on the published linear levels of DDPM with trailing timesteps; scidiff on `DiscreteSchedule`, which goes
through the same levels, with the same nodes, last step to zero noise included. azula runs on its geometric exploding
schedule; scidiff on the same levels of `EDMSchedule`. Seconds are those of one whole run from given ``x_T``, everything
that a sampler sets up before it included, with the exact denoiser and with a small network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure import absent, error_row, time_row
from torch import Tensor, nn

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.domain import Row
from scidiff.interchange import DiscreteSchedule
from scidiff.process import EDMSchedule, Kind, Schedule
from scidiff.random import Noise
from scidiff.sample import ddim, deis, dpmpp_2m, exponential_adams, heun, log_snr_grid, unipc
from scidiff.testing_targets.gaussian import flow, follow, target_a

__all__ = ["azula_rows", "diffusers_rows"]

POINTS, FLOOR = 512, 1e-3
Solver = Callable[[Schedule, Tensor], Any]


def _starts(seed: int, scale: float) -> Tensor:
    return scale * Noise.range(seed, POINTS).normal((4,), step=0, stream="start")


def _exact(x: Tensor, high: float, low: float) -> Tensor:
    """End of the exact flow in the unit of the data, from noise level `high` to `low`, for ``alpha = 1``."""
    mixture = target_a(EDMSchedule(2 * high))
    lam = (-torch.tensor([high, low], dtype=torch.float64).log()).tolist()
    return flow(mixture, x, lam[0], lam[1], 1200)


def _rms(x: Tensor, y: Tensor) -> float:
    return float((x.double() - y).square().sum(-1).mean().sqrt())


def _flow_row(name: str, peer: str, ours: list[Tensor], theirs: list[Tensor], ends: list[Tensor]) -> Row:
    """Row of the distances of both to the ends of the exact flow, with the largest difference between the two."""
    gap = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    errors = [(_rms(a, end), _rms(b, end)) for a, b, end in zip(ours, theirs, ends, strict=True)]
    note = f"distance to the exact flow, {POINTS} starts for each seed; largest difference of the two {gap:.1e}"
    return error_row(name, peer, *zip(*errors, strict=True), note=note)


class _Network(nn.Module):
    """A small multilayer perceptron of state and level, in single precision."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(5, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 4)
        )

    def forward(self, x: Tensor, level: Tensor | float) -> Tensor:
        level = torch.as_tensor(level, dtype=torch.float32).reshape(-1, *(1,) * (x.ndim - 1)).expand(len(x), 1)
        return self.layers(torch.cat([x.float(), level], -1)).to(x.dtype)


def _network() -> _Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _Network().eval()


def _diffusers_run(scheduler: Any, mean: Callable[[Tensor, Tensor], Tensor], x: Tensor, steps: int) -> Tensor:
    """The loop that its manual shows."""
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        x = scheduler.step(mean(scheduler.scale_model_input(x, timestep), timestep), timestep, x).prev_sample
    return x


def diffusers_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of DDIM, DPM-Solver++(2M), UniPC and Euler."""
    try:
        import diffusers
    except ImportError:
        yield absent("diffusers")
        return
    schedule = DiscreteSchedule.linear()
    mixture, network = target_a(schedule), _network()
    common = {"beta_schedule": "linear", "prediction_type": "sample", "timestep_spacing": "trailing"}
    methods: list[tuple[str, Callable[[], Any], Solver]] = [
        ("DDIM", lambda: diffusers.DDIMScheduler(**common, clip_sample=False), ddim),
        (
            "DPM-Solver++(2M)",
            lambda: diffusers.DPMSolverMultistepScheduler(**common, solver_order=2, lower_order_final=False),
            dpmpp_2m,
        ),
        ("UniPC-2", lambda: diffusers.UniPCMultistepScheduler(**common, solver_order=2), _unipc_2),
        ("UniPC-3", lambda: diffusers.UniPCMultistepScheduler(**common, solver_order=3), unipc),
        ("Euler", lambda: diffusers.EulerDiscreteScheduler(**common), ddim),
    ]
    exact = Denoiser(mixture, Kind.MEAN)
    small = Denoiser(lambda x, t, _: network(x, t[:, 0]), Kind.MEAN)
    seeds = range(seed, seed + (2 if fast else 6))
    top = float(schedule.ratio(1.0))
    starts = [_starts(one, float(schedule.sigma(1.0))) for one in seeds]
    ends = [_exact(x / float(schedule.alpha(1.0)), top, FLOOR) for x in starts]
    for name, make, solver in methods:
        for steps in (8, 20):
            scheduler = make()
            scheduler.set_timesteps(steps)
            grid = torch.cat([schedule.time(scheduler.timesteps), torch.zeros(1, dtype=torch.float64)])
            mean = lambda x, k: mixture(x, schedule.time(k))  # noqa: E731
            unit = float(scheduler.init_noise_sigma)
            ours = [follow(solver(schedule, grid), exact, schedule, x).x for x in starts]
            theirs = [_diffusers_run(make(), mean, _unscaled(x, schedule, unit), steps) for x in starts]
            yield _flow_row(f"{name}, {steps} calls", "diffusers", ours, theirs, ends)
    yield from _documented(diffusers, schedule, mixture, starts, ends)
    yield from _diffusers_times(methods, schedule, small, network, fast)


def _documented(
    diffusers: Any, schedule: DiscreteSchedule, mixture: GaussianMixture, starts: list[Tensor], ends: list[Tensor]
) -> Iterator[Row]:
    """Rows of what each side advises for few calls, with nodes of its own: of the peer's, the best of three."""
    common = {"beta_schedule": "linear", "prediction_type": "sample"}
    choices = [
        lambda: diffusers.DPMSolverMultistepScheduler(**common, use_karras_sigmas=True),
        lambda: diffusers.DPMSolverMultistepScheduler(**common, use_lu_lambdas=True),
        lambda: diffusers.UniPCMultistepScheduler(**common, use_karras_sigmas=True),
    ]
    exact = Denoiser(mixture, Kind.MEAN)
    for steps in (8, 12, 20):
        grid = log_snr_grid(schedule, steps, floor=float(schedule.ratio(1 / schedule.count)))
        ours, theirs = [], []
        for x, end in zip(starts, ends, strict=True):
            ours.append(_rms(follow(unipc(schedule, grid), exact, schedule, x).x, end))
            theirs.append(min(_rms(_at_levels(make(), schedule, mixture, x, steps), end) for make in choices))
        note = "UniPC on equal log-SNR steps; best of DPM-Solver++(2M) Karras or log-SNR and UniPC Karras"
        yield error_row(f"as advised, {steps} calls", "diffusers", ours, theirs, note=note)


def _at_levels(scheduler: Any, schedule: DiscreteSchedule, mixture: GaussianMixture, x: Tensor, steps: int) -> Tensor:
    """Run a scheduler with the denoiser at its exact levels, where its integer timesteps would be rounded."""
    scheduler.set_timesteps(steps)
    for sigma, timestep in zip(scheduler.sigmas[:-1].double(), scheduler.timesteps, strict=True):
        x = scheduler.step(mixture(x, schedule.t(-sigma.log())), timestep, x).prev_sample
    return x


def _unscaled(x: Tensor, schedule: DiscreteSchedule, unit: float) -> Tensor:
    """Start in the unit of a scheduler: states of Euler's have ``alpha = 1``."""
    return x / float(schedule.alpha(1.0)) / unit if unit != 1.0 else x


def _unipc_2(schedule: Schedule, grid: Tensor) -> Any:
    return unipc(schedule, grid, order=2)


def _diffusers_times(
    methods: list[tuple[str, Callable[[], Any], Solver]],
    schedule: DiscreteSchedule,
    small: Denoiser,
    network: _Network,
    fast: bool,
) -> Iterator[Row]:
    """Rows of seconds with a small network, where the sampler itself counts."""
    mean = lambda x, k: network(x, schedule.time(k))  # noqa: E731
    for count in (64, 4096):
        x = Noise.range(0, count).normal((4,), step=0, stream="start")
        for name, make, solver in methods:
            scheduler = make()
            scheduler.set_timesteps(20)
            grid = torch.cat([schedule.time(scheduler.timesteps), torch.zeros(1, dtype=torch.float64)])
            with torch.no_grad():
                yield time_row(
                    f"{name}, 20 calls, {count} samples",
                    "diffusers",
                    lambda grid=grid, solver=solver, x=x: follow(solver(schedule, grid), small, schedule, x),
                    lambda make=make, x=x: _diffusers_run(make(), mean, x, 20),
                    repeats=5 if fast else 25,
                    note="one run, set-up included, network of 128 units",
                )


def azula_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of DDIM, Heun and the exponential Adams-Bashforth methods."""
    try:
        import azula.denoise
        import azula.noise
        import azula.sample
    except ImportError:
        yield absent("azula")
        return
    high, low = 40.0, 0.01
    schedule, theirs = EDMSchedule(high), azula.noise.VESchedule(low, high)
    mixture, network = target_a(schedule), _network()

    class Exact(azula.denoise.Denoiser):
        def __init__(self, mean: Callable[[Tensor, Tensor], Tensor]) -> None:
            super().__init__()
            self.schedule, self.mean = theirs, mean

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            return azula.denoise.DiracPosterior(mean=self.mean(x_t, t))

    def level(t: Tensor) -> Tensor:
        """Time of scidiff's clock at which the noise is that of azula's time."""
        return schedule.t(-theirs.sigma(t.double()).log())

    sample = azula.sample
    methods = [
        ("DDIM", sample.DDIMSampler, {}, ddim, 1),
        ("Heun", sample.HeunSampler, {}, heun, 2),
        ("exponential Adams 2", sample.xEABSampler, {"order": 2}, _adams(2), 1),
        ("exponential Adams 3", sample.xEABSampler, {"order": 3}, _adams(3), 1),
        ("exponential Adams 3 on eps", sample.zEABSampler, {"order": 3}, deis, 1),
    ]
    seeds = range(seed, seed + (2 if fast else 6))
    starts = [_starts(one, high) for one in seeds]
    ends = [_exact(x, high, low) for x in starts]
    exact, small = Denoiser(mixture, Kind.MEAN), Denoiser(lambda x, t, _: network(x, t[:, 0]), Kind.MEAN)
    for name, kind, options, solver, stages in methods:
        for calls in (8, 20):
            steps = calls // stages
            options = {**options, "steps": steps, "silent": True, "dtype": torch.float64}
            grid = level(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
            peer = kind(Exact(lambda x, t: mixture(x, level(t))), **options)
            ours = [follow(solver(schedule, grid), exact, schedule, x).x for x in starts]
            yield _flow_row(f"{name}, {calls} calls", "azula", ours, [peer(x) for x in starts], ends)
    for name, kind, options, solver, stages in methods:
        steps = 20 // stages
        grid = level(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
        options = {**options, "steps": steps, "silent": True, "dtype": torch.float64}
        x = Noise.range(0, 64).normal((4,), step=0, stream="start")
        with torch.no_grad():
            yield time_row(
                f"{name}, 20 calls, 64 samples",
                "azula",
                lambda grid=grid, solver=solver, x=x: follow(solver(schedule, grid), small, schedule, x),
                lambda kind=kind, options=options, x=x: kind(Exact(lambda x, t: network(x, level(t))), **options)(x),
                repeats=5 if fast else 25,
                note="one run, set-up included, network of 128 units",
            )


def _adams(order: int) -> Solver:
    return lambda schedule, grid: exponential_adams(schedule, grid, order=order)
