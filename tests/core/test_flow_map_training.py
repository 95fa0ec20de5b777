"""Flow maps in the training run: they learn, resume bit for bit, and one-hot flows decode to valid pairs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scidiff.denoise import FlowMap, GaussianMixture
from scidiff.errors import ConfigError, ShapeError
from scidiff.nets.two_time import TwoTimeMLP
from scidiff.process import GaussianProcess, GeodesicFlow, Kind, LinearFlowSchedule, OneHotFlow
from scidiff.random import Noise
from scidiff.sample import Grid, run, uniform_grid
from scidiff.sample.jump import Jump
from scidiff.spaces import SO3, Euclidean, Sphere, Torus
from scidiff.testing_targets.flow_maps import PAIRS, GaussianMap, invalid_pairs
from scidiff.train import TrainConfig, train
from scidiff.train.flow_map_task import DiagonalTask, FlowMapTask, diagonal_denoiser
from scidiff.train.flow_maps import Consistency, Eulerian, FlowMapLoss, Lagrangian, MeanFlow, Semigroup
from scidiff.train.time_pairs import DataPairs, TimePairs

LINE = GaussianProcess(Euclidean((1,)), LinearFlowSchedule())
EXACT = GaussianMap(LINE, torch.tensor([0.8]).double(), torch.tensor([0.09]).double())
ROWS = EXACT.mixture.draw(Noise.range(0, 2000)).float()
LOSSES = {"LSD": Lagrangian, "ESD": Eulerian, "MeanFlow": MeanFlow, "PSD": Semigroup}


def task(objective: FlowMapLoss, **options: object) -> FlowMapTask:
    network = TwoTimeMLP(LINE.space, width=24, depth=2, frequencies=1)
    return FlowMapTask(network, LINE, objective, ROWS, size=64, **options)


def config(steps: int, **options: object) -> TrainConfig:
    return TrainConfig(steps=steps, learning_rate=5e-3, warmup=10, weight_decay=0.0, ema=0.9, log_every=10, **options)


@pytest.mark.parametrize(
    ("name", "taught"),
    [("LSD", True), ("LSD", False), ("ESD", True), ("MeanFlow", False), ("PSD", False)],
    ids=["LSD taught", "LSD alone", "ESD taught", "MeanFlow alone", "PSD alone"],
)
def test_every_loss_learns_the_map_of_a_gaussian(name, taught, tmp_path):
    """One call from the prior: root mean square distance to the exact end point, which the identity misses by 1."""
    objective = LOSSES[name](EXACT.mixture.denoiser if taught else None)
    trained = task(objective)
    train(trained, config(200), tmp_path, progress=False)
    flow = FlowMap(trained.network, LINE)
    x = LINE.prior(Noise.range(1, 500), (1,))
    t = torch.ones(500, dtype=torch.float64)
    with torch.no_grad():
        error = float((flow.lookahead(x, t) - EXACT.at(x, t, 0 * t)).square().mean().sqrt())
    # the best constant misses by the spread of the data, 0.3
    assert error < 0.2, error


def test_a_run_resumes_bit_for_bit_and_tells_its_parts(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    one = train(task(Lagrangian()), config(20), whole, progress=False)
    train(task(Lagrangian()), config(8, horizon=20), parts, progress=False)
    two = train(task(Lagrangian()), config(20), parts, progress=False)
    first, second = load_file(one.model), load_file(two.model)
    assert all(torch.equal(first[name], second[name]) for name in first)
    line = json.loads(Path(whole / "log.jsonl").read_text().splitlines()[0])
    assert {"loss", "diagonal", "map"} <= set(line)
    assert set(two.metrics) == {"validation_loss", "diagonal", "map"}


def test_another_task_does_not_go_on(tmp_path):
    train(task(Lagrangian()), config(2, horizon=20), tmp_path, progress=False)
    with pytest.raises(ConfigError):
        train(task(Semigroup()), config(20), tmp_path, progress=False)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("space", [Torus(2), SO3(), Sphere(2)], ids=repr)
def test_losses_are_finite_on_curved_spaces_in_single_precision(space, name):
    """Ends of the clock, cut loci and coinciding points included: loss and gradient of a batch of uniform data."""
    process = GeodesicFlow(space)
    data = space.uniform(Noise.range(0, 200), space.shape, step=0, stream="x").float()
    network = TwoTimeMLP(space, width=16, depth=1, frequencies=1)
    made = FlowMapTask(network, process, LOSSES[name](), data, size=128)
    loss, _ = made.loss(network, made.batch(0, 0, 1), torch.Generator().manual_seed(0))
    loss.backward()
    assert bool(loss.detach().isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)
    assert float(sum(p.grad.square().sum() for p in network.parameters() if p.grad is not None)) > 0


def test_one_hot_flow_learns_pairs_by_cross_entropy(tmp_path):
    """Two correlated tokens in sixteen jumps; a denoiser that factorises makes half of the pairs invalid in one.

    At the prior the cross-entropy of a pair is ``2 log 2 = 1.39`` at best, and lower at other times.
    """
    process = OneHotFlow(Euclidean((2, 4)), LinearFlowSchedule())
    data = process.encode(PAIRS).float()
    teacher = TwoTimeMLP(process.space, width=32, depth=2, frequencies=1)
    first = DiagonalTask(teacher, process, Kind.LOGITS, data, size=128)
    result = train(first, config(100), tmp_path / "teacher", progress=False)
    assert result.metrics["validation_loss"] < 2 * math.log(2)
    denoiser, grid = diagonal_denoiser(teacher.requires_grad_(False), Kind.LOGITS), uniform_grid(16)
    noise = Noise.range(2, 1000)
    many = run(denoiser, process, Jump(), Grid(grid), noise=noise, shape=(2, 4)).x
    assert invalid_pairs(many.argmax(-1)) < 0.1


@pytest.mark.slow
def test_one_hot_map_of_one_call_makes_valid_pairs(tmp_path):
    """The map of the exact flow, in one call: less than 2 % of the pairs are invalid, both pairs are drawn alike."""
    process = OneHotFlow(Euclidean((2, 4)), LinearFlowSchedule())
    points = process.encode(PAIRS)
    exact = GaussianMixture(process.schedule, torch.tensor([0.5, 0.5]), points, torch.zeros(2))
    network = TwoTimeMLP(process.space, width=64, frequencies=2)
    objective, times = Semigroup(exact.denoiser), TimePairs(0.02, 0.4)
    made = FlowMapTask(network, process, objective, points.float(), size=256, times=times)
    train(made, TrainConfig(steps=2500, learning_rate=4e-3, warmup=100, weight_decay=0.0), tmp_path, progress=False)
    grid = uniform_grid(1)
    x = run(
        FlowMap(network, process).denoiser(grid), process, Jump(), Grid(grid), noise=Noise.range(2, 4000), shape=(2, 4)
    ).x
    tokens = x.argmax(-1)
    assert invalid_pairs(tokens) < 0.02
    assert 0.4 < float((tokens == PAIRS[0]).all(1).double().mean()) < 0.6


def test_consistency_distillation_trains(tmp_path):
    trained = task(Consistency(EXACT.mixture.denoiser, 0.1), times=DataPairs(0.02))
    train(trained, config(200), tmp_path, progress=False)
    x, t = LINE.prior(Noise.range(1, 500), (1,)), torch.ones(500, dtype=torch.float64)
    with torch.no_grad():
        error = float((FlowMap(trained.network, LINE).lookahead(x, t) - EXACT.at(x, t, 0 * t)).square().mean().sqrt())
    assert error < 0.2, error


def test_what_does_not_fit_is_refused():
    network = TwoTimeMLP(LINE.space)
    with pytest.raises(ConfigError, match="share"):
        task(Lagrangian(), share=0.0)
    with pytest.raises(ShapeError, match="conditions"):
        FlowMapTask(network, LINE, Lagrangian(), ROWS, conditions=torch.zeros(3, 1))
    with pytest.raises(ConfigError, match="teacher"):
        Consistency()
    with pytest.raises(ShapeError):
        FlowMapTask(network, LINE, Lagrangian(), torch.zeros(4, 2))
    with pytest.raises(ConfigError, match="s = 0"):
        made = task(Lagrangian(), times=DataPairs())
        made.loss(made.network, made.batch(0, 0, 1), torch.Generator().manual_seed(0))
