"""A run goes on only with the same data, noise, network, objective and teacher; cards tell them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError
from scidiff.nets.two_time import TwoTimeMLP
from scidiff.process import GaussianProcess, Kind, LinearFlowSchedule, VPSchedule
from scidiff.process.schedule import Schedule
from scidiff.spaces import Euclidean
from scidiff.train import DenoisingTask, FixedNoise, LogNoiseAxis, TrainConfig, UniformLevels, train
from scidiff.train.card import sha256_of, told
from scidiff.train.flow_map_task import FlowMapTask, diagonal_denoiser
from scidiff.train.flow_maps import Consistency, FlowMapLoss, Lagrangian
from scidiff.train.task import Task

LINE = Euclidean((1,))
ROWS = torch.linspace(-1, 1, 16).unsqueeze(1)
FIRST = TrainConfig(steps=2, horizon=4, warmup=1, learning_rate=1e-3, threads=1)
WHOLE = TrainConfig(steps=4, horizon=4, warmup=1, learning_rate=1e-3, threads=1)


class Affine(nn.Module):
    """A straight line, by name of its activation."""

    def __init__(self, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(1))
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        return self.activation(self.slope * x)


def denoising(
    data: Tensor = ROWS, valid: Tensor = ROWS, schedule: Schedule | None = None, network: nn.Module | None = None
) -> DenoisingTask:
    process = GaussianProcess(LINE, LinearFlowSchedule() if schedule is None else schedule)
    levels = FixedNoise(LogNoiseAxis(LinearFlowSchedule(), 0.01, 50.0), UniformLevels())
    return DenoisingTask(data, valid, process, network or Affine(), Kind.MEAN, levels, batch_size=8)


def flow_map(objective: FlowMapLoss) -> FlowMapTask:
    network = TwoTimeMLP(LINE, width=8, depth=1, frequencies=1)
    return FlowMapTask(network, GaussianProcess(LINE, LinearFlowSchedule()), objective, ROWS, size=8)


def teacher(slope: float = 0.5) -> Denoiser:
    """A network inside a closure, as diagonals of flow maps are."""
    network = TwoTimeMLP(LINE, width=8, depth=1, frequencies=1).requires_grad_(False)
    next(network.parameters()).fill_(slope)
    return diagonal_denoiser(network, Kind.MEAN)


def start_then_go_on(first: Task, second: Task, folder) -> None:
    train(first, FIRST, folder, progress=False)
    assert train(second, WHOLE, folder, progress=False).finished


OTHERS: dict[str, tuple[Callable[[], Task], Callable[[], Task], str]] = {
    "data": (denoising, lambda: denoising(data=ROWS.flip(0)), "card.sha256"),
    "valid": (denoising, lambda: denoising(valid=ROWS + 1), "card.sha256"),
    "schedule": (denoising, lambda: denoising(schedule=VPSchedule()), "card.process"),
    "network": (denoising, lambda: denoising(network=Affine(nn.Tanh())), "card.denoiser"),
    "step": (
        lambda: flow_map(Consistency(teacher(), 0.05)), lambda: flow_map(Consistency(teacher(), 0.01)), "card.objective"
    ),
    "weights of the teacher": (
        lambda: flow_map(Lagrangian(teacher())), lambda: flow_map(Lagrangian(teacher(0.4))), "card.teacher.sha256"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_another_part_is_another_run(tmp_path, name):
    first, second, says = OTHERS[name]
    train(first(), FIRST, tmp_path, progress=False)
    with pytest.raises(ConfigError, match=says):
        train(second(), WHOLE, tmp_path, progress=False)


def test_equal_parts_made_again_go_on(tmp_path):
    start_then_go_on(denoising(), denoising(), tmp_path / "denoiser")
    start_then_go_on(flow_map(Lagrangian(teacher())), flow_map(Lagrangian(teacher())), tmp_path / "map")


def test_the_hash_follows_tensors_wherever_a_function_keeps_them():
    """Networks, closures, methods, defaults and mappings; equal values hash equally, a changed one does not."""

    def holders(x: Tensor) -> list[object]:
        network = Affine()
        network.slope.data = x
        return [x, network, {"a": [x]}, lambda: x, partial(torch.add, x), network.forward, Denoiser(network, Kind.MEAN)]

    one, same, other = ([sha256_of(part) for part in holders(torch.tensor([value]))] for value in (1.0, 1.0, 2.0))
    assert one == same
    assert all(first != second for first, second in zip(one, other, strict=True))
    assert len(set(one)) == 1


def test_half_precision_and_cycles_are_hashed():
    ring: list[object] = [torch.ones(3, dtype=torch.bfloat16)]
    ring.append(ring)
    assert sha256_of(ring) == sha256_of(torch.ones(3, dtype=torch.bfloat16))


def test_addresses_are_not_told():
    assert " at 0x" not in told({"loss": lambda x: x})
