"""Steps chosen sample by sample: error against tolerance, rejections, and a run that can be cut, joined and stored."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.errors import ConfigError
from scidiff.process import EDMSchedule, GaussianProcess, Kind, LinearFlowSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, log_snr_grid, run, unipc
from scidiff.sample.continuous.adaptive import Adaptive
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, flow, target_a
from scidiff.testing_targets.orders import reference, starts

PROCESS = GaussianProcess(Euclidean((4,)), VE)
TARGET = target_a()


def plan(tolerance: float) -> Adaptive:
    return Adaptive(VE, tolerance, floor=0.01, to_zero=False)


def begin(count: int = 60) -> RunState:
    return RunState.at(starts()[:count], 1.0, Noise.range(0, count))


def go(chosen: Adaptive, state: RunState, denoiser: Denoiser = TARGET.denoiser, **options: object) -> RunState:
    return run(denoiser, PROCESS, chosen.rule, chosen, state=state, policy=chosen.policy, **options)


def times(chosen: Adaptive, state: RunState) -> Tensor:
    """Times of every sample at every step, shape ``(steps + 1, batch)``."""
    seen = [state.t[:, 0]]
    go(chosen, state, progress=lambda each: seen.append(each.t[:, 0]))
    return torch.stack(seen)


def test_the_error_follows_the_tolerance():
    """A step errs by h^3, a run by what its steps do: the error is proportional to the tolerance, within a factor 2.

    Over a factor 100 in tolerance the slope is then 1 within log10(4) / 2 = 0.3; calls grow by 100^(1/3) at most.
    """
    ends = [go(plan(tolerance), begin()) for tolerance in (0.1, 0.001)]
    errors = [float((end.x - reference()).norm(dim=1).median()) for end in ends]
    assert abs(math.log10(errors[0] / errors[1]) / 2 - 1) < 0.3
    calls = [float(end.calls.double().mean()) for end in ends]
    assert 2 < calls[1] / calls[0] < 100 ** (1 / 3)


def test_hard_samples_take_more_steps_than_easy_ones():
    """Data from one Gaussian bend the flow less than those of a mixture, and the ledger of each sample says so."""
    end = go(plan(0.01), begin())
    assert int(end.calls.max()) >= int(end.calls.min()) + 5
    assert end.i == int(end.calls.max())
    easy = GaussianMixture.gaussian(VE, TARGET.means[0], torch.tensor(4.0))
    smooth = go(plan(0.01), begin(), easy.denoiser)
    gap = (end.calls - smooth.calls).double()
    assert float(gap.mean()) > 4 * float(gap.std()) / 60**0.5


def test_the_ledger_counts_what_the_network_saw():
    seen: list[int] = []

    def counted(x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        seen.append(len(x))
        return TARGET(x, t)

    end = go(plan(0.03), begin(), Denoiser(counted, Kind.MEAN))
    assert sum(seen) == int(end.calls.sum())
    assert seen[-1] < 60


def test_a_rejected_step_goes_back_to_its_base():
    """A rejected trial is followed by one at a later time which is still earlier than the base; others go on."""
    path = times(plan(0.003), begin())
    back = path[1:] > path[:-1]
    assert int(back.sum()) > 10
    assert bool((back.any(1) & (path[1:] < path[:-1]).any(1)).any())
    for sample in range(60):
        base = 1.0
        for k in range(1, len(path)):
            if path[k, sample] < path[k - 1, sample]:
                base = float(path[k - 1, sample])
            assert path[k, sample] < base or path[k, sample] == path[k - 1, sample]


def test_a_retry_does_not_remember_the_trial():
    """A sample whose first trial was rejected ends where one ends that began with the shorter step at once."""
    long = times(Adaptive(VE, 0.01, floor=0.01, to_zero=False, first=5.0), begin(8))
    rejected = torch.nonzero(long[2] > long[1])[:, 0]
    assert len(rejected) == 8
    lam = VE.lam(long[2, :1])
    short = Adaptive(VE, 0.01, floor=0.01, to_zero=False, first=float(lam - VE.lam(1.0)))
    one = go(Adaptive(VE, 0.01, floor=0.01, to_zero=False, first=5.0), begin(1), until=2)
    two = go(short, begin(1), until=1)
    assert torch.allclose(one.x, two.x, rtol=0, atol=1e-11) and torch.allclose(one.t, two.t, rtol=0, atol=1e-14)


def test_a_batch_may_be_cut_anywhere():
    """Each sample by itself, and the batch in another order: the same steps, states to round-off."""
    whole = go(plan(0.03), begin(6))
    alone = [go(plan(0.03), begin(6).take([k])) for k in range(6)]
    assert [int(each.calls) for each in alone] == whole.calls.tolist()
    assert torch.allclose(torch.cat([each.x for each in alone]), whole.x, rtol=0, atol=1e-9)
    order = [5, 3, 4, 0]
    mixed = go(plan(0.03), begin(6).take(order))
    assert mixed.calls.tolist() == whole.calls[order].tolist()


def test_a_run_is_stored_cut_and_joined_in_the_middle():
    chosen, whole = plan(0.03), go(plan(0.03), begin(8))
    for stop in (1, 9, 15):
        half = go(chosen, begin(8), until=stop)
        again = go(chosen, RunState.from_bytes(half.to_bytes()))
        assert torch.equal(again.x, whole.x) and torch.equal(again.calls, whole.calls)
        parts = [go(chosen, half.take(range(k, k + 4)), until=stop + 3) for k in (0, 4)]
        joined = go(chosen, RunState.cat(parts))
        assert torch.equal(joined.calls, whole.calls) and torch.allclose(joined.x, whole.x, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "schedule", [LinearFlowSchedule(), VPSchedule(), EDMSchedule(80.0)], ids=["linear", "vp", "edm"]
)
def test_every_schedule_and_the_last_step_to_zero(schedule):
    """Against 400 steps of UniPC-3: the median sample errs by less than the noise at the floor would."""
    process, target = GaussianProcess(Euclidean((4,)), schedule), target_a(schedule)
    chosen, new = Adaptive(schedule, 0.003, floor=0.01), {"noise": Noise.range(0, 30), "shape": (4,)}
    end = run(target.denoiser, process, chosen.rule, chosen, policy=chosen.policy, **new)
    rule = TableRule(unipc(schedule, log_snr_grid(schedule, 400, floor=0.01)))
    fine = run(target.denoiser, process, rule, rule.plan, **new)
    assert bool((end.t == 0).all())
    assert float((end.x - fine.x).norm(dim=1).median()) < 0.01


def test_clean_sites_stay_and_do_not_count():
    free = torch.ones(6, 4, dtype=torch.bool)
    free[:, 0] = False
    free[5] = False
    clean = torch.full((6, 4), 0.25, dtype=torch.float64)
    chosen = Adaptive(VE, 0.01, floor=0.01)
    noise = Noise.range(0, 6)
    end = run(
        TARGET.denoiser,
        PROCESS,
        chosen.rule,
        chosen,
        noise=noise,
        shape=(4,),
        free=free,
        clean=clean,
        policy=chosen.policy,
    )
    assert bool((end.x[:, 0] == 0.25).all()) and bool((end.x[5] == 0.25).all())
    assert int(end.calls[5]) == 0 and int(end.calls[:5].min()) > 10


def test_a_sample_that_no_step_fits_does_not_stop_the_others():
    """A denoiser that returns no number for one sample: it carries what it got, and goes to the end at once."""

    def broken(x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return torch.where(condition.unsqueeze(1), torch.nan, TARGET(x, t))

    bad = torch.tensor([False, True, False])
    chosen = Adaptive(VE, 0.03, floor=0.01, to_zero=False, least=0.2)
    end = go(chosen, begin(3), Denoiser(broken, Kind.MEAN), condition=bad)
    assert bool(end.x[1].isnan().all())
    good = go(chosen, begin(3))
    assert torch.allclose(end.x[[0, 2]], good.x[[0, 2]], rtol=0, atol=1e-9)
    assert int(end.calls[1]) < int(end.calls[0])


def test_without_the_policy_all_pay_until_the_last_has_arrived():
    chosen = plan(0.03)
    end = run(TARGET.denoiser, PROCESS, chosen.rule, chosen, state=begin(12))
    spared = go(chosen, begin(12))
    assert torch.equal(end.x, spared.x) and bool((end.calls == end.i).all())
    assert int(spared.calls.min()) < end.i


def test_what_makes_no_sense_is_refused():
    for bad in ({"tolerance": 0.0}, {"floor": 90.0}, {"least": 1.0}):
        with pytest.raises(ConfigError, match="expected all positive"):
            Adaptive(VE, **bad)
    with pytest.raises(ConfigError, match="schedule of the process"):
        run(TARGET.denoiser, PROCESS, Adaptive(VPSchedule()).rule, plan(0.1), state=begin(2))
    with pytest.raises(ConfigError, match="factors"):
        plan(0.1).done(RunState.at({"a": starts()[:2]}, 1.0, Noise.range(0, 2)))


def test_the_reference_is_fine_enough():
    """Half as many Runge-Kutta steps move the ends of the flow by less than a thousandth of the errors above."""
    coarse = flow(TARGET, starts(), -math.log(40), -math.log(0.01), 250)
    assert float((coarse - reference()).norm(dim=1).median()) < 1e-6
