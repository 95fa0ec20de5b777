"""Rows on every method by its name: one scan, one prior, one table.

All methods see the same counts-derived weights, start, and number of levels, with every extra scale at 1: what a method
loses when nothing is tuned on the truth is a part of what is shown. The scan is one of a slice of the Siemens series
where it is at hand, and of a FORBILD-like head elsewhere. Counts are chosen so that the table takes about four minutes
on one core: three samples, thirty levels; methods that cost many calls for a level take fewer of either. Each method
runs in a process of its own, so that its peak of memory is no other's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.domain import Row
from scidiff.errors import ScidiffError, UnknownNameError
from scidiff.io.memory import peak_memory

from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..methods import METHODS, reconstruct
from ..methods.run import find_prior
from ..metrics import psnr, ssim
from ..phantoms import forbild_like
from ..priors.prior import Prior
from ..readers import read_scan, write_scan
from ..scan import Scan
from ..simulation import simulate
from .apart import apart
from .siemens import SETTINGS, load_slices

__all__ = ["LEVELS", "SAMPLES", "judge", "method_rows"]

_SLICE, _SPAN = 12, 2.0
LEVELS = {"red-diff": 200, "hybridreg": 200, "dmplug": 40, "sitcom": 6, "cbg": 10, "tds": 15, "mmps": 15}
SAMPLES = {"red-diff": 2, "hybridreg": 2, "dmplug": 2, "sitcom": 2, "cbg": 2, "tds": 2, "mmps": 2}
_OPTIONS = {"cbg": {"draws": 4, "inner": 4}, "tds": {"size": 4}}
_PROGRAM = """
import json, sys
from scidiff.domains.ct.rows.methods import judge
print(json.dumps(judge(*json.loads(sys.argv[1]))))
"""


def method_rows(
    prior: str = "ct", methods: tuple[str, ...] = (), count: int = 3, steps: int = 30, number: int = _SLICE
) -> Iterator[Row]:
    """Measure every method on one scan.

    Parameters
    ----------
    prior
        Name or path.
    methods
        Which; all, after FBP, SIRT and TV, by default.
    count, steps
        Samples and noise levels, see also `LEVELS` and `SAMPLES`.
    number
        Slice of the test series.
    """
    try:
        law = find_prior(prior)
    except UnknownNameError:
        return
    scan, truth, grid, where = _one_scan(law, number)
    baseline: float | None = None
    with tempfile.TemporaryDirectory() as folder:
        write_scan(Path(folder) / "scan.npz", scan)
        np.save(Path(folder) / "truth.npy", truth.numpy(), allow_pickle=False)
        for method in methods or ("fbp", "sirt", "tv", *METHODS):
            task = (folder, grid.lengths[-1], prior, method, SAMPLES.get(method, count), LEVELS.get(method, steps))
            fields = apart(_PROGRAM, json.dumps(task))
            baseline = fields["value"] if method == "tv" else baseline
            fields["note"] = f"{where}; {fields['note']}"
            named = {} if baseline is None else {"baseline": baseline, "baseline_name": "TV+ by discrepancy"}
            yield Row(**fields, **named)


def judge(folder: str, pixel: float, prior: str, method: str, count: int, steps: int) -> dict[str, Any]:
    """Run one method on the scan of a folder; the fields of its row.

    Parameters
    ----------
    folder
        Holds ``scan.npz``, and the image in units of the prior, ``truth.npy``.
    pixel
        Edge of a pixel, mm.
    prior, method
        Names.
    count, steps
        Samples and noise levels.
    """
    scan, law = read_scan(Path(folder) / "scan.npz"), find_prior(prior)
    truth = torch.from_numpy(np.load(Path(folder) / "truth.npy", allow_pickle=False))
    shape = (truth.shape[0], truth.shape[1])
    try:
        found = reconstruct(
            scan, law, method, grid=Grid(shape, pixel), count=count, steps=steps, **_OPTIONS.get(method, {})
        )
    except ScidiffError as error:
        note = f"{type(error).__name__}: {error}"[:200]
        return {"name": f"{method} on one scan: failed", "label": "measured", "value": 1.0, "note": note}
    mean, one = found.mean / law.unit, found.samples[found.ok] / law.unit
    covered = f"{found.coverage(law.unit * truth):.2f}" if float(found.sd.max()) > 0 else "none, no spread"
    runs = f"{steps} levels, {len(one)} samples" if method in METHODS else "one image"
    note = (
        f"{runs}; one sample {float(psnr(one, truth, _SPAN).mean()):.2f} dB; SSIM {float(ssim(mean, truth, _SPAN)):.3f}"
        f"; chi^2/n {float(found.chi2[found.ok].mean()):.3g}; coverage of 90 % intervals {covered}; {found.memory:.0f} "
        f"MB more at the peak, {peak_memory():.0f} MB in all"
    )
    return {
        "name": f"{found.method} on one scan: PSNR of the mean",
        "label": found.label if method in METHODS else "measured",
        "value": float(psnr(mean, truth, _SPAN)),
        "unit": "dB",
        "calls": found.calls,
        "seconds": found.seconds,
        "note": note,
    }


def _one_scan(law: Prior, number: int) -> tuple[Scan, Tensor, Grid, str]:
    """Scan, truth in units of the prior, grid, and what it is."""
    test = load_slices(law)
    if test is not None:
        setting = SETTINGS[1]
        return test.scan(number, setting), test.x[number], test.grid, f"Siemens slice {number}, {setting.name}"
    phantom = forbild_like()
    grid = Grid.square(96, phantom.extent)
    scan = simulate(phantom, Parallel(even_angles(40), 144, phantom.extent / 96), 1e5)
    return scan, phantom.image(grid, 8) / law.unit, grid, "FORBILD-like head, 40 views, 1e5 photons"
