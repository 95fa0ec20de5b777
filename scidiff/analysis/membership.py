"""Membership: can the model tell the data it was trained on from data it was not?

Every datum gets a score ``s``, smaller for members; with `m` members and `n` others

    AUC = (1 / (m n)) sum_ij [s_i < s_j] + 1/2 [s_i = s_j],

1/2 for a model of the population, 1 for one that knows its data by heart. Its variance is DeLong's,
``Var_i(V_i) / m + Var_j(W_j) / n``, with ``V_i`` the part of the others above member `i` and ``W_j`` the part of the
members below other `j`; the interval is made on the logit scale. Where no pair is out of order that variance is 0, and
the interval is Wilson's for ``min(m, n)`` trials.

References
----------
.. [1] E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, "Comparing the areas under two or more correlated receiver
   operating characteristic curves", doi:10.2307/2531595
.. [2] "Score-based Membership Inference on Diffusion Models", arXiv:2509.25003 (SimA)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import norm, rankdata
from torch import Tensor

from scidiff.analysis.calibration.pairs import as_array
from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process import GaussianProcess, Kind
from scidiff.random import Noise

__all__ = ["Auc", "auc", "denoising_loss", "membership_auc", "sima"]


@dataclass(frozen=True)
class Auc:
    """Area under the curve of true against false positives, with its interval.

    Parameters
    ----------
    value
        Probability that a member scores below another datum.
    low, high
        Interval.
    members, others
        Number of data of each sort.
    confidence
        Coverage of the interval.
    """

    value: float
    low: float
    high: float
    members: int
    others: int
    confidence: float

    @property
    def leaks(self) -> bool:
        """Whether the interval lies above 1/2."""
        return self.low > 0.5


def auc(members: Tensor | np.ndarray, others: Tensor | np.ndarray, confidence: float = 0.95) -> Auc:
    """Area under the curve of a score that is smaller for members, with DeLong's interval [1]_.

    Parameters
    ----------
    members, others
        Scores, shape ``(members,)`` and ``(others,)``, at least two of each.
    confidence
        Coverage of the interval.

    References
    ----------
    .. [1] DeLong et al., doi:10.2307/2531595
    """
    inside, outside = (as_array(scores).reshape(-1) for scores in (members, others))
    m, n = len(inside), len(outside)
    if min(m, n) < 2 or not 0 < confidence < 1 or not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        raise ConfigError(
            f"{m} members, {n} others, confidence {confidence}; expected at least two finite scores of each and a "
            "confidence between 0 and 1"
        )
    rank = rankdata(np.concatenate([inside, outside]))
    below = (rank[m:] - rankdata(outside)) / m
    above = 1 - (rank[:m] - rankdata(inside)) / n
    value = float(below.mean())
    spread = math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    low, high = _interval(value, spread, min(m, n), float(norm.isf(0.5 * (1 - confidence))))
    return Auc(value, low, high, m, n, confidence)


def _interval(value: float, spread: float, trials: int, z: float) -> tuple[float, float]:
    if 0 < value < 1 and spread > 0:
        logit = math.log(value / (1 - value))
        half = z * spread / (value * (1 - value))
        return float(_logistic(logit - half)), float(_logistic(logit + half))
    centre = (value + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(value * (1 - value) / trials + z**2 / (4 * trials**2))
    return min(max(centre - half, 0.0), value), max(min(centre + half, 1.0), value)


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


@torch.no_grad()
def denoising_loss(
    denoiser: Denoiser, process: GaussianProcess, x: Tensor, times: Sequence[float], *, seed: int, draws: int = 1
) -> Tensor:
    """Denoising loss ``mean_(t, eps) snr(t) |m(x_t, t) - x|^2`` of every datum, the error of the predicted noise.

    Parameters
    ----------
    denoiser, process
        Model and its noise.
    x
        Data, shape ``(count, *event)``.
    times
        Noise levels, each ``0 < t``; medium ones tell most.
    seed
        Seed of the noise.
    draws
        Draws of the noise at each level.

    Returns
    -------
    Tensor
        Losses, float64, shape ``(count,)``.
    """
    _check(process, x, times)
    noise = Noise.range(seed, len(x))
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for i, t in enumerate(times):
        for k in range(draws):
            x_t = process.noise(x, t, noise, step=i * draws + k, stream="membership")
            gap = _prediction(denoiser, process, x_t, t, Kind.MEAN).double() - x.double()
            total += process.schedule.snr(t) * gap.flatten(1).square().sum(1)
    return total / (len(times) * draws)


@torch.no_grad()
def sima(denoiser: Denoiser, process: GaussianProcess, x: Tensor, t: float) -> Tensor:
    """Norm of the noise that the model sees in a clean datum at a small time [1]_: one call, no randomness.

    Parameters
    ----------
    denoiser, process, x
        As for `denoising_loss`.
    t
        Time, small.

    Returns
    -------
    Tensor
        Norms, float64, shape ``(count,)``; smaller for members.

    References
    ----------
    .. [1] "Score-based Membership Inference on Diffusion Models", arXiv:2509.25003
    """
    _check(process, x, [t])
    return _prediction(denoiser, process, x, t, Kind.EPS).double().flatten(1).norm(dim=1)


def membership_auc(
    denoiser: Denoiser,
    process: GaussianProcess,
    train: Tensor,
    holdout: Tensor,
    times: Sequence[float],
    *,
    seed: int,
    draws: int = 1,
    confidence: float = 0.95,
) -> Auc:
    """Tell training data from held-out data by their denoising loss.

    Parameters
    ----------
    denoiser, process
        As for `denoising_loss`.
    train, holdout
        Data the model was, and was not, trained on, shape ``(count, *event)``.
    times
        As for `denoising_loss`.
    seed
        Seed of the noise; held-out data draw from ``seed + 1``.
    draws
        As for `denoising_loss`.
    confidence
        Coverage of the interval.
    """
    inside = denoising_loss(denoiser, process, train, times, seed=seed, draws=draws)
    outside = denoising_loss(denoiser, process, holdout, times, seed=seed + 1, draws=draws)
    return auc(inside, outside, confidence)


def _prediction(denoiser: Denoiser, process: GaussianProcess, x_t: Tensor, t: float, kind: Kind) -> Tensor:
    time = torch.full((len(x_t), *(1,) * (x_t.ndim - 1)), t, dtype=torch.float64, device=x_t.device)
    return process.convert(denoiser(x_t, time), denoiser.kind, x_t, time, to=kind)


def _check(process: GaussianProcess, x: Tensor, times: Sequence[float]) -> None:
    process.space.check(x)
    if not x.is_floating_point():
        raise ShapeError(f"x has dtype {x.dtype}; expected a floating-point type")
    if not times or not all(0 < t <= 1 for t in times):
        raise ConfigError(f"times are {list(times)}; expected at least one, each in (0, 1]")
