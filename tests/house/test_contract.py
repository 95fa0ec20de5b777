"""The values that cross the border between the core and a domain, and the conformance of every registered domain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import typer

from scidiff.domain import DemoSection, Domain, Picture, Row, deferred, resolve
from scidiff.errors import ConfigError
from scidiff.registry import domains, load_domain
from scidiff.testing import check_bench, check_demo, check_domain

app = typer.Typer()
PNG = b"\x89PNG\r\n\x1a\n..."
SECTION = DemoSection("Toys", "A lead.", (Row("valid", "exact", 1.0),), (Picture("A dot.", PNG),))
ROWS = (Row("valid", "measured", 0.9, (0.8, 0.95), baseline=0.5), Row("time", "measured", 2.0))
TOY = Domain("toys", "Toys", Path(__file__).parent, f"{__name__}:app", lambda *_: SECTION, lambda *_: iter(ROWS))


@pytest.mark.parametrize("label", ["exact", "biased", "measured", "consistent(2)", "consistent(1.5)"])
def test_the_labels(label):
    assert Row("x", label, 1.0).as_json()["label"] == label


@pytest.mark.parametrize("label", ["", "good", "consistent", "consistent(two)", "exact?", "Exact"])
def test_other_labels_are_refused(label):
    with pytest.raises(ConfigError, match="expected exact"):
        Row("x", label, 1.0)


def test_a_quoted_number_has_a_source():
    with pytest.raises(ConfigError, match="source"):
        Row("x", "quoted", 1.0)
    assert Row("x", "quoted", 1.0, note="arXiv:2209.14734").note


@pytest.mark.parametrize("bad", [{"value": float("nan")}, {"interval": (0.0, float("inf"))}, {"bar": float("nan")}])
def test_a_number_that_is_none_is_refused(bad):
    with pytest.raises(ConfigError, match="finite"):
        Row(**{"name": "x", "label": "exact", "value": 1.0, **bad})


@pytest.mark.parametrize(
    ("value", "bar", "above", "passed"),
    [(1, None, True, None), (1, 1, True, True), (0.9, 1, True, False), (1, 1, False, True), (1.1, 1, False, False)],
)
def test_a_bar_is_reached_or_not(value, bar, above, passed):
    row = Row("x", "measured", value, bar=bar, above=above)
    assert row.passed is passed
    assert row.as_json()["passed"] is passed


def test_an_import_string_loads_when_it_is_called():
    assert resolve("math:pi") == pytest.approx(3.14159, abs=1e-5)
    later = deferred("no.such.module:function")
    with pytest.raises(ImportError):
        later()
    assert deferred("math:hypot")(3, 4) == 5
    with pytest.raises(ImportError, match="expected 'module:attribute'"):
        resolve("math:no_such_function")


def test_bundled_files_are_found(tmp_path):
    for name in ("weights/b.safetensors", "weights/a.safetensors", "weights/a.json", "data/set.txt", "data/code.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    domain = replace(TOY, home=tmp_path)
    assert [path.name for path in domain.models] == ["a.safetensors", "b.safetensors"]
    assert [path.name for path in domain.bundled] == ["set.txt", "a.json", "a.safetensors", "b.safetensors"]


def test_a_sound_domain_conforms(tmp_path):
    check_domain(TOY)
    assert check_demo(TOY, tmp_path) == SECTION
    assert check_bench(TOY) == ROWS


@pytest.mark.parametrize(
    ("change", "says"),
    [({"name": "two words"}, "identifier"), ({"title": ""}, "title"), ({"home": Path("/nowhere")}, "folder")],
)
def test_a_false_declaration_is_found(change, says):
    with pytest.raises(AssertionError, match=says):
        check_domain(replace(TOY, **change))


def test_a_model_without_a_card_is_found(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.safetensors").touch()
    with pytest.raises(AssertionError, match="no card"):
        check_domain(replace(TOY, home=tmp_path))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((), "no rows"),
        ((ROWS[0], ROWS[0]), "repeat"),
        ((replace(ROWS[0], interval=(0.95, 1.0)),), "does not hold"),
        ((ROWS[1],), "baseline"),
    ],
)
def test_a_false_benchmark_is_found(rows, says):
    with pytest.raises(AssertionError, match=says):
        check_bench(replace(TOY, bench_rows=lambda *_: iter(rows)))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (replace(SECTION, lead=""), "lead"),
        (replace(SECTION, pictures=()), "pictures"),
        (replace(SECTION, pictures=(Picture("text", b"no image"),)), "neither"),
    ],
)
def test_a_false_demonstration_is_found(tmp_path, section, says):
    with pytest.raises(AssertionError, match=says):
        check_demo(replace(TOY, demo=lambda *_: section), tmp_path)


@pytest.mark.parametrize("name", domains())
def test_every_registered_domain_conforms(name):
    check_domain(load_domain(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", domains())
def test_every_registered_domain_demonstrates_and_measures(name, tmp_path):
    domain = load_domain(name)
    check_demo(domain, tmp_path)
    check_bench(domain)
