"""Rows on a measured scan: a tooth, parallel beam, 181 views, in ``ct/tooth.h5`` of the data folder.

Views that a reconstruction has not seen judge it without a truth: ``chi^2 / n`` of their prediction is 1 plus the error
of the image, whatever the method.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from scidiff.domain import Row
from scidiff.errors import MissingPackageError
from scidiff.io.files import data_folder

from ..classical import METHODS, cgls
from ..grid import Grid
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


def tooth_rows() -> Iterator[Row]:
    """Measure fit of all views, and prediction of held-out ones from a quarter of them."""
    scan = tooth_scan()
    if scan is None:
        return
    note = "found from the file alone; pinned at 296.1"
    axis = abs(scan.facts["axis"] - 296.1)
    yield Row("tooth: rotation axis, distance from the known column", "measured", axis, bar=0.5, above=False, note=note)
    grid = Grid.square(_SIZE, 640.0)
    fit = cgls(scan, grid, iterations=60)
    note = f"{scan.geometry.views} views, {fit.iterations} iterations, gain {scan.facts['gain']:.3f}; below 1.3"
    yield Row("tooth, CGLS: chi^2/n", "measured", fit.chi2, bar=1.3, above=False, note=note)
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
