"""Score entropy: the loss of networks that predict ratios of probabilities.

For positive numbers ``s`` and ``r`` it is the Bregman divergence of ``s log s``,

    s - r log s + r (log r - 1) >= 0,        zero if and only if s = r.

Summed over the states ``y != x_t`` with the rates ``R_t[y, x_t]``, and with the ratios ``r(y) = Q_t[x_0, y] /
Q_t[x_0, x_t]`` of the known clean class, its mean over ``x_0`` given ``x_t`` is least at the mean of ``r``, which is
the concrete score. The same sum is the continuous-time bound: with the ratios of ``F`` it is `DiscreteProcess.nelbo`.

References
----------
.. [1] A. Lou et al., "Discrete diffusion modeling by estimating the ratios of the data distribution", arXiv:2310.16834
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.process.base import site_time
from scidiff.process.discrete import DiscreteProcess

__all__ = ["denoising_score_entropy", "log_score", "score_entropy"]

_LAST = 1.0 - 2.0**-40


def log_score(process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
    """Logarithm of the concrete score that belongs to ``m = log F``; `DiscreteProcess.convert` leads back.

    It is the ratio of probabilities at all ``y`` from which noise leads to ``x_t``, the only ones that rates and losses
    read. Of other states, e.g. other clean classes where a mask process shows one, ``F`` says nothing.

    Parameters
    ----------
    process
        Process of the sites.
    m
        ``log F``, shape ``(batch, *sites, K)``.
    x_t, t
        State and time of every site.

    Returns
    -------
    Tensor
        ``log p_t(y) / p_t(x_t)``, shape ``(batch, *sites, D)``: what a network of `Kind.SCORE` predicts.

    References
    ----------
    .. [1] A. Lou et al., arXiv:2310.16834
    """
    return process.ratios(m, x_t, t).log()


def score_entropy(log_s: Tensor, r: Tensor) -> Tensor:
    """Divergence ``s - r log s + r (log r - 1)`` of every entry.

    Parameters
    ----------
    log_s
        Logarithm of the predicted ratio; ``-inf`` for a ratio of zero.
    r
        True ratio, >= 0, same shape.

    References
    ----------
    .. [1] A. Lou et al., arXiv:2310.16834
    """
    alive = r > 0
    safe = torch.where(alive, r, 1.0)
    gap = torch.where(alive, log_s, 0.0) - safe.log()
    return torch.where(alive, r * (torch.expm1(gap) - gap), log_s.exp())


def denoising_score_entropy(
    process: DiscreteProcess, log_s: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float
) -> Tensor:
    """Diffusion-weighted denoising score entropy, per site in nats.

    Its mean over ``t`` uniform in (0, 1) and over ``x_t``, summed over sites, bounds ``-log p(x_0)``.

    Parameters
    ----------
    process
        Process of the sites.
    log_s
        Prediction of a network of `Kind.SCORE`, shape ``(batch, *sites, D)``; the entry of ``x_t`` is not read.
    x0, x_t, t
        Clean class, state and time of every site; at ``t = 1``, where rates may have a pole, they are taken just
        before.

    References
    ----------
    .. [1] A. Lou et al., arXiv:2310.16834
    """
    kernel = process.kernel
    if log_s.shape != (*x_t.shape, kernel.states):
        raise ShapeError(
            f"score has shape {tuple(log_s.shape)}; expected {(*x_t.shape, kernel.states)}, one log-ratio per state"
        )
    t = site_time(t, x_t).clamp_max(_LAST)
    rate = kernel.rate_column(x_t, t)
    ratio = kernel.row(x0, t) / kernel.entry(x0, x_t, t).unsqueeze(-1)
    others = (rate > 0).scatter(-1, x_t.unsqueeze(-1), False)
    log_s = torch.where(others, log_s.double(), 0.0)
    return torch.where(others, rate * score_entropy(log_s, ratio), 0.0).sum(-1)
