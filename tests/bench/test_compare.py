"""Two reports side by side: what changed beyond its interval, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scidiff import cli
from scidiff.bench import runner
from scidiff.bench.compare import Verdict, compare, read_report
from scidiff.domain import Row
from scidiff.errors import ConfigError, DataError


def report(*rows: Row, **header) -> dict:
    return {"suite": "toys", "protocol": "toys/1", "seeds": [0], **header, "rows": [row.as_json() for row in rows]}


def verdict(before: Row, after: Row) -> Verdict:
    return compare(report(before), report(after)).changes[0].verdict


def row(value: float, interval=None, bar=None, above=True) -> Row:
    return Row("x", "measured", value, interval, bar=bar, above=above)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (row(1, (0.9, 1.1)), row(1.2, (1.0, 1.4)), Verdict.SAME),
        (row(1, (0.9, 1.1)), row(1.3, (1.2, 1.4)), Verdict.CHANGED),
        (row(1, (0.9, 1.1), bar=0.5), row(1.3, (1.2, 1.4), bar=0.5), Verdict.BETTER),
        (row(1, (0.9, 1.1), bar=2, above=False), row(1.3, (1.2, 1.4), bar=2, above=False), Verdict.WORSE),
        (row(1, (0.9, 1.1), bar=0.95), row(0.9, (0.8, 1.0), bar=0.95), Verdict.WORSE),
        (row(1), row(1), Verdict.SAME),
        (row(1), row(1.1), Verdict.OPEN),
        (row(1, (0.9, 1.1)), row(1.2), Verdict.CHANGED),
    ],
    ids=["overlap", "apart", "better", "worse", "bar", "equal", "points", "point"],
)
def test_verdicts(before, after, expected):
    assert verdict(before, after) is expected


def test_alarms_without_a_change_are_as_rare_as_stated():
    """Equal truths, known standard error: the share of verdicts other than 'same' is 2 Phi(-2.77) = 0.0056."""
    draw = np.random.default_rng(0)
    pairs = draw.normal(size=(6000, 2))
    rows = [[Row(str(k), "measured", x, (x - 1.96, x + 1.96)) for k, x in enumerate(side)] for side in pairs.T]
    found = compare(report(*rows[0]), report(*rows[1]))
    share = np.mean([change.verdict is not Verdict.SAME for change in found.changes])
    # four standard errors of a share of 0.0056 in 6,000
    assert abs(share - 0.00557) < 4 * np.sqrt(0.0056 / 6000)


def test_rows_that_came_and_went_and_headers_that_differ():
    old, new = Row("old", "measured", 1.0), Row("new", "measured", 2.0)
    found = compare(report(old, seeds=[0], fast=True), report(new, seeds=[1], fast=True))
    assert [(change.name, change.verdict) for change in found.changes] == [("old", Verdict.GONE), ("new", Verdict.NEW)]
    assert found.worse
    assert found.remarks == ("seeds: [0] and [1]",)


def test_a_report_of_a_suite_that_was_interrupted_is_remarked_upon():
    whole, part = report(row(1)), report(row(1), complete=False)
    assert compare(whole, whole).remarks == ()
    (first,), (second,) = compare(part, whole).remarks, compare(whole, part).remarks
    assert first.startswith("the first report is incomplete")
    assert second.startswith("the second report is incomplete")


def test_other_protocols_are_not_compared():
    with pytest.raises(ConfigError, match="cannot be compared"):
        compare(report(row(1)), {**report(row(1)), "protocol": "toys/2"})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": [3], "protocol": "a"}'], ids=["empty", "list", "bare", "row"]
)
def test_what_is_no_report_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="expected a report"):
        read_report(tmp_path / "a.json")


def test_a_suite_that_fails_leaves_the_rows_that_it_has(tmp_path, monkeypatch):
    def rows(fast, seed):
        yield Row("first", "measured", 1.0)
        yield Row("second", "measured", 2.0)
        raise DataError("the third has no data")

    monkeypatch.setattr(runner, "_core", lambda: ("1", rows, {}))
    path = tmp_path / "core.json"
    with pytest.raises(DataError, match="third"):
        runner.run("core", keep=path)
    left = json.loads(path.read_text())
    assert left["complete"] is False and [row["name"] for row in left["rows"]] == ["first", "second"]
    monkeypatch.setattr(runner, "_core", lambda: ("1", lambda fast, seed: iter([Row("first", "measured", 1.0)]), {}))
    assert json.loads(path.read_text()) != runner.run("core", keep=path).as_json() == json.loads(path.read_text())


def test_two_rows_of_one_name_are_refused_and_the_rows_before_are_kept(tmp_path, monkeypatch):
    rows = [Row("first", "measured", 1.0), Row("second", "measured", 2.0), Row("first", "measured", 3.0)]
    monkeypatch.setattr(runner, "_core", lambda: ("1", lambda fast, seed: iter(rows), {}))
    with pytest.raises(ConfigError, match="two rows 'first'"):
        runner.run("core", keep=tmp_path / "core.json")
    left = json.loads((tmp_path / "core.json").read_text())
    assert [row["value"] for row in left["rows"]] == [1.0, 2.0]


def test_the_command(tmp_path, capsys):
    for name, value in (("a", 1.0), ("b", 0.7)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report(row(value, (value - 0.1, value + 0.1), bar=0.5))))
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert cli.main(["bench", "compare", *files]) == 1
    assert "worse" in capsys.readouterr().out
    assert cli.main(["bench", "compare", files[0], files[0], "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["verdict"] == "within its interval"
    assert cli.main(["bench", "compare", files[0]]) == 2
    assert "expected two files" in capsys.readouterr().err
    assert cli.main(["bench", "core", files[0]]) == 2
