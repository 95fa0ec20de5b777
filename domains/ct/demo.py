"""The section of the demonstration: a phantom from few noisy views, by every classical method, side by side."""

from __future__ import annotations

import time
from pathlib import Path

from scidiff.domain import DemoSection, Picture, Row

from .classical import METHODS
from .geometry import Parallel, even_angles
from .grid import Grid
from .metrics import psnr
from .phantoms import disc_with_holes
from .pictures import panel_png
from .readers import save_volume, write_scan
from .simulation import simulate
from .volume import Volume

__all__ = ["demo"]

_VIEWS, _PHOTONS = 30, 2e4
_NAMES = {"fbp": "FBP", "cgls": "CGLS", "tv": "TV+"}


def demo(folder: Path, seed: int, fast: bool) -> DemoSection:
    """Reconstruct a disc with holes from simulated counts; files go into `folder`."""
    begun = time.perf_counter()
    size = 64 if fast else 128
    phantom = disc_with_holes(seed)
    geometry = Parallel(even_angles(_VIEWS), 3 * size // 2, phantom.extent / size)
    scan, grid = simulate(phantom, geometry, _PHOTONS, seed), Grid.square(size, phantom.extent)
    write_scan(folder / "scan.npz", scan)
    truth = phantom.image(grid, 8)
    top = float(truth.max())
    images, rows = [("truth", truth)], []
    note = f"{_VIEWS} views, {_PHOTONS:g} photons, {size}^2 pixels, seed {seed}; range {top:g} per mm"
    first = 0.0
    for name, title in _NAMES.items():
        result = METHODS[name](scan, grid)
        images.append((title, result.image))
        value = float(psnr(result.image, truth, top))
        first = first or value
        rows.append(Row(f"{title}: PSNR", "measured", value, unit="dB", baseline=first, baseline_name="FBP", note=note))
        truth_band = f"band of the truth {scan.interval[0]:.3f} to {scan.interval[1]:.3f}"
        rows.append(Row(f"{title}: chi^2/n", "measured", result.chi2, note=truth_band))
        save_volume(folder / f"{name}.npz", Volume(result.image.float(), grid, facts={"method": title}))
    commands = (
        f"scidiff ct simulate --phantom disc-with-holes --views {_VIEWS} --photons {_PHOTONS:g} --seed {seed} "
        "--out s.npz",
        "scidiff ct reconstruct s.npz --method tv --out image.nii.gz",
    )
    caption = f"A disc with holes from {_VIEWS} views: truth, and three classical reconstructions, one grey scale."
    return DemoSection(
        title="Computed tomography",
        lead=(
            "Photon counts of a phantom with exact line integrals, and images in 1/mm. The strength of every method is "
            "chosen from the noise level alone, and chi^2/n says whether the image explains the counts."
        ),
        rows=tuple(rows),
        pictures=(Picture(caption, panel_png(images, (-0.1 * top, 1.1 * top))),),
        commands=commands,
        seconds=time.perf_counter() - begun,
    )
