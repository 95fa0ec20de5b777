"""Rows on slices of another scanner: a Siemens series of 20 slices, of which the prior has seen none.

Slices are averaged to 128^2 pixels of 3.9 mm, ``x = 1 + HU / 1000`` clipped to the range of the prior, and projected by
the projector of the reconstruction (which spares every method the error of discretisation); Gaussian noise is relative
to the largest line integral. PSNR has the range 2. The baseline is TV with positivity whose weight was chosen *with the
truth*. Conformal factors come from slices of a volume that the prior was validated on, and from slices of the series
that are not judged; the promise for so few slices costs ``1 / n`` of coverage. Data: ``ct/totalseg`` below
``SCIDIFF_DATA``.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from scipy.stats import t as student
from torch import Tensor
from torch.nn.functional import avg_pool2d

from scidiff.analysis.calibration import conformal_map
from scidiff.domain import Row
from scidiff.errors import MissingPackageError, UnknownNameError
from scidiff.io.files import data_folder

from ..checks import ScanWarning
from ..classical import METHODS as CLASSICAL
from ..classical import Reconstruction, by_oracle, tv
from ..classical.methods import first_weights
from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..methods import METHODS, reconstruct
from ..methods.run import find_prior
from ..metrics import psnr, ssim
from ..priors.prior import Prior
from ..priors.slices import averaged
from ..readers import read_dicom, read_nifti
from ..reconstruction import PosteriorImages
from ..scan import Scan
from ..simulation import noisy_scan

__all__ = ["SETTINGS", "Setting", "Slices", "calls_rows", "conformal_rows", "gain_rows", "load_slices", "siemens_rows"]

_SIZE, _SPAN = 128, 2.0


@dataclass(frozen=True)
class Setting:
    """How a slice is scanned.

    Parameters
    ----------
    views
        Number of views.
    arc
        Their arc, degrees.
    noise
        Standard deviation over the largest line integral.
    gain
        What the mean of samples has to gain over TV, dB.
    levels, count
        Noise levels and samples; a narrow posterior takes more of both until its mean no longer moves.
    """

    views: int
    arc: float
    noise: float
    gain: float
    levels: int = 60
    count: int = 40

    @property
    def name(self) -> str:
        """For rows."""
        return f"{self.views} views of {self.arc:g} degrees, noise {100 * self.noise:g} %"


SETTINGS = (
    Setting(20, 180.0, 0.002, 1.5),
    Setting(40, 180.0, 0.002, 1.5, levels=120, count=64),
    Setting(20, 180.0, 0.01, 1.5),
    Setting(40, 180.0, 0.01, 1.5),
    Setting(60, 90.0, 0.002, 0.0),
)


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices in units of a prior.

    Parameters
    ----------
    prior
        The prior.
    x
        ``(count, rows, columns)``, float64.
    grid
        Their grid.
    """

    prior: Prior
    x: Tensor
    grid: Grid

    def scan(self, number: int, setting: Setting) -> Scan:
        """Scan one slice."""
        geometry = Parallel(
            even_angles(setting.views, math.radians(setting.arc)), 3 * self.x.shape[-1] // 2, self.grid.lengths[1]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScanWarning)
            blank = Scan.from_projections(torch.ones(geometry.shape), geometry, sd=1.0)
            y = blank.operator(self.grid).apply(self.prior.unit * self.x[number][None])[0]
            return noisy_scan(y, geometry, setting.noise, sample=number)


def load_slices(prior: Prior, validation: bool = False) -> Slices | None:
    """The test series, or slices of the volume that the prior was validated on; None where the data are not at hand."""
    folder = data_folder()
    root = None if folder is None else folder / "ct" / "totalseg"
    if root is None or not (root / "dicom").exists():
        return None
    try:
        return _validation(root, prior) if validation else _test(root, prior)
    except MissingPackageError:
        return None


def _test(root: Path, prior: Prior) -> Slices:
    volume = read_dicom(root / "dicom")
    x = (volume.attenuation() / prior.unit).clamp(max(prior.lower, 0.0), min(prior.upper, 2.5))
    factor = x.shape[-1] // _SIZE
    return Slices(prior, avg_pool2d(x[:, None], factor)[:, 0], Grid((_SIZE, _SIZE), volume.grid.lengths[-1] * factor))


def _validation(root: Path, prior: Prior) -> Slices:
    """Slices in the middle of the abdomen, those that were held out of training, on the grid of the test series."""
    volume = read_nifti(root / "abdomen_3mm.nii.gz")
    x = (volume.attenuation() / prior.unit).clamp(0.0, 2.5)
    count, pixel = len(x), _test(root, prior).grid.lengths[-1]
    first = round(0.55 * count)
    kept = x[first : first + max(1, round(0.12 * count))]
    shape = [round(n * h / pixel) for n, h in zip(kept.shape[1:], volume.grid.lengths[1:], strict=True)]
    small = averaged(kept, tuple(shape))
    out = torch.zeros(len(small), _SIZE, _SIZE, dtype=torch.float64)
    rows, columns = ((_SIZE - n) // 2 for n in small.shape[1:])
    out[:, rows : rows + small.shape[1], columns : columns + small.shape[2]] = small
    return Slices(prior, out, Grid((_SIZE, _SIZE), pixel))


def _tv(scan: Scan, grid: Grid, weight: float, start: Reconstruction | None) -> Reconstruction:
    return tv(scan, grid, weight, 1e-2, 2000, start)


def _oracle(slices: Slices, number: int, scan: Scan) -> Reconstruction:
    truth, unit = slices.x[number], slices.prior.unit
    guess = first_weights(scan, slices.grid)[1]
    return by_oracle(partial(_tv, scan, slices.grid), guess, truth * unit, _SPAN * unit, 1.0, 7)


def siemens_rows(
    prior: str = "ct",
    slices: Sequence[int] = (6, 14, 18),
    settings: Sequence[Setting] = SETTINGS,
) -> Iterator[Row]:
    """Measure gains, fit, coverage and cost on some slices.

    Parameters
    ----------
    prior
        Name or path.
    slices
        Numbers of the slices, 0 to 19.
    settings
        Scans.
    """
    try:
        law = find_prior(prior)
    except UnknownNameError:
        return
    test = load_slices(law)
    if test is None:
        return
    for setting in settings:
        yield from gain_rows(test, setting, slices)
    yield from calls_rows(test, settings[0], slices[:2])
    held = load_slices(law, validation=True)
    if held is not None:
        yield from conformal_rows(test, held, settings[0], slices)


def gain_rows(test: Slices, setting: Setting, numbers: Sequence[int]) -> Iterator[Row]:
    """Mean of samples against TV with the oracle's weight."""
    unit, found = test.prior.unit, []
    seconds = calls = 0.0
    for number in numbers:
        scan, truth = test.scan(number, setting), test.x[number]
        best = _oracle(test, number, scan).image / unit
        begun = time.perf_counter()
        got = reconstruct(scan, test.prior, grid=test.grid, count=setting.count, steps=setting.levels)
        seconds, calls, mean = seconds + time.perf_counter() - begun, got.calls, got.mean / unit
        pairs = [float(measure(x, truth, _SPAN)) for measure in (psnr, ssim) for x in (mean, best)]
        found.append([*pairs, float(got.chi2.mean()), got.coverage(unit * truth)])
    p, p_tv, s, s_tv, chi2, covered = np.array(found).T
    gains, where = p - p_tv, f"Siemens, {setting.name}"
    wide = float(student.ppf(0.975, len(gains) - 1)) if len(gains) > 1 else math.nan
    half = wide * float(gains.std(ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else None
    note = (
        f"mean of {setting.count} samples, {len(numbers)} slices, {setting.levels} levels; PSNR {p.mean():.2f} dB, "
        f"TV {p_tv.mean():.2f}"
    )
    yield Row(
        f"{where}: gain in PSNR over TV with the oracle weight", "measured", float(gains.mean()), unit="dB",
        interval=None if half is None else (float(gains.mean()) - half, float(gains.mean()) + half), bar=setting.gain,
        baseline=0.0, baseline_name="TV+, oracle weight", calls=calls, seconds=seconds / len(numbers), note=note,
    )  # fmt: skip
    yield Row(
        f"{where}: SSIM", "measured", float(s.mean()), bar=float(s_tv.mean()), baseline=float(s_tv.mean()),
        baseline_name="TV+, oracle weight", note=note,
    )  # fmt: skip
    low, high = float(chi2.min()), float(chi2.max())
    off = max(abs(low - 1.0), abs(high - 1.0))
    fit = f"single samples, slices from {low:.3f} to {high:.3f}"
    yield Row(f"{where}: chi^2/n, farthest from 1", "measured", off, bar=0.2, above=False, note=fit)
    yield Row(
        f"{where}: coverage of 90 % intervals, distance from 0.90", "measured", abs(float(covered.mean()) - 0.9),
        bar=0.05, above=False, note=f"{note}; Student, no factor: {float(covered.mean()):.3f}",
    )  # fmt: skip


_CALLS: tuple[tuple[str, int, bool, dict[str, Any]], ...] = (
    ("posterior", 50, False, {}),
    ("posterior", 25, False, {}),
    ("posterior", 20, False, {"own": False}),
    ("posterior", 10, True, {"own": False, "top": 0.05}),
    ("posterior", 5, True, {"own": False, "top": 0.05}),
    ("dpir", 20, True, {}),
    ("dpir", 10, True, {}),
    ("dpir", 5, True, {}),
    ("dpir-momentum", 20, True, {}),
    ("dpir-momentum", 10, True, {}),
    ("dpir-momentum", 5, True, {}),
)
"""Method, levels, whether it begins at TV, and options; the spread of each image costs a second call for each level."""


def calls_rows(test: Slices, setting: Setting, numbers: Sequence[int], count: int = 8) -> Iterator[Row]:
    """Quality against calls, cold and from TV by discrepancy."""
    unit, best = test.prior.unit, -math.inf
    scans = {number: test.scan(number, setting) for number in numbers}
    starts = {number: CLASSICAL["tv"](scan, test.grid).image for number, scan in scans.items()}
    for method, steps, warm, options in _CALLS:
        values, seconds, calls = [], 0.0, 0.0
        for number in numbers:
            begun = {"warm": starts[number]} if warm else {}
            one = {"count": count if method == "posterior" else 1, "steps": steps, **options, **begun}
            got = reconstruct(scans[number], test.prior, method, grid=test.grid, **one)
            values.append(float(psnr(got.mean / unit, test.x[number], _SPAN)))
            seconds, calls = seconds + got.seconds / one["count"] / len(numbers), got.calls
        value = float(np.mean(values))
        best = max(best, value)
        told = f"{METHODS[method].name}, {steps} levels from {'TV' if warm else 'a Gaussian draw'}"
        yield Row(
            f"Siemens, {setting.name}: PSNR of {told}", "measured", value, unit="dB",
            bar=best - 0.3 if steps == 10 else None, baseline=best, baseline_name="best so far", calls=calls,
            seconds=seconds, note=f"{len(numbers)} slices; seconds for one sample, without those of TV",
        )  # fmt: skip


def conformal_rows(
    test: Slices, held: Slices, setting: Setting, numbers: Sequence[int], count: int = 40, steps: int = 20
) -> Iterator[Row]:
    """Coverage with many samples, before and after a factor from other slices."""

    def draw(slices: Slices, number: int) -> PosteriorImages:
        scan = slices.scan(number, setting)
        return reconstruct(scan, slices.prior, grid=slices.grid, count=count, steps=steps, seed=1)

    known = [(held, number) for number in range(len(held.x))]
    known += [(test, number) for number in range(len(test.x)) if number not in numbers]
    others = [draw(slices, number) for slices, number in known]
    floor = 1e-3 * test.prior.unit
    truth = np.stack([(slices.prior.unit * slices.x[number]).numpy() for slices, number in known])
    mean, sd = (np.stack([getattr(one, part).numpy() for one in others]) for part in ("mean", "sd"))
    factor = float(conformal_map(truth, mean, sd + floor, 0.9).factor) / float(norm.isf(0.05))
    results = [(draw(test, number), test.prior.unit * test.x[number]) for number in numbers]
    before = float(np.mean([one.coverage(x) for one, x in results]))
    z = float(norm.isf(0.05)) * factor
    after = float(
        np.mean([float(((one.mean - x).abs() <= z * (one.sd + floor)).double().mean()) for one, x in results])
    )
    note = f"{count} samples, {steps} levels, {len(numbers)} slices"
    where = f"Siemens, {setting.name}: coverage of 90 % intervals, distance from 0.90"
    yield Row(f"{where}, no factor", "measured", abs(before - 0.9), bar=0.05, above=False, note=f"{note}: {before:.3f}")
    told = f"{note}; factor {factor:.3f} from {len(known)} other slices: {after:.3f}"
    yield Row(f"{where}, conformal", "measured", abs(after - 0.9), bar=0.05, above=False, note=told)
