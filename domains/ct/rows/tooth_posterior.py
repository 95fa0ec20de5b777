"""Rows on a measured tooth with a prior: fit of all views, and prediction of views that were held out.

There is no truth: ``chi^2 / n`` of a single sample is 1 for the exact posterior, and held-out views judge the mean. The
unit of the prior is set to the mean attenuation of the object, as the file states no length; nothing else is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from scidiff.domain import Row
from scidiff.errors import UnknownNameError

from ..classical import METHODS
from ..grid import Grid
from ..methods import reconstruct
from ..methods.run import find_prior
from .tooth import tooth_scan

__all__ = ["tooth_posterior_rows"]

_EVERY = 4


def tooth_posterior_rows(prior: str = "ct", size: int = 320, count: int = 4, steps: int = 20) -> Iterator[Row]:
    """Measure the default on the tooth.

    Parameters
    ----------
    prior
        Name or path.
    size
        Pixels on each edge.
    count, steps
        Samples and noise levels.
    """
    scan = tooth_scan()
    if scan is None:
        return
    try:
        law = find_prior(prior)
    except UnknownNameError:
        return
    grid, unit = Grid.square(size, 640.0), float(scan.facts["mean_attenuation"])
    full = reconstruct(scan, law, grid=grid, count=count, steps=steps, unit=unit)
    off = float((full.chi2 - 1.05).abs().max())
    note = f"{scan.geometry.views} views, {count} samples: {', '.join(f'{c:.3f}' for c in full.chi2.tolist())}"
    yield Row(
        "tooth, posterior: chi^2/n of single samples, farthest from the middle of 0.8 to 1.3", "measured", off,
        bar=0.25, above=False, calls=full.calls, seconds=full.seconds, note=note,
    )  # fmt: skip
    kept, held = scan.hold_out(_EVERY)
    operator = held.operator(grid)
    begun = time.perf_counter()
    image = METHODS["tv"](kept, grid).image
    seconds = time.perf_counter() - begun
    baseline = float(held.chi2(operator.apply(image[None]))[0])
    found = reconstruct(kept, law, grid=grid, count=count, steps=steps, unit=unit)
    value = float(held.chi2(operator.apply(found.mean[None]))[0])
    note = f"from {kept.geometry.views} views, {held.geometry.views} predicted; TV took {seconds:.0f} s"
    yield Row(
        "tooth, posterior: chi^2/n of held-out views", "measured", value, bar=baseline, above=False, baseline=baseline,
        baseline_name="TV+ by discrepancy", calls=found.calls, seconds=found.seconds, note=note,
    )  # fmt: skip
