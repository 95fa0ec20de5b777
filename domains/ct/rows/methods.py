"""Rows on every method by its name: one scan, one prior, one table.

All methods see the same counts-derived weights, start, and number of levels, with every extra scale at 1: what a method
loses when nothing is tuned on the truth is a part of what is shown. The scan is one of a slice of the Siemens series
where it is at hand, and of a FORBILD-like head elsewhere. Counts are chosen so that the table takes about two minutes
on one core: three samples, thirty levels; methods that cost many calls for a level take fewer of either.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from scidiff.domain import Row
from scidiff.errors import ScidiffError, UnknownNameError

from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..methods import METHODS, reconstruct
from ..methods.run import find_prior
from ..metrics import psnr, ssim
from ..phantoms import forbild_like
from ..priors.prior import Prior
from ..scan import Scan
from ..simulation import simulate
from .siemens import SETTINGS, load_slices

__all__ = ["LEVELS", "SAMPLES", "method_rows"]

_SLICE, _SPAN = 10, 2.0
LEVELS = {"red-diff": 200, "hybridreg": 200, "dmplug": 40, "sitcom": 6, "cbg": 10, "tds": 15, "mmps": 15}
SAMPLES = {"red-diff": 2, "hybridreg": 2, "dmplug": 2, "sitcom": 2, "cbg": 2, "tds": 2, "mmps": 2}
_OPTIONS = {"cbg": {"draws": 4, "inner": 4}, "tds": {"size": 4}}


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
    for method in methods or ("fbp", "sirt", "tv", *METHODS):
        levels, samples = LEVELS.get(method, steps), SAMPLES.get(method, count)
        options, before = _OPTIONS.get(method, {}), _resident(reset=True)
        try:
            found = reconstruct(scan, law, method, grid=grid, count=samples, steps=levels, **options)
        except ScidiffError as error:
            yield Row(f"{method} on one scan: failed", "measured", 1.0, note=f"{type(error).__name__}: {error}"[:200])
            continue
        memory = found.memory if before is None else (_resident() or before) - before
        mean, one = found.mean / law.unit, found.samples[found.ok] / law.unit
        value = float(psnr(mean, truth, _SPAN))
        baseline = value if method == "tv" else baseline
        covered = f"{found.coverage(law.unit * truth):.2f}" if float(found.sd.max()) > 0 else "none, no spread"
        runs = f"{levels} levels, {len(one)} samples" if method in METHODS else "one image"
        note = (
            f"{where}; {runs}; one sample {float(psnr(one, truth, _SPAN).mean()):.2f} dB; SSIM "
            f"{float(ssim(mean, truth, _SPAN)):.3f}; chi^2/n {float(found.chi2[found.ok].mean()):.3g}; coverage of "
            f"90 % intervals {covered}; {memory:.0f} MB more at the peak"
        )
        yield Row(
            f"{found.method} on one scan: PSNR of the mean", found.label if method in METHODS else "measured", value,
            unit="dB", baseline=baseline, baseline_name="" if baseline is None else "TV+ by discrepancy",
            calls=found.calls, seconds=found.seconds, note=note,
        )  # fmt: skip


def _resident(reset: bool = False) -> float | None:
    """Peak of resident memory in MB since it was last set back to what is resident now; None where Linux is not."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


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
