"""Vector fields of a diffusion model for the string method: the velocity of its flow, the gradient of ``-log p_t``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.process import GaussianProcess, Kind

__all__ = ["flow_velocity", "score_gradient"]

Velocity = Callable[[Tensor, float], Tensor]
Field = Callable[[Tensor], Tensor]


def flow_velocity(denoiser: Denoiser, process: GaussianProcess) -> Velocity:
    """Velocity ``dx/dt = alpha'(t) m + sigma'(t) eps`` of the probability flow, as a function of ``x`` and ``t``.

    Parameters
    ----------
    denoiser
        Gives ``m``.
    process
        Gives ``alpha`` and ``sigma``.
    """

    def velocity(x: Tensor, t: float) -> Tensor:
        time = _time(t, x)
        m = process.convert(denoiser(x, time), denoiser.kind, x, time)
        levels = process.schedule.alpha, process.schedule.sigma
        (alpha, alpha_rate), (sigma, sigma_rate) = (
            torch.autograd.functional.jvp(level, time, torch.ones_like(time)) for level in levels
        )
        return alpha_rate * m + sigma_rate / sigma * (x - alpha * m)

    return velocity


def score_gradient(denoiser: Denoiser, process: GaussianProcess, t: float) -> Field:
    """Gradient ``-score`` of the energy ``-log p_t`` at the noise level of time `t`, as a function of ``x``.

    Parameters
    ----------
    denoiser
        Gives the mean, from which the score follows.
    process
        The process of the denoiser.
    t
        Time in (0, 1].
    """

    def gradient(x: Tensor) -> Tensor:
        time = _time(t, x)
        return -process.convert(denoiser(x, time), denoiser.kind, x, time, to=Kind.SCORE)

    return gradient


def _time(t: float, x: Tensor) -> Tensor:
    """One time per sample, in a shape that broadcasts against its sites."""
    return torch.full((len(x), *(1,) * (x.ndim - 1)), t, dtype=torch.float64, device=x.device)
