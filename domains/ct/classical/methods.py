"""The classical methods by name, each with its weight or its stop chosen from the noise level of the scan."""

from __future__ import annotations

from collections.abc import Callable

from ..grid import Grid
from ..scan import Scan
from .fbp import fbp
from .filters import hann
from .iterative import cgls, pwls, sirt
from .result import Reconstruction
from .tv import tv
from .weights import DiscrepancyError, by_discrepancy

__all__ = ["METHODS", "first_weights"]

_COARSE, _EACH = 1e-2, 800


def first_weights(scan: Scan, grid: Grid) -> tuple[float, float]:
    """First guesses of the weights of PWLS (mm^2) and TV (mm): differences of 5 % of the mean attenuation.

    Parameters
    ----------
    scan, grid
        Data and image grid.
    """
    mu = float(scan.facts.get("mean_attenuation", 0.0))
    step = 0.05 * mu if mu > 0 else 1e-3
    return 1.0 / step**2, 1.0 / step


def _fbp(scan: Scan, grid: Grid) -> Reconstruction:
    """FBP (FDK for cone beam) with the Hann window."""
    image = fbp(scan.projections, scan.geometry, grid, hann)
    chi2 = float(scan.chi2(scan.operator(grid).apply(image[None]))[0])
    return Reconstruction(image, grid, "FBP", chi2)


def _pwls(scan: Scan, grid: Grid) -> Reconstruction:
    """PWLS at the discrepancy."""
    return by_discrepancy(lambda weight, start: pwls(scan, grid, weight, start=start), first_weights(scan, grid)[0])


def _tv(scan: Scan, grid: Grid) -> Reconstruction:
    """TV+ at the discrepancy: searched with a gap of 1 % or 800 iterations, then converged to 0.1 %.

    Where the search is too coarse to come closer, the weight nearest to the discrepancy is taken.
    """
    guess = first_weights(scan, grid)[1]
    try:
        near = by_discrepancy(lambda weight, start: tv(scan, grid, weight, _COARSE, _EACH, start), guess)
    except DiscrepancyError as error:
        if error.above is not None:
            raise
        near = error.nearest
    return tv(scan, grid, near.facts["weight"], start=near)


METHODS: dict[str, Callable[[Scan, Grid], Reconstruction]] = {
    "fbp": _fbp,
    "sirt": sirt,
    "cgls": cgls,
    "pwls": _pwls,
    "tv": _tv,
}
