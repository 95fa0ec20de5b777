"""Scores of one's own: functions, plug-ins and programs. One bad row costs itself only, and says why."""

from __future__ import annotations

import json
import sys
import time

import pyarrow.parquet as pq
import pytest

from scidiff import campaign
from scidiff.campaign.external import Command
from scidiff.campaign.plan import make_plan

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
