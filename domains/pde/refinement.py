"""The refinement test: a discrete operator that is consistent leaves a residual that vanishes at its order.

A smooth exact solution, sampled on grids of width h, leaves in a scheme of order p the residual ``C h^p``. A forgotten
factor of h changes the size of one term against another by a power of h, and a wrong sign leaves a residual of the size
of the terms: both stop the decay. This is what a single grid cannot see.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from scidiff.errors import NumericalError

__all__ = ["check_refinement", "observed_orders"]

_SLACK = 0.4


def observed_orders(error: Callable[[int], float], sizes: Sequence[int]) -> list[float]:
    """``log(e_i / e_{i+1}) / log(n_{i+1} / n_i)`` for the errors on grids of `sizes` cells."""
    errors = [error(size) for size in sizes]
    pairs = itertools.pairwise(zip(sizes, errors, strict=True))
    return [math.log(a / b) / math.log(m / n) for (n, a), (m, b) in pairs]


def check_refinement(error: Callable[[int], float], sizes: Sequence[int], order: float) -> list[float]:
    """Observed orders, if the last reaches the order claimed.

    Parameters
    ----------
    error
        Residual or error on a grid of so many cells along an axis.
    sizes
        At least two of them, ascending.
    order
        The order claimed.

    Returns
    -------
    list of float
        Observed orders.

    Raises
    ------
    NumericalError
        If the last one is lower than the order claimed by more than 0.4.
    """
    found = observed_orders(error, sizes)
    if not found[-1] > order - _SLACK:
        raise NumericalError(
            f"refinement over {list(sizes)} gives orders {[round(each, 2) for each in found]}; expected {order}: look "
            "for a missing mesh width, a wrong sign or a wrong coefficient"
        )
    return found
