"""Tables of the pages come out of the reports, number for number, and every directive of a page finds its rows."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import report_tables  # noqa: E402

DIRECTIVE = re.compile(r"^```\{(bench-rows|bench-header|model-cards)\} (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if DIRECTIVE.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_directives_of_a_page_find_their_rows(path):
    for kind, name, body in DIRECTIVE.findall(path.read_text(encoding="utf-8")):
        lines = [line for line in body.splitlines() if line.strip()]
        columns = [line.removeprefix(":columns:").split() for line in lines if line.startswith(":columns:")]
        patterns = [line for line in lines if not line.startswith(":")]
        if kind == "bench-rows":
            text = report_tables.bench_rows(name, patterns, columns[0] if columns else ())
            assert text.count("\n") > 2 or report_tables.report(name) is None
        elif kind == "model-cards":
            assert report_tables.model_cards(name).count("\n") > 2
        else:
            assert report_tables.bench_header(name)


def test_the_numbers_are_those_of_the_report():
    row = next(row for row in report_tables.report("molecules")["rows"] if row["interval"])
    text = report_tables.bench_rows("molecules", [row["name"]])
    low, high = row["interval"]
    assert f"{row['value']:.4g} [{low:.4g}, {high:.4g}]" in text


def test_a_row_that_is_gone_is_an_error_and_one_that_may_be_missing_is_not():
    rows = report_tables.report("core")["rows"]
    with pytest.raises(LookupError, match="no such row"):
        report_tables.chosen(rows, ["no such row/*"])
    assert report_tables.chosen(rows, ["?no such row/*"]) == []
    assert "scidiff bench nothing" in report_tables.bench_rows("nothing")


def test_a_missed_bar_is_shown():
    row = {"name": "x", "value": 1.0, "bar": 2.0, "above": True, "passed": False}
    assert report_tables.bar(row) == "≥ 2, missed" and report_tables.bar({**row, "passed": True}) == "≥ 2"


def test_cells_cannot_break_a_table():
    assert report_tables.cell("|a|^2 *x* _y_\n<b>") == r"\|a\|^2 \*x\* \_y\_ &lt;b>"


def test_a_card_is_read(tmp_path, monkeypatch):
    folder = tmp_path / "domains" / "toy" / "weights"
    folder.mkdir(parents=True)
    card = {"parameters": 12, "task": {"data": {"name": "dots"}}, "training": {"seconds": 120, "step": 7}}
    (folder / "a.json").write_text(json.dumps(card), encoding="utf-8")
    (folder / "a.safetensors").write_bytes(b"0" * 2_000_000)
    monkeypatch.setattr(report_tables, "ROOT", tmp_path)
    assert report_tables.model_cards("toy").splitlines()[-1] == "| a | 12 | 2 MB | dots | 7 | 2 |"
