"""Rows by the protocol of DM4CT: as published, with its geometry set right, and the published numbers quoted.

Objects: *medical*, a slice of the Siemens series where it is at hand and a FORBILD-like head elsewhere; *industrial*, a
pack of beads of fifteen attenuations; *real*, a measured tooth from a third of its views, judged by the image of all
views. All methods know the noise level and get nothing tuned. SIRT and FBP are also shown as published, on the signed
image, FBP clamped to its range. PSNR has the range of the image.

Images have 128^2 pixels; one setting comes at 256^2 as well, which its rows say. Posterior methods make two samples,
with 20 levels (DPS 40), and all of them only in the corrected geometry. So the five medical settings take about two
minutes on one core, the rest one more.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from scidiff.domain import Row
from scidiff.errors import MissingPackageError, UnknownNameError
from scidiff.io.files import data_folder

from ..checks import ScanWarning
from ..classical import METHODS as CLASSICAL
from ..classical import cgls, fbp, sirt
from ..classical.quick import quick_tv
from ..grid import Grid
from ..methods import METHODS, reconstruct
from ..methods.run import find_prior
from ..metrics import psnr, ssim
from ..phantoms import bead_pack, forbild_like
from ..preprocess import remove_rings
from ..priors.prior import Prior
from ..readers import read_dicom
from ..scan import Scan
from .protocol import SETTINGS, Experiment, Setting, corrected, published
from .published import quoted_rows
from .tooth import tooth_scan

__all__ = ["dm4ct_rows"]

_SIZE, _SLICE, _PIXEL, _TOOTH, _SIRT = 128, 10, 3.0, 96, 100
_FEW, _MANY = ("posterior",), ("posterior", "dds", "dps")


@dataclass(frozen=True, eq=False)
class _Object:
    """What is scanned, and the prior that knows it."""

    name: str
    mu: Tensor
    grid: Grid
    prior: Prior

    @property
    def span(self) -> float:
        return float(self.mu.max())


def dm4ct_rows(fast: bool, seed: int, prior: str = "ct") -> Iterator[Row]:
    """Measure the protocol.

    Parameters
    ----------
    fast
        Whether the first setting of the medical object is enough.
    seed
        Seed of noise and samples.
    prior
        Name or path.
    """
    try:
        law = find_prior(prior)
    except UnknownNameError:
        return
    if fast:
        yield from _object_rows(_medical(law, _SIZE), SETTINGS[:1], seed, _FEW, slow=False)
        return
    yield from _object_rows(_medical(law, _SIZE), SETTINGS, seed, _MANY)
    yield from _object_rows(_industrial(law, _SIZE, seed), SETTINGS[1:2], seed, _MANY)
    yield from _object_rows(_medical(law, 256), SETTINGS[:1], seed, _FEW, slow=False)
    yield from _real_rows(law, seed)


def _medical(law: Prior, size: int) -> _Object:
    slices = _series(size)
    if slices is not None:
        return _Object("medical", slices[0][_SLICE].clamp(0.0, 2.5 * law.unit), slices[1], law)
    phantom = forbild_like()
    grid = Grid.square(size, phantom.extent)
    return _Object("medical (head phantom)", phantom.image(grid, 4), grid, law)


def _series(size: int) -> tuple[Tensor, Grid] | None:
    """The Siemens series averaged to `size` pixels, 1/mm, and the grid of a slice."""
    folder = data_folder()
    root = None if folder is None else folder / "ct" / "totalseg" / "dicom"
    if root is None or not root.exists():
        return None
    try:
        volume = read_dicom(root)
    except MissingPackageError:
        return None
    mu = volume.attenuation()
    factor = mu.shape[-1] // size
    return avg_pool2d(mu[:, None], factor)[:, 0], Grid((size, size), volume.grid.lengths[-1] * factor)


def _industrial(law: Prior, size: int, seed: int) -> _Object:
    """Beads; lengths are set so that a pixel has a size the prior knows."""
    phantom = bead_pack(seed)
    image = phantom.image(Grid.square(size, phantom.extent), 4)
    return _Object("industrial", 2 * law.unit * image / image.max(), Grid.square(size, size * _PIXEL), law)


def _object_rows(
    what: _Object, settings: tuple[Setting, ...], seed: int, methods: tuple[str, ...], slow: bool = True
) -> Iterator[Row]:
    """All settings of an object; without `slow` TV is left out. What was published is quoted at the usual size."""
    size = what.grid.shape[0]
    for setting in settings:
        where = f"DM4CT {what.name} {setting.name}{'' if size == _SIZE else f', {size}^2'}"
        first = published(what.mu, what.grid, setting, seed)
        yield from _remarks(where, first)
        for name, values in _as_published(what, first).items():
            yield _row(f"{where}, as published, {name}", what, setting, values, ("FBP", None), "")
        for geometry, experiment in (("published", first), ("corrected", corrected(what.mu, what.grid, setting, seed))):
            scan = experiment.scan
            if setting.rings:
                scan = replace(scan, projections=remove_rings(scan.projections))
            some = methods if geometry == "corrected" else _FEW
            yield from _informed(f"{where}, {geometry} geometry", what, setting, scan, seed, some, slow)
        if size == _SIZE:
            yield from quoted_rows(f"{what.name.split()[0]} {setting.name}")


def _remarks(where: str, experiment: Experiment) -> Iterator[Row]:
    """The published geometry is remarked upon: a view that comes twice, truncation, a background below 0."""
    codes = [] if experiment.signed is None else [finding.code for finding in experiment.signed.findings]
    note = f"findings on the signed data: {', '.join(codes) or 'none'}"
    yield Row(f"{where}: remarks of the checks on the published geometry", "measured", float(len(codes)), note=note)


def _as_published(what: _Object, experiment: Experiment) -> dict[str, tuple[Tensor, float]]:
    """FBP, clamped, and SIRT without a bound, on the signed image; mapped back to 1/mm, with seconds."""
    scan = experiment.signed
    if scan is None:
        return {}
    found: dict[str, tuple[Tensor, float]] = {}
    runs: dict[str, Callable[[], Tensor]] = {
        "FBP, clamped": lambda: fbp(scan.projections, scan.geometry, what.grid).clamp(-1.0, 1.0),
        f"SIRT, {_SIRT} iterations": partial(_signed_sirt, scan, what.grid),
    }
    for name, make in runs.items():
        begun = time.perf_counter()
        image = make()
        found[name] = (0.5 * what.span * (image + 1.0), time.perf_counter() - begun)
    return found


def _signed_sirt(scan: Scan, grid: Grid) -> Tensor:
    """``x + C A^T R (y - A x)`` from 0, no positivity, no stopping rule."""
    operator = scan.operator(grid)
    rows = operator.apply(torch.ones(1, *grid.shape, dtype=torch.float64))
    columns = operator.adjoint(torch.ones_like(rows))
    x = torch.zeros(1, *grid.shape, dtype=torch.float64)
    for _ in range(_SIRT):
        step = torch.where(rows > 1e-8, (scan.projections - operator.apply(x)) / rows.clamp_min(1e-8), 0.0)
        x = x + torch.where(columns > 1e-8, operator.adjoint(step) / columns.clamp_min(1e-8), 0.0)
    return x[0]


def _informed(
    where: str, what: _Object, setting: Setting, scan: Scan, seed: int, methods: tuple[str, ...], slow: bool
) -> Iterator[Row]:
    """Methods that know the sign of the image and the noise of every ray."""
    begun = time.perf_counter()
    image = fbp(scan.projections, scan.geometry, what.grid).clamp_min(0.0)
    base = float(psnr(image, what.mu, what.span))
    yield _row(f"{where}, FBP, not negative", what, setting, (image, time.perf_counter() - begun), ("", None), "")
    classical: dict[str, Callable[[], tuple[Tensor, float]]] = {"SIRT+": partial(_sirt, scan, what.grid)}
    baseline = ("FBP", base)
    if slow:
        classical["TV+ by discrepancy"] = partial(_tv, scan, what.grid)
    for name, make in classical.items():
        begun = time.perf_counter()
        image, fit = make()
        values = (image, time.perf_counter() - begun)
        yield _row(f"{where}, {name}", what, setting, values, ("FBP", base), f"chi^2/n {fit:.3g}")
        baseline = (name, float(psnr(image, what.mu, what.span)))
    for method in methods:
        steps = 40 if method == "dps" else 20
        found = reconstruct(scan, what.prior, method, grid=what.grid, count=2, steps=steps, seed=seed)
        one = float(psnr(found.samples[found.ok], what.mu, what.span).mean())
        note = (
            f"{METHODS[method].label}; mean of {len(found)} samples, {steps} levels; one sample {one:.2f} dB, "
            f"chi^2/n of a sample {float(found.chi2[found.ok].mean()):.3g}"
        )
        values = (found.mean, found.seconds)
        row = _row(f"{where}, {found.method}", what, setting, values, baseline, note)
        yield replace(row, calls=found.calls)


def _sirt(scan: Scan, grid: Grid) -> tuple[Tensor, float]:
    result = sirt(scan, grid, _SIRT)
    return result.image, result.chi2


def _tv(scan: Scan, grid: Grid) -> tuple[Tensor, float]:
    result = quick_tv(scan, grid)
    return result.image, result.chi2


def _row(
    name: str, what: _Object, setting: Setting, values: tuple[Tensor, float], baseline: tuple[str, float | None],
    note: str,
) -> Row:  # fmt: skip
    """PSNR of an image, with SSIM in its note."""
    image, seconds = values
    similarity = float(ssim(image, what.mu, what.span))
    told = f"{setting.words}, {what.grid.shape[0]}^2; SSIM {similarity:.3f}{'; ' if note else ''}{note}"
    return Row(
        f"{name}: PSNR", "measured", float(psnr(image, what.mu, what.span)), unit="dB", baseline=baseline[1],
        baseline_name="" if baseline[1] is None else baseline[0], seconds=seconds, note=told,
    )  # fmt: skip


def _real_rows(law: Prior, seed: int, binned: int = 4, every: int = 3) -> Iterator[Row]:
    """The tooth from a third of its views, against the image of all of them."""
    whole = tooth_scan()
    if whole is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        scan = whole.binned(binned)
        kept, _ = scan.hold_out(every)
    grid, unit = Grid.square(_TOOTH, float(_TOOTH * binned)), float(whole.facts["mean_attenuation"])
    reference = cgls(scan, grid).image.clamp_min(0.0)
    what = _Object("real", reference, grid, law)
    where = f"DM4CT real, tooth, {kept.geometry.views} of {scan.geometry.views} views"
    setting = Setting("real", kept.geometry.views)
    base: float | None = None
    for name in ("fbp", "sirt"):
        begun = time.perf_counter()
        result = CLASSICAL[name](kept, grid)
        values = (result.image, time.perf_counter() - begun)
        note = "measured counts; reference: CGLS of all views"
        yield _row(f"{where}, {result.method}", what, setting, values, ("FBP", base), note)
        base = float(psnr(result.image, reference, what.span)) if base is None else base
    for method in _MANY:
        found = reconstruct(kept, law, method, grid=grid, count=2, steps=20, seed=seed, unit=unit)
        note = f"{found.label}; chi^2/n of a sample {float(found.chi2[found.ok].mean()):.3g}; reference as above"
        row = _row(f"{where}, {found.method}", what, setting, (found.mean, found.seconds), ("FBP", base), note)
        yield replace(row, calls=found.calls)
    yield from quoted_rows("rock, 60 views")
