"""Denoisers of images, ``m = D(x, sigma)``, as deepinv's algorithms call them, and the way back.

There ``x = x_0 + sigma n`` and `D` returns the denoised image. That is the process with ``alpha = 1``: a model with
another schedule is asked at ``t(lam = -log sigma)`` and ``alpha x``, exactly. `deepinv` itself is not imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.interchange.levels import check_one_tensor, denoised_mean, require_reach, sample_levels, working_dtype
from scidiff.process.base import Kind, site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule

__all__ = ["DeepinvDenoiser", "from_deepinv", "to_deepinv"]


@dataclass(frozen=True, eq=False)
class DeepinvDenoiser:
    """A model with the call ``denoiser(x, sigma)``; made by `to_deepinv`.

    Parameters
    ----------
    denoiser, process
        The model.
    condition
        Handed to it in every call.
    """

    denoiser: Denoiser
    process: GaussianProcess
    condition: Any = None

    def __post_init__(self) -> None:
        check_one_tensor(self.denoiser, self.process)

    def __call__(self, x: Tensor, sigma: Tensor | float, **_: Any) -> Tensor:
        """Denoise.

        Parameters
        ----------
        x
            Noisy images in the unit of the model's data, batch first.
        sigma
            Standard deviation of the noise: one value, or one for each image; where it is 0 the image comes back.

        Returns
        -------
        Tensor
            ``E[x_0 | x]``, in the dtype of ``x``; gradients pass.

        Raises
        ------
        ConfigError
            If a standard deviation is negative or above that of the model's prior.
        """
        level = sample_levels(sigma, x, "sigma")
        if not bool((level >= 0).all()):
            raise ConfigError(f"sigma is {float(level.min()):g}; expected standard deviations of at least 0")
        require_reach(self.process, level, "sigma")
        noisy = torch.where(level > 0, level, torch.finfo(torch.float64).tiny)
        m = denoised_mean(self.denoiser, self.process, x.double(), torch.ones_like(level), noisy, self.condition)
        return torch.where(level > 0, m, x.double()).to(x.dtype)


def to_deepinv(denoiser: Denoiser, process: GaussianProcess, condition: Any = None) -> DeepinvDenoiser:
    """Give a model the call ``denoiser(x, sigma)`` of deepinv's plug-and-play and sampling algorithms.

    Parameters
    ----------
    denoiser, process
        The model; its states have the axes of deepinv's images, ``(batch, channels, rows, columns)``, if they are meant
        for its physics.
    condition
        Handed to the denoiser in every call.

    Returns
    -------
    DeepinvDenoiser
        The callable.

    Raises
    ------
    ConfigError
        If the model is not one tensor with Gaussian noise.
    """
    return DeepinvDenoiser(denoiser, process, condition)


def from_deepinv(denoiser: Callable[[Tensor, Tensor], Tensor], schedule: Schedule) -> Denoiser:
    """Make a denoiser of ``D(x, sigma)``.

    Parameters
    ----------
    denoiser
        ``D``; it gets the standard deviations as a tensor of shape ``(batch,)``.
    schedule
        Schedule of the process in which the denoiser will be used.

    Returns
    -------
    Denoiser
        Of kind MEAN: ``m = D(x_t / alpha, sigma / alpha)``. Where ``alpha`` is 0 it cannot be asked and the call raises
        `ConfigError`.
    """

    def mean(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        time = site_time(t, x)
        alpha, sigma = schedule.alpha(time), schedule.sigma(time)
        ratio = (sigma / alpha).expand(x.shape).flatten(1)
        if bool((alpha == 0).any()) or bool((ratio != ratio[:, :1]).any()):
            raise ConfigError(
                "D(x, sigma) was asked without signal, or with different times in one sample; expected alpha > 0 and "
                "one time for each sample: use a grid or a schedule that ends before"
            )
        dtype = working_dtype(denoiser, x.dtype)
        found = denoiser((x / alpha).to(dtype), ratio[:, 0].to(dtype)).to(x.dtype)
        if found.shape != x.shape:
            raise ShapeError(f"D returned shape {tuple(found.shape)}; expected that of the image, {tuple(x.shape)}")
        return found

    return Denoiser(mean, Kind.MEAN)
