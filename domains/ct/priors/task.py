r"""What a training run of a learned prior is: noisy crops, and the error of their denoising.

.. math::
    \ell = \frac1B \sum_i \frac{c(\sigma_i)}{\sigma_i^2 \sigma_d^2} \,
           \overline{|D(x_i + \sigma_i \epsilon_i, \sigma_i, h_i) - x_i|^2},   \qquad c = \sigma^2 + \sigma_d^2.

``log sigma`` is normal around ``log 0.12``, where tomographic posteriors are decided, with a deviation of 1.6; one
sixth of each batch is uniform in ``log sigma`` over the whole range instead, so that the first steps of a sampler are
known too. The weight makes all levels count alike for a network that predicts nothing [1]_.

References
----------
.. [1] T. Karras et al., arXiv:2206.00364, table 1
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.io.checkpoint import read_tensors, write_tensors
from scidiff.io.files import atomic_write

from .network import NetworkConfig, PriorNetwork
from .prior import SIGMA_MAX
from .slices import SliceSet

__all__ = ["SIGMA_MIN", "PriorTask"]

SIGMA_MIN = 0.002
"""Least noise level that a network is shown; 2 HU."""

_MEAN, _STD = math.log(0.12), 1.6
_VALID_LEVELS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 4.0)
_TOLD = (0.02, 0.1, 0.5)


@dataclass
class PriorTask:
    """Training of a prior; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid
        Crops to learn from, and to validate on.
    config
        Size of the network.
    facts
        Facts on the data, for the card.
    batch_size
        Crops per batch and process.
    valid_count
        Crops that are validated on, each at every one of eight noise levels.
    seed
        Seed of weights, crops and validation noise.
    folder
        Where the best weights by validation are kept.
    """

    train: SliceSet
    valid: SliceSet
    config: NetworkConfig
    facts: dict[str, Any]
    batch_size: int = 16
    valid_count: int = 32
    seed: int = 0
    folder: Path | None = None
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.network = PriorNetwork(self.config, seed=self.seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """Crops and their pixel sizes, a function of the three numbers; their edge changes from step to step."""
        random, edges = np.random.default_rng([self.seed, step, rank, world]), self.train.edges
        edge = edges[step % len(edges)]
        count = max(2, round(self.batch_size * (self.train.crop / edge) ** 2))
        return self.train.draw(count, random, edge)

    def loss(
        self, network: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted squared error per pixel, and that of the rows of low, middle and high noise."""
        x, pixel = batch
        sigma = self._levels(len(x), generator).to(x)
        eps = torch.randn(x.shape, generator=generator, device=x.device)
        terms = self._terms(network, x, pixel, sigma, eps)
        return terms.mean(), {}

    def _terms(self, network: nn.Module, x: Tensor, pixel: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
        """Weighted error of each crop."""
        noisy = x + sigma[:, None, None] * eps
        gap = network(noisy[:, None], sigma, pixel)[:, 0] - x
        spread = self.config.spread
        return (sigma**2 + spread**2) / (sigma * spread) ** 2 * gap.square().mean((1, 2))

    @staticmethod
    def _levels(count: int, generator: torch.Generator) -> Tensor:
        """Noise levels of a batch, in random order."""
        device = generator.device
        low, high = math.log(SIGMA_MIN), math.log(SIGMA_MAX)
        even = (torch.arange(count, device=device) + torch.rand((), generator=generator, device=device)) / count
        wide = max(1, count // 6)
        normal = torch.special.ndtri(even[: count - wide] * (count / (count - wide)) * (1 - 1e-6) + 5e-7)
        flat = torch.rand(wide, generator=generator, device=device)
        u = torch.cat([(_MEAN + _STD * normal).clamp(low, high), low + (high - low) * flat])
        return u[torch.randperm(count, generator=generator, device=device)].exp()

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean of the weighted error over crops and levels, and the PSNR (range 2) at some levels.

        The best weights so far are kept in the folder of the run.
        """
        x, pixel = self.valid.draw(self.valid_count, np.random.default_rng([self.seed, 1]))
        device = next(network.parameters()).device
        x, pixel = x.to(device), pixel.to(device)
        generator = torch.Generator(device=device).manual_seed(self.seed)
        errors, told = [], {}
        for level in _VALID_LEVELS:
            sigma = torch.full((len(x),), level, device=device)
            eps = torch.randn(x.shape, generator=generator, device=device)
            terms = self._terms(network, x, pixel, sigma, eps)
            errors.append(float(terms.mean()))
            if level in _TOLD:
                mse = float((terms * (level * self.config.spread) ** 2 / (level**2 + self.config.spread**2)).mean())
                told[f"psnr_{level:g}"] = 10 * math.log10(4.0 / mse)
        metrics = {"error": sum(errors) / len(errors), **told}
        self._keep(network, metrics)
        return metrics

    def _keep(self, network: nn.Module, metrics: dict[str, float]) -> None:
        if self.folder is None:
            return
        known = self.best()
        if known is None or metrics["error"] < known["metrics"]["error"]:
            sha256 = write_tensors(self.folder / "best.safetensors", network.state_dict())
            with atomic_write(self.folder / "best.json") as file:
                json.dump({"sha256": sha256, "metrics": metrics}, file)

    def best(self) -> dict[str, Any] | None:
        """Validation of the best weights so far, and their hash; ``None`` before the first."""
        path = None if self.folder is None else self.folder / "best.json"
        return json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else None

    def best_weights(self) -> dict[str, Tensor]:
        """The best weights by validation."""
        known = self.best()
        if known is None or self.folder is None:
            return self.network.state_dict()
        return read_tensors(self.folder / "best.safetensors", known["sha256"])

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "ct/prior",
            "data": self.facts,
            "network": self.config.to_json(),
            "crop": self.train.crop,
            "batch_size": self.batch_size,
            "noise": {"median": 0.12, "log_std": _STD, "range": [SIGMA_MIN, SIGMA_MAX]},
            "seed": self.seed,
        }
