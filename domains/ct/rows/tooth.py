"""Rows on a measured scan: a tooth, parallel beam, 181 views, in ``ct/tooth.h5`` of the data folder.

There is no truth. ``chi^2 / n`` of a single sample is 1 for the exact posterior; and views that a reconstruction has
not seen judge it: ``chi^2 / n`` of their prediction is 1 plus the error of the image, whatever the method. The unit of
the prior is set to the mean attenuation of the object, as the file states no length; nothing else is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from scidiff.domain import Row
from scidiff.errors import MissingPackageError, UnknownNameError
from scidiff.io.files import data_folder

from ..classical import METHODS, cgls
from ..grid import Grid
from ..methods import reconstruct
from ..methods.run import find_prior
from ..priors.prior import Prior
from ..readers import read_exchange
from ..scan import Scan

__all__ = ["tooth_rows", "tooth_scan"]

_SIZE, _EVERY = 320, 4


def tooth_scan() -> Scan | None:
    """The scan, or None where it, or h5py, is not at hand."""
    folder = data_folder()
    path = None if folder is None else folder / "ct" / "tooth.h5"
    if path is None or not path.exists():
        return None
    try:
        return read_exchange(path)
    except MissingPackageError:
        return None


def tooth_rows(prior: str = "ct", size: int = _SIZE, count: int = 4, steps: int = 20) -> Iterator[Row]:
    """Measure fit of all views, and prediction of held-out ones from a quarter of them.

    Parameters
    ----------
    prior
        Name or path; without it, classical methods are all that is measured.
    size
        Pixels on each edge.
    count, steps
        Samples and noise levels of the default.
    """
    scan = tooth_scan()
    if scan is None:
        return
    note = "found from the file alone; pinned at 296.1"
    axis = abs(scan.facts["axis"] - 296.1)
    yield Row("tooth: rotation axis, distance from the known column", "measured", axis, bar=0.5, above=False, note=note)
    grid = Grid.square(size, 640.0)
    fit = cgls(scan, grid, iterations=60)
    note = f"{scan.geometry.views} views, {fit.iterations} iterations, gain {scan.facts['gain']:.3f}; below 1.3"
    yield Row("tooth, CGLS: chi^2/n", "measured", fit.chi2, bar=1.3, above=False, note=note)
    errors = {}
    for row in _classical(scan, grid):
        errors[row.name] = row.value
        yield row
    try:
        law = find_prior(prior)
    except UnknownNameError:
        return
    yield from _posterior(scan, grid, law, count, steps, errors["tooth, TV+: chi^2/n of held-out views"])


def _classical(scan: Scan, grid: Grid) -> Iterator[Row]:
    """Prediction of held-out views by all classical methods, FBP first."""
    kept, held = scan.hold_out(_EVERY)
    operator, baseline = held.operator(grid), None
    for method in METHODS.values():
        begun = time.perf_counter()
        result = method(kept, grid)
        seconds = time.perf_counter() - begun
        value = float(held.chi2(operator.apply(result.image[None]))[0])
        baseline = value if baseline is None else baseline
        note = (
            f"from {kept.geometry.views} views, {held.geometry.views} predicted; chi^2/n of the fit {result.chi2:.3f}"
        )
        yield Row(
            f"tooth, {result.method}: chi^2/n of held-out views", "measured", value, baseline=baseline,
            baseline_name="FBP", note=note, seconds=seconds,
        )  # fmt: skip


def _posterior(scan: Scan, grid: Grid, law: Prior, count: int, steps: int, baseline: float) -> Iterator[Row]:
    """Fit of all views and prediction of held-out ones by samples; the baseline is that of TV."""
    options = {"grid": grid, "count": count, "steps": steps, "unit": float(scan.facts["mean_attenuation"])}
    full = reconstruct(scan, law, **options)
    off = float((full.chi2 - 1.05).abs().max())
    note = f"{scan.geometry.views} views, {count} samples: {', '.join(f'{c:.3f}' for c in full.chi2.tolist())}"
    yield Row(
        "tooth, posterior: chi^2/n of single samples, farthest from the middle of 0.8 to 1.3", "measured", off,
        bar=0.25, above=False, calls=full.calls, seconds=full.seconds, note=note,
    )  # fmt: skip
    kept, held = scan.hold_out(_EVERY)
    found = reconstruct(kept, law, **options)
    value = float(held.chi2(held.operator(grid).apply(found.mean[None]))[0])
    yield Row(
        "tooth, posterior: chi^2/n of held-out views", "measured", value, bar=baseline, above=False, baseline=baseline,
        baseline_name="TV+ by discrepancy", calls=found.calls, seconds=found.seconds,
        note=f"from {kept.geometry.views} views, {held.geometry.views} predicted",
    )  # fmt: skip
