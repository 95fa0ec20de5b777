"""What a posterior method needs of a prior on images: a process, a denoiser, a unit.

Images are dimensionless, ``x = mu / unit``; with the default unit, the attenuation of water, ``x = 1 + HU / 1000``.
They have the shape ``(count, rows, columns)``. The noise explodes on the clock of Karras et al.,

    x_t = x_0 + sigma(t) eps,    sigma(t) = sigma_max t^7,    alpha = 1,

so that every method may think in ``sigma`` and never in ``t``: `Prior.time` gives the time of a noise level.

References
----------
T. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv:2206.00364, eq. 5
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import EDMSchedule
from scidiff.spaces.euclidean import Euclidean

from ..grid import Grid
from ..units import MU_WATER

__all__ = ["PROCESS", "SIGMA_MAX", "Prior", "check_images"]

SIGMA_MAX = 80.0
"""Noise level at ``t = 1``: far above the spread of the mean of any region that a prior knows."""

PROCESS = GaussianProcess(Euclidean((None, None)), EDMSchedule(sigma_max=SIGMA_MAX))
"""The process of all priors."""


def check_images(x: Tensor, grid: Grid) -> None:
    """Refuse what is not a batch of images on a two-dimensional grid.

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    if grid.dimension != 2 or x.ndim != 3 or tuple(x.shape[1:]) != grid.shape:
        raise ShapeError(f"images have shape {tuple(x.shape)}; expected (count, rows, columns) on a grid {grid.shape}")


class Prior(ABC):
    """A law of images.

    Attributes
    ----------
    name
        Name for reports.
    unit
        Attenuation of ``x = 1``, 1/mm.
    lower, upper
        Range of ``x`` that the prior knows; infinite where it knows all.
    process
        Gaussian process with ``alpha = 1``, see the head of this module.
    """

    name: str
    unit: float = MU_WATER
    lower: float = -float("inf")
    upper: float = float("inf")
    process: GaussianProcess = PROCESS

    @abstractmethod
    def denoiser(self, grid: Grid) -> Denoiser:
        """Denoiser of kind MEAN, ``E[x_0 | x_t]``, for states ``(count, rows, columns)`` on a grid.

        It takes the dtype that comes and returns it, is differentiable in the state, and knows one time for all
        images, for each image, or for each pixel if those of an image are alike (see `sample_time`).

        Parameters
        ----------
        grid
            Two-dimensional image grid.
        """

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """What the prior is, in JSON values, for reports."""

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level of a time, float64."""
        return self.process.schedule.sigma(t)

    def time(self, sigma: Tensor | float) -> Tensor:
        """Time of a noise level, float64.

        Raises
        ------
        ConfigError
            If a level is negative or above that of ``t = 1``.
        """
        level = torch.as_tensor(sigma, dtype=torch.float64)
        if not bool(((level >= 0) & (level <= SIGMA_MAX * (1 + 1e-12))).all()):
            raise ConfigError(f"sigma is {sigma}; expected 0 to {SIGMA_MAX}, in units of {self.unit:g} per mm")
        return self.process.schedule.t(-level.log())

    def denoise(self, x: Tensor, sigma: Tensor | float, grid: Grid) -> Tensor:
        """Posterior mean of images with white noise of a known level.

        Parameters
        ----------
        x
            Noisy images, ``(count, rows, columns)``.
        sigma
            Standard deviation of the noise, in units of `unit`; one for all or one for each image.
        grid
            Their grid.

        Raises
        ------
        ShapeError
            If the images are not on the grid.
        ConfigError
            If the level is out of range.
        """
        check_images(x, grid)
        return self.denoiser(grid)(x, self.time(sigma))

    def scaled(self, mu: Tensor) -> Tensor:
        """``x = mu / unit`` of an attenuation in 1/mm, float64."""
        return mu.double() / self.unit

    def attenuation(self, x: Tensor) -> Tensor:
        """``mu = unit x`` in 1/mm, float64."""
        return self.unit * x.double()
