"""From counts to line integrals and their weights.

With flats ``F`` and darks ``d`` (means of ``n_F`` and ``n_d`` frames), ``I' = I - d`` and ``F' = F - d``:

    y = log(F' / I')
    var(y) = (g I' + s_d^2 (1 + 1/n_d)) / I'^2  +  (g F' + s_d^2) / (n_F F'^2),      w = 1 / var(y)

``g`` is the gain, variance per count, and ``s_d`` the standard deviation of a dark frame. A ray whose ``I'`` is not
positive says nothing that a logarithm can hold: its ``y`` is 0 and its weight 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError, DataError

__all__ = ["Readings", "estimate_gain", "log_transform"]

_LEAST_FLATS = 4


@dataclass(frozen=True)
class Readings:
    """Line integrals read from counts.

    Parameters
    ----------
    projections
        ``y``, float64.
    weights
        ``1 / var(y)``; 0 for rays without information.
    gain
        Variance per count that was used.
    starved
        Number of rays without a positive count.
    """

    projections: Tensor
    weights: Tensor
    gain: float
    starved: int


def estimate_gain(flats: Tensor, dark_variance: float = 0.0) -> float:
    """Variance per count from repeated flats; drift of all pixels together is taken out first.

    Parameters
    ----------
    flats
        Flats without darks, ``(n_F, *detector)``; at least 4.
    dark_variance
        Variance of a dark frame.

    Returns
    -------
    float
        ``g``, positive.

    Raises
    ------
    DataError
        If there are fewer than 4 flats, or they do not vary.
    """
    if len(flats) < _LEAST_FLATS:
        raise DataError(f"{len(flats)} flats came; expected at least {_LEAST_FLATS} to estimate the gain: give gain=1")
    frames = flats.double().flatten(1)
    level = frames.mean(1, keepdim=True)
    still = frames * (level.mean() / level)
    gain = float((still.var(0) - dark_variance).mean() / still.mean())
    if not gain > 0:
        raise DataError(f"flats vary by {gain:g} per count; expected more than the darks: give the gain")
    return gain


def log_transform(
    counts: Tensor, flats: Tensor | float, darks: Tensor | None = None, gain: float | None = None
) -> Readings:
    """Take the logarithm, with variances.

    Parameters
    ----------
    counts
        ``(views, *detector)``, non-negative and finite.
    flats
        Frames ``(n_F, *detector)``, or the known unattenuated count ``I_0`` as a number.
    darks
        Frames ``(n_d, *detector)``; none for a detector without offset.
    gain
        Variance per count; by default estimated from at least 4 flats, and 1 (photon counting) for a known ``I_0``.

    Returns
    -------
    Readings
        Line integrals and weights.

    Raises
    ------
    DataError
        If a flat is not brighter than the darks.
    ConfigError
        If the gain or the known count is not positive and finite.
    """
    for name, value in (("gain", gain), ("the unattenuated count", None if isinstance(flats, Tensor) else flats)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{name} is {value}; expected a positive number")
    counts = counts.double()
    dark, dark_variance, dark_share = counts.new_zeros(()), 0.0, 0.0
    if darks is not None:
        frames = darks.double()
        dark = frames.mean(0)
        dark_variance = float(frames.var(0).mean()) if len(frames) > 1 else 0.0
        dark_share = 1.0 / len(frames)
    if isinstance(flats, Tensor):
        bright = flats.double() - dark
        flat, flat_frames = bright.mean(0), float(len(flats))
        gain = estimate_gain(bright, dark_variance) if gain is None else gain
    else:
        flat, flat_frames = counts.new_tensor(float(flats)) - dark, math.inf
        gain = 1.0 if gain is None else gain
    if not bool((flat > 0).all()):
        raise DataError(
            f"{int((flat <= 0).sum())} detector pixels are not brighter in the flats than in the darks; were flats and "
            "darks exchanged? leave dead columns out"
        )
    signal = counts - dark
    seen = signal > 0
    safe = torch.where(seen, signal, 1.0)
    y = torch.where(seen, (flat / safe).log(), 0.0)
    variance = (gain * safe + dark_variance * (1.0 + dark_share)) / safe**2
    variance = variance + (gain * flat + dark_variance) / (flat_frames * flat**2)
    return Readings(y, torch.where(seen, 1.0 / variance, 0.0), gain, int((~seen).sum()))
