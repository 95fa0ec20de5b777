"""What a training run of the conformer model is: batches, loss, validation.

Positions are divided by `scale`, the standard deviation of a coordinate, so that clouds have about unit variance. On
the variance-preserving clock the network predicts the velocity ``v = alpha eps - sigma x_0``. The loss is its squared
error per degree of freedom, ``3 (n - 1)`` of a cloud of `n` atoms; ``lam = log(alpha / sigma)`` is uniform between the
prior and `LAM_MAX`, spread evenly over a batch, so that every factor of the noise level gets the same share: the finest
level, 0.5 % of the size of a molecule, is the precision that bond lengths are wanted with.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.process.base import Kind
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import CosineSchedule
from scidiff.process.weight import velocity_weight
from scidiff.random import SharedNoise
from scidiff.spaces import Centred

from .data import ConformerSet
from .graph import Graphs
from .network import Condition, ConformerConfig, ConformerNetwork

__all__ = ["LAM_MAX", "PROCESS", "ConformerBatch", "ConformerTask", "condition_of", "noise_level"]

LAM_MAX = 5.3
"""Half log signal-to-noise ratio of the finest level that is trained."""
LAM_MIN = -4.0
"""That of the prior, where 2 % of the amplitude of a cloud is left."""
PROCESS = GaussianProcess(Centred((None, 3)), CosineSchedule(lam_min=LAM_MIN), velocity_weight)
"""Noising law of clouds without padding."""


@dataclass(frozen=True)
class ConformerBatch:
    """Clouds in units of the scale, shape ``(batch, n, 3)``, and their molecules."""

    x0: Tensor
    condition: Condition


def condition_of(graphs: Graphs, rows: np.ndarray) -> Condition:
    """Condition of some molecules, padded to the largest among them."""
    size = int(graphs.sizes[rows].max())
    return Condition(
        torch.from_numpy(graphs.atoms[rows, :size].astype(np.int64)),
        torch.from_numpy(graphs.pairs[rows, :size, :size].astype(np.int64)),
        torch.arange(size) < torch.from_numpy(graphs.sizes[rows]).unsqueeze(1),
    )


def noise_level(t: Tensor) -> Tensor:
    """Noise level on a scale that is linear in `lam`: 0 at `LAM_MAX` and finer, 1 at the prior."""
    return ((LAM_MAX - PROCESS.schedule.lam(t)) / (LAM_MAX - LAM_MIN)).clamp(0, 1).float()


@dataclass
class ConformerTask:
    """Training of a conformer model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid
        Conformers.
    network_config
        Size of the network.
    data
        Facts on the data for the card.
    batch_size
        Clouds per batch and process.
    seed
        Seed of the initial weights, of the data order and of validation noise.
    """

    train: ConformerSet
    valid: ConformerSet
    network_config: ConformerConfig
    data: dict[str, Any]
    batch_size: int = 256
    seed: int = 0
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = ConformerNetwork(self.network_config)

    @cached_property
    def scale(self) -> float:
        """Standard deviation of a coordinate over all real atoms of the training set, Å."""
        total = float(np.square(self.train.positions, dtype=np.float64).sum())
        freedom = 3 * self.train.positions.shape[1] * int((self.train.graphs.sizes - 1).sum())
        return round((total / freedom) ** 0.5, 6)

    def batch(self, step: int, rank: int, world: int) -> ConformerBatch:
        """Batch number `step`: molecules in an order shuffled every epoch, one conformer of each."""
        count = self.batch_size * world
        per_epoch = max(len(self.train) // count, 1)
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train))
        first = place * count + rank * self.batch_size
        rows = order.take(range(first, first + self.batch_size), mode="wrap")
        random = np.random.default_rng([self.seed, step, rank])
        return self._batch(self.train, rows, random.integers(self.train.positions.shape[1], size=len(rows)))

    def loss(
        self, network: nn.Module, batch: ConformerBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of the velocity per degree of freedom; its part at fine levels apart."""
        noise = SharedNoise(generator, len(batch.x0))
        level = _spread(noise)
        errors = self._errors(network, batch, level, noise)
        fine = errors.detach()[level < 1 / 3].mean()
        return errors.mean(), {"loss_fine": fine}

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss on held-out molecules with fixed noise, and its standard error."""
        generator = torch.Generator().manual_seed(self.seed)
        errors: list[Tensor] = []
        for first in range(0, len(self.valid), self.batch_size):
            rows = np.arange(first, min(first + self.batch_size, len(self.valid)))
            batch = self._batch(self.valid, rows, np.zeros(len(rows), dtype=np.int64))
            noise = SharedNoise(generator, len(rows))
            errors.append(self._errors(network, batch, _spread(noise), noise))
        error = torch.cat(errors)
        spread = float(error.std() / len(error) ** 0.5)
        return {"held_out_loss": float(error.mean()), "held_out_loss_standard_error": spread}

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "molecules/conformers",
            "data": self.data,
            "network": self.network_config.to_json(),
            "scale": self.scale,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def _batch(self, source: ConformerSet, rows: np.ndarray, conformers: np.ndarray) -> ConformerBatch:
        condition = condition_of(source.graphs, rows)
        positions = source.positions[rows, conformers, : condition.mask.shape[1]] / self.scale
        return ConformerBatch(torch.from_numpy(positions.astype(np.float32)), condition)

    @staticmethod
    def _errors(network: nn.Module, batch: ConformerBatch, level: Tensor, noise: SharedNoise) -> Tensor:
        """Loss of every cloud of a batch."""
        mask = batch.condition.mask
        space = Centred((None, 3), mask)
        process = replace(PROCESS, space=space)
        x0 = space.project(batch.x0.double())
        t = process.schedule.t(LAM_MAX - level * (LAM_MAX - LAM_MIN)).reshape(-1, 1, 1)
        x_t = process.noise(x0, t, noise)
        v = network(x_t.float(), level.float(), batch.condition)
        m = process.convert(v.double(), Kind.V, x_t, t)
        return process.loss(m, x0, x_t, t).sum((1, 2)) / space.dimension(x0).clamp(min=1).to(v.device)


def _spread(noise: SharedNoise) -> Tensor:
    """Levels uniform in (0, 1), one per row, spread evenly over the batch in random order."""
    shift = noise.uniform(step=0, stream="level")
    order = noise.uniform(step=0, stream="order").argsort()
    return (order + shift[0]) / len(noise)
