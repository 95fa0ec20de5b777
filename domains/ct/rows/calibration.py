"""Rows on posteriors that are known in full: a Gaussian prior and a mixture, small images, few views.

Deviations and means are compared with matrices; the Monte-Carlo error, which the notes state, is inside of the bars.
Coverage is that of pointwise 90 % intervals over scans whose truths are draws of the prior; that of the exact posterior
on the same truths stands beside it. Methods that are biased are shown with their bias, and have no bar.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator

import torch
from scipy.stats import norm
from torch import Tensor

from scidiff.domain import Row
from scidiff.random import Noise

from ..checks import ScanWarning
from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..methods import METHODS, reconstruct
from ..methods.problem import Problem
from ..priors.gaussian import GaussianPrior
from ..priors.mixture import MixturePrior
from ..priors.prior import Prior
from ..scan import Scan

__all__ = ["calibration_rows", "known_scan"]

_GRID, _VIEWS, _COLUMNS, _EXTENT = 16, 12, 24, 400.0
_SD = 0.02
_OPTIONS = {"mmps": {"iterations": 100, "top": 20.0}, "cbg": {"draws": 8, "inner": 4}, "tds": {"size": 4}}
_COUNTS = {"cbg": 10, "tds": 20, "sitcom": 20, "mmps": 60}


def known_scan(prior: Prior, truth: Tensor, grid: Grid, views: int, sd: float, seed: int) -> Scan:
    """Scan of an image in units of the prior, by the projector of the reconstruction, with equal noise.

    Parameters
    ----------
    prior
        Gives the unit.
    truth
        Shape of the grid.
    grid
        Image grid.
    views
        Number of views of half a turn.
    sd
        Standard deviation of the line integrals.
    seed
        Seed of the noise.
    """
    geometry = Parallel(even_angles(views), 3 * grid.shape[1] // 2, grid.lengths[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        blank = Scan.from_projections(torch.ones(geometry.shape), geometry, sd=1.0)
        y = blank.operator(grid, torch.float64).apply(prior.unit * truth[None])[0]
        noise = Noise.range(seed, 1).normal(geometry.shape, step=0, stream="ct/calibration")[0]
        return Scan.from_projections(y + sd * noise, geometry, sd=sd)


def calibration_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure the default against the closed forms, and show what the others miss.

    Parameters
    ----------
    fast
        Whether the short protocol is run.
    seed
        Seed of every draw.
    """
    if fast:
        yield from _gaussian("posterior", 40, 20, seed, bar=False)
        return
    yield from _gaussian("posterior", 3000, 20, seed)
    yield from _gaussian("matheron", 3000, 5, seed)
    yield from _coverage(64, 40, seed)
    yield from _modes(1500, seed)
    for method in METHODS:
        if method not in ("posterior", "matheron"):
            yield from _gaussian(method, _COUNTS.get(method, 100), 20, seed, bar=False)


def _gaussian(method: str, count: int, steps: int, seed: int, bar: bool = True) -> Iterator[Row]:
    """Spread, mean and fit of one method on one scan."""
    grid, prior = Grid.square(_GRID, _EXTENT), GaussianPrior()
    scan = known_scan(prior, prior.draw(1, grid, seed=seed + 5)[0], grid, _VIEWS, _SD, seed)
    exact = prior.posterior(Problem(scan, grid, prior).likelihood, grid).dense()
    begun = time.perf_counter()
    found = reconstruct(scan, prior, method, grid=grid, count=count, steps=steps, seed=seed, **_OPTIONS.get(method, {}))
    seconds = time.perf_counter() - begun
    x = found.samples / prior.unit
    ratio = float((x.var(0).mean() / exact.sd.square().mean()).sqrt())
    error = float((x.mean(0) - exact.mean).norm() / exact.mean.norm())
    chance = float(exact.sd.norm() / exact.mean.norm()) / math.sqrt(count)
    told = METHODS[method]
    where = f"Gaussian prior, {_GRID}^2, {_VIEWS} views: {told.name}"
    note = f"{count} samples, {steps} levels; {told.exact_for or 'no exact limit'}"
    spread = 1.0 / math.sqrt(2 * count * 20)
    label = "measured" if bar else told.label
    yield Row(
        f"{where}, deviation over the exact one, distance from 1", label, abs(ratio - 1.0),
        bar=0.02 if bar else None, above=False, calls=found.calls, seconds=seconds,
        note=f"{note}; Monte-Carlo error {spread:.4f}",
    )  # fmt: skip
    yield Row(
        f"{where}, error of the mean, relative", label, error, bar=0.02 if bar else None, above=False,
        calls=found.calls, note=f"{note}; Monte-Carlo error {chance:.4f}",
    )  # fmt: skip
    yield Row(f"{where}, chi^2/n of a sample", label, float(found.chi2.mean()), note="of the exact posterior near 1")


def _coverage(scans: int, count: int, seed: int) -> Iterator[Row]:
    """Coverage of 90 % intervals over scans."""
    grid, prior = Grid.square(_GRID, _EXTENT), GaussianPrior()
    z = float(norm.isf(0.05))
    truths, found, ideal = prior.draw(scans, grid, seed=seed + 100), [], []
    for k, truth in enumerate(truths):
        scan = known_scan(prior, truth, grid, _VIEWS, _SD, seed + 200 + k)
        result = reconstruct(scan, prior, grid=grid, count=count, seed=seed + k)
        found.append(result.coverage(prior.unit * truth))
        exact = prior.posterior(Problem(scan, grid, prior).likelihood, grid).dense()
        ideal.append(float(((exact.mean.flatten() - truth.flatten()).abs() <= z * exact.sd.flatten()).double().mean()))
    value, best = sum(found) / scans, sum(ideal) / scans
    half = 2 * torch.tensor(found).std().item() / math.sqrt(scans)
    note = f"{scans} scans, {count} samples each, Student intervals, no conformal factor; wanted 0.88 to 0.92"
    note = f"{note}; exact posterior on the same truths {best:.3f}"
    yield Row(
        "Gaussian prior: coverage of 90 % intervals, distance from 0.90", "measured", abs(value - 0.9),
        interval=(value - half - 0.9, value + half - 0.9), bar=0.02, above=False, baseline=abs(best - 0.9),
        baseline_name="exact posterior", note=f"{note}: {value:.3f}",
    )  # fmt: skip


def _modes(count: int, seed: int) -> Iterator[Row]:
    """Weights of two modes that the data leave open."""
    grid = Grid.square(12, _EXTENT)
    spot = torch.exp(-((grid.points() - torch.tensor([60.0, 30.0])) ** 2).sum(-1) / (2 * 50.0**2))
    parts = [GaussianPrior(mean_image=0.5 + c * spot, sd=0.1) for c in (0.0, 0.35)]
    prior = MixturePrior((0.5, 0.5), parts)
    scan = known_scan(prior, 0.5 + 0.155 * spot, grid, 4, 0.5, seed)
    exact = prior.posterior(Problem(scan, grid, prior).likelihood, grid)
    for method, steps in (("posterior", 60), ("matheron", 60)):
        found = reconstruct(scan, prior, method, grid=grid, count=count, steps=steps, seed=seed, top=1.0)
        share = float((exact.modes(found.samples / prior.unit) == 1).double().mean())
        drawn = float((exact.modes(exact.draw(4000, seed=seed)) == 1).double().mean())
        note = f"{count} samples, {steps} levels; exact {drawn:.3f}, found {share:.3f}"
        note = f"{note}; Monte-Carlo error {math.sqrt(drawn * (1 - drawn) / count):.3f}"
        bar = 0.05 if method == "posterior" else None
        yield Row(
            f"mixture prior: {METHODS[method].name}, error of a mode's weight", "measured", abs(share - drawn), bar=bar,
            above=False, calls=found.calls, note=note,
        )  # fmt: skip
