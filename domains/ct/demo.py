"""The section of the demonstration: a head from 30 noisy views, and a measured tooth from a quarter of its views.

Beside classical reconstructions stands what only samples have: a deviation and an interval for every pixel, and which
of the visible structures were measured.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from scidiff.domain import DemoSection, Picture, Row

from .classical import METHODS
from .classical.quick import quick_tv
from .evidence import Evidence, evidence
from .geometry import Parallel, even_angles
from .grid import Grid
from .methods import reconstruct
from .methods.run import find_prior
from .metrics import psnr, ssim
from .panels import Panel, known_panel, panels_png
from .phantoms import forbild_like
from .readers import write_scan
from .reconstruction import PosteriorImages
from .rows.tooth import tooth_scan
from .scan import Scan
from .simulation import simulate

__all__ = ["demo"]

_SIZE, _VIEWS, _PHOTONS = 96, 30, 3e3


def demo(folder: Path, seed: int, fast: bool) -> DemoSection:
    """Reconstruct a phantom from simulated counts, and the tooth where its file is at hand; files go into `folder`."""
    begun = time.perf_counter()
    rows, pictures = _head(folder, seed, fast)
    tooth = None if fast else tooth_scan()
    if tooth is not None:
        more, picture = _tooth(tooth, seed)
        rows, pictures = [*rows, *more], [*pictures, picture]
    commands = (
        f"scidiff ct simulate --phantom forbild-like --views {_VIEWS} --photons {_PHOTONS:g} --out head.npz",
        "scidiff ct reconstruct head.npz --method posterior --count 8 --out head.png",
    )
    return DemoSection(
        title="Computed tomography",
        lead=(
            "Photon counts of a head, and images in 1/mm by classical methods and as samples of a posterior. All "
            "strengths come from the noise level; chi^2/n says whether an image explains the counts, the interval how "
            "sure a pixel is, and the map which structures the data know and which the prior put in."
        ),
        rows=tuple(rows),
        pictures=tuple(pictures),
        commands=commands,
        seconds=time.perf_counter() - begun,
    )


def _head(folder: Path, seed: int, fast: bool) -> tuple[list[Row], list[Picture]]:
    """A simulated scan, against the truth."""
    count, steps = (4, 10) if fast else (8, 20)
    phantom = forbild_like()
    geometry = Parallel(even_angles(_VIEWS), 3 * _SIZE // 2, phantom.extent / _SIZE)
    scan, grid, law = simulate(phantom, geometry, _PHOTONS, seed), Grid.square(_SIZE, phantom.extent), find_prior("ct")
    write_scan(folder / "scan.npz", scan)
    truth, top = phantom.image(grid, 8), 2 * law.unit
    found = reconstruct(scan, law, grid=grid, count=count, steps=steps, seed=seed)
    found.save(folder / "posterior.npz")
    images = _images(scan, grid, found)
    first = float(psnr(images["FBP"], truth, top))
    where = f"{_VIEWS} views, {_PHOTONS:g} photons, {_SIZE}^2 pixels, seed {seed}; range {top:.3g}/mm"
    rows = [
        Row(
            f"head, {title}: PSNR", "measured", float(psnr(image, truth, top)), unit="dB", baseline=first,
            baseline_name="FBP", note=f"{where}; SSIM {float(ssim(image, truth, top)):.3f}",
        )
        for title, image in images.items()
    ]  # fmt: skip
    told = evidence(scan, found.mean, grid)
    rows += [
        _fit("head", found),
        Row(
            "head: pixels inside their 90 % interval", "measured", found.coverage(truth),
            note=f"{count} samples, Student intervals, no conformal factor",
        ),
    ]  # fmt: skip
    picture = panels_png([Panel("truth", truth, _span(truth)), *_panels(images, found, told, _span(truth))], grid)
    caption = (
        f"A head from {_VIEWS} views: truth, FBP, TV, posterior; and of its structures that stand out by "
        f"{0.05 * _span(truth)[1]:.2g}/mm, which the data know."
    )
    return rows, [Picture(caption, picture)]


def _tooth(scan: Scan, seed: int, every: int = 4, binned: int = 4) -> tuple[list[Row], Picture]:
    """A measured scan, judged by views that were left out."""
    kept, held = scan.binned(binned).hold_out(every)
    grid, unit = Grid.square(_SIZE, float(_SIZE * binned)), float(scan.facts["mean_attenuation"])
    found = reconstruct(kept, "ct", grid=grid, count=4, steps=20, seed=seed, unit=unit)
    images = _images(kept, grid, found)
    operator = held.operator(grid)
    values = {title: float(held.chi2(operator.apply(image[None]))[0]) for title, image in images.items()}
    note = f"from {kept.geometry.views} views, {held.geometry.views} predicted; {binned} detector columns in one"
    rows = [
        Row(
            f"tooth, {title}: chi^2/n of held-out views", "measured", value, baseline=values["FBP"],
            baseline_name="FBP", note=note,
        )
        for title, value in values.items()
    ]  # fmt: skip
    told = evidence(kept, found.mean, grid)
    caption = f"A measured tooth from {kept.geometry.views} of {scan.geometry.views} views; lengths in detector pixels."
    panels = _panels(images, found, told, _span(images["TV+"]), "1/px")
    return [*rows, _fit("tooth", found)], Picture(caption, panels_png(panels, grid, length="px"))


def _images(scan: Scan, grid: Grid, found: PosteriorImages) -> dict[str, Tensor]:
    """Two classical images, and the mean of the samples."""
    return {
        "FBP": METHODS["fbp"](scan, grid).image,
        "TV+": quick_tv(scan, grid).image,
        "posterior mean": found.mean,
    }


def _fit(name: str, found: PosteriorImages) -> Row:
    low, high = found.band
    note = f"{found.method}, {len(found)} samples; exact {low:.3f} to {high:.3f}"
    value = float(found.chi2[found.ok].mean())
    return Row(f"{name}: chi^2/n of a sample", found.label, value, calls=found.calls, seconds=found.seconds, note=note)


def _span(image: Tensor) -> tuple[float, float]:
    """Grey scale from air to nearly the largest value."""
    return 0.0, float(torch.quantile(image.flatten(), 0.995))


def _panels(
    images: dict[str, Tensor], found: PosteriorImages, told: Evidence, span: tuple[float, float], unit: str = "1/mm"
) -> list[Panel]:
    """Images in grey, deviation and interval in colour, and the map."""
    low, high = found.interval(0.9)
    width = high - low
    return [
        *(Panel(title, image, span, unit) for title, image in images.items()),
        Panel("one sample", found.samples[found.ok][0], span, unit),
        Panel("standard deviation", found.sd, (0.0, float(found.sd.max())), unit, "magma"),
        Panel("width of the 90 % interval", width, (0.0, float(width.max())), unit, "magma"),
        known_panel(told, 0.05 * span[1], unit.removeprefix("1/")),
    ]
