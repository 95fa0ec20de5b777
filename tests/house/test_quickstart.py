"""The commands of the quickstart, as they stand on its page, lead from a fresh clone to an own model that samples."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STARTS = ("C", "N", "O", "F", "N#C", "C1CC1", "O=C", "CC(C)")
MIDDLES = ("", "O", "N", "C(=O)", "C=C")
ENDS = ("C", "N", "O", "F", "C#N", "C1CC1", "C(N)=O", "C(C)C")
LENGTHS = range(4)


def commands() -> list[str]:
    """The first block of the page, a command a line."""
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    return BLOCK.findall(text)[0].splitlines()


def own_molecules() -> list[str]:
    """A file of one's own: chains between two groups, written as SMILES."""
    parts = product(STARTS, LENGTHS, MIDDLES, ENDS)
    return sorted({f"{start}{'C' * length}{middle}{end}" for start, length, middle, end in parts})


def clone(folder: Path) -> Path:
    """Clone this checkout, or skip where it is none or packages cannot be had."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    pinned = next(
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("packaging")
    )
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "0", "-d", str(folder), pinned]
    if subprocess.run(fetch, capture_output=True, timeout=300).returncode:
        pytest.skip("the package index cannot be reached")
    target = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


def test_there_are_four_commands():
    lines = commands()
    assert len(lines) == 4 and lines[0].startswith("make ")
    assert [line.split()[1:3] for line in lines[1:]] == [["molecules", v] for v in ("train", "sample", "evaluate")]


@pytest.mark.slow
def test_the_four_commands_lead_to_an_own_model_that_samples(tmp_path):
    home = clone(tmp_path)
    (home / "my.smi").write_text("\n".join(own_molecules()) + "\n", encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "SCIDIFF"))}
    for command in commands():
        done = subprocess.run(command, shell=True, cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "<html" in (home / "demo" / "index.html").read_text(encoding="utf-8")
    report = json.loads((home / "mine.json").read_text(encoding="utf-8"))
    assert report["count"] == report["count_valid"] == 1000

    from scidiff.domains import molecules

    samples = molecules.load(home / "runs" / "mine" / "model.safetensors").sample(32, steps=5, seed=1)
    assert molecules.validate(samples).valid == 1.0 and len(set(samples.smiles)) > 16
