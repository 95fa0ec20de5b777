"""How much regularisation: by the noise level, or, for tables, by the truth.

* Discrepancy: the weight at which ``chi^2 / n`` reaches its target. ``chi^2 / n`` grows with the weight, so that
  bracketing and the secant rule on ``log weight`` find it.
* Oracle: the weight with the best PSNR, by golden section on ``log weight``. It uses the truth; it is the upper bound
  that a baseline can reach, and never a result.

References
----------
V. A. Morozov, Soviet Math. Dokl. 7 (1966) 414
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from scidiff.errors import ConfigError, NumericalError

from ..metrics import psnr
from .result import Reconstruction

__all__ = ["Solver", "by_discrepancy", "by_oracle"]

Solver = Callable[[float, Reconstruction | None], Reconstruction]
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


def by_discrepancy(
    solve: Solver, guess: float, target: float = 1.0, within: float = 0.02, tries: int = 16
) -> Reconstruction:
    """Choose the weight at which ``chi^2 / n`` is `target`.

    Parameters
    ----------
    solve
        ``solve(weight, start)``, e.g. ``lambda w, s: tv(scan, grid, w, start=s)``.
    guess
        First weight.
    target
        Wanted ``chi^2 / n``.
    within
        Accepted distance from it.
    tries
        Largest number of solves.

    Returns
    -------
    Reconstruction
        The result at the weight found.

    Raises
    ------
    NumericalError
        If no weight reaches the target.
    """
    if not (guess > 0 and target > 0 and within > 0):
        raise ConfigError(f"guess {guess}, target {target}, within {within}; expected positive numbers")
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    at, result = math.log(guess), None
    for _ in range(tries):
        result = solve(math.exp(at), result)
        off = math.log(max(result.chi2, 1e-12) / target)
        if abs(result.chi2 - target) <= within:
            return result
        low, high = ((at, off), high) if off < 0 else (low, (at, off))
        if low is None:
            at -= 1.5
        elif high is None:
            at += 1.5
        else:
            share = -low[1] / (high[1] - low[1])
            at = low[0] + (high[0] - low[0]) * min(max(share, 0.1), 0.9)
    reached = math.nan if result is None else result.chi2
    raise NumericalError(
        f"chi^2/n is {reached:.3g} after {tries} weights; expected {target}: is the noise level right, is the object "
        "inside the grid, or is the grid too coarse for the data?"
    )


def by_oracle(
    solve: Solver, guess: float, truth: Tensor, span: float, decades: float = 2.0, tries: int = 12
) -> Reconstruction:
    """Choose the weight with the best PSNR.

    Parameters
    ----------
    solve
        As for `by_discrepancy`.
    guess
        Middle of the search.
    truth
        The true image.
    span
        Range of values for the PSNR; it does not change the choice.
    decades
        Half-width of the search in powers of ten.
    tries
        Number of solves.

    Returns
    -------
    Reconstruction
        The best result.
    """
    low, high = math.log(guess) - decades * math.log(10), math.log(guess) + decades * math.log(10)
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    results: list[Reconstruction] = []
    for at in inner:
        results.append(solve(math.exp(at), results[-1] if results else None))
    values = [float(psnr(result.image, truth, span)) for result in results]
    best = results[values.index(max(values))]
    top = max(values)
    for _ in range(tries - 2):
        if values[0] >= values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - _GOLDEN * (high - low)
            side = 0
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + _GOLDEN * (high - low)
            side = 1
        result = solve(math.exp(inner[side]), best)
        values[side] = float(psnr(result.image, truth, span))
        if values[side] > top:
            best, top = result, values[side]
    return best
