"""Claims on what does not matter: the kind of the prediction, the schedule, the form of time, the cut of the batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.denoise import Denoiser
from scidiff.process import (
    CosineSchedule,
    EDMSchedule,
    GaussianProcess,
    Kind,
    LinearFlowSchedule,
    Schedule,
    VESchedule,
    VPSchedule,
    uniform,
)
from scidiff.random import Noise
from scidiff.sample import Ancestral, Grid, TableRule, ancestral, dpmpp_2m, heun, log_snr_grid, run, uniform_grid, unipc
from scidiff.spaces import Euclidean
from scidiff.testing_targets.enumeration import Chain
from scidiff.testing_targets.gaussian import follow, target_a

__all__ = ["claims"]

_SCHEDULES = (VPSchedule(), CosineSchedule(), EDMSchedule(), VESchedule(), LinearFlowSchedule())
_KINDS = (Kind.MEAN, Kind.EPS, Kind.V, Kind.SCORE)
_SOLVERS = {"UniPC-3": unipc, "DPM-Solver++(2M)": dpmpp_2m, "Heun": heun, "DDPM": ancestral}
_SPACE = Euclidean((4,))
_COUNT = 6


def _gap(one: Tensor, other: Tensor) -> float:
    """Largest difference, relative to numbers above 1 and absolute below."""
    return float(((one - other).abs() / other.abs().clamp_min(1.0)).max())


def _round_trip(schedule: Schedule, seed: int) -> float:
    """Worst error of a conversion from one kind to another and back, for ratios from e^-3 to e^3."""
    process, noise = GaussianProcess(_SPACE, schedule), Noise.range(seed, 50)
    x0 = noise.normal((4,), step=0, stream="x0")
    t = schedule.t(6 * noise.uniform((4,), step=0, stream="t") - 3)
    x_t = process.noise(x0, t, noise)
    worst = 0.0
    for source, target in itertools.permutations(_KINDS, 2):
        one = process.convert(x0 + 0.1, Kind.MEAN, x_t, t, to=source)
        there = process.convert(one, source, x_t, t, to=target)
        worst = max(worst, _gap(process.convert(there, target, x_t, t, to=source), one))
    return worst


def _gaussian_run(denoiser: Denoiser, schedule: Schedule, solver: object, noise: Noise) -> Tensor:
    """Samples of Target A in twelve steps."""
    rule = TableRule(solver(schedule, log_snr_grid(schedule, 12, floor=0.02)))
    return run(denoiser, GaussianProcess(_SPACE, schedule), rule, rule.plan, noise=noise, shape=(4,)).x


def _kinds(solver: object, seed: int) -> float:
    """Worst difference between samples of networks that predict the mean, noise, velocity or score."""
    schedule = VPSchedule()
    exact, process = target_a(schedule), GaussianProcess(_SPACE, schedule)
    ends = []
    for kind in _KINDS:
        network = Denoiser(
            lambda x, t, _, kind=kind: process.convert(exact(x, t), Kind.MEAN, x, t, to=kind),
            kind,
        )
        ends.append(_gaussian_run(network, schedule, solver, Noise.range(seed, _COUNT)))
    return max(_gap(end, ends[0]) for end in ends[1:])


def _schedules(solver: object, seed: int) -> float:
    """Worst difference of ``x / alpha`` between five schedules on the same noise-to-signal ratios."""
    start = 30 * Noise.range(seed, _COUNT).normal((4,), step=0, stream="start")
    lam = torch.linspace(-3.5, 3.0, 13, dtype=torch.float64)
    ends = []
    for schedule in (VESchedule(0.01, 60.0), VPSchedule(), CosineSchedule(), LinearFlowSchedule()):
        grid = schedule.t(lam)
        alpha = schedule.alpha(grid)
        noise = Noise.range(seed, _COUNT)
        state = follow(solver(schedule, grid), target_a(schedule).denoiser, schedule, alpha[0] * start, noise)
        ends.append(state.x / alpha[-1])
    return max(_gap(end, ends[0]) for end in ends[1:])


def _site_time(solver: object, seed: int) -> float:
    """Difference between denoisers that are given the scalar time and a time for each site."""
    schedule = VPSchedule()
    exact = target_a(schedule)
    scalar = Denoiser(lambda x, t, _: exact(x, float(t[0, 0])), Kind.MEAN)
    one, other = (
        _gaussian_run(denoiser, schedule, solver, Noise.range(seed, _COUNT)) for denoiser in (exact.denoiser, scalar)
    )
    return float((one - other).abs().max())


def _discrete_site_time(seed: int) -> float:
    """Difference between reverse laws of the scalar time and of a time for each site."""
    chain = Chain(uniform(3), 3)
    noise = Noise.range(seed, 64)
    x = chain.process.prior(noise, (3,))
    each = torch.full(x.shape, 0.6, dtype=torch.float64)
    laws = [chain.process.step_probs(chain.oracle.posterior(x, t), x, t, 0.5 * t) for t in (0.6, each)]
    return float((laws[0] - laws[1]).abs().max())


def _noise_split(seed: int) -> float:
    """Words of the noise that change when a batch of nine is drawn as four and five."""
    whole = Noise.range(seed, 9).bits((64,), step=3, stream="a")
    parts = [Noise.range(seed, count, first).bits((64,), step=3, stream="a") for count, first in ((4, 0), (5, 4))]
    return float((whole[:4] != parts[0]).sum() + (whole[4:] != parts[1]).sum())


def _gaussian_split(seed: int) -> float:
    """Worst difference between samples made as one batch and as two."""
    schedule = VPSchedule()
    exact = target_a(schedule).denoiser
    whole, first, second = (
        _gaussian_run(exact, schedule, ancestral, Noise.range(seed, *cut)) for cut in ((9,), (4,), (5, 4))
    )
    return _gap(torch.cat([first, second]), whole)


def _discrete_split(seed: int) -> float:
    """Number of sites that differ between samples made as one batch and as two."""
    chain = Chain(uniform(3), 3)
    plan = Grid(uniform_grid(8))
    whole, first, second = (
        run(chain.oracle.denoiser(), chain.process, Ancestral(), plan, noise=Noise.range(seed, *cut), shape=(3,)).x
        for cut in ((200,), (77,), (123, 77))
    )
    return float((torch.cat([first, second]) != whole).sum())


def claims() -> Iterator[Claim]:
    """Yield the claims on invariances."""
    for schedule in _SCHEDULES:
        yield Claim(
            f"conversion there and back/{type(schedule).__name__}",
            "exact",
            lambda seed, schedule=schedule: _round_trip(schedule, seed),
            truth=0,
            tolerance=2e-12,
            why="12 pairs of kinds, ratios e^-3 to e^3, which amplify the round-off 2e-16 by e^9 at most",
        )
    grown = "round-off 1e-15, grown by 1e4 between the modes"
    for name, solver in _SOLVERS.items():
        part = f"{name} does not depend on"
        cases = {
            "the kind of the prediction": (
                _kinds,
                1e-11,
                f"mean, noise, velocity, score; {grown}",
            ),
            "the schedule": (
                _schedules,
                1e-11,
                f"x/alpha at equal ratios; {grown}",
            ),
            "the form of time": (_site_time, 0.0, "one time, or one for each site; the same arithmetic"),
        }
        for what, (measure, tolerance, why) in cases.items():
            yield Claim(
                f"invariance/{part} {what}",
                "exact",
                lambda seed, measure=measure, solver=solver: measure(solver, seed),
                truth=0,
                tolerance=tolerance,
                why=why,
                calls=12,
            )
    same = "the same arithmetic"
    yield Claim("invariance/reverse law, time per site", "exact", _discrete_site_time, 0, 0.0, why=same)
    yield Claim("batch split/words of the noise", "exact", _noise_split, 0, 0.0, why="bits that differ; same counters")
    yield Claim("batch split/samples of Target A", "exact", _gaussian_split, 0, 1e-12, why="sums in another order")
    yield Claim("batch split/samples of the chain", "exact", _discrete_split, 0, 0.0, why="sites that differ")
