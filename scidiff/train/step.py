r"""One optimizer step: gradients of the micro-steps, their mean over processes, and the update.

.. math::
    g = \frac{1}{A R} \sum_{m=1}^{A} \sum_{r=1}^{R} \nabla_\theta \ell\bigl(\theta; b_{kA+m,\,r}\bigr)

with :math:`A` micro-steps and :math:`R` processes. Gradients, loss, metrics and the wish to stop travel in one
buffer, so that a step costs one collective call and all processes take the same decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.train.batches import BatchSource, leading_axis, to_device
from scidiff.train.draws import draw_seed, seed_global_draws
from scidiff.train.optimizer import clip_gradients, gradient_norm

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from scidiff.train.config import TrainConfig
    from scidiff.train.task import Task

__all__ = ["StepReport", "Stepper"]

RESERVED = frozenset({"step", "loss", "samples", "gradient_norm", "learning_rate", "seconds", "samples_per_second"})
"""Names of the log that a task's metrics may not use."""


@dataclass(frozen=True)
class StepReport:
    """What one step measured.

    Parameters
    ----------
    values
        Loss, metrics and ``gradient_norm``, means over micro-steps and processes.
    samples
        Samples used by all processes; 0 when the batch does not show its size.
    stop
        Whether some process wished to stop.
    """

    values: dict[str, float]
    samples: int
    stop: bool

    @property
    def finite(self) -> bool:
        """Whether loss and gradient norm are finite."""
        return math.isfinite(self.values["loss"]) and math.isfinite(self.values["gradient_norm"])


class Stepper:
    """Take the gradient steps of a run.

    Parameters
    ----------
    fabric
        Launched fabric: device, precision and processes.
    task
        What is trained.
    config
        Settings of the run.
    optimizer
        Optimizer of the task's network.
    """

    def __init__(self, fabric: Fabric, task: Task, config: TrainConfig, optimizer: torch.optim.Optimizer) -> None:
        self._fabric = fabric
        self._task = task
        self._config = config
        self._optimizer = optimizer
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._dtype = reduce(torch.promote_types, (p.dtype for p in self._parameters), torch.float32)
        self._generator = torch.Generator(device=fabric.device)
        total = config.steps * config.accumulate
        self._batches = BatchSource(
            lambda index: task.batch(index, fabric.global_rank, fabric.world_size), total, config.prefetch
        )

    def close(self) -> None:
        """Drop batches made ahead of time."""
        self._batches.close()

    def gradient(self, step: int, stop: bool) -> StepReport:
        """Leave the mean gradient of a step in the parameters.

        Parameters
        ----------
        step
            Steps already taken.
        stop
            Whether this process wishes to stop.

        Returns
        -------
        StepReport
            What was measured, the same on all processes.
        """
        self._optimizer.zero_grad(set_to_none=True)
        totals: dict[str, Tensor] = {}
        samples = 0
        for micro in range(self._config.accumulate):
            values, count = self._micro_step(step * self._config.accumulate + micro)
            samples += count * self._fabric.world_size
            for name, value in values.items():
                totals[name] = totals[name] + value if name in totals else value
        scalars = torch.stack(list(totals.values())) / self._config.accumulate
        if self._fabric.world_size > 1:
            scalars, stop = self._average(scalars, stop)
        values = dict(zip(totals, scalars.tolist(), strict=True))
        values["gradient_norm"] = gradient_norm(self._optimizer)
        return StepReport(values, samples, stop)

    def update(self, step: int, norm: float) -> None:
        """Clip the gradient and move the parameters.

        Parameters
        ----------
        step
            Steps already taken.
        norm
            Norm of the gradient.
        """
        clip_gradients(self._optimizer, norm, self._config.clip)
        rate = self._config.rate(step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()

    def _micro_step(self, index: int) -> tuple[dict[str, Tensor], int]:
        fabric = self._fabric
        seed = draw_seed(self._config.seed, index, fabric.global_rank, fabric.world_size)
        self._generator.manual_seed(seed)
        seed_global_draws(seed, fabric.device)
        batch = to_device(self._batches.get(index), fabric.device)
        with fabric.autocast():
            loss, metrics = self._task.loss(self._task.network, batch, self._generator)
        _check_values(loss, metrics)
        (loss / self._config.accumulate).backward()
        values = {"loss": loss, **metrics}
        return {name: value.detach().to(self._dtype) for name, value in values.items()}, leading_axis(batch)

    def _average(self, scalars: Tensor, stop: bool) -> tuple[Tensor, bool]:
        """Average gradients and scalars over processes; a parameter unused everywhere keeps no gradient."""
        flags = [float(p.grad is not None) for p in self._parameters] + [float(stop)]
        have = torch.tensor(flags, dtype=self._dtype, device=scalars.device)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        flat = torch.cat([g.reshape(-1).to(self._dtype) for g in grads] + [scalars, have])
        torch.distributed.all_reduce(flat)
        flat /= self._fabric.world_size
        sizes = [g.numel() for g in grads] + [scalars.numel(), have.numel()]
        *pieces, scalars, have = flat.split(sizes)
        *used, stopped = (value > 0 for value in have.tolist())
        for parameter, piece, any_used in zip(self._parameters, pieces, used, strict=True):
            parameter.grad = piece.view_as(parameter).to(parameter.dtype) if any_used else None
        return scalars, stopped


def _check_values(loss: Tensor, metrics: dict[str, Tensor]) -> None:
    clash = RESERVED & metrics.keys()
    if clash:
        raise ConfigError(f"the loss returned metrics named {sorted(clash)}, which the log uses itself; rename them")
    for name, value in (("loss", loss), *metrics.items()):
        if value.ndim:
            raise ShapeError(f"'{name}' of the task's loss has shape {tuple(value.shape)}; expected (); take its mean")
