"""What all commands share: one object of JSON or lines, and a bar on a terminal alone."""

from __future__ import annotations

import io
import json
import sys
from functools import partial

import numpy as np
import pytest

from scidiff.io.command import bar, tell


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def drawn(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *counts: tuple[int, ...]) -> str:
    """What a bar of four writes to standard error."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    with bar("counting", 4) as advance:
        for count in counts:
            advance(*count)
    return stream.getvalue()


def test_a_bar_is_drawn_on_a_terminal_and_goes_away(monkeypatch):
    text = drawn(Terminal(), monkeypatch, (1,), (3,))
    assert "counting" in text and "100%" in text
    assert text.rindex("\x1b[2K") > text.rindex("counting")


def test_a_bar_takes_the_total_when_it_is_known(monkeypatch):
    """Two of eight after the total became known."""
    assert "25%" in drawn(Terminal(), monkeypatch, (2, 8))


def test_a_pipe_gets_no_bar(monkeypatch):
    assert drawn(io.StringIO(), monkeypatch, (1,), (2, 8)) == ""


def test_facts_go_to_the_file_and_lines_to_people(tmp_path, capsys):
    tell({"a": 1}, tmp_path / "facts.json", ["one line"])
    assert capsys.readouterr().out == "one line\n"
    assert json.loads((tmp_path / "facts.json").read_text()) == {"a": 1}


def test_a_dash_prints_the_facts_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tell({"a": 1}, type(tmp_path)("-"), ["one line"])
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_not_finite_is_null(tmp_path, capsys):
    facts = {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": (np.float64("nan"), np.int64(3))}}
    wanted = {"a": None, "b": [1.5, None], "c": {"d": [None, 3]}}
    strict = partial(json.loads, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    tell(facts, tmp_path / "facts.json", [])
    assert strict((tmp_path / "facts.json").read_text()) == wanted
    capsys.readouterr()
    tell(facts, type(tmp_path)("-"), [])
    assert strict(capsys.readouterr().out) == wanted
