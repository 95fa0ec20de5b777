"""Flows of the families: training, file, scores, and a method that was added."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde.constraints.base import Affine
from scidiff.domains.pde.constraints.cases import CASES, Entry, family_methods
from scidiff.domains.pde.constraints.families import HeatFamily
from scidiff.domains.pde.constraints.family_model import load_family, packed_law, rounded_law
from scidiff.domains.pde.constraints.family_rows import _rows
from scidiff.domains.pde.constraints.functional import ModeNet
from scidiff.domains.pde.constraints.guidance import SquareGuidance
from scidiff.domains.pde.constraints.interface import Free, euler
from scidiff.domains.pde.constraints.methods import ECI, FunDPS
from scidiff.domains.pde.constraints.operators import sites
from scidiff.domains.pde.constraints.reference_law import ReferenceLaw
from scidiff.domains.pde.constraints.trial import FamilyRow, Trial
from scidiff.domains.pde.models import bundled
from scidiff.domains.pde.training.family_recipe import made_task, train_heat

from scidiff.denoise.denoiser import Denoiser
from scidiff.domains import pde
from scidiff.errors import ConfigError
from scidiff.process.base import Kind
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import LinearFlowSchedule
from scidiff.random import Noise
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from scidiff.spaces.euclidean import Euclidean


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model of two optimizer steps."""
    return load_family(train_heat(tmp_path_factory.mktemp("heat"), rows=64, steps=2, batch_size=8).model)


def test_a_law_comes_back_from_its_file_with_orthonormal_modes():
    law = ReferenceLaw.fit(HeatFamily(10).draw(64, 0), 6)
    back = rounded_law(law)
    torch.testing.assert_close(back.modes @ back.modes.T, torch.eye(6).double(), atol=1e-14, rtol=0)
    # half precision has 11 bits; entries are below 1
    assert float((back.modes - law.modes).abs().max()) < 2e-3
    again = rounded_law(back)
    assert float((again.modes - back.modes).abs().max()) < 1e-3
    assert packed_law(law)["law.modes"].dtype == torch.float16


def test_what_is_hidden_does_not_count():
    torch.manual_seed(0)
    network = ModeNet(torch.rand(4) + 0.1, 16, 1, given=3)
    torch.nn.init.normal_(network.outlet.weight)
    y, t, told = torch.randn(2, 4), torch.full((2,), 0.3).double(), torch.randn(2, 3)
    half = told.clone()
    half[1] = torch.nan
    seen, none = network(y, t, told), network(y, t)
    torch.testing.assert_close(network(y, t, half), torch.stack([seen[0], none[1]]))
    assert not torch.allclose(seen, none)


def test_half_of_the_rows_are_told_and_batches_are_functions_of_the_step():
    task, law = made_task("heat", rows=64, batch_size=4000)
    batch, again = task.batch(3, 0, 1), task.batch(3, 0, 1)
    assert torch.equal(batch.rows, again.rows)
    share = float(batch.given.isfinite().all(1).double().mean())
    assert abs(share - 0.5) < 4 * 0.5 / 4000**0.5
    fields = law.mean + (batch.rows.double() @ law.modes).reshape(-1, *law.mean.shape)
    gap = (fields - law.mean)[:, 0, :, 0] - batch.given
    assert float(gap.nan_to_num().abs().max()) < 0.02


def test_samples_carry_their_certificate(small, tmp_path):
    samples = small.sample(3, fixed=torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64), steps=3, seed=1)
    assert samples.ok.all() and samples.records["constraint"].max() <= 1e-12
    assert samples.provenance["told"] and samples.fields.shape == (3, 50, 50)
    phi = np.pi * np.array([0.2, 0.5, 0.9])
    x = 2 * np.pi * np.arange(50) / 50
    np.testing.assert_allclose(samples.fields[:, :, 0], np.sin(x + phi[:, None]), atol=1e-12)
    free = small.sample(2, fixed=0.5, method=Free(), steps=3)
    assert not free.ok.any() and not free.provenance["told"]
    assert np.load(samples.save(tmp_path / "a.npz"))["field"].shape == (3, 50, 50)
    with pytest.raises(ConfigError, match="npz"):
        samples.save(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match="fixed"):
        small.sample(1, fixed=1.5)


def test_scores_of_exact_draws_are_those_of_their_number(small):
    trial = Trial(small.case.family, small.flow, fixed=(0.3,), count=200)
    u = Noise.range(5, 200).uniform((), step=0, stream="test")
    exact = trial.family.solve(trial.values, u)
    mu, sd = trial.family.truth(0.3)
    mmse, smse = trial.score(exact)
    assert mmse == pytest.approx(float(((exact.mean(0) - mu) ** 2).mean()), rel=1e-9)
    assert smse == pytest.approx(float(((exact.std(0) - sd) ** 2).mean()), rel=1e-9)
    # the mean error of a mean is the variance over the number; eight sets of one degree of freedom: factor 3 is 4 sigma
    assert trial.floor()[0] == pytest.approx(float((sd**2).mean()) / 200, rel=2.0)
    for value, (low, high) in zip((mmse, smse), trial.intervals(exact), strict=True):
        assert low <= value <= high


def test_a_method_draws_its_share(small):
    trial = Trial(small.case.family, small.flow, fixed=(0.3,), count=8)
    row = trial.judge(Entry(ECI(), 2, share=0.25))
    assert row.count == 2 and row.calls == 2 and row.constraint < 1e-12


def test_rows_have_bars_for_our_method_alone_and_tell_what_diverged():
    def row(error: float) -> FamilyRow:
        return FamilyRow(8, error, error, (0, 1), (0, 1), 0.1, 0.1, 0.0, 0.0, 20.0, 5.0, 0, "biased")

    found = {
        "ECI": row(0.2),
        "PCFM": row(0.3),
        "FunDPS": row(float("nan")),
        "conditional flow": row(0.05),
        "metric of C": row(0.1),
    }
    mine = {r.name.split("/")[-1]: r for r in _rows("heat", "metric of C", Entry(ECI(), 20, ours=True), found)}
    assert mine["constraint"].passed and mine["time"].passed and not mine["mmse"].passed
    assert mine["mmse over the best other"].value == 0.5 and "ECI" in mine["mmse over the best other"].note
    assert all(r.bar is None for r in _rows("heat", "ECI", Entry(ECI(), 20), found))
    assert [r.name for r in _rows("heat", "FunDPS", Entry(ECI(), 20), found)] == ["families/heat/FunDPS/diverged"]


def test_all_methods_of_the_families_are_told_apart():
    for case in CASES.values():
        law = ReferenceLaw.fit(case.family.draw(8, 0), 4)
        assert [entry.ours for entry in family_methods(case, law).values()].count(True) == 1


def test_the_guidance_of_fundps_is_the_gradient_of_a_square():
    """With m = c x the gradient is closed: x_s = a x + b m - z sigma c 2 (c x - y) / K on what is seen."""
    process, c, weight = GaussianProcess(Euclidean((3,)), LinearFlowSchedule()), 0.7, 0.05
    seen = Affine(sites((3,), torch.tensor([[0], [2]])), torch.tensor([1.0, -1.0]))
    start, noise = torch.tensor([[0.4, 0.5, 0.6]]).double(), Noise.range(0, 1)
    denoiser = Denoiser(lambda x, t, condition: c * x, Kind.MEAN)
    rule = euler(process, 1)
    end = run(denoiser, process, rule, rule.plan, state=RunState.at(start, 1.0, noise),
              transforms=(SquareGuidance(rule, seen, weight),))  # fmt: skip
    pull = torch.tensor([[2 * (c * 0.4 - 1) / 2, 0.0, 2 * (c * 0.6 + 1) / 2]]).double() * c
    # the network is called in float32
    torch.testing.assert_close(end.x, c * start - weight * pull, rtol=1e-6, atol=1e-7)
    assert FunDPS().label == "biased" and FunDPS().citation
    with pytest.raises(ConfigError, match="weight"):
        SquareGuidance(rule, seen, -1.0)


@pytest.mark.parametrize("name", ["heat", "burgers"])
def test_bundled_flows_hold_what_is_fixed(name):
    if name not in bundled():
        pytest.skip(f"the model '{name}' is not bundled")
    model = pde.load(name)
    samples = model.sample(32, fixed=0.4, seed=0)
    assert samples.ok.all() and samples.records["constraint"].max() <= 1e-12
    mu, _ = model.case.family.truth(0.4)
    # the mean square of the deviation of 32 means from the truth; the free flow has 5e-2
    assert float(((torch.from_numpy(samples.fields).mean(0) - mu[0]) ** 2).mean()) < 5e-3
