r"""A prior of small images with several modes, whose posterior is known in full: for calibration.

    x ~ sum_k pi_k N(m_k, C_k),      p(k | y) prop. pi_k N(y; A m_k, A C_k A^T + R),
    x | y, k as in `scidiff.domains.ct.priors.posterior`.

A method that finds the right modes with the right weights passes here; one that collapses onto the nearest does not.
The denoiser is that of `scidiff.denoise.mixture.GaussianMixture`; covariances are matrices, so that images of about a
thousand pixels are the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.mixture import GaussianMixture
from scidiff.errors import ConfigError
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.process.base import Kind, sample_time
from scidiff.random import Noise

from ..grid import Grid
from ..units import MU_WATER
from .gaussian import GaussianPrior
from .posterior import DensePosterior, dense_posterior
from .prior import Prior, check_images

__all__ = ["MixturePosterior", "MixturePrior"]

_LARGEST = 1600


@dataclass(frozen=True, eq=False)
class MixturePosterior:
    """A mixture of Gaussian laws of images.

    Parameters
    ----------
    weights
        Probability of each mode given the data, ``(modes,)``, float64.
    parts
        Law of each.
    """

    weights: Tensor
    parts: Sequence[DensePosterior]

    @property
    def mean(self) -> Tensor:
        """Posterior mean, shape of an image."""
        return torch.stack([w * part.mean for w, part in zip(self.weights, self.parts, strict=True)]).sum(0)

    @property
    def sd(self) -> Tensor:
        """Posterior standard deviation of every pixel."""
        second = [w * (part.sd**2 + part.mean**2) for w, part in zip(self.weights, self.parts, strict=True)]
        return (torch.stack(second).sum(0) - self.mean**2).clamp_min(0.0).sqrt()

    def modes(self, x: Tensor) -> Tensor:
        """Most probable mode of each image ``(count, rows, columns)`` under this posterior, ``(count,)``.

        The share of images of each mode estimates `weights` where modes are far apart.
        """
        scores = []
        for weight, part in zip(self.weights, self.parts, strict=True):
            values, vectors = torch.linalg.eigh(part.covariance)
            values = values.clamp_min(1e-10 * values.max())
            z = (x.double() - part.mean).flatten(1) @ vectors
            scores.append(weight.log() - 0.5 * (z**2 / values + values.log()).sum(1))
        return torch.stack(scores, 1).argmax(1)

    def draw(self, count: int, *, seed: int = 0) -> Tensor:
        """Exact draws, ``(count, rows, columns)``, float64."""
        u = Noise.range(seed, count).uniform((), step=0, stream="ct/mixture-posterior")
        chosen = torch.searchsorted(self.weights.cumsum(0)[:-1].contiguous(), u)
        drawn = torch.stack([part.draw(count, seed=seed) for part in self.parts])
        return drawn[chosen, torch.arange(count)]


@dataclass(frozen=True, eq=False)
class MixturePrior(Prior):
    """Mixture of stationary Gaussian priors.

    Parameters
    ----------
    weights
        Probability of each part.
    parts
        Priors of one unit; their means may be images.
    name
        Name for reports.
    """

    weights: Sequence[float]
    parts: Sequence[GaussianPrior]
    name: str = "mixture"
    unit: float = field(init=False, default=MU_WATER)

    def __post_init__(self) -> None:
        units = {part.unit for part in self.parts}
        if len(self.weights) != len(self.parts) or len(units) != 1 or min(self.weights) < 0:
            raise ConfigError(
                f"{len(self.weights)} weights and {len(self.parts)} parts of units {sorted(units)}; expected equally "
                "many, of one unit, with weights of at least 0"
            )
        object.__setattr__(self, "unit", units.pop())

    def mixture(self, grid: Grid) -> GaussianMixture:
        """The law on a grid, of images ``(rows, columns)``.

        Raises
        ------
        ConfigError
            If the grid is too large for matrices.
        """
        if grid.size > _LARGEST:
            raise ConfigError(f"a mixture makes matrices of {grid.size} pixels; expected {_LARGEST} at most: 40 x 40")
        means = torch.stack([part.mean(grid) for part in self.parts])
        covariances = torch.stack([part.covariance(grid).dense() for part in self.parts])
        return GaussianMixture(
            self.process.schedule, torch.tensor(list(self.weights), dtype=torch.float64), means, covariances
        )

    def denoiser(self, grid: Grid) -> Denoiser:
        """The exact posterior mean given ``x_t``."""
        mixture = self.mixture(grid)

        def function(x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
            check_images(x, grid)
            return mixture(x, sample_time(t, x)).to(x.dtype)

        return Denoiser(function, Kind.MEAN)

    def draw(self, count: int, grid: Grid, *, seed: int = 0, first: int = 0) -> Tensor:
        """Exact draws of images, ``(count, rows, columns)``, float64."""
        return self.mixture(grid).draw(Noise.range(seed, count, first), stream="ct/mixture-prior")

    def posterior(self, likelihood: GaussianLikelihood, grid: Grid) -> MixturePosterior:
        """The exact law of ``x`` given linear data with Gaussian noise.

        Parameters
        ----------
        likelihood
            Data of dimensionless images.
        grid
            Image grid.
        """
        mixture = self.mixture(grid)
        pairs = zip(mixture.means, mixture.covariances, strict=True)
        parts = [dense_posterior(mean, covariance, likelihood) for mean, covariance in pairs]
        evidence = torch.tensor([part.log_evidence for part in parts], dtype=torch.float64)
        return MixturePosterior(torch.softmax(mixture.weights.log() + evidence, 0), parts)

    def provenance(self) -> dict[str, Any]:
        """Name, weights and parts."""
        return {
            "prior": self.name,
            "law": "mixture of stationary Gaussians",
            "weights": list(self.weights),
            "parts": [part.provenance() for part in self.parts],
        }
