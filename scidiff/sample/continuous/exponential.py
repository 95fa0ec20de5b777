"""Exponential Adams solvers: the prediction is interpolated in ``lam``, everything else is integrated exactly.

With ``h = lam_(i+1) - lam_i`` and ``l_j`` the Lagrange polynomials on the past nodes measured from ``lam_i``,

    x_(i+1) = (sigma_(i+1) / sigma_i) exp(-eta h) x_i + alpha_(i+1) sum_j w_j m_(i-j) + c_i xi
    w_j     = int_0^h (1 + eta) exp(-(1 + eta)(h - u)) l_j(u) du
    c_i     = sigma_(i+1) sqrt(1 - exp(-2 eta h))

``eta = 0`` is the probability flow, ``eta = 1`` the reverse equation of the forward noise; every `eta` has the same
marginals. The first steps, and those next to an end of the clock where ``lam`` is infinite, use as many nodes as there
are: a step of infinite `h` has ``w_0 = 1`` exactly.

The corrector repeats the last step with the extra node ``u = h``, for which the evaluation made there for the next step
is re-used: no further call, and one order more. The correction ``sum_j d_j m_(i-j)`` of ``x_i`` is written into the row
of the next step.

The first step has a single node and errs by ``h^2 m'/2``, which would hold every method at order 2. From order 3 on it
is corrected in this way, which leaves an error of order ``h^3``; with one call a step no start is better, so that no
order above 3 is claimed, although the error of the start is small where a prior has little signal. For ``eta > 0``
orders are weak (tested on Gaussian and on bimodal data by exact propagation of the law), and none above 2 is claimed.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.schedule import Schedule
from scidiff.sample.continuous.draft import Draft
from scidiff.sample.continuous.moments import exponential_weights
from scidiff.sample.continuous.table import Table

__all__ = ["deis", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m", "exponential_adams", "sa_solver", "unipc"]

_DPMPP = "arXiv:2211.01095"
_MAX_ORDER = 4


def exponential_adams(
    schedule: Schedule, grid: Tensor, *, order: int, eta: float = 0.0, corrector: bool = False
) -> Table:
    """Exponential Adams-Bashforth of `order` history terms, with the Adams-Moulton corrector if asked for.

    Parameters
    ----------
    schedule
        Noise schedule.
    grid
        Times, shape ``(steps + 1,)``; one network call each but the last.
    order
        Number of predictions that are combined, 1 to 4.
    eta
        Strength of the noise.
    corrector
        Whether every state is corrected by the prediction made at it.

    Returns
    -------
    Table
        ``consistent(order)``, one more with the corrector; at most 3, and at most 2 with noise.

    References
    ----------
    .. [1] Q. Zhang, Y. Chen, "Fast Sampling of Diffusion Models with Exponential Integrator", arXiv:2204.13902
    .. [2] S. Xue et al., "SA-Solver: Stochastic Adams Solver for Fast Sampling of Diffusion Models", arXiv:2309.05019
    """
    name = f"exponential Adams {order}{' with corrector' if corrector else ''}{f', eta {eta:g}' if eta else ''}"
    return _adams(schedule, grid, order, eta, corrector, name, "arXiv:2204.13902")


def _adams(
    schedule: Schedule, grid: Tensor, order: int, eta: float, corrector: bool, name: str, citation: str
) -> Table:
    _check_order(order)
    draft = Draft(schedule, grid, order + int(corrector))
    _check_eta(draft, eta, name)
    before = np.zeros(0)
    for i in range(draft.steps):
        weights = _predictor(draft, i, order, 1 + eta)
        draft.damp(i, eta)
        draft.b[i, : len(weights)] = draft.alpha[i + 1] * weights
        if corrector or _needs_start(order, before):
            change = _correction(draft, i, before, 1 + eta)
            draft.b[i, : len(change)] += draft.alpha[i] * draft.a[i, 0] * change
        before = weights
    return draft.table(name, min(order + int(corrector), 3 if eta == 0 else 2), citation)


def _needs_start(order: int, before: np.ndarray) -> bool:
    """Whether the step before was a start with a single node, too coarse for the order."""
    return order >= 3 and len(before) == 1


def _finite_past(draft: Draft, i: int, count: int) -> np.ndarray:
    """Nodes ``lam_(i-j) - lam_i`` of the past evaluations that can be interpolated."""
    past = draft.lam[max(0, i - count + 1) : i + 1][::-1] - draft.lam[i]
    return past[np.isfinite(past)]


def _predictor(draft: Draft, i: int, order: int, rate: float) -> np.ndarray:
    """Weights of ``m_i, m_(i-1), ...`` in step `i` for the kernel ``rate exp(-rate (h - u))``."""
    h = draft.h(i)
    if not np.isfinite(h):
        return np.ones(1)
    return exponential_weights(rate * h, rate * _finite_past(draft, i, order))


def _correction(draft: Draft, i: int, before: np.ndarray, rate: float) -> np.ndarray:
    """Weights ``d_j`` of the correction of ``x_i``, given the weights of the step that led there, if any did."""
    h = draft.h(i - 1) if len(before) else np.inf
    if not np.isfinite(h):
        return np.zeros(0)
    nodes = np.concatenate([[h], _finite_past(draft, i - 1, len(before))])
    change = exponential_weights(rate * h, rate * nodes)
    change[1:] -= before
    return change


def dpmpp_2m(schedule: Schedule, grid: Tensor) -> Table:
    """DPM-Solver++(2M) [1]_: second order, one call a step.

    Parameters
    ----------
    schedule, grid
        As for `exponential_adams`.

    References
    ----------
    .. [1] C. Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
       arXiv:2211.01095, algorithm 2
    """
    return _midpoint(schedule, grid, 0.0, "DPM-Solver++(2M)")


def dpmpp_2m_sde(schedule: Schedule, grid: Tensor, *, eta: float = 1.0) -> Table:
    """SDE-DPM-Solver++(2M) [1]_; the published strength is ``eta = 1``.

    Parameters
    ----------
    schedule, grid, eta
        As for `exponential_adams`.

    References
    ----------
    .. [1] C. Lu et al., arXiv:2211.01095, section 6
    """
    return _midpoint(schedule, grid, eta, f"SDE-DPM-Solver++(2M), eta {eta:g}")


def _midpoint(schedule: Schedule, grid: Tensor, eta: float, name: str) -> Table:
    """Weights ``(1 - exp(-(1 + eta) h)) (1 + 1/2r, -1/2r)`` with ``r = h_(i-1) / h_i``."""
    draft = Draft(schedule, grid, 2)
    _check_eta(draft, eta, name)
    for i in range(draft.steps):
        draft.damp(i, eta)
        weights = np.array([1.0, 0.0])
        if np.isfinite(draft.h(i)):
            before = draft.h(i - 1) if i > 0 else np.inf
            tilt = 0.5 * draft.h(i) / before
            weights = -np.expm1(-(1 + eta) * draft.h(i)) * np.array([1 + tilt, -tilt])
        draft.b[i] = draft.alpha[i + 1] * weights
    return draft.table(name, 2, _DPMPP)


def dpmpp_3m(schedule: Schedule, grid: Tensor) -> Table:
    """Multistep DPM-Solver++ of third order [1]_, which is `exponential_adams` with three history terms.

    Widely copied code of this solver gives the second difference half of its weight, ``-phi_3`` for ``-2 phi_3``, and
    converges with order 2; here the weight is the exact integral.

    Parameters
    ----------
    schedule, grid
        As for `exponential_adams`.

    References
    ----------
    .. [1] C. Lu et al., arXiv:2211.01095
    """
    return _adams(schedule, grid, 3, 0.0, False, "DPM-Solver++(3M)", _DPMPP)


def unipc(schedule: Schedule, grid: Tensor, *, order: int = 3) -> Table:
    """UniPC [1]_ of predictor order `order` (UniP) and corrector (UniC): order + 1, one call a step.

    With the weights solved for at every order, the scaling ``B(h)`` of the publication drops out.

    Parameters
    ----------
    schedule, grid
        As for `exponential_adams`.
    order
        History terms of the predictor.

    References
    ----------
    .. [1] W. Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models",
       arXiv:2302.04867
    """
    return _adams(schedule, grid, order, 0.0, True, f"UniPC-{order}", "arXiv:2302.04867")


def sa_solver(schedule: Schedule, grid: Tensor, *, order: int = 2, tau: float = 1.0, corrector: bool = True) -> Table:
    """SA-Solver [1]_ of constant ``tau``: exponential Adams of strength ``eta = tau^2``.

    Parameters
    ----------
    schedule, grid, order
        As for `exponential_adams`.
    tau
        Published strength of the noise.
    corrector
        As for `exponential_adams`.

    References
    ----------
    .. [1] S. Xue et al., arXiv:2309.05019
    """
    return _adams(schedule, grid, order, tau**2, corrector, f"SA-Solver {order}, tau {tau:g}", "arXiv:2309.05019")


def deis(schedule: Schedule, grid: Tensor, *, order: int = 3) -> Table:
    """DEIS [1]_: Adams-Bashforth on the noise ``eps = (x - alpha m) / sigma``, interpolated in ``lam``.

    ``x_(i+1) = (alpha_(i+1) / alpha_i) x_i + sum_j C_j eps_(i-j)`` with
    ``C_j = -sigma_(i+1) int_0^h exp(h - u) l_j(u) du``. Rows combine past states as well as predictions.

    Parameters
    ----------
    schedule, grid, order
        As for `exponential_adams`.

    References
    ----------
    .. [1] Q. Zhang, Y. Chen, arXiv:2204.13902
    """
    _check_order(order)
    draft = Draft(schedule, grid, order)
    before = np.zeros(0)
    for i in range(draft.steps):
        weights = _predictor(draft, i, order, -1.0)
        if np.isfinite(draft.h(i)):
            total = draft.sigma[i + 1] * weights
            if _needs_start(order, before):
                change = _correction(draft, i, before, -1.0)
                total[: len(change)] += draft.alpha[i + 1] / draft.alpha[i] * draft.sigma[i] * change
            _eps_row(draft, i, total)
        else:
            draft.damp(i, 0.0)
            draft.b[i, 0] = draft.alpha[i + 1]
        before = weights
    return draft.table(f"DEIS-{order}", min(order, 3), "arXiv:2204.13902")


def _eps_row(draft: Draft, i: int, weights: np.ndarray) -> None:
    """Row ``(alpha_(i+1) / alpha_i) x_i + sum_j weights_j eps_(i-j)`` in terms of states and predictions."""
    for j, weight in enumerate(weights):
        draft.a[i, j] = weight / draft.sigma[i - j]
        draft.b[i, j] = -weight * draft.alpha[i - j] / draft.sigma[i - j]
    draft.a[i, 0] += draft.alpha[i + 1] / draft.alpha[i]


def _check_order(order: int) -> None:
    if not 1 <= order <= _MAX_ORDER:
        raise ConfigError(f"order is {order}; expected 1 to {_MAX_ORDER}: higher ones amplify errors of the network")


def _check_eta(draft: Draft, eta: float, name: str) -> None:
    if eta < 0:
        raise ConfigError(f"eta is {eta}; expected a strength of at least 0")
    if eta > 0:
        draft.require_falling(name)
