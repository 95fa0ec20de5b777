"""From the concrete score of a site back to the posterior of its clean class.

The concrete score of a state is the ratio of probabilities ``s(y) = p_t(y) / p_t(x_t)``, where ``y`` changes one site;
`DiscreteProcess.ratios` makes it from ``F``. With ``w(v) = F(v) / Q_t[v, x_t]`` it is linear,

    s(y) = sum_v w(v) Q_t[v, y],        F(v) = w(v) Q_t[v, x_t],

and its clean entries ``y < K`` determine ``w``, hence ``F``, wherever the block ``Q_t[:K, :K]`` of the kernel is
regular: masks and trees (the block is ``a I``), uniform, marginal and matrix kernels at all ``t < 1``. At ``t = 1`` the
state has forgotten the data, all rows of the block are equal, and the score says nothing of ``F``.

References
----------
.. [1] A. Lou et al., "Discrete diffusion modeling by estimating the ratios of the data distribution", arXiv:2310.16834
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import NumericalError, ShapeError
from scidiff.process.base import site_time
from scidiff.process.kernels import Kernel

__all__ = ["posterior_from_score"]

_SINGULAR = 1e-13


def posterior_from_score(kernel: Kernel, log_score: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
    """Logits of ``F`` from the logarithm of the concrete score.

    An inexact score may imply negative masses, which no posterior has: they become zero, and the caller's softmax
    shares the rest. For a score that belongs to a posterior nothing is changed.

    Parameters
    ----------
    kernel
        The law of one site.
    log_score
        ``log s(y)``, shape ``(batch, *sites, D)``; ``-inf`` where ``y`` is impossible. The entry of ``x_t`` itself is
        not read: it is 0.
    x_t, t
        State and time of every site.

    Returns
    -------
    Tensor
        Logits, float64, shape ``(batch, *sites, K)``; ``-inf`` where a class has no mass.

    Raises
    ------
    ShapeError
        If the last axis does not have ``D`` entries.
    NumericalError
        If at some time the score does not determine the posterior, or if a score leaves no class any mass.

    References
    ----------
    .. [1] A. Lou et al., arXiv:2310.16834
    """
    if log_score.shape != (*x_t.shape, kernel.states):
        raise ShapeError(
            f"score has shape {tuple(log_score.shape)}; expected {(*x_t.shape, kernel.states)}, one log-ratio per state"
        )
    time = site_time(t, x_t).expand(x_t.shape)
    score = log_score.double().scatter(-1, x_t.unsqueeze(-1), 0.0).exp()[..., : kernel.clean]
    mass = _weights(kernel, score, time) * kernel.column(x_t, time)[..., : kernel.clean]
    mass = mass.clamp_min(0.0)
    if not bool((mass.sum(-1) > 0).all()):
        raise NumericalError("a score gives no clean class any mass; check the sign of its logarithm, and x_t and t")
    return mass.log()


def _weights(kernel: Kernel, score: Tensor, time: Tensor) -> Tensor:
    """Solve ``s = w Q_t`` on the clean classes, one factorisation per distinct time."""
    distinct, where = torch.unique(time, return_inverse=True)
    blocks = kernel.matrix(distinct)[..., : kernel.clean, : kernel.clean]
    sizes = torch.linalg.svdvals(blocks)
    singular = sizes[:, -1] <= _SINGULAR * sizes[:, 0]
    if bool(singular.any()):
        raise NumericalError(
            f"at t = {float(distinct[singular][0]):.6g} the concrete score does not determine the posterior, since the "
            "state has forgotten the data; begin the run at a time below 1 with RunState.at(x, t, noise)"
        )
    return torch.linalg.solve(blocks.mT[where], score.unsqueeze(-1)).squeeze(-1)
