"""The classical methods by name, each with its weight or its stop chosen from the noise level of the scan."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ..checks import ScanWarning
from ..grid import Grid
from ..scan import Scan
from .fbp import fbp
from .filters import hann
from .iterative import cgls, pwls, sirt
from .result import Reconstruction
from .tv import tv
from .weights import DiscrepancyError, Solver, by_discrepancy

__all__ = ["METHODS", "first_weights"]

_COARSE, _EACH, _NEAR = 1e-2, 800, 0.2


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


def _completed(scan: Scan) -> Scan:
    """Rays without weight get what their neighbours in the row say; views of such rays alone are left out."""
    used = scan.weights > 0
    if bool(used.all()):
        return scan
    kept = scan.select(used.flatten(1).any(1))
    y = kept.projections.numpy().reshape(-1, kept.geometry.detector[-1])
    masks, columns = (kept.weights.numpy() > 0).reshape(y.shape), np.arange(y.shape[1])
    filled = [np.interp(columns, columns[m], row[m]) if m.any() else row for row, m in zip(y, masks, strict=True)]
    return replace(kept, projections=torch.from_numpy(np.stack(filled)).reshape(kept.projections.shape))


def _fbp(scan: Scan, grid: Grid) -> Reconstruction:
    """FBP (FDK for cone beam) with the Hann window; rays without weight are interpolated along their row."""
    whole = _completed(scan)
    image = fbp(whole.projections, whole.geometry, grid, hann)
    chi2 = float(scan.chi2(scan.operator(grid).apply(image[None]))[0])
    return Reconstruction(image, grid, "FBP", chi2)


def _pwls(scan: Scan, grid: Grid) -> Reconstruction:
    """PWLS at the discrepancy."""
    return _nearest(lambda weight, start: pwls(scan, grid, weight, start=start), first_weights(scan, grid)[0])


def _tv(scan: Scan, grid: Grid) -> Reconstruction:
    """TV+ at the discrepancy: searched with a gap of 1 % or 800 iterations, then converged to 0.1 %.

    Where no weight fits, the nearest is left as the search found it.
    """
    guess = first_weights(scan, grid)[1]
    near = _nearest(lambda weight, start: tv(scan, grid, weight, _COARSE, _EACH, start), guess)
    return tv(scan, grid, near.facts["weight"], start=near) if abs(near.chi2 - 1.0) < _NEAR else near


def _nearest(solve: Solver, guess: float) -> Reconstruction:
    """The weight at the discrepancy; where none reaches it, the nearest one, with a warning that says what to do.

    Between weights on either side of the discrepancy a coarse search may come no closer; that needs no warning.
    """
    try:
        return by_discrepancy(solve, guess)
    except DiscrepancyError as error:
        if error.above is not None:
            warnings.warn(str(error), ScanWarning, stacklevel=4)
        return error.nearest


METHODS: dict[str, Callable[[Scan, Grid], Reconstruction]] = {
    "fbp": _fbp,
    "sirt": sirt,
    "cgls": cgls,
    "pwls": _pwls,
    "tv": _tv,
}
