"""The same noise on two clocks: ``x = alpha x_0 + sigma eps`` is ``x' = c x`` on another schedule.

Two schedules agree where their ratios ``sigma / alpha = exp(-lam)`` do. So the state of one becomes the state of the
other by ``t' = t'(lam)`` and ``c = alpha'(t') / alpha``, and ``E[x_0 | x_t]`` is the same number on both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, site_time
from scidiff.process.gaussian import GaussianProcess

__all__ = ["check_one_tensor", "denoised_mean", "require_reach", "sample_levels", "working_dtype"]

_ROUND_OFF = 1e-9


def check_one_tensor(denoiser: Denoiser, process: GaussianProcess) -> None:
    """Raise `ConfigError` unless the model is one tensor with Gaussian noise."""
    if not isinstance(process, GaussianProcess) or not isinstance(denoiser.kind, Kind):
        raise ConfigError(
            f"a {type(process).__name__} with predictions {denoiser.kind} came; other packages know one tensor with "
            "Gaussian noise: expected a GaussianProcess and a denoiser of one kind"
        )


def sample_levels(value: Tensor | float, x: Tensor, name: str) -> Tensor:
    """Bring one value for all samples, or one for each, to float64 and to axes that broadcast against ``x``.

    Parameters
    ----------
    value
        A number, or a tensor of one entry, of shape ``(batch,)``, or of ``batch`` entries with axes of length 1.
    x
        The state.
    name
        What it is, for the error.

    Raises
    ------
    ShapeError
        If there is another number of values.
    """
    value = torch.as_tensor(value, dtype=torch.float64, device=x.device)
    if value.numel() not in (1, len(x)):
        raise ShapeError(
            f"{name} has shape {tuple(value.shape)}; expected one value, or one for each of {len(x)} samples"
        )
    return value.reshape(-1, *(1,) * (x.ndim - 1))


def require_reach(process: GaussianProcess, ratio: Tensor, what: str) -> None:
    """Raise `ConfigError` if a noise-to-signal ratio lies above the one at the prior of a process."""
    most = float((-process.schedule.lam(torch.ones(1, dtype=torch.float64))).exp())
    if float(ratio.max()) > most * (1 + _ROUND_OFF):
        raise ConfigError(
            f"{what} reaches the noise-to-signal ratio {float(ratio.max()):.6g}, the model was made for at most "
            f"{most:.6g}; stay below, or take the levels of the model itself (DiscreteSchedule.of)"
        )


def denoised_mean(
    denoiser: Denoiser, process: GaussianProcess, x: Tensor, alpha: Tensor, ratio: Tensor, condition: Any = None
) -> Tensor:
    """Evaluate a denoiser at a state that has other levels than its own process.

    Parameters
    ----------
    denoiser, process
        The model.
    x
        State ``alpha (x_0 + ratio eps)``, float64.
    alpha, ratio
        Signal level and noise-to-signal ratio of the state; broadcast against it.
    condition
        Handed to the denoiser.

    Returns
    -------
    Tensor
        ``E[x_0 | x]``, float64, shape of ``x``.
    """
    t = process.schedule.t(-ratio.log())
    own = process.schedule.alpha(t) / alpha * x
    sites = site_time(t, own).expand(own.shape)
    return process.convert(denoiser(own, sites, condition), denoiser.kind, own, sites)


def working_dtype(model: Any, default: torch.dtype) -> torch.dtype:
    """Type of the numbers that a network works with: what it says itself, else that of its first weight."""
    said = getattr(model, "dtype", None)
    if isinstance(said, torch.dtype):
        return said
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return next((weight.dtype for weight in weights if weight.is_floating_point()), default)
