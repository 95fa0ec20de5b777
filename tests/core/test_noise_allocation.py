"""Allocation of training noise as part of a run: its state resumes bit for bit, and bad requests are refused."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.io.checkpoint import load_model
from scidiff.process import (
    DiscreteProcess,
    EDMSchedule,
    EDMWeight,
    GaussianProcess,
    Kind,
    VPSchedule,
    mask,
    sample_time,
)
from scidiff.sample import entropic_grid
from scidiff.spaces import Categorical, Euclidean
from scidiff.train import (
    ClipAtResolution,
    ClockAxis,
    DenoisingTask,
    FixedNoise,
    InfoNoise,
    LogNoiseAxis,
    LogNormalNoise,
    SubtractPlateau,
    TrainConfig,
    UniformLevels,
    entropy_rate,
    train,
)
from scidiff.train.state import read_state

CONFIG = TrainConfig(steps=12, warmup=2, learning_rate=1e-2, log_every=4, checkpoint_every=6, ema=0.9, threads=1)
AXIS = LogNoiseAxis(EDMSchedule())
BITS = 2.0 * torch.randint(2, (64, 4), generator=torch.Generator().manual_seed(0)).double() - 1


class Net(nn.Module):
    """Linear map of the state and its time."""

    def __init__(self, inputs: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.map = nn.Linear(inputs + 1, outputs[0] * (outputs[1] if len(outputs) > 1 else 1))
        self.outputs = outputs

    def forward(self, x: torch.Tensor, t: torch.Tensor, condition=None) -> torch.Tensor:
        seen = torch.cat([x.double() / 10, sample_time(t, x).unsqueeze(1)], 1).float()
        return torch.tanh(self.map(seen)).reshape(-1, *self.outputs)


def bits_task(levels, stop: int | None = None) -> DenoisingTask:
    process = GaussianProcess(Euclidean((4,)), EDMSchedule(), EDMWeight(1.0))
    task = DenoisingTask(BITS, BITS, process, Net(4, (4,)), Kind.MEAN, levels, "bits", 16)
    plain = task.batch

    def batch(step: int, rank: int, world: int) -> torch.Tensor:
        if step == stop:
            signal.raise_signal(signal.SIGTERM)
        return plain(step, rank, world)

    task.batch = batch
    return task


def info(**settings) -> InfoNoise:
    return InfoNoise(AXIS, LogNormalNoise(), dimension=4, refresh=3, bins=16, **settings)


def test_resume_is_bit_exact(tmp_path):
    whole, parts = info(), info()
    train(bits_task(whole), CONFIG, tmp_path / "whole", progress=False)
    stopped = train(bits_task(info(), stop=7), CONFIG, tmp_path / "parts", progress=False)
    assert stopped.step == 8
    train(bits_task(parts), CONFIG, tmp_path / "parts", progress=False)
    one, two = (read_state(tmp_path / name) for name in ("whole", "parts"))
    assert one is not None and two is not None
    assert set(one[1]["network"]) >= {"levels.mass", "levels.records", "levels.seen", "levels.total"}
    for part in ("network", "ema", "optimizer"):
        assert all(torch.equal(one[1][part][name], two[1][part][name]) for name in one[1][part])
    assert int(parts.records) == 12 and torch.equal(whole.mass, parts.mass)
    assert not torch.equal(whole.mass, info().mass)


def test_the_grid_travels_with_the_model(tmp_path):
    levels = info()
    result = train(bits_task(levels), CONFIG, tmp_path, progress=False)
    tensors, card = load_model(result.model)
    again = info()
    again.load_state_dict(
        {name.removeprefix("levels."): v for name, v in tensors.items() if name.startswith("levels.")}
    )
    assert torch.equal(again.grid(8), levels.grid(8))
    assert card["task"]["noise"]["sampler"] == "InfoNoise"
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[0]["noise_clipped"] == 0 and "noise_lost" in log[0]


def test_other_settings_are_another_run(tmp_path):
    train(bits_task(info()), replace(CONFIG, steps=6, horizon=12), tmp_path, progress=False)
    with pytest.raises(ConfigError, match="floor"):
        train(bits_task(info(floor=0.2)), replace(CONFIG, horizon=12), tmp_path, progress=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedNoise(ClockAxis(), UniformLevels()),
        lambda: InfoNoise(ClockAxis(), UniformLevels(), refresh=2, reweight=False),
    ],
    ids=["fixed", "info"],
)
def test_discrete_training_runs(tmp_path, make):
    rows = (BITS > 0).long()
    process = DiscreteProcess(Categorical(3, (4,)), mask(2))
    task = DenoisingTask(rows, rows, process, Net(4, (4, 2)), Kind.LOGITS, make(), "bits", 16)
    result = train(task, replace(CONFIG, steps=4), tmp_path, progress=False)
    assert result.finished and (result.metrics["entropy"] or 0) > 0


def test_before_the_first_refresh_the_levels_are_those_of_the_density():
    levels, fixed = info(), FixedNoise(AXIS, LogNormalNoise())
    one, two = (each.draw(32, torch.Generator().manual_seed(4)) for each in (levels, fixed))
    assert torch.equal(one.u, two.u) and torch.equal(one.weight, torch.ones(32, dtype=torch.float64))
    assert levels.share(-1, 1) == pytest.approx(fixed.share(-1, 1), abs=1e-12)


def test_levels_stay_on_the_axis_and_are_inverted():
    v = torch.linspace(0, 1, 101, dtype=torch.float64)
    for density in (LogNormalNoise(), UniformLevels()):
        u = density.quantile(AXIS, v)
        assert AXIS.low <= float(u.min()) and float(u.max()) <= AXIS.high
        assert torch.allclose(density.cdf(AXIS, u), v, atol=1e-9)
    assert torch.allclose(EDMSchedule().lam(AXIS.time(u)), -u, atol=1e-9)


def test_rates_beyond_a_linear_denoiser_are_not_believed():
    levels = info()
    levels.record(torch.tensor([-3.0]).double(), torch.tensor([1e6]).double())
    assert bool((levels.profile() == 4).all())


def test_memory_forgets():
    """After n draws of rate 1 a bin that held rate 0 shows 1 - exp(-n / memory) of it, for records of one draw."""
    levels = InfoNoise(AXIS, LogNormalNoise(), bins=2, memory=10.0)
    u = torch.zeros(1, dtype=torch.float64)
    for _ in range(200):
        levels.record(u, torch.zeros(1, dtype=torch.float64))
    for _ in range(10):
        levels.record(u, torch.ones(1, dtype=torch.float64))
    assert float(levels.profile()[1]) == pytest.approx(1 - torch.exp(torch.tensor(-1.0)).item(), abs=1e-6)


def test_senseless_requests_are_refused():
    for settings in ({"bins": 1}, {"floor": 0.0}, {"clip": 0.5}, {"refresh": 0}, {"memory": 0.5}, {"dimension": -1.0}):
        with pytest.raises(ConfigError):
            InfoNoise(AXIS, LogNormalNoise(), **settings)
    for wrong in (
        lambda: LogNoiseAxis(VPSchedule(), 0.1, 1e9),
        lambda: ClockAxis(0.5, 0.5),
        lambda: LogNormalNoise(std=0),
        lambda: SubtractPlateau(0),
        lambda: ClipAtResolution(-1),
    ):
        with pytest.raises(ConfigError):
            wrong()
    levels = info()
    with pytest.raises(NumericalError, match="not finite"):
        levels.record(torch.zeros(1).double(), torch.tensor([torch.nan]))
    with pytest.raises(ShapeError, match="batch"):
        levels.record(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ConfigError, match="not all of them 0"):
        levels.grid(5)
    with pytest.raises(ConfigError, match="at least"):
        entropic_grid(torch.tensor([0.1, 0.5]), torch.ones(1), 2)
    with pytest.raises(ConfigError, match="rise"):
        entropic_grid(torch.tensor([0.5, 0.1]), torch.ones(1), 5)
    with pytest.raises(ConfigError, match="entropy rate"):
        entropy_rate(object(), BITS, BITS, BITS, torch.ones(64))
    with pytest.raises(ConfigError, match="positive"):
        DenoisingTask(BITS[:0], BITS, GaussianProcess(Euclidean((4,)), EDMSchedule()), Net(4, (4,)), Kind.MEAN, info())
