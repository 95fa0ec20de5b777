"""What may not matter does not: the kind of the prediction, the schedule behind the noise levels, the form of time."""

from __future__ import annotations

import pytest
import torch

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.process import (
    CosineSchedule,
    GaussianProcess,
    Kind,
    LinearFlowSchedule,
    VESchedule,
    VPSchedule,
)
from scidiff.random import Noise
from scidiff.sample import (
    RunState,
    TableRule,
    ancestral,
    ddim,
    deis,
    dpmpp_2m,
    dpmpp_2m_sde,
    heun,
    log_snr_grid,
    run,
    unipc,
)
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import target_a

SOLVERS = {"ddim": ddim, "ancestral": ancestral, "2m": dpmpp_2m, "unipc": unipc, "deis": deis, "heun": heun}
SOLVERS["sde"] = dpmpp_2m_sde
every = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
SPACE = Euclidean((4,))
LAM = torch.linspace(-3.5, 3.0, 13, dtype=torch.float64)


@every
@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule(lam_min=-4), VESchedule()], ids=str)
def test_the_kind_of_the_prediction_does_not_matter(solver, schedule):
    """Networks that predict mean, noise, velocity or score of one law draw the same samples to 1e-10."""
    exact, process = target_a(schedule), GaussianProcess(SPACE, schedule)

    def network(kind: Kind) -> Denoiser:
        return Denoiser(lambda x, t, _: process.convert(exact(x, t), Kind.MEAN, x, t, to=kind), kind)

    rule = TableRule(solver(schedule, log_snr_grid(schedule, 12, floor=0.02)))
    ends = [
        run(network(kind), process, rule, rule.plan, noise=Noise.range(0, 6), shape=(4,)).x
        for kind in (Kind.MEAN, Kind.EPS, Kind.V, Kind.SCORE)
    ]
    for end in ends[1:]:
        assert torch.allclose(end, ends[0], rtol=1e-10, atol=1e-10)


@every
@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule(), LinearFlowSchedule()], ids=str)
def test_the_schedule_does_not_matter(solver, schedule):
    """At equal ``lam`` nodes ``x / alpha`` is the same for every schedule: only the ratio of noise to signal counts."""
    reference = VESchedule(0.01, 60.0)
    start = 30 * Noise.range(7, 6).normal((4,), step=0, stream="start")
    ends = []
    for one in (reference, schedule):
        grid = one.t(LAM)
        alpha, rule = one.alpha(grid), TableRule(solver(one, grid))
        state = RunState.at(alpha[0] * start, float(grid[0]), Noise.range(0, 6))
        ends.append(
            run(target_a(one).denoiser, GaussianProcess(SPACE, one), rule, rule.plan, state=state).x / alpha[-1]
        )
    assert torch.allclose(ends[0], ends[1], rtol=1e-9, atol=1e-9)


@every
def test_the_form_of_time_does_not_matter(solver):
    """A denoiser that is given the scalar time of the step, and one that is given a time per site, agree."""
    schedule = VPSchedule()
    exact, process = target_a(schedule), GaussianProcess(SPACE, schedule)
    scalar = Denoiser(lambda x, t, _: exact(x, float(t[0, 0])), Kind.MEAN)
    rule = TableRule(solver(schedule, log_snr_grid(schedule, 8)))
    ends = [
        run(denoiser, process, rule, rule.plan, noise=Noise.range(0, 6), shape=(4,)).x
        for denoiser in (exact.denoiser, scalar)
    ]
    assert torch.equal(*ends)


@every
def test_unit_and_origin_of_the_data_do_not_matter(solver):
    """Data scaled by ``c`` and shifted by ``k``, on levels scaled alike, give samples scaled and shifted alike."""
    c, k = 3.0, torch.tensor([1.0, -2.0, 0.0, 5.0], dtype=torch.float64)
    one, other = VESchedule(0.01, 40.0), VESchedule(0.03, 120.0)
    a = target_a(one)
    b = GaussianMixture(other, a.weights, c * a.means + k, c**2 * a.covariances)
    start = 30 * Noise.range(7, 6).normal((4,), step=0, stream="start")
    ends = []
    for mixture, x, scale in ((a, start, 1.0), (b, c * start + k, c)):
        schedule = mixture.schedule
        grid = schedule.t(LAM - torch.tensor(scale).double().log())
        rule = TableRule(solver(schedule, grid))
        state = RunState.at(x, float(grid[0]), Noise.range(0, 6))
        ends.append(run(mixture.denoiser, GaussianProcess(SPACE, schedule), rule, rule.plan, state=state).x)
    assert torch.allclose(c * ends[0] + k, ends[1], rtol=1e-9, atol=1e-9)


def test_the_straight_path_starts_without_signal():
    """From ``alpha = 0`` the first step lands on the mean of the data plus noise, exactly, for every solver."""
    schedule = LinearFlowSchedule()
    mixture, process = target_a(schedule), GaussianProcess(SPACE, schedule)
    noise = Noise.range(0, 5)
    z, mean = process.prior(noise, (4,)), mixture.weights @ mixture.means
    for solver in SOLVERS.values():
        rule = TableRule(solver(schedule, log_snr_grid(schedule, 6)))
        state = run(mixture.denoiser, process, rule, rule.plan, noise=noise, shape=(4,), until=1)
        s = float(state.t[0, 0])
        fresh = noise.normal((4,), step=0, stream="table") if solver in (ancestral, dpmpp_2m_sde) else z
        assert torch.allclose(state.x, (1 - s) * mean + s * fresh, atol=1e-13)
