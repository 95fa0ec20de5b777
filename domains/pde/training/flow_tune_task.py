"""Further training of a flow model: the two losses of `FlowTask`, and the energy score of the ends of whole runs.

    loss = loss of FlowTask + score,     score: mean of `scidiff.domains.pde.training.flow_score.energy_score`

Runs have 1, 2 or 4 jumps, chosen by the step. Each group of the score is one set of obstacles with two draws of the
model and all its snapshots; obstacles and flows are moved together, as in the rest of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.denoise.flow_map import FlowMap
from scidiff.random import SharedNoise

from ..flow_network import SCHEDULE
from ..solenoidal import FlowProcess, Solenoidal
from ..symmetry import move_channels, move_flow
from .flow_data import FlowSet
from .flow_score import end_of_run, energy_score
from .flow_task import FlowBatch, FlowTask

__all__ = ["FlowTuneTask", "ScoreBatch"]

_CALLS = (1, 4, 1, 2)
_STREAM = 1


@dataclass(frozen=True)
class ScoreBatch:
    """A batch of `FlowTask`, and groups for the score: snapshots, channels, obstacles, moves, and jumps of a run."""

    base: FlowBatch
    truth: Tensor
    condition: Tensor
    geometry: Tensor
    moves: Tensor
    calls: int


@dataclass
class FlowTuneTask(FlowTask):
    """Training that goes on from a model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    groups
        Sets of obstacles in the score of one step.
    start
        What the weights began as, for the card.
    """

    groups: int = 4
    start: str = ""

    def batch(self, step: int, rank: int, world: int) -> ScoreBatch:
        """Rows as in `FlowTask`, and groups for the score."""
        random = np.random.default_rng([self.seed, step, rank, world, _STREAM])
        chosen = random.integers(len(self.train.obstacles), size=self.groups)
        moves = random.integers(0, (*self.train.obstacles.shape[1:], 2), size=(self.groups, 3))
        calls = _CALLS[step % len(_CALLS)]
        return self._grouped(super().batch(step, rank, world), self.train, chosen, moves, calls)

    def _grouped(self, base: FlowBatch, flows: FlowSet, chosen: np.ndarray, moves: np.ndarray, calls: int) -> Any:
        pairs = list(zip(chosen, moves, strict=True))
        truth = np.stack([move_flow(flows.fields[flows.geometry == g], by) for g, by in pairs])
        condition = np.stack([move_channels(flows.geometries[g].channels.numpy(), by) for g, by in pairs])
        return ScoreBatch(base, *map(torch.from_numpy, (truth, condition, chosen, moves)), calls)

    def loss(
        self, network: nn.Module, batch: ScoreBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of the losses, and its parts."""
        base, parts = super().loss(network, batch.base, generator)
        score = self._score(network, self.train, batch, SharedNoise(generator, 2 * len(batch.truth))).mean()
        return base + score, {**parts, "score": score.detach()}

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Losses of `FlowTask`, and the score of runs of 1, 2 and 4 jumps around obstacles not trained on."""
        found = super().validate(network)
        chosen = np.arange(len(self.valid.obstacles))
        blank = torch.zeros(0)
        for calls in sorted(set(_CALLS)):
            generator = torch.Generator(device=next(network.parameters()).device).manual_seed(self.seed)
            batch = self._grouped(
                FlowBatch(blank, blank, blank, blank, 0), self.valid, chosen, np.zeros((len(chosen), 3), int), calls
            )
            noise = SharedNoise(generator, 2 * len(chosen))
            found[f"score_{calls}"] = float(self._score(network, self.valid, batch, noise).mean())
        return found

    def _score(self, network: nn.Module, flows: FlowSet, batch: ScoreBatch, noise: SharedNoise) -> Tensor:
        """Energy score of each group."""
        geometries = [flows.geometries[g] for g in batch.geometry.tolist()]
        space = Solenoidal(2 * geometries, np.tile(batch.moves.cpu().numpy(), (2, 1)))
        process = FlowProcess(space, SCHEDULE, profile=self.profile)
        x = process.eps(noise, tuple(batch.truth.shape[2:]), step=0, stream="score").float()
        condition = torch.cat([batch.condition] * 2)
        ends = end_of_run(FlowMap(network, process), x.to(batch.truth.device), batch.calls, condition)
        first, second = ends.float().chunk(2)
        return energy_score(first, second, batch.truth)

    def card(self) -> dict[str, Any]:
        """The card of `FlowTask`, and what the weights began as."""
        return {**super().card(), "groups": self.groups, "calls": list(_CALLS), "start": self.start}
