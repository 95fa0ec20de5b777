"""The training run: a known optimum, exact resume, and what it does when something goes wrong."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.io.checkpoint import load_model
from scidiff.train import Precision, TrainConfig, train
from scidiff.train.state import read_state

from .train_tasks import FEATURES, ROWS, Regression, mlp, regression_data

SHORT = TrainConfig(
    steps=20, warmup=5, learning_rate=1e-2, log_every=4, validate_every=10, checkpoint_every=6, ema=0.9, threads=1
)
CLOCK = ("seconds", "samples_per_second")


def log_of(folder: Path) -> list[dict]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCK} for line in lines]


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    state = read_state(folder)
    assert state is not None
    return {f"{part}/{name}": value for part, tensors in state[1].items() for name, value in tensors.items()}


def assert_same_run(one: Path, two: Path) -> None:
    a, b = tensors_of(one), tensors_of(two)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    assert log_of(one) == log_of(two)


def stop_at(index: int):
    """Raise SIGTERM in the batch of the given number, once."""
    done = []

    def before(step: int) -> None:
        if step == index and not done:
            done.append(step)
            signal.raise_signal(signal.SIGTERM)

    return before


def test_reaches_the_least_squares_optimum(tmp_path):
    """Full-batch AdamW without decay on a strictly convex quadratic ends at the normal equations' solution.

    The gap of the mean squared error is quadratic in the error of the weights; with a rate that falls to zero the
    weights end within 1e-3 of the optimum, so the gap is below 1e-5 (6 unit-variance features and a bias).
    """
    x, y = regression_data(torch.float64)
    design = torch.cat([x, torch.ones(ROWS, 1, dtype=torch.float64)], 1)
    best = torch.linalg.lstsq(design, y[:, None]).solution
    optimum = float((design @ best - y[:, None]).square().mean())
    task = Regression(nn.Linear(FEATURES, 1))
    config = TrainConfig(steps=500, warmup=20, learning_rate=3e-2, floor=0.0, weight_decay=0.0, ema=0.98, threads=1)
    result = train(task, config, tmp_path)
    assert result.finished
    assert result.reason == "finished"
    assert result.step == 500
    assert optimum - 1e-6 <= result.metrics["mse"] <= optimum + 1e-5
    tensors, card = load_model(result.model)
    torch.testing.assert_close(tensors["weight"][0].double(), best[:-1, 0], rtol=0, atol=1e-3)
    assert card["task"] == task.card()
    assert card["training"]["config"]["steps"] == 500
    assert card["parameters"] == FEATURES + 1


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("prefetch", [0, 3])
def test_resume_is_bit_exact(tmp_path, precision, prefetch):
    config = replace(SHORT, precision=precision, prefetch=prefetch)
    train(Regression(mlp(dropout=0.2), 8, 0.1), replace(config, prefetch=0), tmp_path / "whole")
    stopped = train(Regression(mlp(dropout=0.2), 8, 0.1, stop_at(10)), config, tmp_path / "parts")
    assert (stopped.finished, stopped.reason) == (False, "SIGTERM")
    assert stopped.step in (range(7, 12) if prefetch else [11])
    resumed = train(Regression(mlp(dropout=0.2), 8, 0.1), config, tmp_path / "parts")
    assert resumed.finished
    assert resumed.step == 20
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_precision_changes_the_arithmetic(tmp_path):
    runs = {}
    for precision in Precision:
        runs[precision] = train(Regression(mlp(), 8), replace(SHORT, precision=precision), tmp_path / precision.name)
    one, two = (run.loss for run in runs.values())
    assert one != two
    assert one == pytest.approx(two, rel=0.05)


def test_resume_after_a_hard_failure_starts_at_the_last_checkpoint(tmp_path):
    def fail(step: int) -> None:
        if step == 16:
            raise RuntimeError("power cut")

    train(Regression(mlp(), 8, 0.1), SHORT, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power cut"):
        train(Regression(mlp(), 8, 0.1, fail), SHORT, tmp_path / "parts")
    assert log_of(tmp_path / "parts")[-1]["step"] == 16
    state = read_state(tmp_path / "parts")
    assert state is not None
    assert state[0]["book"]["step"] == 12
    train(Regression(mlp(), 8, 0.1), SHORT, tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_run_can_be_lengthened_when_the_horizon_is_given(tmp_path):
    config = replace(SHORT, horizon=20)
    train(Regression(mlp(), 8), config, tmp_path / "whole")
    train(Regression(mlp(), 8), replace(config, steps=11), tmp_path / "parts")
    train(Regression(mlp(), 8), config, tmp_path / "parts")
    one, two = tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "parts")
    assert all(torch.equal(one[name], two[name]) for name in one)
    kept = [line for line in log_of(tmp_path / "parts") if line["step"] != 11]
    assert kept == log_of(tmp_path / "whole")


def test_settings_that_differ_from_the_checkpoint_are_listed(tmp_path):
    train(Regression(mlp(), 8), SHORT, tmp_path)
    with pytest.raises(ConfigError, match=r"config\.learning_rate was 0\.01, is 0\.02") as caught:
        train(Regression(mlp(), 16), replace(SHORT, learning_rate=0.02, log_every=7), tmp_path)
    assert "card.batch was 8, is 16" in str(caught.value)
    assert "log_every" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"config\.horizon was 20, is 40"):
        train(Regression(mlp(), 8), replace(SHORT, steps=40), tmp_path)
    with pytest.raises(ConfigError, match="20 steps, more than the 12"):
        train(Regression(mlp(), 8), replace(SHORT, steps=12, horizon=20), tmp_path)


def test_start_again_forgets_the_earlier_run(tmp_path):
    train(Regression(mlp(), 8), SHORT, tmp_path / "one")
    train(Regression(mlp(), 8), replace(SHORT, seed=5, learning_rate=0.03), tmp_path / "two")
    train(Regression(mlp(), 8), SHORT, tmp_path / "two", resume=False)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_start_again_leaves_nothing_to_resume_by_mistake(tmp_path):
    def fail(step: int) -> None:
        raise RuntimeError("no data")

    train(Regression(mlp(), 8), SHORT, tmp_path)
    with pytest.raises(RuntimeError, match="no data"):
        train(Regression(mlp(), 8, before=fail), SHORT, tmp_path, resume=False)
    assert read_state(tmp_path) is None


def test_a_finished_run_answers_at_once(tmp_path):
    first = train(Regression(mlp(), 8), SHORT, tmp_path)

    def never(step: int) -> None:
        raise AssertionError("no batch is needed")

    again = train(Regression(mlp(), 8, before=never), SHORT, tmp_path)
    assert again == first


def test_out_of_time_stops_with_a_checkpoint(tmp_path):
    train(Regression(mlp(), 8), SHORT, tmp_path / "whole")
    slow = Regression(mlp(), 8, before=lambda step: time.sleep(0.2 if step == 4 else 0))
    result = train(slow, SHORT, tmp_path / "parts", max_seconds=0.15)
    assert (result.finished, result.reason) == (False, "out of time")
    assert result.step <= 6
    assert not load_model(result.model)[1]["training"]["finished"]
    train(Regression(mlp(), 8), SHORT, tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    with pytest.raises(ConfigError, match="max_seconds"):
        train(slow, SHORT, tmp_path, max_seconds=0.0)


def test_signal_handlers_are_given_back(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    train(Regression(mlp(), 8, before=stop_at(3)), SHORT, tmp_path)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert "stopped at step 4 of 20 (SIGTERM)" in capsys.readouterr().err


@pytest.fixture
def interrupts():
    """Interrupts as in a foreground process, even where the test run was told to ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_ends_the_run_at_once(tmp_path, interrupts):
    def twice(step: int) -> None:
        if step == 8:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(Regression(mlp(), 8, before=twice), SHORT, tmp_path)
    state = read_state(tmp_path)
    assert state is not None
    assert state[0]["book"]["step"] == 6


@pytest.mark.parametrize("config", [SHORT, replace(SHORT, clip=None, weight_decay=0.1)])
def test_accumulation_equals_the_big_batch(tmp_path, config):
    """Two micro-steps of 8 rows are the mean over 16; float64, so round-off of 20 steps stays below 1e-10."""
    big = Regression(mlp(torch.float64), 16)
    small = Regression(mlp(torch.float64), 8)
    one = train(big, config, tmp_path / "big")
    two = train(small, replace(config, accumulate=2), tmp_path / "small")
    for a, b in zip(big.network.parameters(), small.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert one.loss == pytest.approx(two.loss, abs=1e-10)
    assert one.metrics["mse"] == pytest.approx(two.metrics["mse"], abs=1e-10)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path, poison):
    task = Regression(mlp(), 8)

    def spoil(step: int) -> None:
        task.y = regression_data()[1] * (poison if step == 14 else 1.0)

    task.before = spoil
    with pytest.raises(NumericalError, match=r"step 15: .*the checkpoint of step 12 is untouched"):
        train(task, SHORT, tmp_path)
    assert all(bool(torch.isfinite(p).all()) for p in task.network.parameters())
    state = read_state(tmp_path)
    assert state is not None
    assert state[0]["book"]["step"] == 12


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path):
    class Cusp(Regression):
        def loss(self, network, batch, generator):
            return (network(batch["x"]) * 0).abs().sqrt().mean(), {}

    with pytest.raises(NumericalError, match=r"step 1: loss 0\.0, gradient norm nan.*there is no checkpoint yet"):
        train(Cusp(mlp(), 8), SHORT, tmp_path)


def test_metrics_that_are_not_finite_are_null_in_the_log(tmp_path):
    class Undefined(Regression):
        def loss(self, network, batch, generator):
            loss, _ = super().loss(network, batch, generator)
            return loss, {"ratio": loss.detach() * float("nan")}

        def validate(self, network):
            return {"mse": float("inf")}

    result = train(Undefined(mlp(), 8), SHORT, tmp_path)
    assert result.metrics == {"mse": None}
    assert log_of(tmp_path)[0]["ratio"] is None


def test_bad_answers_of_the_task_are_named(tmp_path):
    class PerSample(Regression):
        def loss(self, network, batch, generator):
            return network(batch["x"]).squeeze(-1), {}

    class Clash(Regression):
        def loss(self, network, batch, generator):
            loss, _ = super().loss(network, batch, generator)
            return loss, {"seconds": loss}

    class NotJson(Regression):
        def card(self):
            return {"data": Path("rows")}

    with pytest.raises(ShapeError, match=r"'loss' of the task's loss has shape \(8,\)"):
        train(PerSample(mlp(), 8), SHORT, tmp_path)
    with pytest.raises(ConfigError, match=r"metrics named \['seconds'\]"):
        train(Clash(mlp(), 8), SHORT, tmp_path)
    with pytest.raises(ConfigError, match="card is not JSON"):
        train(NotJson(mlp(), 8), SHORT, tmp_path)
    with pytest.raises(ConfigError, match="0 trainable parameters"):
        train(Regression(mlp().requires_grad_(False), 8), SHORT, tmp_path)


def test_validation_sees_the_average_in_evaluation_mode_and_changes_nothing(tmp_path):
    class Watch(Regression):
        def validate(self, network):
            assert not network.training
            assert not torch.is_grad_enabled()
            torch.randn(3)
            self.seen = {name: value.clone() for name, value in network.state_dict().items()}
            return super().validate(network)

    watched = Watch(mlp(dropout=0.2), 8)
    result = train(watched, SHORT, tmp_path / "watched")
    train(Regression(mlp(dropout=0.2), 8), replace(SHORT, validate_every=0), tmp_path / "plain")
    average = load_model(result.model)[0]
    assert all(torch.equal(average[name], watched.seen[name]) for name in average)
    # a finished run leaves the average in the network, a stopped one what it goes on with
    assert all(torch.equal(average[name], value) for name, value in watched.network.state_dict().items())
    one, two = tensors_of(tmp_path / "watched"), tensors_of(tmp_path / "plain")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_caller_s_draws_and_threads_are_undisturbed(tmp_path):
    threads = torch.get_num_threads()
    torch.manual_seed(11)
    expected = torch.randn(4)
    torch.manual_seed(11)
    train(Regression(mlp(dropout=0.2), 8, 0.1), replace(SHORT, threads=2), tmp_path)
    assert torch.equal(torch.randn(4), expected)
    assert torch.get_num_threads() == threads


def test_the_log_holds_means_over_its_window(tmp_path):
    seen: list[float] = []

    class Record(Regression):
        def loss(self, network, batch, generator):
            loss, metrics = super().loss(network, batch, generator)
            seen.append(float(loss.detach()))
            return loss, metrics

    heard = []
    train(Record(mlp(), 8), SHORT, tmp_path, on_log=lambda step, record: heard.append((step, record)))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line) for line in lines] == heard
    training = [line for line in lines if "loss" in line]
    assert [line["step"] for line in training] == [4, 8, 12, 16, 20]
    for line in training:
        assert line["loss"] == sum(seen[line["step"] - 4 : line["step"]]) / 4
        assert line["learning_rate"] == SHORT.rate(line["step"] - 1)
        assert line["samples_per_second"] > 0
    assert [line["step"] for line in lines if "validation" in line] == [10, 20]


def test_what_hears_the_log_can_end_the_run_and_hears_it_again_on_resume(tmp_path):
    """Asked for at step 12, heeded at the validation of step 20; the same call again takes no step."""
    heard: list[int] = []

    def until(step: int, record: dict) -> str | None:
        heard.append(record["step"])
        return "enough" if step >= 12 else None

    longer = replace(SHORT, steps=40)
    first = train(Regression(mlp(), 8), longer, tmp_path, progress=False, on_log=until)
    assert (first.step, first.reason, first.finished) == (20, "enough", False)
    lines, heard[:] = list(heard), []
    second = train(Regression(mlp(), 8), longer, tmp_path, progress=False, on_log=until)
    assert (second.step, second.reason, heard) == (20, "enough", lines)
    assert train(Regression(mlp(), 8), longer, tmp_path, progress=False).finished


def test_two_runs_do_not_share_a_folder(tmp_path):
    def intrude(step: int) -> None:
        if step == 3:
            train(Regression(mlp(), 8), SHORT, tmp_path)

    with pytest.raises(ConfigError, match="another process trains in"):
        train(Regression(mlp(), 8, before=intrude), SHORT, tmp_path)
