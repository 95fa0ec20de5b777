"""Rows of classical methods on simulated counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from scidiff.domain import Row

from ..classical import METHODS, Reconstruction, by_oracle, tv
from ..classical.methods import first_weights
from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..metrics import psnr, ssim
from ..phantoms import disc_with_holes, random_ellipses
from ..scan import Scan
from ..simulation import simulate

__all__ = ["classical_rows"]

_VIEWS = 40


def _tv(scan: Scan, grid: Grid, weight: float, start: Reconstruction | None) -> Reconstruction:
    return tv(scan, grid, weight, 1e-2, start=start)


def classical_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure every method with its weight from the noise, and TV with the oracle's.

    Parameters
    ----------
    fast
        Whether the short protocol is run.
    seed
        Seed of every draw.
    """
    size, photons = (64, 4e3) if fast else (128, 2e4)
    phantoms = (disc_with_holes(seed),) if fast else (disc_with_holes(seed), random_ellipses(seed))
    for phantom in phantoms:
        geometry = Parallel(even_angles(_VIEWS), 3 * size // 2, phantom.extent / size)
        scan, grid = simulate(phantom, geometry, photons, seed), Grid.square(size, phantom.extent)
        truth = phantom.image(grid, 8)
        top = float(truth.max() - truth.min())
        baseline, known = None, 0.0
        for method in METHODS.values():
            begun = time.perf_counter()
            result = method(scan, grid)
            seconds = time.perf_counter() - begun
            value = float(psnr(result.image, truth, top))
            baseline = value if baseline is None else baseline
            note = (
                f"{_VIEWS} views, {photons:g} photons, {size}^2, SSIM {float(ssim(result.image, truth, top)):.3f}, "
                f"{result.iterations} iterations, {'converged' if result.converged else 'stopped'}; range {top:.4g}/mm"
            )
            where = f"{phantom.name}, {result.method}"
            yield Row(
                f"{where}: PSNR", "measured", value, unit="dB", baseline=baseline, baseline_name="FBP", note=note,
                seconds=seconds,
            )  # fmt: skip
            yield Row(f"{where}: chi^2/n", "measured", result.chi2, note="of a fit; of the truth it is 1")
            known = value
        guess = first_weights(scan, grid)[1]
        begun = time.perf_counter()
        best = by_oracle(partial(_tv, scan, grid), guess, truth, top, 1.0, 7)
        value = float(psnr(best.image, truth, top))
        note = f"weight chosen with the truth: {best.facts['weight']:.3g} mm; chi^2/n {best.chi2:.3f}"
        yield Row(
            f"{phantom.name}, TV+ with the oracle weight: PSNR", "measured", value, unit="dB", baseline=known,
            baseline_name="TV+ by discrepancy", note=note, seconds=time.perf_counter() - begun,
        )  # fmt: skip
