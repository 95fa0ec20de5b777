"""The protocol of DM4CT: its geometry, its noise, and the same data for methods that know both."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from scidiff.domains.ct.checks import ScanWarning
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.phantoms import random_ellipses
from scidiff.domains.ct.priors.gaussian import GaussianPrior
from scidiff.domains.ct.rows import dm4ct
from scidiff.domains.ct.rows.methods import method_rows
from scidiff.domains.ct.rows.protocol import SETTINGS, Setting, corrected, published
from scidiff.domains.ct.rows.published import PUBLISHED, quoted_rows
from scidiff.domains.ct.scan import Scan

from scidiff.domain import Row

GRID = Grid.square(32, 200.0)
MU = random_ellipses(3, count=6).image(GRID, 4).clamp_min(0.0)


def test_the_published_geometry_is_remarked_upon_and_the_corrected_one_is_not():
    clean = published(MU, GRID, SETTINGS[0], 0)
    assert clean.signed is not None
    assert {one.code for one in clean.signed.findings} == {"truncated", "duplicate-views", "negative-background"}
    assert clean.scan.geometry.shape == (40, 32)
    assert corrected(MU, GRID, SETTINGS[0], 0).scan.findings == ()
    limited = published(MU, GRID, SETTINGS[4], 0).scan.geometry.angles
    assert float(limited[-1]) == pytest.approx(0.75 * math.pi)


def test_signed_data_are_those_of_the_image_that_is_not_negative():
    """Clean data, both forms: the same projector in float32."""
    clean = published(MU, GRID, SETTINGS[0], 0)
    projected = clean.scan.operator(GRID).apply(MU[None])[0]
    assert float((clean.scan.projections - projected).norm() / projected.norm()) < 1e-5


@pytest.mark.parametrize("make", [published, corrected])
def test_weights_say_how_large_the_noise_is(make):
    """``chi^2 / n`` of the truth is 1 with deviation ``sqrt(2 / n)``: five of them, at counts of hundreds."""
    scan: Scan = make(MU, GRID, Setting("test", 60, 1e4), 1).scan
    value = float(scan.chi2(scan.operator(GRID, torch.float64).apply(MU[None])[0]))
    assert abs(value - 1) < 5 * math.sqrt(2 / scan.used)


def test_rings_are_offsets_of_a_twentieth_of_the_columns():
    plain, ringed = (published(MU, GRID, Setting("test", 20, 1e4, rings), 1).signed for rings in (False, True))
    assert plain is not None
    assert ringed is not None
    apart = ringed.projections - plain.projections
    assert int((apart.abs().amax(0) > 0).sum()) == int(0.05 * 32)
    assert float(apart.std(0).max()) < 1e-12


def test_published_numbers_are_quoted_with_their_source():
    for setting in PUBLISHED:
        rows = list(quoted_rows(setting))
        assert rows
        assert all(row.label == "quoted" and "2602.18589" in row.note and row.bar is None for row in rows)
    assert list(quoted_rows("medical vi")) == []


def test_an_object_at_two_sizes_has_names_of_its_own_and_is_quoted_once(monkeypatch):
    """Names of rows without scans and methods, which are not needed."""
    for name in ("published", "corrected"):
        monkeypatch.setattr(dm4ct, name, lambda *_: SimpleNamespace(scan=None, signed=None))
    monkeypatch.setattr(dm4ct, "_informed", lambda where, *_: iter([Row(where, "measured", 1.0)]))
    monkeypatch.setattr(dm4ct, "_as_published", lambda *_: {})
    names = []
    for size in (128, 256):
        grid = Grid.square(size, 384.0)
        what = dm4ct._Object("medical", 0.02 * torch.ones(grid.shape, dtype=torch.float64), grid, GaussianPrior())
        names += [row.name for row in dm4ct._object_rows(what, SETTINGS[:1], 0, ("posterior",))]
    assert len(names) == len(set(names))
    assert sum("as published: PSNR" in name for name in names) == len(PUBLISHED["medical i"])
    assert sum("256^2" in name for name in names) == 3


def test_binning_keeps_what_the_data_say():
    """A column of two has the sum of weights, and lies in the middle; ``chi^2 / n`` of a linear shadow stays 1."""
    geometry = Parallel(even_angles(8), 33, 2.0, 14.3)
    y = 1.0 + 0.01 * geometry.u.expand(8, 33)
    with pytest.warns(ScanWarning, match="truncated"):
        scan = Scan.from_projections(y, geometry, sd=0.1).binned(2)
    assert scan.geometry.shape == (8, 16)
    assert torch.allclose(scan.weights, torch.full((8, 16), 200.0, dtype=torch.float64))
    assert isinstance(scan.geometry, Parallel)
    assert torch.allclose(scan.projections, 1.0 + 0.01 * scan.geometry.u.expand(8, 16))


@pytest.mark.slow
def test_rows_of_methods_carry_the_labels_of_the_methods():
    rows = list(method_rows("gaussian", ("fbp", "dds", "posterior"), count=2, steps=2))
    assert [row.label for row in rows] == ["measured", "biased", "biased"]
    assert len({row.name for row in rows}) == 3
