r"""What a training run of the flow model is: batches of flows around obstacles, and two losses.

.. math::
    \ell = \frac1B \Bigl( \sum_{i \le k} \frac{\|P v(x_i, t_i, t_i) - \dot x_i\|^2}{2 n_x n_y}
         + \sum_{i > k} \frac{|w_i|^2}{2 n_x n_y} \Bigr)

The first part of a batch regresses the velocity of the path, the rest has the defect ``w`` of two jumps against one
(`scidiff.train.flow_maps.Semigroup`), which makes a flow map of the network, good for any number of calls. For the
first steps of a run the whole batch goes to the first part, and its norm is the plain one; then it is

.. math::
    \|e\|^2 = |e|^2 + \kappa^{-2} |\nabla e|^2, \qquad \kappa = 2 \pi \cdot 4,

with differences between neighbours for the gradient: details finer than a quarter of the box count more, the minimiser
stays the conditional mean. ``P`` is the projection for the obstacles of the row. Rows
are shifted and reflected at random: the law of the flows does not change when flow and obstacles move together.

References
----------
.. [1] K. Frans et al., "One Step Diffusion via Shortcut Models", arXiv:2410.12557
.. [2] N. M. Boffi et al., "How to build a consistency model", arXiv:2505.18825
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.denoise.flow_map import FlowMap
from scidiff.nets.unet import UNetConfig
from scidiff.random import SharedNoise
from scidiff.train.flow_maps import PathBatch, Semigroup
from scidiff.train.time_pairs import TimePairs

from ..flow_network import LOW, SCHEDULE, FlowNetwork
from ..solenoidal import FlowProcess, Profile, Solenoidal
from ..symmetry import move_channels, move_flow
from .flow_data import FlowSet

__all__ = ["FlowBatch", "FlowTask"]

_KAPPA = 2 * math.pi * 4


@dataclass(frozen=True)
class FlowBatch:
    """Rows of a set: flows, channels of their obstacles, number of these, move of the row, and rows for the map."""

    x0: Tensor
    condition: Tensor
    geometry: Tensor
    moves: Tensor
    maps: int


@dataclass
class FlowTask:
    """Training of a flow model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid
        Flows without their mean flow, in the unit `scale`; the obstacles of the two sets differ.
    profile
        Spectrum of the noise.
    network_config
        Size of the network.
    scale
        Unit of velocity.
    data
        Facts on the data for the card.
    batch_size
        Rows per batch and process.
    map_share
        Share of the batch that trains the map.
    map_after
        Steps before the map is trained.
    seed
        Seed of the weights, of the order of the data, and of the noise of validation.
    """

    train: FlowSet
    valid: FlowSet
    profile: Profile
    network_config: UNetConfig
    scale: float
    data: dict[str, Any]
    batch_size: int = 16
    map_share: float = 0.375
    map_after: int = 0
    seed: int = 0
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.network = FlowNetwork(self.network_config, seed=self.seed)

    def batch(self, step: int, rank: int, world: int) -> FlowBatch:
        """Rows drawn with replacement and shifted, a function of the three numbers."""
        random = np.random.default_rng([self.seed, step, rank, world])
        rows = random.integers(len(self.train), size=self.batch_size)
        moves = random.integers(0, (*self.train.obstacles.shape[1:], 2), size=(self.batch_size, 3))
        maps = round(self.map_share * self.batch_size) if step >= self.map_after else 0
        return self._picked(self.train, rows, moves, maps)

    def _picked(self, flows: FlowSet, rows: np.ndarray, moves: np.ndarray, maps: int) -> FlowBatch:
        geometry = flows.geometry[rows]
        pairs = list(zip(rows, geometry, moves, strict=True))
        x0 = np.stack([move_flow(flows.fields[row], by) for row, _, by in pairs])
        condition = np.stack([move_channels(flows.geometries[g].channels.numpy(), by) for _, g, by in pairs])
        return FlowBatch(*map(torch.from_numpy, (x0, condition, geometry, moves)), maps)

    def loss(
        self, network: nn.Module, batch: FlowBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared defect per face, and its two parts; NaN never: a part without rows is 0."""
        diagonal, maps = self._defects(network, self.train, batch, SharedNoise(generator, len(batch.x0)))
        parts = {"diagonal": _mean(diagonal).detach(), "map": _mean(maps).detach()}
        return torch.cat([diagonal, maps]).mean(), parts

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Both losses around obstacles that are not trained on, with the standard error of the first."""
        size, found = self.batch_size, ([], [])
        device = next(network.parameters()).device
        for first in range(0, len(self.valid) // size * size, size):
            generator = torch.Generator(device=device).manual_seed(self.seed + first)
            batch = self._picked(self.valid, np.arange(first, first + size), np.zeros((size, 3), dtype=int), size // 2)
            parts = self._defects(network, self.valid, batch, SharedNoise(generator, size))
            for kept, part in zip(found, parts, strict=True):
                kept.append(part)
        diagonal, maps = map(torch.cat, found)
        return {
            "diagonal": float(diagonal.mean()),
            "diagonal_standard_error": float(diagonal.std() / len(diagonal) ** 0.5),
            "map": float(maps.mean()),
        }

    def _defects(
        self, network: nn.Module, flows: FlowSet, batch: FlowBatch, noise: SharedNoise
    ) -> tuple[Tensor, Tensor]:
        """Squared defects per face of the rows of the two parts."""
        count, first = len(batch.x0), len(batch.x0) - batch.maps
        geometries = [flows.geometries[g] for g in batch.geometry.tolist()]
        space = Solenoidal(geometries, batch.moves.cpu().numpy(), inside=batch.maps == 0)
        process = FlowProcess(space, SCHEDULE, profile=self.profile)
        start, end = TimePairs(LOW)(noise)
        even = LOW + (1 - LOW) * _spread(noise, first)
        t = torch.cat([even, start[first:]]).to(batch.x0.device)
        x, s = process.noise(batch.x0, t, noise), end.to(t)
        defects = []
        for rows, term in ((slice(0, first), self._diagonal), (slice(first, count), Semigroup())):
            part = SharedNoise(noise.generator, len(t[rows]))
            paths = PathBatch(batch.x0[rows], x[rows], t[rows], s[rows], part, batch.condition[rows])
            flow = FlowMap(network, process.take(rows))
            defects.append(term(flow, paths) if len(t[rows]) else t[rows].float())
        sites = batch.x0[0].numel()
        return defects[0] / sites, defects[1] / sites

    @staticmethod
    def _diagonal(flow: FlowMap, paths: PathBatch) -> Tensor:
        """Squared error of the velocity at ``s = t``, in the plain norm where the space says so."""
        gap = flow.velocity(paths.x, paths.t, paths.t, paths.condition) - Semigroup().conditional(flow, paths)
        plain = gap.square().flatten(1).sum(1)
        if flow.process.space.inside:
            return plain
        slopes = [(torch.roll(gap, 1, axis) - gap).square().flatten(1).sum(1) for axis in (-2, -1)]
        return plain + (gap.shape[-2] / _KAPPA) ** 2 * (slopes[0] + slopes[1])

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "pde/flow",
            "data": self.data,
            "scale": self.scale,
            "profile": list(self.profile.values),
            "network": self.network_config.to_json(),
            "batch_size": self.batch_size,
            "map_share": self.map_share,
            "map_after": self.map_after,
            "seed": self.seed,
        }


def _spread(noise: SharedNoise, count: int) -> Tensor:
    """Times in (0, 1) of the first rows, spread evenly over them in random order."""
    u = noise.uniform((2,), step=0, stream="time")[:count]
    return (u[:, 0].argsort() + u[:1, 1]) / max(count, 1)


def _mean(values: Tensor) -> Tensor:
    return values.mean() if len(values) else values.new_zeros(())
