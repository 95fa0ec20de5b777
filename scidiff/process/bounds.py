"""Published forms of the likelihood bound, for the kernels that they were published for.

Each equals `DiscreteProcess.nelbo` at every site, state and time; with ``F`` the posterior and ``L`` the leave-one-out
posterior of a site, ``a`` the survival:

    mask      -a'/(1 - a) (-log F(x_0))  at masked sites, 0 elsewhere                      MDLM, MD4
    uniform   a'/(K a) [K/z_i - K/z'_i - sum_j (z_j/z_i) log(z'_i z_j / (z'_j z_i))]       UDLM

with ``i = x_t``, ``z = K a onehot(x_0) + 1 - a`` and ``z' = K a L + 1 - a``.

References
----------
.. [1] S. Sahoo et al., "Simple and effective masked diffusion language models", arXiv:2406.07524
.. [2] J. Shi et al., "Simplified and generalized masked diffusion for discrete data", arXiv:2406.04329
.. [3] Y. Schiff et al., "Simple guidance mechanisms for discrete diffusion models", arXiv:2412.10193
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import site_time
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import LevelKernel

__all__ = ["md4", "mdlm", "one_level", "udlm"]

_LAST = 1.0 - 2.0**-40


def one_level(process: DiscreteProcess, method: str) -> LevelKernel:
    """Kernel of the process, which must have one survival: mask, uniform or marginal.

    Raises
    ------
    ConfigError
        If it has several survivals, or is not a `LevelKernel`.
    """
    kernel = process.kernel
    if not isinstance(kernel, LevelKernel) or len(kernel.survivals) != 1:
        raise ConfigError(
            f"{method} is defined for kernels of one survival (mask, uniform, marginal); the process has a "
            f"{type(kernel).__name__} of other form: use the general method of DiscreteProcess"
        )
    return kernel


def mdlm(process: DiscreteProcess, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
    """Weighted cross-entropy of masked sites, ``-a'/(1 - a) (-log F(x_0))``, per site in nats.

    Parameters
    ----------
    process
        Process with a mask kernel.
    m
        ``log F``, shape ``(batch, *sites, K)``.
    x0, x_t, t
        Clean class, state and time of every site.

    Raises
    ------
    ConfigError
        If the kernel is not a mask.

    References
    ----------
    .. [1] S. Sahoo et al., arXiv:2406.07524
    """
    kernel = one_level(process, "MDLM")
    if kernel.states != kernel.clean + 1 or float(kernel.prior()[-1]) != 1.0:
        raise ConfigError("MDLM is defined for masks; use process.nelbo, or udlm for uniform noise")
    t = site_time(t, x_t).clamp_max(_LAST)
    masked = x_t == kernel.clean
    lost = torch.where(masked, kernel.survivals[0].complement(t), 1.0)
    weight = -kernel.survivals[0].slope(t) / lost
    return torch.where(masked, weight * process.loss(m, x0, x_t, t), 0.0)


def md4(process: DiscreteProcess, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
    """Bound of MD4, which is that of `mdlm`: ``a'/(1 - a) log F(x_0)`` at masked sites.

    Parameters
    ----------
    process, m, x0, x_t, t
        As for `mdlm`.

    References
    ----------
    .. [1] J. Shi et al., arXiv:2406.04329
    """
    return mdlm(process, m, x0, x_t, t)


def udlm(process: DiscreteProcess, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
    """Bound for uniform noise, per site in nats; needs ``0 < t``.

    Parameters
    ----------
    process
        Process with a uniform kernel.
    m
        ``log F``, shape ``(batch, *sites, K)``; the leave-one-out posterior of the formula is made from it.
    x0, x_t, t
        Clean class, state and time of every site.

    Raises
    ------
    ConfigError
        If the kernel is not uniform.

    References
    ----------
    .. [1] Y. Schiff et al., arXiv:2412.10193
    """
    kernel = one_level(process, "UDLM")
    classes, prior = kernel.clean, kernel.prior()
    if kernel.states != classes or float((prior - 1.0 / classes).abs().max()) > 1e-12:
        raise ConfigError("UDLM is defined for uniform noise; use process.nelbo, or mdlm for masks")
    t = site_time(t, x_t).clamp_max(_LAST)
    survival = kernel.survivals[0]
    a, lost = survival.value(t).unsqueeze(-1), survival.complement(t).unsqueeze(-1)
    truth = classes * a * torch.nn.functional.one_hot(x0, classes) + lost
    guess = classes * a * process.leave_one_out(m, x_t, t).exp() + lost
    own, own_guess = (part.gather(-1, x_t.unsqueeze(-1)) for part in (truth, guess))
    logs = (own_guess * truth / (guess * own)).log()
    inner = classes / own - classes / own_guess - (truth / own * logs).sum(-1, keepdim=True)
    return (survival.slope(t).unsqueeze(-1) / (classes * a) * inner).squeeze(-1)
