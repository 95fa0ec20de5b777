"""The parts of a training run against their closed forms."""

from __future__ import annotations

import json
import math
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from scidiff.errors import CheckpointError, ConfigError
from scidiff.train import Ema, Precision, TrainConfig
from scidiff.train.batches import BatchSource, leading_axis, to_device
from scidiff.train.draws import draw_seed
from scidiff.train.ema import decay_at
from scidiff.train.log import Display, LogFile, Window
from scidiff.train.optimizer import adamw, clip_gradients, gradient_norm, load_optimizer, optimizer_tensors

from .train_tasks import mlp


def test_schedule_has_its_closed_form():
    config = TrainConfig(steps=110, learning_rate=2.0, warmup=10, floor=0.1)
    assert [config.rate(k) for k in range(10)] == pytest.approx([0.2 * (k + 1) for k in range(10)], rel=1e-15)
    assert config.rate(10) == pytest.approx(2.0, rel=1e-15)
    assert config.rate(35) == pytest.approx(2 * (0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2), rel=1e-15)
    assert config.rate(60) == pytest.approx(2 * 0.55, rel=1e-15)
    assert config.rate(110) == config.rate(500) == pytest.approx(0.2, rel=1e-15)


def test_schedule_limits():
    assert TrainConfig(steps=50, warmup=0).rate(0) == 1e-3
    constant = TrainConfig(steps=50, warmup=5, floor=1.0)
    assert {constant.rate(k) for k in range(5, 50)} == {1e-3}
    assert TrainConfig(steps=50, warmup=5, horizon=80).rate(40) == TrainConfig(steps=80, warmup=5).rate(40)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 2.5),
        ("accumulate", True),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("floor", 1.5),
        ("weight_decay", -0.1),
        ("betas", (0.9, 1.0)),
        ("betas", (0.9,)),
        ("ema", 1.0),
        ("clip", 0.0),
        ("threads", 0),
        ("seed", -1),
        ("horizon", 0),
        ("precision", "bf16"),
        ("warmup", 100),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"{name} is .*; expected .*; "):
        TrainConfig(**{"steps": 100, "warmup": 5, name: value})


def test_settings_record_is_json():
    record = TrainConfig(steps=600, precision=Precision.BF16).record()
    assert json.loads(json.dumps(record)) == record
    assert record["horizon"] == 600
    assert record["precision"] == "BF16"


def test_ema_equals_its_recursion():
    """Values of 1, 2, ... 50 in one weight; float32 round-off of 50 convex combinations is below 50 * 2^-24 * 50."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 3.0)
    ema = Ema(network, 0.7)
    expected = 3.0
    for step in range(1, 51):
        nn.init.constant_(network.weight, float(step))
        ema.update(step)
        decay = min(0.7, (1 + step) / (10 + step))
        assert decay_at(step, 0.7) == decay
        expected = decay * expected + (1 - decay) * step
    assert float(ema.tensors()["weight"]) == pytest.approx(expected, abs=50 * 50 * 2**-24)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_ema_is_kept_in_float32_at_least(dtype):
    """1000 updates with weight 1e-3 towards 1 reach 1 - 0.999^1000; a bfloat16 average would stay near its start."""
    network = nn.Linear(1, 1, bias=False).to(dtype)
    nn.init.zeros_(network.weight)
    ema = Ema(network, 0.999)
    nn.init.ones_(network.weight)
    for _ in range(1000):
        ema.update(10**6)
    mean = ema.tensors()["weight"]
    assert mean.dtype == torch.promote_types(dtype, torch.float32)
    assert float(mean) == pytest.approx(1 - 0.999**1000, abs=1000 * 2**-24)


def test_ema_lends_its_weights_and_gives_the_own_back():
    network = mlp()
    ema = Ema(network, 0.5)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    with torch.no_grad():
        for p in network.parameters():
            p.add_(1.0)

    def fail_inside() -> None:
        with ema.applied():
            assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert all(torch.equal(p, before[name] + 1.0) for name, p in network.named_parameters())


def test_decay_acts_on_matrices_only():
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = adamw(network, TrainConfig(steps=600, weight_decay=0.2))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(network[0].weight)}


def test_clip_scales_the_whole_gradient():
    network = mlp(torch.float64)
    optimizer = adamw(network, TrainConfig(steps=600))
    for k, p in enumerate(network.parameters()):
        p.grad = torch.full_like(p, k + 1.0)
    total = math.sqrt(sum((k + 1) ** 2 * p.numel() for k, p in enumerate(network.parameters())))
    assert gradient_norm(optimizer) == pytest.approx(total, rel=1e-12)
    clip_gradients(optimizer, total, 2 * total)
    clip_gradients(optimizer, total, None)
    assert gradient_norm(optimizer) == pytest.approx(total, rel=1e-12)
    clip_gradients(optimizer, total, 0.5)
    assert gradient_norm(optimizer) == pytest.approx(0.5, rel=1e-12)
    for k, p in enumerate(network.parameters()):
        assert torch.allclose(p.grad, torch.full_like(p, (k + 1.0) * 0.5 / total), rtol=1e-12)


def test_clip_bounds_the_first_moment(tmp_path):
    """After one step Adam's first moment is (1 - beta_1) g, so its norm shows the gradient that was used."""
    from scidiff.train import train

    from .train_tasks import Regression

    task = Regression(mlp(torch.float64), 8)
    train(task, TrainConfig(steps=1, warmup=0, clip=1e-3, threads=1), tmp_path)
    from scidiff.train.state import read_state

    state = read_state(tmp_path)
    assert state is not None
    moments = [value for name, value in state[1]["optimizer"].items() if name.endswith("/exp_avg")]
    norm = math.sqrt(sum(float(m.square().sum()) for m in moments))
    assert norm == pytest.approx(0.1 * 1e-3, rel=1e-12)


def test_optimizer_state_travels_by_name():
    def stepped(network: nn.Module, optimizer: torch.optim.Optimizer, value: float) -> None:
        for p in network.parameters():
            p.grad = torch.full_like(p, value)
        optimizer.step()

    config = TrainConfig(steps=600)
    one, two = mlp(), mlp()
    first, second = adamw(one, config), adamw(two, config)
    stepped(one, first, 0.3)
    two.load_state_dict(one.state_dict())
    load_optimizer(two, second, {k: v.clone() for k, v in optimizer_tensors(one, first).items()})
    stepped(one, first, -0.2)
    stepped(two, second, -0.2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    with pytest.raises(CheckpointError, match="no trainable parameter 'absent'"):
        load_optimizer(two, second, {"absent/exp_avg": torch.zeros(1)})


def test_moments_come_back_in_the_memory_layout_of_their_weights():
    """A fused step walks through weight and moments together; channels last is another walk than the file's."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 6, 6)
    config = TrainConfig(steps=600)

    def network():
        torch.manual_seed(1)
        return torch.nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)

    def step(net, optimizer):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    one, two = network(), network()
    first, second = adamw(one, config), adamw(two, config)
    for _ in range(3):
        step(one, first)
    two.load_state_dict(one.state_dict())
    moments = optimizer_tensors(one, first)
    stored = {name: value.clone(memory_format=torch.contiguous_format) for name, value in moments.items()}
    load_optimizer(two, second, stored)
    step(one, first)
    step(two, second)
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)


@given(st.integers(0, 2**63), st.integers(1, 5))
def test_seeds_of_a_run_never_repeat(seed, world):
    seeds = {draw_seed(seed, index, rank, world) for index in range(400) for rank in range(world)}
    assert len(seeds) == 400 * world
    assert all(0 <= s < 2**32 for s in seeds)


def test_seeds_depend_on_the_run():
    assert len({draw_seed(seed, 0, 0, 1) for seed in range(100)}) == 100


def test_window_state_goes_on_exactly():
    one = Window()
    values = [{"loss": 0.1 * k, "odd": float("nan")} if k % 2 else {"loss": 0.1 * k} for k in range(7)]
    for value in values[:4]:
        one.add(value)
    two = Window(json.loads(json.dumps(one.state(), allow_nan=False)))
    for value in values[4:]:
        one.add(value)
        two.add(value)
    assert one.mean()["loss"] == two.mean()["loss"] == sum(0.1 * k for k in range(7)) / 7
    assert math.isnan(two.mean()["odd"])


@pytest.mark.parametrize("tail", ["", '{"step": 9, "lo'])
def test_log_is_cut_back_to_the_step(tmp_path, tail):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {k}}}\n' for k in (2, 4, 6)) + tail)
    log = LogFile(path, 5)
    log.write({"step": 8})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2, 4, 8]
    log.close()
    LogFile(path, 0).close()
    assert path.read_text() == ""


@dataclass(frozen=True)
class _Frozen:
    x: torch.Tensor
    name: str


_Pair = namedtuple("_Pair", "a b")


def test_batches_keep_their_structure_on_the_way_to_the_device():
    x = torch.ones(3, 2)
    batch = {"one": _Frozen(x, "water"), "two": [_Pair(x, None), (x, 1)]}
    moved = to_device(batch, torch.device("meta"))
    assert moved["one"].x.is_meta
    assert moved["one"].name == "water"
    assert isinstance(moved["two"][0], _Pair)
    assert moved["two"][0].a.is_meta
    assert moved["two"][0].b is None
    assert moved["two"][1][0].is_meta
    assert moved["two"][1][1] == 1


def test_leading_axis_is_that_of_the_first_tensor():
    assert leading_axis({"t": torch.tensor(1.0), "x": _Frozen(torch.ones(5, 2), "")}) == 5
    assert leading_axis(("no", "tensors")) == 0


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_batches_made_ahead_are_the_same_and_no_more(ahead):
    made = []

    def make(index: int) -> int:
        made.append(index)
        if index == 5:
            raise RuntimeError("bad record")
        return index * index

    source = BatchSource(make, total=5, ahead=ahead)
    assert [source.get(k) for k in range(5)] == [0, 1, 4, 9, 16]
    source.close()
    assert made == [0, 1, 2, 3, 4]
    failing = BatchSource(make, total=6, ahead=ahead)
    with pytest.raises(RuntimeError, match="bad record"):
        failing.get(5)
    failing.close()


@pytest.mark.parametrize("bar", [True, False, None])
def test_display_draws_a_bar_only_when_asked_in_a_pipe(capsys, bar):
    display = Display(10, 3, bar=bar)
    display.advance(7, 0.125)
    display.say("step 7/10: [mse] 0.5")
    display.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 7/10: [mse] 0.5" in captured.err
    assert ("7/10 loss 0.125" in captured.err) == (bar is True)
