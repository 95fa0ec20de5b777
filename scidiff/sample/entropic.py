r"""Entropic time: a grid whose intervals lose the same amount of information each.

With ``C(u)`` the share of the information that is gone at level ``u``, node ``i`` of ``N`` sits where

    C(u_i) = 1 - i / N,        t_i = t(u_i),

between the prior at ``t = 1`` and the data. ``C`` comes from a closed form or from `scidiff.train.InfoNoise`, which
measures it while training.

References
----------
.. [1] Raya et al., "Information-Guided Noise Allocation for Efficient Diffusion Training", arXiv:2602.18647
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["entropic_grid", "inverse_cdf"]


def inverse_cdf(edges: Tensor, mass: Tensor, v: Tensor) -> Tensor:
    """Quantiles of a density that is constant within bins.

    Parameters
    ----------
    edges
        Edges of the bins, increasing, shape ``(bins + 1,)``.
    mass
        Probability of each bin, shape ``(bins,)``, sum 1.
    v
        Probabilities in [0, 1].

    Returns
    -------
    Tensor
        Levels, shape of ``v``; never inside a bin of mass 0, but for ``v`` at an end.
    """
    cdf = mass.cumsum(0)
    cdf = cdf / cdf[-1]
    index = torch.searchsorted(cdf, v.contiguous()).clamp_max(len(mass) - 1)
    before = torch.where(index > 0, cdf[(index - 1).clamp_min(0)], 0.0)
    inside = (v - before) / (cdf[index] - before).clamp_min(1e-300)
    return edges[index] + inside.clamp(0.0, 1.0) * (edges[index + 1] - edges[index])


def entropic_grid(times: Tensor, rate: Tensor, steps: int, *, floor: float = 0.02, to_zero: bool = True) -> Tensor:
    """Grid of equal losses of information.

    Parameters
    ----------
    times
        Edges of the bins as times, increasing within (0, 1], shape ``(bins + 1,)``.
    rate
        Information lost in each bin, in any unit, ``>= 0``, shape ``(bins,)``.
    steps
        Number of intervals.
    floor
        Share of the intervals that is spread evenly over the bins, so that no level is passed over blindly.
    to_zero
        Whether the last interval leads from the first edge to ``t = 0``.

    Returns
    -------
    Tensor
        Times from 1 down, float64, shape ``(steps + 1,)``.

    Raises
    ------
    ConfigError
        If the edges do not rise within [0, 1], the rates do not fit them, or there are too few steps.
    """
    times, rate = times.double(), rate.double()
    rising = times.ndim == 1 and len(times) >= 2 and bool((times.diff() > 0).all())
    if not rising or float(times[0]) < 0 or float(times[-1]) > 1:
        raise ConfigError(f"times are {times}; expected edges that rise within [0, 1]")
    if rate.shape != (len(times) - 1,) or bool((rate < 0).any()) or not 0 < float(rate.sum()) < torch.inf:
        raise ConfigError(f"rate has shape {tuple(rate.shape)}; expected one number >= 0 per bin, not all of them 0")
    zero, one = to_zero and float(times[0]) > 0, float(times[-1]) < 1
    inner = steps - int(zero) - int(one)
    if inner < 1 or not 0 <= floor <= 1:
        raise ConfigError(f"steps = {steps}, floor = {floor}; expected at least {steps - inner + 1} and one in [0, 1]")
    mass = (1 - floor) * rate / rate.sum() + floor / len(rate)
    v = torch.linspace(1.0, 0.0, inner + 1, dtype=torch.float64, device=times.device)
    nodes = inverse_cdf(times, mass, v)
    nodes[0], nodes[-1] = times[-1], times[0]
    ends = torch.ones(int(one)).to(nodes), torch.zeros(int(zero)).to(nodes)
    return torch.cat([ends[0], nodes, ends[1]])
