"""Single-step solvers as functions that return a `Table`.

A step from ``t`` to ``s`` with ``h = lam_s - lam_t`` and prediction ``m`` draws from

    x_s = alpha_s m + sqrt(sigma_s^2 - eta^2 v) (x_t - alpha_t m) / sigma_t + eta sqrt(v) xi
    v   = sigma_s^2 (1 - exp(-2 h))

where `v` is the variance of ``x_s`` given ``x_t`` and ``x_0``. This treats ``x_0`` as if it were ``m`` and so makes
samples of too little spread at few steps. The posterior covariance of ``x_0`` adds ``b^2 Var[x_0 | x_t]``, with `b` the
coefficient of ``m``: for Gaussian data the result is then exact at every number of steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.draft import Draft
from scidiff.sample.continuous.table import Table

__all__ = ["analytic_dpm", "ancestral", "ddim", "heun"]


def ddim(schedule: Schedule, grid: Tensor, *, eta: float = 0.0) -> Table:
    """DDIM [1]_: deterministic for ``eta = 0``, the ancestral sampler for ``eta = 1``.

    On the straight path (`LinearFlowSchedule`) with ``eta = 0`` it is the Euler method for the velocity.

    Parameters
    ----------
    schedule
        Noise schedule.
    grid
        Times, shape ``(steps + 1,)``.
    eta
        Strength of the noise, 0 to 1.

    Returns
    -------
    Table
        ``consistent(1)``.

    References
    ----------
    .. [1] J. Song et al., "Denoising Diffusion Implicit Models", arXiv:2010.02502, eq. 12
    """
    return _bridge(schedule, grid, eta, "DDIM" + (f", eta {eta:g}" if eta else ""), "arXiv:2010.02502")


def ancestral(schedule: Schedule, grid: Tensor) -> Table:
    """Ancestral sampler of DDPM [1]_ with the smaller of its two variances, that of ``x_s`` given ``x_t`` and ``x_0``.

    Parameters
    ----------
    schedule, grid
        As for `ddim`.

    Returns
    -------
    Table
        ``consistent(1)``.

    References
    ----------
    .. [1] J. Ho et al., "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, eq. 7
    """
    return _bridge(schedule, grid, 1.0, "DDPM", "arXiv:2006.11239")


def analytic_dpm(
    schedule: Schedule, grid: Tensor, *, posterior_variance: Callable[[float], float], eta: float = 1.0
) -> Table:
    """Ancestral sampler with the posterior covariance of the data in its variance [1]_.

    Parameters
    ----------
    schedule, grid
        As for `ddim`.
    posterior_variance
        ``Var[x_0 | x_t]`` of one coordinate, averaged over coordinates and ``x_t``, as a function of ``lam``.
    eta
        As for `ddim`.

    Returns
    -------
    Table
        ``consistent(1)``; exact for Gaussian data with one variance.

    References
    ----------
    .. [1] F. Bao et al., "Analytic-DPM: an Analytic Estimate of the Optimal Reverse Variance in Diffusion Probabilistic
       Models", arXiv:2201.06503, theorem 1
    """
    return _bridge(schedule, grid, eta, "Analytic-DPM", "arXiv:2201.06503", posterior_variance)


def _bridge(
    schedule: Schedule,
    grid: Tensor,
    eta: float,
    name: str,
    citation: str,
    posterior_variance: Callable[[float], float] | None = None,
) -> Table:
    draft = Draft(schedule, grid, 1)
    if not 0 <= eta <= 1:
        raise ConfigError(f"eta is {eta}; expected 0 (deterministic) to 1 (ancestral)")
    if eta > 0 or posterior_variance is not None:
        draft.require_falling(name)
    for i in range(draft.steps):
        fresh = 1 - draft.decay(i) ** 2
        draft.c[i] = eta * draft.sigma[i + 1] * np.sqrt(max(0.0, fresh))
        draft.a[i, 0] = draft.sigma[i + 1] / draft.sigma[i] * np.sqrt(1 - eta**2 * fresh)
        draft.b[i, 0] = draft.alpha[i + 1] - draft.a[i, 0] * draft.alpha[i]
        if posterior_variance is not None:
            draft.spread[i] = abs(draft.b[i, 0]) * np.sqrt(posterior_variance(float(draft.lam[i])))
    return draft.table(name, 1, citation)


def heun(schedule: Schedule, grid: Tensor) -> Table:
    """Heun's method in ``r = sigma / alpha`` [1]_: second order, two calls a step.

    With ``y = x / alpha`` the flow is ``dy/dr = (y - m) / r``. The first stage is an Euler step to the next node, which
    is visited twice; the second one averages the slopes and starts from the state before. A step into ``sigma = 0`` or
    out of ``alpha = 0`` is an Euler step, of one call.

    Parameters
    ----------
    schedule, grid
        As for `ddim`.

    Returns
    -------
    Table
        ``consistent(2)``, with up to ``2 steps`` rows.

    References
    ----------
    .. [1] T. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv:2206.00364,
       algorithm 1
    """
    draft = Draft(schedule, grid, 2)
    rows: list[tuple[int, list[float], list[float]]] = []
    for i in range(draft.steps):
        keep = draft.sigma[i + 1] / draft.sigma[i]
        rows.append((i + 1, [keep, 0.0], [draft.alpha[i + 1] - keep * draft.alpha[i], 0.0]))
        if np.isfinite(draft.h(i)):
            rows.append((i + 1, *_average(draft, i)))
    nodes = np.array([0, *(row[0] for row in rows)])
    return Table(
        name="Heun",
        nodes=draft.nodes[nodes],
        alpha=draft.alpha[nodes],
        sigma=draft.sigma[nodes],
        a=np.array([row[1] for row in rows]),
        b=np.array([row[2] for row in rows]),
        c=np.zeros(len(rows)),
        spread=np.zeros(len(rows)),
        order=2,
        label="consistent(2)",
        citation="arXiv:2206.00364",
    )


def _average(draft: Draft, i: int) -> tuple[list[float], list[float]]:
    """Second stage ``y' = y + d/2 ((y - m) / r + (y~ - m~) / r')``, ``d = r' - r``, column 0 is the stage."""
    before, after = draft.sigma[i] / draft.alpha[i], draft.sigma[i + 1] / draft.alpha[i + 1]
    slope, stage_slope = 0.5 * (after - before) / before, 0.5 * (after - before) / after
    alpha = draft.alpha[i + 1]
    return [stage_slope, alpha * (1 + slope) / draft.alpha[i]], [-alpha * stage_slope, -alpha * slope]
