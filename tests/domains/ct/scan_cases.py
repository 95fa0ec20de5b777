"""Scans, files and small tools that several tests of the domain share."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from scidiff.domains.ct import phantoms
from scidiff.domains.ct.checks import ScanWarning
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.priors.gaussian import GaussianPrior
from scidiff.domains.ct.scan import Scan
from scidiff.domains.ct.volume import PER_MM, Volume

from scidiff.random import Noise

PRIOR, GRID = GaussianPrior(), Grid.square(16, 400.0)

DISC = phantoms.water_disc(60.0)
GEOMETRY = Parallel(even_angles(24), 64, 3.0)
VALUES = 0.04 * torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(0))
VOLUME = Volume(VALUES, Grid((3, 8, 9), (3.0, 2.0, 1.5)), PER_MM)


def scan_and_truth(sd: float, seed: int = 5) -> tuple[Scan, torch.Tensor]:
    """Scan of a draw of the prior, 12 views with equal noise, and that draw."""
    geometry = Parallel(even_angles(12), 24, 400 / 16)
    truth = PRIOR.draw(1, GRID, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        blank = Scan.from_projections(torch.ones(geometry.shape), geometry, sd=1.0)
        y = blank.operator(GRID, torch.float64).apply(PRIOR.unit * truth)[0]
        noise = Noise.range(seed, 1).normal(geometry.shape, step=0, stream="test")[0]
        return Scan.from_projections(y + sd * noise, geometry, sd=sd), truth[0]


def quiet(load, *args, **options) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        return load(*args, **options)


def digest(*files: Path, root: Path) -> str:
    """The hash that the loaders state, by the command line's own format."""
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(root).as_posix()}" for f in sorted(files)]
    text = "".join(line + "\n" for line in lines)
    return lines[0].split()[0] if len(lines) == 1 else hashlib.sha256(text.encode()).hexdigest()


def fits(scan: Scan, y: torch.Tensor, common: float = 0.0) -> bool:
    """Whether the true line integrals have the chi^2 of the noise; `common` is the share of noise that views share."""
    half = 0.5 * (scan.interval[1] - scan.interval[0]) / 1.96
    return abs(float(scan.chi2(y)) - 1.0) < 4 * half * (1 + scan.geometry.views * common) ** 0.5
