"""Scores of one's own: functions, plug-ins and programs. One bad row costs itself only, and says why."""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from scidiff import campaign
from scidiff.campaign.external import Command
from scidiff.campaign.plan import make_plan
from scidiff.campaign.scores import Scorer

COUNTING = """
import sys, pathlib
lines = sys.stdin.read().splitlines()
with open("calls.txt", "a") as file:
    file.write(f"{len(lines)}\\n")
"""
PROGRAMS = {
    "lengths": COUNTING + "for line in lines: print(len(line))",
    "objects": "import sys, json\nfor line in sys.stdin: print(json.dumps({'score': json.loads(line)['x']}))",
    "picky": COUNTING + "sys.exit('bad line') if 'bad' in lines else [print(len(line)) for line in lines]",
    "short": COUNTING + "[print(len(line)) for line in lines if line != 'bad']",
    "wordy": COUNTING + "[print('no number' if line == 'bad' else len(line)) for line in lines]",
    "slow": COUNTING + "import time\nif 'bad' in lines: time.sleep(60)\n[print(len(line)) for line in lines]",
    "wild": COUNTING + "for line in lines: print({'n': 'NaN', 'h': 10**400}.get(line, len(line)))",
    "keys": "import sys, json\nfor line in sys.stdin: print(len(json.loads(line, parse_constant=sys.exit)))",
    "silent": "import sys\nfor line in sys.stdin: print('null' if line == 'bad\\n' else len(line) - 1)",
}


@pytest.fixture
def command(tmp_path):
    def make(name: str, column: str | None = "text", timeout: float = 20.0, batch: int = 100) -> Command:
        (tmp_path / "program.py").write_text(PROGRAMS[name])
        return Command((sys.executable, "program.py"), column, timeout, batch, str(tmp_path))

    return make


def test_a_program_scores_lines_and_is_not_asked_twice(command, tmp_path):
    program = command("lengths", batch=2)
    assert program({"text": ["a", "bb", "a", "ccc"]}).values == [1, 2, 1, 3]
    assert (tmp_path / "calls.txt").read_text() == "2\n1\n"
    assert program({"text": ["bb", "dddd", "a"]}).values == [2, 4, 1]
    assert (tmp_path / "calls.txt").read_text() == "2\n1\n1\n"


def test_a_program_that_has_changed_is_asked_again(command, tmp_path):
    assert command("lengths")({"text": ["bad"]}).values == [3]
    assert command("silent")({"text": ["bad"]}).values == [None]


def test_a_program_reads_rows_as_json(command):
    assert command("objects", column=None)({"x": [1.5, -2.0], "name": ["a", "b"]}).values == [1.5, -2.0]


def test_a_row_as_json_has_all_its_numbers(command):
    """Five entries of six: the array stays out, also where it is the only column of its kind."""
    columns = {
        "x": np.array([1.5, np.nan]),
        "index": np.array([3, 4]),
        "single": [np.float32(0.5), np.float32(2.0)],
        "good": np.array([True, False]),
        "name": ["a", "b"],
        "field": [np.zeros((2, 3)), np.ones((2, 3))],
    }
    assert command("keys", column=None)(columns).values == [5, 5]
    assert command("objects", column=None)(columns).values == [1.5, None]
    assert command("keys", column=None)({"field": columns["field"]}).values == [0, 0]


def test_no_answer_is_said_in_the_same_words_from_the_cache(command, tmp_path):
    program = command("wild")
    first = Scorer("s", "", program)({"text": ["n", "aa"]})
    assert first == Scorer("s", "", program)({"text": ["n", "aa"]})
    assert first.values == [None, 2] and first.reasons == ["the program gave no value", ""]
    assert (tmp_path / "calls.txt").read_text() == "2\n"
    huge = program({"text": ["h", "aa"]})
    assert huge.values == [None, 2] and "expected a number" in huge.reasons[0]


def test_an_argument_may_be_a_long_text(tmp_path):
    text = "import sys\nfor line in sys.stdin: print(len(line) - 1)\n" + "# no name of a file is as long as this\n" * 20
    program = Command((sys.executable, "-c", text), "text", 20.0, 10, str(tmp_path))
    assert program({"text": ["abc"]}).values == [3]


@pytest.mark.parametrize("how", ["in the folder", "by its path", "on the path"])
def test_a_program_is_known_by_its_file(tmp_path, monkeypatch, how):
    home = tmp_path / "bin"
    home.mkdir()
    monkeypatch.setenv("PATH", f"{home}{os.pathsep}{os.environ['PATH']}")
    name = {"in the folder": "bin/dock", "by its path": str(home / "dock"), "on the path": "dock"}[how]
    hashes = []
    for body in ("cat", "tac"):
        (home / "dock").write_text(f"#!/bin/sh\n{body}\n")
        (home / "dock").chmod(0o755)
        hashes.append(Command((name,), "text", 20.0, 10, str(tmp_path)).fingerprint())
        monkeypatch.chdir(tmp_path)
        assert Command((name,), "text", 20.0, 10, ".").fingerprint() == hashes[-1]
    assert hashes[0] != hashes[1]


def test_what_a_program_leaves_running_is_ended(tmp_path):
    """The program ends at once and in good order; its child would go on for a minute."""
    text = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, "
        "stderr=subprocess.DEVNULL)\n"
        "for line in sys.stdin: print(child.pid)\n"
    )
    program = Command((sys.executable, "-c", text), "text", 20.0, 10, str(tmp_path))
    child = int(program({"text": ["a"]}).values[0] or 0)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("picky", "bad line"), ("short", "0 lines for 1"), ("wordy", "no number"), ("silent", "no value")],
)
def test_a_bad_line_costs_itself_only(command, name, reason):
    scored = command(name)({"text": ["a", "bb", "bad", "dddd", "eeeee"]})
    assert scored.values == [1, 2, None, 4, 5]
    assert [bool(each) for each in scored.reasons] == [False, False, True, False, False]
    assert reason in scored.reasons[2]


def test_a_program_that_hangs_is_ended(command):
    begun = time.monotonic()
    scored = command("slow", timeout=3.0)({"text": ["a", "bad"]})
    assert scored.values == [1, None]
    assert "more than 3 s" in scored.reasons[1]
    assert time.monotonic() - begun < 50


def test_scores_of_all_kinds_stand_in_the_rows(tmp_path):
    (tmp_path / "own_scores.py").write_text(
        "def inverse(row, shift=0.0):\n    return 1 / (row['x'] + shift)\n"
        "def fussy(row):\n    if row['y'] < 0.5: raise KeyError('y is small')\n    return row['y']\n"
        "def nothing(row):\n    return float('nan')\n"
    )
    (tmp_path / "spec.toml").write_text(
        'domain = "cheap"\nmodel = "none"\ncount = 12\nshards = { rows = 5 }\n'
        '[[scores]]\nname = "doubled"\n'
        '[[scores]]\nname = "inverse"\ncallable = "own_scores:inverse"\nparameters = { shift = 1.0 }\n'
        '[[scores]]\nname = "fussy"\ncallable = "own_scores:fussy"\n'
        '[[scores]]\nname = "nothing"\ncallable = "own_scores:nothing"\n'
        f'[[scores]]\nname = "program"\ncommand = [{json.dumps(sys.executable)}, "p.py"]\ninput = "name"\n'
        '[[filters]]\nscore = "fussy"\nleast = 0.0\n'
    )
    (tmp_path / "p.py").write_text("import sys\nfor line in sys.stdin: print(len(line.strip()))")
    campaign.run(tmp_path / "spec.toml", tmp_path / "out", workers=0)
    for path in (tmp_path / "out" / "shards").iterdir():
        for row in pq.read_table(path).to_pylist():
            assert row["doubled"] == 2 * row["x"]
            assert row["inverse"] == 1 / (row["x"] + 1)
            assert row["program"] == len(row["name"])
            assert row["nothing"] is None and "nothing: the score is nan" in row["failure"]
            assert (row["fussy"] is None) == (row["y"] < 0.5) == ("KeyError" in row["failure"])
            assert row["accepted"] == (row["y"] >= 0.5)


def test_the_hash_knows_the_source_of_a_score(tmp_path):
    hashes = []
    for body in ("row['x']", "row['y']"):
        (tmp_path / "changing.py").write_text(f"def f(row):\n    return {body}\n")
        asked = campaign.parse(
            {"domain": "cheap", "model": "none", "count": 1, "scores": [{"name": "f", "callable": "changing:f"}]}
        )
        hashes.append(make_plan(asked, tmp_path).hash)
    assert hashes[0] != hashes[1]
