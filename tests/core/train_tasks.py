"""Tasks with a known answer, for the tests of the training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

FEATURES = 6
ROWS = 64


def regression_data(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Rows of a noisy linear law."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64)
    weight = torch.arange(1.0, FEATURES + 1, dtype=torch.float64) / FEATURES
    y = x @ weight + 0.5 + 0.3 * torch.randn(ROWS, generator=generator, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


def mlp(dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> nn.Module:
    """Small network with the same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Linear(FEATURES, 16), nn.SiLU(), nn.Dropout(dropout), nn.Linear(16, 1)]
        return nn.Sequential(*layers).to(dtype)


class Regression:
    """Least squares on the rows of `regression_data`.

    Batch ``i`` of rank ``r`` among ``R`` is slice number ``i R + r`` of the rows, around and around; the loss adds
    ``noise`` times a draw of the run's generator to the inputs.
    """

    def __init__(
        self, network: nn.Module, batch: int = ROWS, noise: float = 0.0, before: Callable | None = None
    ) -> None:
        self.network = network
        self.size = batch
        self.noise = noise
        self.before = before
        self.x, self.y = regression_data(next(network.parameters()).dtype)

    def batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        if self.before is not None:
            self.before(step)
        first = (step * world + rank) * self.size
        rows = torch.arange(first, first + self.size) % ROWS
        return {"x": self.x[rows], "y": self.y[rows]}

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        x = batch["x"]
        draw = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device)
        residual = network(x + self.noise * draw).squeeze(-1) - batch["y"]
        return residual.square().mean(), {"absolute": residual.abs().mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"mse": float((network(self.x).squeeze(-1) - self.y).square().mean())}

    def card(self) -> dict[str, Any]:
        return {"data": "rows of a noisy linear law", "batch": self.size, "noise": self.noise}
