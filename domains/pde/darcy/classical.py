r"""Classical inversions to compare with: ensemble smoothing with multiple data assimilation, and pCN.

ES-MDA moves an ensemble ``g_k`` of the prior in ``L`` steps with inflated noise, ``sum_l 1 / a_l = 1``:

    g_k <- g_k + C_gF (C_FF + a_l R)^-1 (y + sqrt(a_l) e_k - F(g_k)),    e_k ~ N(0, R),   C from the ensemble

which for a linear ``F`` and a large ensemble is the Kalman posterior. pCN is a Markov chain that is reversible for the
prior ``N(0, C)``, whatever the resolution, and accepts by the likelihood alone:

    g' = sqrt(1 - b^2) g + b f,   f ~ N(0, C),   accepted with probability min(1, exp(phi(g) - phi(g')))

References
----------
.. [1] A. A. Emerick, A. C. Reynolds, "Ensemble smoother with multiple data assimilation", Computers & Geosciences 55
   (2013), doi:10.1016/j.cageo.2012.03.011
.. [2] S. L. Cotter et al., "MCMC methods for functions: modifying old algorithms to make them faster", arXiv:1202.0709
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from scidiff.errors import ConfigError

from .cells import CellField
from .chart import Chart
from .conditions import blank, show_heads
from .decode import solve_media
from .observations import Readings

__all__ = ["Chain", "coarse_heads", "es_mda", "heads_at", "laplacian_sign", "pcn"]

Forward = Callable[[np.ndarray], np.ndarray]


def es_mda(
    ensemble: np.ndarray, forward: Forward, data: np.ndarray, noise: float, inflation: tuple[float, ...], seed: int
) -> np.ndarray:
    """Ensemble smoother with multiple data assimilation.

    Parameters
    ----------
    ensemble
        Draws of the prior, shape ``(members, *event)``.
    forward
        Maps them to data, shape ``(members, data)``.
    data
        What was observed, shape ``(data,)``.
    noise
        Standard deviation of its error.
    inflation
        ``a_l``; the sum of the inverses is 1.
    seed
        Seed of the perturbations.

    Returns
    -------
    ndarray
        The ensemble after all steps, same shape.

    Raises
    ------
    ConfigError
        If the inverses do not sum to 1.
    """
    if abs(sum(1 / a for a in inflation) - 1) > 1e-9:
        raise ConfigError(f"inflation is {inflation}; expected numbers whose inverses sum to 1")
    rng, members = np.random.default_rng(seed), len(ensemble)
    for a in inflation:
        seen = forward(ensemble)
        flat = ensemble.reshape(members, -1)
        away, apart = flat - flat.mean(0), seen - seen.mean(0)
        spread = apart.T @ apart / (members - 1) + a * noise**2 * np.eye(len(data))
        gap = data + np.sqrt(a) * noise * rng.normal(size=seen.shape) - seen
        gain = linalg.solve(spread, apart.T @ away, assume_a="pos") / (members - 1)
        ensemble = (flat + gap @ gain).reshape(ensemble.shape)
    return ensemble


@dataclass(frozen=True, eq=False)
class Chain:
    """End of a Markov chain.

    Parameters
    ----------
    last
        Last state.
    kept
        Every state of the second half, shape ``(steps // 2, *event)``.
    accepted
        Share of accepted proposals.
    """

    last: np.ndarray
    kept: np.ndarray
    accepted: float


def pcn(
    start: np.ndarray, misfit: Callable[[np.ndarray], float], prior: CellField, beta: float, steps: int, seed: int
) -> Chain:
    """Preconditioned Crank-Nicolson chain.

    Parameters
    ----------
    start
        First state, a field of the prior, shape ``(nx, ny)``.
    misfit
        ``phi``, minus the logarithm of the likelihood.
    prior
        Gaussian prior.
    beta
        Size of the proposals, in (0, 1].
    steps
        Proposals.
    seed
        Seed of proposals and acceptance.
    """
    rng = np.random.default_rng(seed)
    g, phi, kept, accepted = start, misfit(start), [], 0
    proposals = prior.field.draw(seed, prior.shape, steps, stream="pcn")
    for step in range(steps):
        trial = np.sqrt(1 - beta**2) * g + beta * proposals[step]
        value = misfit(trial)
        if np.log(rng.uniform()) < phi - value:
            g, phi, accepted = trial, value, accepted + 1
        if step >= steps - steps // 2:
            kept.append(g)
    return Chain(g, np.stack(kept), accepted / steps)


def heads_at(head: Readings) -> Forward:
    """Heads at the sensors of media of fields, by the solver of the problem."""

    def forward(g: np.ndarray) -> np.ndarray:
        return head.at(solve_media(g)["u"].numpy())

    return forward


def coarse_heads(head: Readings, factor: int = 2) -> Forward:
    """Heads at the sensors by a coarser grid: media of block means, the head of the block that holds the sensor."""

    def forward(g: np.ndarray) -> np.ndarray:
        rows, columns = g.shape[-2] // factor, g.shape[-1] // factor
        blocks = g.reshape(len(g), rows, factor, columns, factor).mean((2, 4))
        u = solve_media(blocks)["u"].numpy()
        cell = head.index // factor
        return u[:, cell[:, 0], cell[:, 1]]

    return forward


def laplacian_sign(chart: Chart, head: Readings) -> np.ndarray:
    """Direct estimate: a field that is positive where ``-lap`` of the kriged head is nearer to ``f / high``."""
    channels = blank(chart, 1)
    show_heads(channels, chart, head.index, head.values[None])
    return -channels[0, 4].astype(np.float64)
