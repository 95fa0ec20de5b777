"""The network under the loop: branches in one batch, rows that are not due, gradients, further points, the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.denoise.condition import join_conditions, take_condition
from scidiff.errors import ConfigError
from scidiff.process import GaussianProcess, Kind
from scidiff.random import Noise
from scidiff.sample import Branch, Model, RunState, TableRule, Transform, ddim, log_snr_grid, run
from scidiff.sample.model import MAIN
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, target_a

PROCESS = GaussianProcess(Euclidean((4,)), VE)
EXACT = target_a()
BATCH = 5


def begin(t: float = 0.5) -> RunState:
    return RunState.at(Noise.range(3, BATCH).normal((4,), step=0, stream="x"), t, Noise.range(0, BATCH))


class Spy:
    """Linear network ``m = c x`` with a condition per sample; keeps the sizes of its batches."""

    def __init__(self):
        self.batches = []

    def __call__(self, x, t, condition):
        self.batches.append(len(x))
        return x * (1.0 if condition is None else condition.reshape(-1, 1))

    @property
    def denoiser(self):
        return Denoiser(self, Kind.MEAN)


class Keep(Transform):
    """Ask for branches and keep what came."""

    def __init__(self, branches, gradient=False):
        self.asked, self.needed = branches, gradient
        self.seen = []

    @property
    def gradient(self):
        return self.needed

    def branches(self, state):
        return self.asked

    def __call__(self, m, state, evaluation):
        self.seen.append(evaluation)
        return m, state


CONDITION = torch.arange(1.0, BATCH + 1, dtype=torch.float64)
DUE = torch.tensor([True, False, True, False, False])


@pytest.mark.parametrize("gradient", [False, True])
def test_branches_share_one_batch_and_rows_that_are_not_due_get_the_main_prediction(gradient):
    spy, keep = Spy(), Keep({"other": Branch(8 * CONDITION), "some": Branch(-CONDITION, DUE)}, gradient)
    state = begin()
    m, after = Model(spy.denoiser, PROCESS, CONDITION, (keep,)).estimate(state)
    main = state.x * CONDITION[:, None]
    assert torch.equal(m, main)
    assert torch.equal(keep.seen[0].branches["other"], 8 * main)
    assert torch.equal(keep.seen[0].branches["some"], torch.where(DUE[:, None], -main, main))
    assert spy.batches == ([BATCH, BATCH + 2] if gradient else [2 * BATCH + 2])
    assert after.calls.tolist() == (2 + DUE.long()).tolist()


def test_conditions_of_another_form_are_evaluated_apart():
    spy = Spy()
    _, after = Model(spy.denoiser, PROCESS, CONDITION, (Keep({"none": Branch(None)}),)).estimate(begin())
    assert spy.batches == [BATCH, BATCH] and after.calls.tolist() == [2] * BATCH


def test_the_pullback_is_the_symmetric_jacobian_of_the_exact_denoiser():
    keep, state = Keep({}, gradient=True), begin()
    with torch.no_grad():
        _, after = Model(EXACT.denoiser, PROCESS, None, (keep,)).estimate(state)
    v = Noise.range(1, BATCH).normal((4,), step=0, stream="v")
    alpha, sigma = VE.alpha(torch.tensor(0.5)), VE.sigma(torch.tensor(0.5))
    wanted = alpha / sigma**2 * torch.einsum("bij,bj->bi", EXACT.covariance(state.x, 0.5), v)
    # |J v| is of the order of one; both sides are float64
    assert torch.allclose(keep.seen[0].pullback(v), wanted, rtol=1e-10, atol=1e-12)
    assert torch.equal(keep.seen[0].pullback(v), keep.seen[0].pullback(v))
    assert after.calls.tolist() == [1] * BATCH and not keep.seen[0].raw.requires_grad


def test_a_gradient_has_to_be_declared():
    keep = Keep({})
    Model(EXACT.denoiser, PROCESS, None, (keep,)).estimate(begin())
    with pytest.raises(ConfigError, match="gradient = True"):
        keep.seen[0].pullback(torch.ones(BATCH, 4))


def test_further_points_are_seen_under_the_condition_of_their_sample_and_booked():
    model, state = Model(Spy().denoiser, PROCESS, CONDITION), begin()
    points = Noise.range(1, 3).normal((BATCH, 4), step=0, stream="x")
    m, after = model.at(state, points, 0.3)
    assert torch.equal(m, points * CONDITION[:, None]) and after.calls.tolist() == [3] * BATCH
    rows = torch.tensor([4, 4, 0])
    m, after = model.ask(state, points[0, :3], torch.full((3, 4), 0.3), rows)
    assert torch.equal(m, points[0, :3] * CONDITION[rows, None]) and after.calls.tolist() == [1, 0, 0, 0, 2]


class Half:
    """Policy: evaluate the even samples, and repeat the last prediction of the others."""

    def due(self, state, branch):
        fresh = f"half/{branch}" not in state.records
        return torch.ones(len(state), dtype=torch.bool) if fresh else torch.arange(len(state)) % 2 == 0

    def predict(self, state, branch):
        return state.records.get(f"half/{branch}", torch.full_like(state.x, torch.nan))

    def keep(self, state, branch, m, due):
        return state.record(f"half/{branch}", m)


def test_a_policy_skips_samples_and_saves_their_part_of_the_batch():
    spy, rule = Spy(), TableRule(ddim(VE, log_snr_grid(VE, 3, floor=0.1)))
    options = {"noise": Noise.range(0, BATCH), "shape": (4,), "condition": CONDITION, "policy": Half()}
    state = run(spy.denoiser, PROCESS, rule, rule.plan, **options)
    assert spy.batches == [5, 3, 3] and state.calls.tolist() == [3, 1, 3, 1, 3]
    alone = run(Spy().denoiser, PROCESS, rule, rule.plan, **{**options, "policy": None})
    assert torch.equal(state.x[::2], alone.x[::2]) and bool((state.x[1::2] != alone.x[1::2]).all())
    assert bool(state.x.isfinite().all())


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(ConfigError, match=r"Keep needs the gradient.*Half"):
        Model(Spy().denoiser, PROCESS, None, (Keep({}, gradient=True),), Half())
    two = (Keep({"a": Branch(None)}), Keep({"a": Branch(None)}))
    with pytest.raises(ConfigError, match="two transforms ask for a branch 'a'"):
        Model(Spy().denoiser, PROCESS, None, two).estimate(begin())
    with pytest.raises(ConfigError, match="two transforms ask for a branch 'main'"):
        Model(Spy().denoiser, PROCESS, None, (Keep({MAIN: Branch(None)}),)).estimate(begin())
    state = replace(begin(), x=torch.zeros(BATCH, 4, dtype=torch.int64))
    with pytest.raises(ConfigError, match="not one real tensor"):
        Model(Spy().denoiser, PROCESS, None, (Keep({}, gradient=True),)).estimate(state)


def test_a_transform_closes_once_after_the_last_step():
    class Closing(Keep):
        def close(self, process, state):
            return state.record("closed", state.records.get("closed", torch.zeros(len(state))) + 1)

    rule = TableRule(ddim(VE, log_snr_grid(VE, 3, floor=0.1)))
    parts = (EXACT.denoiser, PROCESS, rule, rule.plan)
    half = run(*parts, noise=Noise.range(0, 2), shape=(4,), transforms=[Closing({})], until=2)
    assert "closed" not in half.records
    end = run(*parts, state=half, transforms=[Closing({})])
    again = run(*parts, state=end, transforms=[Closing({})])
    assert end.records["closed"].tolist() == again.records["closed"].tolist() == [1, 1]


class Rows:
    def take(self, index):
        return ("rows", index.tolist())


def test_rows_of_conditions():
    index = torch.tensor([2, 0])
    assert take_condition({"a": CONDITION, "b": 1.5}, index)["a"].tolist() == [3, 1]
    assert [take_condition(one, index) for one in (None, 2, "x")] == [None, 2, "x"]
    assert take_condition(Rows(), index) == ("rows", [2, 0])
    with pytest.raises(ConfigError, match=r"rows of a condition of type list"):
        take_condition([1, 2], index)


def test_conditions_join_where_they_are_of_one_form():
    joined, done = join_conditions([{"a": CONDITION, "b": 1}, {"a": -CONDITION, "b": 1}])
    assert done and joined["b"] == 1 and joined["a"].tolist() == [*CONDITION, *-CONDITION]
    assert join_conditions([None, None]) == (None, True)
    for parts in ([None, CONDITION], [1, 2], [CONDITION, CONDITION[:, None]], [{"a": 1}, {"b": 1}], [Rows(), Rows()]):
        assert join_conditions(parts) == (None, False)
