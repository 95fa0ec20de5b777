"""Measured or invented: a lesion is marked exactly when its own signal-to-noise ratio exceeds the threshold."""

from __future__ import annotations

import warnings

import pytest
import torch
from scidiff.domains.ct.evidence import THRESHOLD, evidence
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.methods import reconstruct
from scidiff.domains.ct.priors.gaussian import GaussianPrior
from scidiff.domains.ct.scan import Scan

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Noise

GRID = Grid.square(24, 240.0)
GEOMETRY = Parallel(even_angles(12), 36, 10.0)
PLACE, DIAMETER, CONTRAST = (-5.0, 25.0), 50.0, 0.3


def lesion(contrast: float) -> torch.Tensor:
    """Disc, in units of the prior."""
    fine = GRID.refined(8).points() - torch.tensor(PLACE)
    inside = (fine.norm(dim=-1) < 0.5 * DIAMETER).double()
    return contrast * inside.reshape(24, 8, 24, 8).mean((1, 3))


PRIOR = GaussianPrior(mean_image=0.5 + lesion(CONTRAST), sd=0.1)
AT = (14, 11)  # the pixel with its centre at PLACE


def scan_of(x: torch.Tensor, sd: float, seed: int) -> Scan:
    """Noisy line integrals of an image in units of the prior."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        blank = Scan.from_projections(torch.ones(GEOMETRY.shape), GEOMETRY, sd=1.0)
        y = blank.operator(GRID, torch.float64).apply(PRIOR.unit * x[None])[0]
        noise = Noise.range(seed, 1).normal(GEOMETRY.shape, step=0, stream="test")[0]
        return Scan.from_projections(y + sd * noise, GEOMETRY, sd=sd)


def own_ratio(contrast: float, sd: float) -> float:
    """``|A d|_W`` of the lesion itself."""
    scan = scan_of(torch.zeros(GRID.shape, dtype=torch.float64), sd, 0)
    return float(scan.operator(GRID, torch.float64).apply(PRIOR.unit * lesion(contrast)[None]).norm() / sd)


def found(contrast: float, ratio: float, seed: int) -> tuple[float, float]:
    """Visible contrast over the one that the prior expects, and ``z``, where the prior's lesion has this ratio."""
    scan = scan_of(0.5 + lesion(contrast), own_ratio(CONTRAST, 1.0) / ratio, seed)
    mean = reconstruct(scan, PRIOR, grid=GRID, count=8, steps=4, seed=seed).mean
    told = evidence(scan, mean, GRID, DIAMETER)
    assert bool(told.measured[AT]) == (abs(float(told.z[AT])) >= THRESHOLD)
    return float(told.contrast[AT]) / (PRIOR.unit * CONTRAST), float(told.z[AT])


def test_z_is_a_standard_normal_around_the_ratio_of_the_structure():
    """30 noises, an image without the lesion: mean to 4 / sqrt(30), deviation to 4 / sqrt(60)."""
    truth, ratio = 0.5 + lesion(CONTRAST), 6.0
    without = torch.full(GRID.shape, 0.5 * PRIOR.unit, dtype=torch.float64)
    sd = own_ratio(CONTRAST, 1.0) / ratio
    z = torch.stack([evidence(scan_of(truth, sd, seed), without, GRID, DIAMETER).z[AT] for seed in range(30)])
    assert float(z.mean()) == pytest.approx(ratio, abs=4 / 30**0.5)
    assert float(z.std()) == pytest.approx(1.0, abs=4 / 60**0.5)


@pytest.mark.parametrize(
    ("contrast", "ratio", "measured"),
    [(CONTRAST, 0.7, False), (CONTRAST, 8.0, True), (0.0, 5.0, False)],
    ids=["there-and-not-seen", "there-and-seen", "not-there"],
)
def test_a_lesion_is_measured_exactly_when_its_own_ratio_exceeds_the_threshold(contrast, ratio, measured):
    """The prior expects the lesion in every case, so that it is visible; ratios are 2.3 deviations off, or more."""
    for seed in range(3):
        visible, z = found(contrast, ratio, seed)
        assert visible > 0.4
        assert (z >= THRESHOLD) is measured


def test_a_larger_contrast_can_be_measured_where_the_map_says_so():
    scan = scan_of(0.5 + lesion(0.0), 0.05, 0)
    told = evidence(scan, torch.full(GRID.shape, 0.5 * PRIOR.unit, dtype=torch.float64), GRID, DIAMETER)
    ratio = float(told.least[AT]) / (PRIOR.unit * CONTRAST) * own_ratio(CONTRAST, 0.05)
    assert ratio == pytest.approx(THRESHOLD, rel=1e-3)  # interpolated between points of the lattice
    assert float(told.least[12, 12]) < float(told.least[0, 0])  # fewer rays meet a corner


def test_what_cannot_be_is_refused():
    scan = scan_of(0.5 + lesion(0.0), 0.05, 0)
    with pytest.raises(ShapeError, match="equal dimensions"):
        evidence(scan, torch.zeros(3, 3), GRID)
    with pytest.raises(ConfigError, match="diameter is 1 mm"):
        evidence(scan, torch.zeros(GRID.shape), GRID, 1.0)
    with pytest.raises(ConfigError, match="threshold"):
        evidence(scan, torch.zeros(GRID.shape), GRID, threshold=0.0)
