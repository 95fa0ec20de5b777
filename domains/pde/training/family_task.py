"""Training of a flow on a family of solutions: coefficients, and the initial slice shown to half of the rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.process.base import Kind
from scidiff.random import SharedNoise
from scidiff.train.card import sha256_of
from scidiff.train.denoising import DenoisingTask

from ..constraints.functional import ModeNet, coefficient_process, noise_levels

__all__ = ["FamilyBatch", "FamilyTask", "family_task"]

_HIDDEN = 0.5


@dataclass(frozen=True)
class FamilyBatch:
    """Coefficients, shape ``(batch, modes)``, and slices, NaN where they are hidden, shape ``(batch, given)``."""

    rows: Tensor
    given: Tensor


@dataclass
class FamilyTask(DenoisingTask):
    """Denoising of coefficients; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    given
        Initial slices of the rows, shape ``(count, given)``.
    facts
        What else the card says.
    """

    given: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    facts: dict[str, Any] = field(default_factory=dict)

    def batch(self, step: int, rank: int, world: int) -> FamilyBatch:  # type: ignore[override]
        """Rows drawn at random, half of them without their slice."""
        random = np.random.default_rng([self.seed, step, rank, world])
        rows = torch.from_numpy(random.integers(len(self.data), size=self.batch_size))
        hidden = torch.from_numpy(random.random((self.batch_size, 1)) < _HIDDEN)
        return FamilyBatch(self.data[rows], torch.where(hidden, torch.nan, self.given[rows]))

    def loss(self, network: nn.Module, batch: FamilyBatch, generator: torch.Generator) -> Any:  # type: ignore[override]
        """Weighted loss per sample."""
        draw = self.levels.draw(len(batch.rows), generator)
        x_t = self.process.noise(batch.rows, draw.t, SharedNoise(generator, len(batch.rows)))
        m = self.mean(x_t, draw.t, batch.given)
        terms = self.process.loss(m, batch.rows, x_t, draw.t).flatten(1).sum(1)
        return (draw.weight * terms).mean(), draw.metrics()

    def card(self) -> dict[str, Any]:
        """What the run is."""
        return {**super().card(), "given_sha256": sha256_of(self.given), **self.facts}


def family_task(
    network: ModeNet,
    data: tuple[Tensor, Tensor],
    valid: Tensor,
    name: str,
    facts: dict[str, Any],
    *,
    batch_size: int = 256,
    seed: int = 0,
) -> FamilyTask:
    """Training on coefficients and slices.

    Parameters
    ----------
    network
        The network.
    data
        Coefficients, shape ``(count, modes)``, and slices, shape ``(count, given)``.
    valid
        Coefficients of the validation set.
    name, facts
        Name of the data, and further facts for the card.
    batch_size, seed
        Rows of a batch; seed of their order.
    """
    rows, given = (part.float() for part in data)
    return FamilyTask(
        rows, valid.float(), coefficient_process(network.variances), network, Kind.MEAN,
        noise_levels(network.variances), name=name, batch_size=batch_size, seed=seed, given=given, facts=facts,
    )  # fmt: skip
