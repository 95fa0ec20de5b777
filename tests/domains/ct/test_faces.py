"""The domain as users see it: names, commands, demonstration, rows."""

from __future__ import annotations

import json

import pytest
import torch
from scidiff.domains.ct.cli import app
from scidiff.domains.ct.readers import read_nifti
from scidiff.domains.ct.rows.operators import operator_rows
from scidiff.domains.ct.rows.speed import rotate_and_sum
from scidiff.domains.ct.volume import PER_MM
from typer.testing import CliRunner

from scidiff.domains import ct
from scidiff.errors import UnknownNameError
from scidiff.testing import check_domain


def test_the_domain_conforms():
    check_domain(ct.DOMAIN)


def test_every_name_can_be_had():
    for name in ct.__all__:
        assert getattr(ct, name) is not None
    with pytest.raises(AttributeError, match="it has"):
        _ = ct.nothing


def test_from_a_phantom_to_an_image(tmp_path):
    run = CliRunner()
    scan, image = str(tmp_path / "s.npz"), tmp_path / "x.nii.gz"
    done = run.invoke(app, ["simulate", "--out", scan, "--views", "12", "--columns", "48", "--photons", "1e4"])
    assert done.exit_code == 0, done.output
    options = ["--out", str(image), "--method", "cgls", "--size", "32", "--extent", "200", "--json", "-"]
    done = run.invoke(app, ["reconstruct", scan, *options])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert facts["method"] == "CGLS"
    assert facts["converged"] == (facts["chi2"] <= 1.0)
    assert read_nifti(image, PER_MM).grid.lengths == pytest.approx((1.0, 6.25, 6.25))
    done = run.invoke(app, ["validate", scan, "--json", str(tmp_path / "v.json")])
    assert done.exit_code == 0
    assert json.loads((tmp_path / "v.json").read_text())["findings"] == []


def test_classical_images_are_drawn_and_say_what_is_wrong(tmp_path):
    run, scan, image = CliRunner(), str(tmp_path / "s.npz"), tmp_path / "x.png"
    run.invoke(app, ["simulate", "--out", scan, "--views", "12", "--columns", "48", "--photons", "1e9"])
    options = ["--out", str(image), "--method", "pwls", "--size", "16", "--json", "-"]
    done = run.invoke(app, ["reconstruct", scan, *options])
    assert done.exit_code == 0, done.output
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "above whatever" in json.loads(done.output)["remarks"][0]


def test_unknown_names_are_listed(tmp_path):
    done = CliRunner().invoke(app, ["simulate", "--out", str(tmp_path / "s.npz"), "--phantom", "shep-logan"])
    assert isinstance(done.exception, UnknownNameError)
    assert "Did you mean 'shepp-logan'" in str(done.exception)


@pytest.mark.slow
def test_the_rows_on_projectors_pass():
    rows = list(operator_rows(seed=1))
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.passed for row in rows), [row.name for row in rows if not row.passed]


def test_turning_the_image_is_the_same_transform():
    """The peer of the speed row projects the same object: a centred disc, to the error of its interpolation."""
    axis = torch.arange(64) - 31.5
    disc = ((axis[:, None] ** 2 + axis**2) < 20**2).float()
    got = rotate_and_sum(disc[None], torch.tensor([0.0, 0.4, 1.2]))
    exact = 2 * torch.sqrt((20.0**2 - axis**2).clamp_min(0))
    assert float((got - exact).norm() / (3**0.5 * exact.norm())) < 0.05
