"""Exponential moments, the weights made of them, and the check of a declared order by moments.

    M_k(h) = int_0^h exp(-(h - u)) u^k du,        M_0 = 1 - exp(-h),    M_k = h^k - k M_(k-1)

For small `h` the recurrence cancels and the series ``M_k = k! h^(k+1) sum_p (-h)^p / (k + 1 + p)!`` is used instead.
The weights ``w_j = int_0^h exp(-(h - u)) l_j(u) du`` of Lagrange polynomials on given nodes solve
``sum_j w_j node_j^k = M_k``; a negative `h` (a grid that runs forward) is treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["exponential_moments", "exponential_weights", "moment_defect"]

_SERIES_TERMS = 30


def exponential_moments(h: float, count: int) -> np.ndarray:
    """Moments ``M_0 ... M_(count-1)`` of the exponential kernel over an interval of finite length `h`."""
    if abs(h) < 1:
        return np.array([h ** (k + 1) * _series(h, k) for k in range(count)])
    moments = [-math.expm1(-h)]
    for k in range(1, count):
        moments.append(h**k - k * moments[-1])
    return np.array(moments)


def _series(h: float, k: int) -> float:
    """Sum ``k! sum_p (-h)^p / (k + 1 + p)!``, smallest terms first."""
    terms = [(-h) ** p * math.factorial(k) / math.factorial(k + 1 + p) for p in range(_SERIES_TERMS)]
    return math.fsum(reversed(terms))


def exponential_weights(h: float, nodes: Sequence[float]) -> np.ndarray:
    """Weights ``w_j`` with ``sum_j w_j p(node_j) = int_0^h exp(-(h - u)) p(u) du`` for all ``deg p < len(nodes)``."""
    count = len(nodes)
    scaled = np.asarray(nodes) / h
    moments = exponential_moments(h, count) / h ** np.arange(count)
    return np.linalg.solve(np.vander(scaled, increasing=True).T, moments)


def moment_defect(
    lam: np.ndarray, alpha: np.ndarray, a: np.ndarray, b: np.ndarray, first: int, degree: int
) -> tuple[float, float]:
    """Error of a table on the exactly solvable problem ``m = p(lam)``, a monomial of the given degree.

    On the probability flow ``d(x / sigma) / dlam = exp(lam) p(lam)``, or the mean of the reverse equation of strength
    ``eta`` where a row damps the state by ``exp(-eta h)`` more. The rows before `first` (the warm-up) are replaced by
    the exact solution.

    Parameters
    ----------
    lam, alpha
        Log signal-to-noise ratio (finite) and signal at the nodes, shape ``(steps + 1,)``.
    a, b
        Rows of the table, shape ``(steps, depth)``.
    first
        First row that is used.
    degree
        Degree of the monomial, centred in the grid.

    Returns
    -------
    tuple of float
        Largest error of ``x / alpha`` over the nodes, and the largest ``|p|`` on the grid.
    """
    sigma = alpha * np.exp(-lam)
    centre = 0.5 * (lam[0] + lam[-1])
    values = (lam - centre) ** degree
    exact = np.zeros(len(lam))
    for i, h in enumerate(np.diff(lam)):
        keep = sigma[i + 1] / sigma[i]
        damped = np.count_nonzero(a[i]) == 1 and a[i, 0] > 0 and h > 0
        rate = 1.0 - math.log(a[i, 0] / keep) / h if damped else 1.0
        shift = [math.comb(degree, k) * (lam[i] - centre) ** (degree - k) / rate**k for k in range(degree + 1)]
        drift = float(np.dot(shift, exponential_moments(rate * h, degree + 1))) if h != 0 else 0.0
        exact[i + 1] = keep * math.exp(-(rate - 1) * h) * exact[i] + alpha[i + 1] * drift
    numeric = exact.copy()
    for i in range(first, len(lam) - 1):
        reach = min(a.shape[1], i + 1)
        past = slice(i, i - reach, -1) if i >= reach else slice(i, None, -1)
        numeric[i + 1] = a[i, :reach] @ numeric[past] + b[i, :reach] @ values[past]
    return float(np.max(np.abs(numeric - exact) / alpha)), float(np.max(np.abs(values)))
