"""Functions from files beside the specification: what is run is what the hash says."""

from __future__ import annotations

import hashlib
import sys

import pytest

from scidiff import campaign
from scidiff.campaign.own_function import own_function
from scidiff.campaign.plan import make_plan
from scidiff.errors import ConfigError


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    """Give the path back as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_an_edited_function_is_the_new_one(tmp_path):
    """The two texts have one length and may have one time of change."""
    asked = {"domain": "cheap", "model": "none", "count": 4, "scores": [{"name": "f", "callable": "edited:f"}]}
    found = []
    for value in (1, 2):
        (tmp_path / "edited.py").write_text(f"def f(row):\n    return {value}\n")
        plan = make_plan(campaign.parse(asked), tmp_path)
        out = tmp_path / f"out{value}"
        campaign.run(campaign.parse(asked), out, workers=0, source=tmp_path)
        campaign.export(out, out / "all.csv", condition=f"f = {value}")
        found.append((plan.hash, len((out / "all.csv").read_text().splitlines())))
    assert found[0][0] != found[1][0]
    assert [rows for _, rows in found] == [5, 5]


def test_the_hash_is_that_of_the_text(tmp_path):
    (tmp_path / "plain.py").write_text("def f(row):\n    return 1\n")
    function, text = own_function("plain:f", tmp_path)
    assert function({}) == 1
    assert text == hashlib.sha256((tmp_path / "plain.py").read_bytes()).hexdigest()
    assert own_function("plain:f", tmp_path)[0] is function


def test_two_folders_have_modules_of_one_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "twin.py").write_text(f"def f(row):\n    return {name!r}\n")
        (tmp_path / name / "json.py").write_text("def f(row):\n    return 'not the one of Python'\n")
    assert [own_function("twin:f", tmp_path / name)[0]({}) for name in ("a", "b", "a")] == ["a", "b", "a"]
    assert own_function("json:f", tmp_path / "a")[0]({}) == "not the one of Python"
    assert sys.modules["json"].__name__ == "json" and hasattr(sys.modules["json"], "dumps")


def test_an_edited_package_is_the_new_one(tmp_path):
    home = tmp_path / "ownpack"
    home.mkdir()
    (home / "__init__.py").write_text("")
    found = []
    for value in (1, 22):
        (home / "base.py").write_text(f"VALUE = {value}\n")
        (home / "parts.py").write_text("from .base import VALUE\n\n\ndef f(row):\n    return VALUE\n")
        found.append(own_function("ownpack.parts:f", tmp_path)[0]({}))
    assert found == [1, 22]


def test_modules_with_classes_and_without_a_source_are_taken(tmp_path):
    """A dataclass asks for its module; a partial function and one of C have no file of their own."""
    (tmp_path / "rich.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom functools import partial\n"
        "@dataclass\nclass Weight:\n    value: float = 2.0\n"
        "def _f(row, weight):\n    return weight.value\n"
        "f = partial(_f, weight=Weight())\n"
    )
    function, text = own_function("rich:f", tmp_path)
    assert function({}) == 2.0
    assert text == hashlib.sha256((tmp_path / "rich.py").read_bytes()).hexdigest()
    assert own_function("math:sqrt", tmp_path)[0](4.0) == 2.0


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        ("def f(:", "broken:f", "SyntaxError"),
        ("raise RuntimeError('no')", "broken:f", "RuntimeError: no"),
        ("g = 1", "broken:f", "broken:f"),
        ("f = 1", "broken:f", "is a int"),
        ("", "nowhere_at_all:f", "put the module beside the specification"),
    ],
    ids=["syntax", "error", "no name", "no function", "no module"],
)
def test_what_is_no_function_is_refused(tmp_path, text, target, says):
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(ConfigError, match=says):
        own_function(target, tmp_path)
    (tmp_path / "broken.py").write_text("def f(row):\n    return 1\n")
    assert own_function("broken:f", tmp_path)[0]({}) == 1
