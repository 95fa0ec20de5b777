"""How much regularisation: by the noise level, or, for tables, by the truth.

* Discrepancy: the weight at which ``chi^2 / n`` reaches its target. ``chi^2 / n`` grows with the weight, so that
  bracketing and the secant rule on ``log weight`` find it. It need not reach it: without any weight it stays above 1
  where the model cannot explain the data, and under the largest it stays below 1 where the noise explains all of them.
  Then `DiscrepancyError` says which, and holds the nearest image.
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

__all__ = ["DiscrepancyError", "Solver", "by_discrepancy", "by_oracle"]

Solver = Callable[[float, Reconstruction | None], Reconstruction]
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
_STEP, _GROWTH = 1.5, 1.4
_STILL, _PATIENCE = 0.01, 3
_ALIKE = 0.05


class DiscrepancyError(NumericalError):
    """No weight brings ``chi^2 / n`` to its target.

    Parameters
    ----------
    message
        What came, what was expected, what to do.
    nearest
        The result whose ``chi^2 / n`` is nearest to the target; where it stays above, the one with the strongest weight
        among those that fit within 5 % as well.
    above
        True where ``chi^2 / n`` stays above the target, False where it stays below; None where it lies on both sides.
    """

    def __init__(self, message: str, nearest: Reconstruction, above: bool | None) -> None:
        super().__init__(message)
        self.nearest, self.above = nearest, above


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
    DiscrepancyError
        If no weight reaches the target; it says on which side ``chi^2 / n`` stays, and holds the nearest result.
    ConfigError
        If a number is not positive.
    """
    if not (guess > 0 and target > 0 and within > 0 and tries >= 1):
        raise ConfigError(f"guess {guess}, target {target}, within {within}, tries {tries}; expected positive numbers")
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    at, step, found = math.log(guess), _STEP, [solve(guess, None)]
    while abs(found[-1].chi2 - target) > within:
        off = math.log(max(found[-1].chi2, 1e-12) / target)
        low, high = ((at, off), high) if off < 0 else (low, (at, off))
        one_sided = low is None or high is None
        if len(found) == tries or (one_sided and _still(found, target)):
            raise _unreachable(found, target, None if not one_sided else low is None)
        if low is None or high is None:
            at, step = at + (step if high is None else -step), _GROWTH * step
        else:
            share = -low[1] / (high[1] - low[1])
            at = low[0] + (high[0] - low[0]) * min(max(share, 0.1), 0.9)
        found.append(solve(math.exp(at), found[-1]))
    return found[-1]


def _still(found: list[Reconstruction], target: float) -> bool:
    """Whether the last few weights, ever farther out, have not come closer to the target."""
    gaps = [abs(math.log(max(one.chi2, 1e-12) / target)) for one in found]
    return len(gaps) > _PATIENCE and min(gaps[-_PATIENCE:]) > min(gaps[:-_PATIENCE]) - _STILL


def _unreachable(found: list[Reconstruction], target: float, above: bool | None) -> DiscrepancyError:
    """Say on which side the fit stays, and what to do; of images that fit about as well, take the smoothest."""
    off = lambda one: abs(math.log(max(one.chi2, 1e-12) / target))  # noqa: E731
    best = min(found, key=off)
    alike = [one for one in found if off(one) <= off(best) + _ALIKE]
    nearest = max(alike, key=lambda one: one.facts.get("weight", 0.0)) if above else best
    reached = f"chi^2/n is {best.chi2:.3g} at best after {len(found)} weights; expected {target:g}"
    if above is None:
        advice = "it lies on both sides, so that the solver is not accurate enough: allow it more iterations"
    elif above:
        advice = (
            "it stays above whatever the weight, so that the image cannot explain the data: is the noise level too low "
            "(i0, gain, sd), does the object reach beyond the grid or the detector, are there rings, is the grid too "
            f"coarse? Mend that, or ask for target={nearest.chi2:.3g}"
        )
    else:
        advice = (
            "it stays below whatever the weight, so that the noise explains all that the data hold: is the noise level "
            f"too high (i0, gain, sd)? Noise of {math.sqrt(nearest.chi2 / target):.2g} times the sd would fit"
        )
    return DiscrepancyError(f"{reached}; {advice}", nearest, above)


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
