"""What a training run of the frame model is: the batches, plans and motifs of `torsion.task`, with losses on frames.

With ``u = t/s`` the error of the best linear prediction of CA (`network`), ``e = x^_0 - x_0`` and ``D`` the whitening
of `torsion.process`, the loss of a chain is

    mean |D e|^2 / u^2  +  (1/2) mean |e|^2 / (3 r u)^2  +  mean of `RotationLaw.error`  +  2 (1 - lDDT)

as for torsions but for the third term. Noise of CA is superposed onto the data; that of rotations needs none, as a
uniform rotation stays one in any pose.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.random import SharedNoise
from scidiff.spaces.centred import centre

from ..torsion.data import Cut, TrainingChains
from ..torsion.plans import pack_plans
from ..torsion.process import polymer, whiten
from ..torsion.task import RADIUS, ChainBatch, TorsionTask, row_mean, spread_times, superposed, unlikeness
from .network import FrameConfig, FrameNetwork
from .process import quaternions_of
from .rotations import RotationFlow, RotationLaw

__all__ = ["FrameBatch", "FrameTask"]


@dataclass(frozen=True)
class FrameBatch(ChainBatch):
    """A `ChainBatch` with the quaternions of its frames, float32, shape ``(batch, length, 4)``."""

    rotation: Tensor


@dataclass
class FrameTask(TorsionTask):
    """Training of the frame model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid, network_config, data, batch_size, seed
        As of `TorsionTask`; `network_config` is a `FrameConfig`.
    law
        Law of the noise of rotations.
    """

    law: RotationLaw = field(default_factory=RotationFlow)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = FrameNetwork(FrameConfig.from_json(self.network_config.to_json()))

    def loss(
        self, network: nn.Module, batch: FrameBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss; its parts apart."""
        noise = SharedNoise(generator, len(batch.ca))
        parts = self._losses(network, batch, spread_times(noise), noise)
        total = parts["bonds"] + 0.5 * parts["places"] + parts["rotations"] + 2 * parts["lddt_loss"]
        return total.mean(), {name: value.detach().mean() for name, value in parts.items()}

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "proteins/frames",
            "data": self.data,
            "network": self.network_config.to_json(),
            "rotations": self.law.to_json(),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "plans": pack_plans(self.train),
        }

    def _batch(
        self, source: TrainingChains, parts: list[Cut], random: np.random.Generator | None, told: bool = True
    ) -> FrameBatch:
        batch = super()._batch(source, parts, random, told)
        mask = batch.condition["mask"]
        xyz = torch.zeros(*mask.shape, 3, 3, dtype=torch.float64)
        for k, part in enumerate(parts):
            xyz[k, : len(part)] = source.chains.xyz[part.row, part.start : part.stop]
        values = {one.name: getattr(batch, one.name) for one in fields(batch)}
        return FrameBatch(**values, rotation=quaternions_of(xyz, mask).float())

    def _losses(self, network: nn.Module, batch: FrameBatch, t: Tensor, noise: SharedNoise) -> dict[str, Tensor]:
        """Parts of the loss of each chain."""
        q0 = batch.rotation
        mask, length = batch.condition["mask"], batch.condition["mask"].shape[1]
        turn_time = self.law.training_times(t, noise)
        q_t = self.law.process.noise(q0.double(), turn_time, noise)
        time = t.reshape(-1, 1, 1)
        x1 = superposed(centre(polymer(noise.normal((length, 3))), mask), batch.ca.double(), mask)
        x_t = ((1 - time) * batch.ca + time * x1).float()
        seen = {"rotation": q_t.float(), "ca": x_t}
        out = network(seen, {"rotation": turn_time.unsqueeze(1).expand(-1, length), "ca": t}, batch.condition)
        gap = (out["ca"] + x_t - batch.ca).float()
        u = (time / ((1 - time) ** 2 + time**2).sqrt()).float()
        turned = self.law.error(out["rotation"].double(), q0.double(), q_t, turn_time)
        linked = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)
        return {
            "bonds": row_mean((whiten(gap) / u).square(), linked),
            "places": row_mean((gap / (RADIUS * u)).square(), mask.unsqueeze(-1)),
            "rotations": row_mean(turned.float(), mask),
            "lddt_loss": unlikeness(x_t + out["ca"], batch),
        }
