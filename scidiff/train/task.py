"""What a training run asks of the thing it trains, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

__all__ = ["Task", "TrainResult"]


class Task(Protocol):
    """What is trained."""

    network: nn.Module

    def batch(self, step: int, rank: int, world: int) -> Any:
        """Make batch number ``step`` of process ``rank`` among ``world``; a pure function of the three.

        With accumulation ``step`` counts micro-steps, so that every call of a run has its own number. It may be called
        from a second thread, ahead of time.
        """
        ...

    def loss(self, network: nn.Module, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar loss and scalar metrics of a batch on the network's device, under the run's autocast.

        All draws come from ``generator``, which lives on the network's device; dropout inside the network is seeded by
        the run. Metric names are the same on every process.
        """
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Metrics of the averaged network, in evaluation mode, without gradient and without autocast.

        Called in the first process only.
        """
        ...

    def card(self) -> dict[str, Any]:
        """Configuration, name and hash of the data, in JSON values; equal for equal tasks."""
        ...


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Parameters
    ----------
    step
        Steps taken in all.
    finished
        Whether all steps are taken; if not, the same call goes on.
    reason
        ``"finished"``, ``"out of time"``, the name of a signal, or ``"another process stopped"``.
    loss
        Mean loss of the last line of the log; ``None`` before the first one.
    metrics
        Last validation, ``None`` for a number that is not finite; empty before the first validation.
    model
        File with the averaged weights.
    seconds
        Time spent in steps, over all parts of the run.
    """

    step: int
    finished: bool
    reason: str
    loss: float | None
    metrics: dict[str, float | None]
    model: Path
    seconds: float
