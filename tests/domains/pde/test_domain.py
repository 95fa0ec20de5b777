"""The domain as others see it: declaration, commands, projections and certificates by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open
from scidiff.domains.pde.cli import app
from scidiff.domains.pde.field_model import EXACT
from scidiff.domains.pde.models import bundled, load
from typer.testing import CliRunner

from scidiff.domains import pde
from scidiff.errors import ConfigError
from scidiff.testing import check_domain


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def test_the_declaration_conforms():
    check_domain(pde.DOMAIN)
    assert pde.DOMAIN.name == "pde"


def test_the_example_of_the_package():
    darcy = pde.problem("darcy", size=16)
    facts = pde.certify(darcy, darcy.truth(seed=0, count=2)).as_json()
    assert facts["count"] == 2
    assert facts["relative"] < 1e-10
    assert facts["unit"] == "m s^-1"


@pytest.mark.parametrize("name", sorted({*bundled(), *EXACT}))
def test_every_model_tells_how_many_samples_are_done(name):
    counts: list[int] = []
    drawn = load(name).sample(3, steps=4, seed=0, progress=counts.append)
    assert sum(counts) == len(drawn) == 3


def test_problems_are_listed():
    out = run("problems").stdout
    assert "navier_stokes" in out
    assert "m s^-2" in out


def test_solve_writes_fields_with_their_certificate(tmp_path):
    path = tmp_path / "heat.safetensors"
    done = run("solve", "heat", "--count", "2", "--out", str(path), "--json", "-")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["independent"] < 1e-12
    with safe_open(path, "np") as file:
        assert file.get_tensor("u").shape == (2, 100, 100)
        assert json.loads(file.metadata()["certificate"])["problem"] == "heat"
        assert json.loads(file.metadata()["units"])["nu"] == "m^2 s^-1"


def test_solve_draws_and_says_what_it_did(tmp_path):
    path = tmp_path / "burgers.png"
    facts = tmp_path / "facts.json"
    done = run(
        "solve", "burgers_inviscid", "--size", "41", "--out", str(path), "--json", str(facts), "--no-independent"
    )
    assert done.exit_code == 0, done.output
    assert "constraint_mass" in done.stdout
    assert path.read_bytes().startswith(b"\x89PNG")
    assert np.isfinite(json.loads(facts.read_text())["residual_max"])


def test_bad_requests_are_refused(tmp_path):
    done = run("solve", "heat", "--out", str(tmp_path / "u.csv"))
    assert isinstance(done.exception, ConfigError)
    assert "safetensors" in str(done.exception)
    assert isinstance(run("solve", "mesh_stokes", "--size", "8").exception, ConfigError)
