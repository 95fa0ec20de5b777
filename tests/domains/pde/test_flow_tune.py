"""The energy score of runs, training that goes on from a model, and relaxation by the equation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde.flow_calibration import FlowCalibration
from scidiff.domains.pde.flow_geometry import FlowGeometry
from scidiff.domains.pde.flow_relaxation import relax_flows
from scidiff.domains.pde.flow_samples import certificate
from scidiff.domains.pde.flows import FlowLaw
from scidiff.domains.pde.models import load
from scidiff.domains.pde.obstacles import disc
from scidiff.domains.pde.solvers.mac_flow import MacFlow
from scidiff.domains.pde.training.flow_recipe import flow_set, train_flow
from scidiff.domains.pde.training.flow_score import end_of_run, energy_score
from scidiff.domains.pde.training.flow_tune_recipe import tune_flow, tune_task

from scidiff.denoise.flow_map import FlowMap
from scidiff.errors import ConfigError
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import CosineSchedule
from scidiff.spaces.euclidean import Euclidean

LAW = FlowLaw(shape=(16, 16), times=(0.05, 0.1), trajectories=2)


def uniform(values: list[float]) -> torch.Tensor:
    """Flows of one velocity along x, shape ``(count, 2, 8, 8)``."""
    flow = torch.zeros(len(values), 2, 8, 8, dtype=torch.float64)
    flow[:, 0] = torch.tensor(values, dtype=torch.float64)[:, None, None]
    return flow


def test_the_score_of_uniform_flows_is_that_of_numbers():
    truth, a, b = [0.0, 1.0, 3.0], 0.5, 2.0
    score = energy_score(uniform([a]), uniform([b]), uniform(truth).unsqueeze(0))
    near = np.mean([abs(a - y) + abs(b - y) for y in truth]) / 2
    unit = np.mean([abs(truth[k] - truth[k - 1]) for k in range(3)])
    # two features see the velocity; the vorticity is 0 on both sides, where distance and unit are the same least number
    expected = (2 * (near - abs(a - b) / 2) / unit + 2 * 0.5) / 4
    assert float(score) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_the_score_is_least_at_the_law_of_the_truth(factor):
    generator = torch.Generator().manual_seed(0)
    first, second, *truth = torch.randn(10, 100, 2, 8, 8, generator=generator)
    truth = torch.stack(truth, 1)
    excess = energy_score(factor * first, factor * second, truth) - energy_score(first, second, truth)
    # paired over 100 groups: four standard errors
    assert float(excess.mean()) > 4 * float(excess.std()) / 10


def test_the_gradient_of_a_run_is_that_of_its_last_jump():
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    process = GaussianProcess(Euclidean((4,)), CosineSchedule())
    flow = FlowMap(lambda x, t, s, condition: weight * x + condition, process)
    x, condition = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).double(), torch.ones(3, 4).double()
    end = end_of_run(flow, x, 2, condition)
    half = x - 0.5 * (0.3 * x + 1)
    torch.testing.assert_close(end, half - 0.5 * (0.3 * half + 1), rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(end.sum(), weight)
    assert float(gradient) == pytest.approx(float(-0.5 * half.sum()), rel=1e-12)


def test_training_goes_on_from_a_model(tmp_path):
    first = train_flow(tmp_path / "flow", geometries=3, steps=2, batch_size=4, width=8, law=LAW, max_seconds=1e-6)
    assert not first.finished
    with pytest.raises(ConfigError, match="start"):
        tune_flow(tmp_path / "tune", geometries=3, steps=2, law=LAW)
    options = {"start": first.model, "geometries": 3, "steps": 2, "batch_size": 4, "law": LAW, "max_seconds": 1e-6}
    tuned = tune_flow(tmp_path / "tune", **options)
    model = load(tuned.model)
    assert model.card["task"]["start"] == load(first.model).card["sha256"]
    assert model.sample(2, steps=2, seed=0).ok.all()


def test_the_task_begins_with_the_weights_of_the_model_and_its_score_has_a_gradient(tmp_path):
    first = train_flow(tmp_path, geometries=3, steps=2, batch_size=4, width=8, law=LAW, max_seconds=1e-6)
    flows = flow_set(3, 0, LAW)
    task = tune_task(flows, flows, LAW, first.model, batch_size=4, groups=2)
    named = dict(load(first.model).network.named_parameters())
    assert all(torch.equal(value, named[name]) for name, value in task.network.named_parameters())
    assert task.batch(3, 0, 1).calls == 2 and task.batch(4, 0, 1).calls == 1
    batch = task.batch(0, 0, 1)
    assert batch.truth.shape == (2, 4, 2, 16, 16)
    loss, parts = task.loss(task.network, batch, torch.Generator().manual_seed(0))
    loss.backward()
    sizes = [float(p.grad.abs().max()) for p in task.network.parameters() if p.grad is not None]
    assert float(parts["score"]) > 0 and max(sizes) > 0


def test_relaxation_is_the_equation_and_leaves_what_is_at_rest():
    here, empty = (FlowGeometry.around(mask) for mask in (disc((16, 16), (0.5, 0.5), 0.2), np.zeros((16, 16), bool)))
    rng = np.random.default_rng(0)
    flows = [here.base + here.project(rng.normal(size=(1, 2, 16, 16)))[0] for _ in range(2)]
    straight = np.stack([np.ones((16, 16)), np.zeros((16, 16))])
    moved = relax_flows([*flows, straight], [here, here, empty], 1 / 100, 0.02)
    alone = [relax_flows([flow], [here], 1 / 100, 0.02)[0] for flow in flows]
    np.testing.assert_allclose(moved[:2], alone, atol=1e-13)
    fine = MacFlow(here.grid, 1 / 100).run(np.stack(flows), 0.02, 4096)
    # the scheme is of second order, and its few steps are stable: they leave less than a twentieth of the change
    change = np.abs(fine - np.stack(flows)).max()
    assert np.abs(np.stack(moved[:2]) - fine).max() < 0.05 * change
    # the uniform flow of an empty box is a steady solution
    np.testing.assert_allclose(moved[2], straight, atol=1e-13)
    assert max(certificate(moved[0], here).values()) < 1e-12
    assert relax_flows(flows, [here, here], 1 / 100, 0.0)[0] is flows[0]


def test_a_flow_that_is_not_finite_spoils_no_other():
    here = FlowGeometry.around(disc((16, 16), (0.5, 0.5), 0.2))
    good, bad = here.base, np.full((2, 16, 16), np.nan)
    moved = relax_flows([bad, good, 1e200 * good], [here] * 3, 1 / 100, 0.02)
    assert np.isnan(moved[0]).all() and np.isfinite(moved[1]).all() and np.isnan(moved[2]).all()


def test_a_calibration_takes_the_nearest_number_of_calls():
    fitted = FlowCalibration.from_card({"noise_scale": {"1": 1.0, "4": 1.1, "20": 1.2}, "relax": 0.04})
    assert [fitted.noise(calls) for calls in (1, 2, 3, 8, 10, 100)] == [1.0, 1.0, 1.1, 1.1, 1.2, 1.2]
    assert fitted.relax == 0.04
    one = FlowCalibration.from_card({"noise_scale": 1.15, "calls": 4})
    assert one.noise(1) == one.noise(20) == 1.15 and one.relax == 0.0
    assert FlowCalibration.from_card({}).noise(4) == 1.0
