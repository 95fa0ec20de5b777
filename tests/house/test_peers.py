"""The comparison with peers: the report says how its numbers were made, the page shows it, and absence is no crash."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORT = json.loads((ROOT / "benchmarks" / "peers.json").read_text(encoding="utf-8"))
RATIOS = [row for row in REPORT["rows"] if row["unit"] == "ratio"]
PEERS = ("diffusers", "azula", "torchcfm", "geoopt", "deepinv", "astra", "torch_geometric")


def peers(*words: str) -> str:
    command = [sys.executable, "benchmarks/peers/run.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_report_compares_every_peer():
    assert REPORT["protocol"] == "peers/1" and not REPORT["fast"]
    for peer in PEERS:
        assert any(row["name"].endswith(f", {peer} / scidiff") for row in RATIOS)
    assert "not installed" not in REPORT["peers"].values()


@pytest.mark.parametrize("row", RATIOS, ids=lambda row: row["name"])
def test_a_row_says_how_it_was_made(row):
    """A ratio in its interval, with both numbers it was made of, and how many repeats, seeds or numbers there were."""
    assert row["label"] == "measured" and row["value"] > 0 and math.isfinite(row["value"])
    low, high = row["interval"] or (row["value"],) * 2
    assert 0 < low <= row["value"] <= high
    assert " scidiff, " in row["note"]
    assert row["note"].endswith(("paired repeats", "seeds", "one number"))
    assert (row["seconds"] is None) == (": error, " in row["name"])


def test_names_are_unique():
    names = [row["name"] for row in REPORT["rows"]]
    assert len(names) == len(set(names))


def test_the_page_shows_the_report():
    page = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    begin, end = "<!-- peers: begin -->\n", "<!-- peers: end -->"
    assert (
        page[page.index(begin) + len(begin) : page.index(end)].strip()
        == peers("--page", "benchmarks/peers.json").strip()
    )


def test_peers_that_are_not_installed_are_rows():
    absent = [name for name in PEERS if find_spec(name) is None]
    if not absent:
        pytest.skip("all peers are installed")
    table = peers("--fast", "--only", *absent)
    assert all(f"| {name}: installed | 0 |" in table for name in absent)


def test_the_borders_load_no_other_package():
    code = "import scidiff.interchange, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.split()) & {"diffusers", "deepinv", "huggingface_hub", "torch_geometric", "rdkit"}
