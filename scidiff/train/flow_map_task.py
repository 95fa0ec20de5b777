"""Training of flow maps, and of their teachers, as tasks of the training run.

`FlowMapTask` minimises, over rows of the data with states drawn on their paths,

    share * |v(x, t, t) - b|^2  +  (1 - share) * |defect of X_{t,s}(x)|^2

where the first part of the batch anchors the diagonal (flow matching, or the velocity of a teacher) and the rest takes
one of the losses of `scidiff.train.flow_maps`. `DiagonalTask` trains a network of two times on its diagonal as an
ordinary denoiser, with the loss of the process: cross-entropy for one-hot flows [1]_.

References
----------
.. [1] Lee et al., "Flow map language models", arXiv:2602.16813
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.flow_map import FlowMap
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, Process
from scidiff.random import SharedNoise
from scidiff.train.batches import to_device
from scidiff.train.card import sha256_of, told
from scidiff.train.flow_maps import FlowMapLoss, PathBatch
from scidiff.train.time_pairs import DataPairs, TimePairs

__all__ = ["DiagonalTask", "FlowMapTask", "diagonal_denoiser"]

Batch = dict[str, Tensor]


def diagonal_denoiser(network: nn.Module, kind: Kind) -> Denoiser:
    """Take a network of two times at ``s = t`` as a denoiser of the given kind."""
    return Denoiser(lambda x, t, condition=None: network(x, t, t, condition), kind)


class _PathTask(ABC):
    """Rows of a data set, drawn as a function of step and rank, and states on their paths."""

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        data: Tensor,
        *,
        size: int = 512,
        times: TimePairs | DataPairs | None = None,
        conditions: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        process.space.check(data, "data")
        if size < 2 or not len(data):
            raise ConfigError(
                f"batches of {size} of {len(data)} rows were asked for; expected at least 2 of at least 1"
            )
        if conditions is not None and len(conditions) != len(data):
            raise ShapeError(f"{len(conditions)} conditions came for {len(data)} data; expected one for each")
        self.network, self.process, self.data, self.size = network, process, data, size
        self.times = TimePairs() if times is None else times
        self.conditions, self.seed = conditions, seed

    def batch(self, step: int, rank: int, world: int) -> Batch:
        """Rows drawn with replacement, in the dtype of the data."""
        return self._picked(step, rank, world)

    def _picked(self, *counter: int) -> Batch:
        """Rows by a generator of another kind than that of the loss, as equal seeds would tie rows to times."""
        drawn = np.random.default_rng([self.seed, *counter]).integers(len(self.data), size=self.size)
        rows = torch.from_numpy(drawn)
        picked = {"x0": self.data[rows]}
        return picked if self.conditions is None else {**picked, "condition": self.conditions[rows]}

    def paths(self, batch: Batch, generator: torch.Generator) -> PathBatch:
        """States at random times on the paths of the rows."""
        x0 = batch["x0"]
        noise = SharedNoise(generator, len(x0))
        t, s = (time.to(x0.device) for time in self.times(noise))
        return PathBatch(x0, self.process.noise(x0, t, noise), t, s, noise, batch.get("condition"))

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss and its parts."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss of a batch that no step of the run uses, and its parts."""
        device = next(network.parameters()).device
        batch = to_device(self._picked(0), device)
        loss, parts = self.loss(network, batch, torch.Generator(device=device).manual_seed(self.seed))
        return {"validation_loss": float(loss), **{name: float(value) for name, value in parts.items()}}

    def card(self) -> dict[str, Any]:
        """What is trained on what, in JSON values."""
        return {
            "task": type(self).__name__,
            "process": told(self.process),
            "network": told(self.network),
            "times": told(self.times),
            "rows": len(self.data),
            "batch": self.size,
            "seed": self.seed,
            "data": sha256_of(self.data, self.conditions),
        }


class FlowMapTask(_PathTask):
    """Train a flow map.

    Parameters
    ----------
    network
        Mean velocity ``v(x, t, s, condition)``.
    process
        The process whose flow is mapped.
    objective
        The loss, with or without a teacher.
    data
        Rows ``x_0``; states and losses have their dtype.
    share
        Part of each batch that anchors the diagonal, in (0, 1).
    **options
        The rows: ``size`` of a batch; ``times``, law of the pairs of times, `TimePairs` by default; ``conditions``, one
        of every row; ``seed`` of the order.

    Raises
    ------
    ConfigError, ShapeError
        If a share, a size or the shape of the data does not fit.
    """

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        objective: FlowMapLoss,
        data: Tensor,
        *,
        share: float = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(network, process, data, **options)
        self.objective, self.anchors = objective, round(share * self.size)
        if not 0 < self.anchors < self.size:
            raise ConfigError(
                f"a share of {share} of {self.size} rows leaves {self.anchors} for the diagonal; expected at least one "
                "row for it and one for the map"
            )

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the batch, and the means over its two parts."""
        flow, paths, k = FlowMap(network, self.process), self.paths(batch, generator), self.anchors
        diagonal = self.objective.diagonal(flow, _rows(paths, slice(0, k), generator))
        whole = self.objective(flow, _rows(paths, slice(k, self.size), generator))
        mean = torch.cat([diagonal, whole]).mean()
        return mean, {"diagonal": diagonal.mean(), "map": whole.mean()}

    def card(self) -> dict[str, Any]:
        """What is trained on what, in JSON values; of a teacher, what it predicts and the hash of its tensors."""
        teacher = self.objective.teacher
        return {
            **super().card(),
            "objective": told(self.objective),
            "teacher": None if teacher is None else {"kind": str(teacher.kind), "sha256": sha256_of(teacher)},
            "anchors": self.anchors,
        }


class DiagonalTask(_PathTask):
    """Train the diagonal of a network of two times as a denoiser, with the loss of the process.

    Parameters
    ----------
    network
        Called as ``network(x, t, t, condition)``.
    process
        Its loss is minimised, a sum over the sites of a sample.
    kind
        What the network predicts; LOGITS for one-hot flows.
    data
        As for `FlowMapTask`.
    **options
        As for `FlowMapTask`; of each pair of times the first is used.
    """

    def __init__(self, network: nn.Module, process: Process, kind: Kind, data: Tensor, **options: Any) -> None:
        super().__init__(network, process, data, **options)
        self.kind = kind

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the batch; there are no parts."""
        paths = self.paths(batch, generator)
        prediction = diagonal_denoiser(network, self.kind)(paths.x, paths.t, paths.condition)
        m = self.process.convert(prediction, self.kind, paths.x, paths.t)
        return self.process.loss(m, paths.x0, paths.x, paths.t).reshape(len(m), -1).sum(1).mean(), {}

    def card(self) -> dict[str, Any]:
        """What is trained on what, in JSON values."""
        return {**super().card(), "kind": self.kind.name}


def _rows(paths: PathBatch, rows: slice, generator: torch.Generator) -> PathBatch:
    """Part of a batch; its draws go on where those of the whole stopped."""
    cut = {name: getattr(paths, name)[rows] for name in ("x0", "x", "t", "s")}
    condition = None if paths.condition is None else paths.condition[rows]
    return replace(paths, **cut, noise=SharedNoise(generator, len(cut["x0"])), condition=condition)
