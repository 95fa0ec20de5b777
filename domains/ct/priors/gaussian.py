r"""The analytic prior that needs no training: a stationary Gaussian field with a power-law spectrum.

    x = m + z,    z ~ N(0, C),        E[x_0 | x_t] = m + C (C + sigma^2)^-1 (x_t - m),

``C`` as in `scidiff.domains.ct.priors.stationary`. Denoiser, draws, and the posterior given a scan are exact; the
denoiser is the Wiener filter of the spectrum. The default numbers were fitted to the slices of two CT volumes at pixel
sizes from 1.2 to 4.5 mm (`GaussianPrior.fit`). As a law of images it knows how smooth they are, and nothing of edges,
shapes, or that attenuation is not negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, DataError
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.process.base import Kind, sample_time
from scidiff.random import Noise

from ..grid import Grid
from ..units import MU_WATER
from .posterior import StationaryPosterior
from .prior import Prior, check_images
from .stationary import StationaryCovariance, frequencies, power_law

__all__ = ["GaussianPrior"]


@dataclass(frozen=True, eq=False)
class GaussianPrior(Prior):
    """Stationary Gaussian prior.

    Parameters
    ----------
    mean_image
        Mean of ``x``: a number, or an image for grids of its shape.
    sd
        Standard deviation of ``x`` at a point.
    length
        Distance in mm beyond which values forget each other.
    power
        Fall of the spectral density with frequency, above 2; 3 where it comes from edges.
    unit
        Attenuation of ``x = 1``, 1/mm.
    name
        Name in provenance and reports.
    facts
        Where the numbers come from.
    """

    mean_image: float | Tensor = 0.74
    sd: float = 0.47
    length: float = 150.0
    power: float = 3.45
    unit: float = MU_WATER
    name: str = "gaussian"
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = (self.sd, self.length, self.power, self.unit)
        if not all(math.isfinite(v) and v > 0 for v in numbers) or self.power <= 2:
            raise ConfigError(
                f"sd {self.sd}, length {self.length} mm, power {self.power}, unit {self.unit} per mm; expected "
                "positive numbers, and a power above 2: below, the variance is infinite"
            )

    def covariance(self, grid: Grid) -> StationaryCovariance:
        """``C`` on a grid."""
        return StationaryCovariance(power_law(grid, self.sd, self.length, self.power), grid.shape)

    def mean(self, grid: Grid) -> Tensor:
        """``m`` on a grid, float64.

        Raises
        ------
        ConfigError
            If the mean is an image of another shape.
        """
        mean = torch.as_tensor(self.mean_image, dtype=torch.float64)
        if mean.ndim and tuple(mean.shape) != grid.shape:
            raise ConfigError(f"the mean is an image of {tuple(mean.shape)} pixels; the grid has {grid.shape}")
        return mean.expand(grid.shape)

    def denoiser(self, grid: Grid) -> Denoiser:
        """The exact posterior mean, a Wiener filter."""
        covariance, mean = self.covariance(grid), self.mean(grid)

        def function(x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
            check_images(x, grid)
            variance = self.sigma(sample_time(t, x)).reshape(-1, 1, 1) ** 2
            shift = mean.to(x)
            return shift + covariance.function(lambda values: values / (values + variance), x - shift)

        return Denoiser(function, Kind.MEAN)

    def draw(self, count: int, grid: Grid, *, seed: int = 0, first: int = 0) -> Tensor:
        """Exact draws of images, ``(count, rows, columns)``, float64.

        Parameters
        ----------
        count
            Number of images.
        grid
            Their grid.
        seed, first
            Seed, and index of the first image.
        """
        return self.mean(grid) + self.covariance(grid).draw(Noise.range(seed, count, first), stream="ct/gaussian-prior")

    def posterior(self, likelihood: GaussianLikelihood, grid: Grid) -> StationaryPosterior:
        """The exact law of ``x`` given linear data with Gaussian noise.

        Parameters
        ----------
        likelihood
            Data of dimensionless images: its operator takes ``(batch, rows, columns)`` of ``x``, not of ``mu``.
        grid
            Image grid.
        """
        return StationaryPosterior(self.mean(grid), self.covariance(grid), likelihood)

    @classmethod
    def fit(
        cls,
        slices: Sequence[tuple[Tensor | np.ndarray, float]],
        *,
        unit: float = MU_WATER,
        name: str = "gaussian",
        facts: dict[str, Any] | None = None,
    ) -> Self:
        """Fit mean and deviation of the pixels, and length and power by the likelihood of Whittle.

        ``sum_k log lambda_k + P_k / lambda_k`` is least, where ``P`` is the periodogram of the images under a Hann
        window, whose taper keeps edges of the frame from looking like edges of the object.

        Parameters
        ----------
        slices
            Stacks ``(count, rows, columns)`` of ``x`` with the edge of their pixels in mm.
        unit, name, facts
            As for the class.

        Raises
        ------
        DataError
            If a stack is smaller than 16 x 16 pixels, or constant.
        """
        stacks = [(torch.as_tensor(images).double(), float(pixel)) for images, pixel in slices]
        if not stacks or any(x.ndim != 3 or min(x.shape[1:]) < 16 for x, _ in stacks):
            raise DataError(f"stacks of shapes {[tuple(x.shape) for x, _ in stacks]}; expected (count, >= 16, >= 16)")
        mean = float(torch.cat([x.flatten() for x, _ in stacks]).mean())
        parts = [_periodogram(x - mean, pixel) for x, pixel in stacks]
        spread = float(torch.cat([(x - mean).flatten() for x, _ in stacks]).std())
        if not spread > 0:
            raise DataError("all pixels have one value; expected images")
        length, power = _whittle(parts, spread)
        return cls(mean, spread, length, power, unit, name, dict(facts or {}, fitted_to=sum(len(x) for x, _ in stacks)))

    def provenance(self) -> dict[str, Any]:
        """Name and numbers."""
        mean = self.mean_image
        return {
            "prior": self.name,
            "law": "stationary Gaussian",
            "mean": float(mean) if not isinstance(mean, Tensor) or not mean.ndim else "image",
            "sd": self.sd,
            "length_mm": self.length,
            "power": self.power,
            "unit_per_mm": self.unit,
            **self.facts,
        }


def _periodogram(x: Tensor, pixel: float) -> tuple[Grid, Tensor, int]:
    """Mean periodogram of images under a Hann window of mean square 1."""
    rows, columns = x.shape[1:]
    window = torch.hann_window(rows, False, dtype=torch.float64)[:, None] * torch.hann_window(
        columns, False, dtype=torch.float64
    )
    window /= window.square().mean().sqrt()
    power = torch.fft.rfft2(x * window, norm="ortho").abs().square().mean(0)
    return Grid((rows, columns), pixel), power, len(x)


def _whittle(parts: list[tuple[Grid, Tensor, int]], sd: float) -> tuple[float, float]:
    """Length and power of the largest likelihood; the lowest frequencies are the window's and do not count."""
    masks = [frequencies(grid) > 2.5 / (min(grid.shape) * grid.lengths[0]) for grid, _, _ in parts]
    extent = max(max(grid.shape) * grid.lengths[0] for grid, _, _ in parts)

    def numbers(q: np.ndarray) -> tuple[float, float]:
        return extent * math.exp(min(max(q[0], -6.0), 3.0)), 2 + math.exp(min(max(q[1], -5.0), 2.0))

    def cost(q: np.ndarray) -> float:
        total = 0.0
        for (grid, found, count), mask in zip(parts, masks, strict=True):
            values = power_law(grid, sd, *numbers(q))[mask]
            total += count * float((values.log() + found[mask] / values).sum())
        return total

    return numbers(minimize(cost, [-1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-4}).x)
