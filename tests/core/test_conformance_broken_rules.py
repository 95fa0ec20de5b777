"""Every check of the kit for rules fails on a rule or a plan that is broken in that way, and says what is broken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from scidiff.process import GaussianProcess, VPSchedule
from scidiff.random import Noise
from scidiff.sample import Grid, RunState, TableRule, ancestral, log_snr_grid, uniform_grid
from scidiff.spaces import Euclidean, State
from scidiff.testing import check_denoiser, check_label, check_rule

from .conformance_cases import cochains, mixture, normal

VP = VPSchedule()
EXACT = mixture(torch.tensor([0.1, 0.2, 0.05]))


@dataclass
class Step:
    """DDIM with the coefficients of the process, for any times; each case breaks it in one way."""

    memory: Any = 0
    label = "consistent(1)"

    def __call__(self, process, state: RunState, m: State, s: State) -> State:
        t, levels = state.t, process.schedule
        keep = torch.where(t > 0, levels.sigma(s) / torch.where(t > 0, levels.sigma(t), 1.0), 1.0)
        return torch.where(t > 0, keep * state.x + (levels.alpha(s) - keep * levels.alpha(t)) * m, state.x)


class NoLabel(Step):
    label = None


class GoodLabel(Step):
    label = "good"


class Drifts(Step):
    def __call__(self, process, state, m, s):
        return super().__call__(process, state, m, s) + 0.01


class Couples(Step):
    def __call__(self, process, state, m, s):
        return super().__call__(process, state, m - 0.1 * state.x.mean(0) * (state.t > s), s)


class Numbers(Step):
    def __call__(self, process, state, m, s):
        return super().__call__(process, state, m * (1 + torch.arange(len(m))[:, None] * (state.t > s)), s)


class Draws(Step):
    def __call__(self, process, state, m, s):
        return super().__call__(process, state, m + torch.rand(1).double() * (state.t > s), s)


class Hides(Step):
    """Remembers the last prediction by itself, and forgets it at the start of a run."""

    def __call__(self, process, state, m, s):
        before = m if state.i == 0 else self.__dict__.get("last", m)
        if bool((state.t > s).any()):
            self.last = m
        return super().__call__(process, state, m if len(before) != len(m) else (m + before) / 2, s)


class Single(Step):
    def __call__(self, process, state, m, s):
        return super().__call__(process, state, m, s).float()


class Explodes(Step):
    def __call__(self, process, state, m, s):
        return super().__call__(process, state, m, s) / (s > 0)


class Overwrites(Step):
    def __call__(self, process, state, m, s):
        new = super().__call__(process, state, m, s)
        return state.x.copy_(new) if bool((state.t > s).any()) else new


class Endless(Grid):
    def done(self, state):
        return False

    def next(self, state, m):
        return 0.5 * state.t


class Rises(Grid):
    def next(self, state, m):
        s = super().next(state, m)
        return torch.where(state.free & (s > 0), s + 0.4, s) if state.i == 1 else s


class WakesClamped(Grid):
    def next(self, state, m):
        return torch.where(state.free, super().next(state, m), 0.0 * state.t + 1e-9 * (state.i == 0))


BROKEN_RULES = {
    "no label": (NoLabel(), Grid, "no label"),
    "another label": (GoodLabel(), Grid, "has the label 'good'"),
    "negative memory": (Step(-1), Grid, "memory is -1"),
    "moves at rest": (Drifts(), Grid, "from t to t moves"),
    "couples the batch": (Couples(), Grid, "ends elsewhere"),
    "numbers the rows": (Numbers(), Grid, "ends elsewhere"),
    "draws by itself": (Draws(), Grid, "not a function of its seed"),
    "keeps state": (Hides(), Grid, "ends elsewhere"),
    "loses precision": (Single(), Grid, "a run keeps float64"),
    "explodes": (Explodes(), Grid, "not finite"),
    "overwrites": (Overwrites(), Grid, "changes the state that was given|ends elsewhere"),
    "never ends": (Step(), Endless, "not done after"),
    "goes back": (Step(), Rises, "goes back to the noise"),
    "wakes clamped sites": (Step(), WakesClamped, "other than 0"),
}
PROCESS = GaussianProcess(Euclidean((2,)), VP)


@pytest.mark.parametrize(("rule", "plan", "says"), BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_a_broken_rule_is_caught(rule, plan, says):
    with pytest.raises(AssertionError, match=says):
        check_rule(rule, PROCESS, plan(uniform_grid(4)), EXACT.denoiser, (2,), limit=40)


def test_the_sound_rule_passes():
    check_rule(Step(), PROCESS, Grid(uniform_grid(4)), EXACT.denoiser, (2,))


def test_calls_that_are_not_booked_are_caught():
    """A plan that books a call that nobody made."""

    class Books(Grid):
        def start(self, state):
            return replace(state, calls=state.calls + 1)

    with pytest.raises(AssertionError, match="ledger says 25 calls of all samples, the denoiser saw 20"):
        check_rule(Step(), PROCESS, Books(uniform_grid(4)), EXACT.denoiser, (2,))


def test_a_seed_that_changes_nothing_is_caught():
    @dataclass(frozen=True)
    class Point(GaussianProcess):
        def prior(self, noise, shape, *, stream="prior"):
            return 0 * super().prior(noise, shape, stream=stream)

    with pytest.raises(AssertionError, match="another seed gives the same"):
        check_rule(Step(), Point(Euclidean((2,)), VP), Grid(uniform_grid(4)), EXACT.denoiser, (2,))


def test_clamping_that_is_not_refused_is_caught():
    rule = TableRule(ancestral(VP, log_snr_grid(VP, 4)))
    with pytest.raises(AssertionError, match="set per_site"):
        check_rule(rule, PROCESS, rule.plan, EXACT.denoiser, (2,), stays=False, per_site=False)
    with pytest.raises(AssertionError, match="set stays=False"):
        check_rule(rule, PROCESS, rule.plan, EXACT.denoiser, (2,))
    assert cochains().options == {"per_site": False}


def test_the_kits_check_their_own_input():
    with pytest.raises(AssertionError, match="at least 3"):
        check_rule(Step(), PROCESS, Grid(uniform_grid(4)), EXACT.denoiser, (2,), count=2)
    with pytest.raises(AssertionError, match="at least 3"):
        check_denoiser(EXACT.denoiser, PROCESS, normal(2)[:2])
    with pytest.raises(AssertionError, match="no label"):
        check_label(Noise.range(0, 1))
