"""The domain keeps its contract; its commands work on files."""

from __future__ import annotations

import json

import pytest
from scidiff.domains.proteins import benchmark, demo, relaxation_benchmark, sample_benchmark
from scidiff.domains.proteins.cli import app
from scidiff.domains.proteins.structures import read
from scidiff.domains.proteins.writers import write
from typer.testing import CliRunner

from scidiff.domains import proteins
from scidiff.testing import check_bench, check_demo, check_domain

from .protein_cases import helix, needs_chains, shaken

RUN = CliRunner()


@pytest.fixture
def alone(monkeypatch):
    """No chains on this computer."""
    for module in (benchmark, demo, relaxation_benchmark, sample_benchmark):
        monkeypatch.setattr(module, "at_hand", lambda: False)


def test_the_domain_keeps_the_contract():
    check_domain(proteins.DOMAIN)
    assert proteins.read is read
    assert proteins.evaluate(helix(24), paired=0).report.names == ("0",)
    with pytest.raises(AttributeError, match="it has"):
        _ = proteins.nothing


def test_the_benchmark_needs_no_data(alone):
    rows = check_bench(proteins.DOMAIN)
    assert [row.name for row in rows if row.passed is False] == []
    assert sum(row.label == "exact" for row in rows) >= 6


def test_the_demonstration_needs_no_data(alone, tmp_path):
    section = check_demo(proteins.DOMAIN, tmp_path)
    # two more where a model is bundled
    assert len(section.rows) >= 4
    assert read(tmp_path / "assembly.cif").chains.labels == ("A", "B", "C", "D", "E", "F")


@needs_chains
def test_the_benchmark_shows_real_chains():
    rows = {row.name: row for row in check_bench(proteins.DOMAIN)}
    assert rows["real chains through all gates, own tables"].value == pytest.approx(39 / 58)
    assert [name for name, row in rows.items() if row.passed is False] == []


def test_validate_says_what_is_broken(tmp_path):
    write(tmp_path / "good.cif", helix(24))
    write(tmp_path / "bad.cif", shaken(helix(24), 0.1))
    done = RUN.invoke(app, ["validate", str(tmp_path / "good.cif"), "--json", "-"], standalone_mode=False)
    assert done.return_value == 0
    assert json.loads(done.output)["valid"] == 1.0
    both = [str(tmp_path / "good.cif"), str(tmp_path / "bad.cif")]
    done = RUN.invoke(app, ["validate", *both], standalone_mode=False)
    assert done.return_value == 1
    assert "bad_A: broken: bonds" in done.output


def test_repair_assemble_design_and_draw(tmp_path):
    source = str(write(tmp_path / "in.cif", shaken(helix(24), 0.06)))
    done = RUN.invoke(app, ["repair", source, "--out", str(tmp_path / "out.cif")])
    assert "valid before False, after True" in done.output
    RUN.invoke(app, ["assemble", source, "--symmetry", "D5", "--out", str(tmp_path / "d5.cif")])
    assert len(read(tmp_path / "d5.cif").chains) == 10
    done = RUN.invoke(app, ["design", "3-9/A4-8/2", "--reference", source, "--json", "-"])
    assert json.loads(done.output)["layouts"][0]["kept"] == 5
    RUN.invoke(app, ["draw", source, "--out", str(tmp_path / "x.png")])
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
