r"""What a training run of the pair model is: one network for no sensors, sensors of the medium, of the head, and both.

.. math::
    \ell = \frac{1}{2 n^2} \bigl\| v(x_t, t, c) - (\alpha \epsilon - \sigma x_0) \bigr\|^2, \qquad t \sim U(0, 1)

The condition ``c`` of a row are the channels of its sensors. Rows come in groups; a group shares its sensors (so that
kriging needs one factor for a group), which are drawn anew at each step: their number, log-uniform up to a quarter of
the cells or `FAVOURED`, and their cells, uniform in the square or, one time in eight, in a rectangle. Which fields a
row sees of them is drawn for each row, `SHARES`. Every row is turned by one of the eight symmetries of the square; law
and equation do not change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.nets.unet import UNetConfig
from scidiff.process.base import Kind
from scidiff.random import SharedNoise
from scidiff.train.noise_levels import even_positions

from ..darcy.chart import Chart, PairProcess
from ..darcy.conditions import CHANNELS, blank, show_heads, show_signs
from ..darcy.network import EARLIEST, PairNetwork
from .darcy_data import PairSet, turned

__all__ = ["FAVOURED", "SHARES", "DarcyBatch", "DarcyTask"]

FAVOURED = 500
"""Number of sensors of every second group, if the grid has eight times as many cells."""

SHARES = {"none": 0.1, "medium": 0.375, "head": 0.45, "both": 0.075}
"""Which fields the sensors of a row see."""

_GROUP = 16
_VALID = 8


@dataclass(frozen=True)
class DarcyBatch:
    """Coordinates of pairs and channels of their sensors."""

    x0: Tensor
    condition: Tensor


@dataclass
class DarcyTask:
    """Training of a pair model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid
        Pairs; the two sets differ.
    chart
        Coordinates.
    network_config
        Size of the network.
    data
        Facts on the data for the card.
    batch_size
        Rows per batch and process.
    seed
        Seed of the weights, of the order of the data, and of the sensors.
    """

    train: PairSet
    valid: PairSet
    chart: Chart
    network_config: UNetConfig
    data: dict[str, Any]
    batch_size: int = 16
    seed: int = 0
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.network = PairNetwork(self.network_config, self.chart.shape[0], seed=self.seed)
        self.network.mean.copy_(torch.from_numpy(self.chart.mean))
        self.process = PairProcess()

    def batch(self, step: int, rank: int, world: int) -> DarcyBatch:
        """Rows drawn with replacement, with new sensors, a function of the three numbers."""
        random = np.random.default_rng([self.seed, step, rank, world])
        rows = random.integers(len(self.train), size=self.batch_size)
        sees = random.choice(len(SHARES), p=list(SHARES.values()), size=self.batch_size)
        parts = [
            self.observed(self.train, rows[k : k + _GROUP], sees[k : k + _GROUP], self._count(random), random)
            for k in range(0, self.batch_size, _GROUP)
        ]
        x0, condition = (np.concatenate(part) for part in zip(*parts, strict=True))
        moves = random.integers(8, size=self.batch_size)
        moved = [np.stack([turned(one, by) for one, by in zip(part, moves, strict=True)]) for part in (x0, condition)]
        return DarcyBatch(*map(torch.from_numpy, moved))

    def observed(
        self, pairs: PairSet, rows: np.ndarray, sees: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of rows, and channels of `count` sensors of the medium and as many others of the head."""
        g, u = pairs.g[rows].astype(np.float64), pairs.u[rows].astype(np.float64)
        channels, n = blank(self.chart, len(rows)), self.chart.shape[0]
        for which, show in (((1, 3), self._signs), ((2, 3), self._heads)):
            index = _cells(n, count, random)
            chosen = np.isin(sees, which)
            if chosen.any():
                part = channels[chosen]
                show(part, index, g[chosen], u[chosen])
                channels[chosen] = part
        return self.chart.encode(g, u).astype(np.float32), channels

    def _signs(self, channels: np.ndarray, index: np.ndarray, g: np.ndarray, u: np.ndarray) -> None:
        show_signs(channels, index, np.where(g[:, index[:, 0], index[:, 1]] >= 0, 1.0, -1.0))

    def _heads(self, channels: np.ndarray, index: np.ndarray, g: np.ndarray, u: np.ndarray) -> None:
        show_heads(channels, self.chart, index, u[:, index[:, 0], index[:, 1]])

    def _count(self, random: np.random.Generator) -> int:
        most = self.chart.shape[0] * self.chart.shape[1] // 4
        any_number = int(np.exp(random.uniform(np.log(8), np.log(most))))
        return min(FAVOURED, most // 2) if random.random() < 0.5 else any_number

    def loss(
        self, network: nn.Module, batch: DarcyBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of the velocity per cell, and that of either field."""
        time = EARLIEST + (1 - EARLIEST) * even_positions(len(batch.x0), generator)
        error = self._error(network, batch, time, SharedNoise(generator, len(batch.x0)))
        parts = error.mean((0, 2, 3))
        return error.mean(), {"medium": parts[0].detach(), "head": parts[1].detach()}

    def _error(self, network: nn.Module, batch: DarcyBatch, t: Tensor, noise: SharedNoise) -> Tensor:
        x0 = batch.x0
        x = self.process.noise(x0, t, noise)
        target = self.process.target(x0, x, t, Kind.V)
        return (network(x, t, batch.condition) - target).square()

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss on other pairs, and errors of one call at the prior: of the head from the medium and of the reverse.

        ``forward`` is the mean relative L2 error of the head in per cent, ``inverse`` the per cent of wrong cells.
        """
        random, generator = np.random.default_rng(self.seed), torch.Generator().manual_seed(self.seed)
        found: dict[str, list[float]] = {"loss": [], "forward": [], "inverse": []}
        device, count = next(network.parameters()).device, min(FAVOURED, self.chart.shape[0] ** 2 // 8)
        for first in range(0, len(self.valid), _VALID):
            rows = np.arange(first, min(first + _VALID, len(self.valid)))
            for which, name in ((1, "forward"), (2, "inverse")):
                seen = self.observed(self.valid, rows, np.full(len(rows), which), count, random)
                batch = DarcyBatch(*(torch.from_numpy(part).to(device) for part in seen))
                noise = SharedNoise(generator, len(rows))
                t = even_positions(len(rows), generator).to(device)
                found["loss"].append(float(self._error(network, batch, t, noise).mean()))
                guess = self._first_guess(network, batch, noise)
                found[name].append(self._forward(guess, rows) if which == 1 else self._inverse(guess, rows))
        return {name: float(np.mean(values)) for name, values in found.items()}

    def _first_guess(self, network: nn.Module, batch: DarcyBatch, noise: SharedNoise) -> np.ndarray:
        x, one = self.process.prior(noise, batch.x0.shape[1:]).to(batch.x0), torch.ones(len(batch.x0)).double()
        velocity = network(x, one.to(x.device), batch.condition)
        return self.process.convert(velocity, Kind.V, x, one.to(x.device)).cpu().double().numpy()

    def _forward(self, guess: np.ndarray, rows: np.ndarray) -> float:
        u = self.valid.u[rows]
        gap = np.linalg.norm((self.chart.head(guess) - u).reshape(len(u), -1), axis=1)
        return float(np.mean(100 * gap / np.linalg.norm(u.reshape(len(u), -1), axis=1)))

    def _inverse(self, guess: np.ndarray, rows: np.ndarray) -> float:
        return float(100 * np.mean((guess[:, 0] >= 0) != (self.valid.g[rows] >= 0)))

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "pde/darcy",
            "data": self.data,
            "chart": {
                "scale": self.chart.scale,
                "width": self.chart.width,
                "deviation": self.chart.deviation,
            },
            "noise": {
                "exponents": list(self.process.exponents),
                "inverse_lengths": list(self.process.inverse_lengths),
            },
            "network": self.network_config.to_json(),
            "channels": CHANNELS,
            "shares": SHARES,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def _cells(size: int, count: int, random: np.random.Generator) -> np.ndarray:
    """At most `count` distinct cells of the square, or of a rectangle in it, shape ``(sensors, 2)``."""
    low, high = np.zeros(2, dtype=int), np.full(2, size)
    if random.random() < 1 / 8:
        low = random.integers(0, size // 2, 2)
        high = low + random.integers(size // 4, size // 2 + 1, 2)
    sides = high - low
    cells = random.permutation(int(sides.prod()))[:count]
    return low + np.stack(np.divmod(cells, sides[1]), 1)
