"""The pages of the documentation are true: their code runs, their links resolve, and their pictures are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
CORE = re.compile(r"<!-- core: begin -->\n(.*?)<!-- core: end -->", re.DOTALL)
LARGEST = 120_000
PAGES = {
    "campaigns.md": 6,
    "choose_a_guidance.md": 1,
    "choose_a_sampler.md": 1,
    "ct.md": 3,
    "geometry.md": 8,
    "guidance.md": 7,
    "interchange.md": 6,
    "molecules.md": 5,
    "pde.md": 4,
    "proteins.md": 3,
    "quickstart.md": 1,
    "sampling.md": 7,
    "testing.md": 5,
    "training.md": 7,
    "validity.md": 1,
}
"""Pages with code, and the least number of blocks that each has."""


def run_blocks(blocks: list[str], folder: Path) -> None:
    """Run blocks in order, in one fresh interpreter, so that names carry over as a reader expects."""
    script = folder / "page.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, tmp_path):
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(blocks) >= PAGES[page]
    run_blocks(blocks, tmp_path)


def test_the_code_of_the_core_in_the_readme_runs(tmp_path):
    section = CORE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(section) == 1 and len(section[0].splitlines()) <= 40
    blocks = BLOCK.findall(section[0])
    assert len(blocks) >= 3
    run_blocks(blocks, tmp_path)


def test_every_page_with_code_is_run():
    assert {path.name for path in DOCS.glob("*.md") if BLOCK.search(path.read_text(encoding="utf-8"))} == set(PAGES)


def test_the_index_links_every_page():
    links = LINK.findall((DOCS / "index.md").read_text(encoding="utf-8"))
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md"}
    assert pages <= set(links)
    listed = (DOCS / "index.md").read_text(encoding="utf-8").split("```{toctree}")[1].split("```")[0].splitlines()
    assert {page.removesuffix(".md") for page in pages} <= set(listed), "a page is missing in the navigation"


def figures() -> list[str]:
    """Names of the pictures, read off the table of the script without drawing one."""
    text = (ROOT / "benchmarks" / "figures.py").read_text(encoding="utf-8")
    table = text[text.index("FIGURES: dict") : text.index("\n}\n")]
    return re.findall(r'^    "([a-z0-9-]+)":', table, re.MULTILINE)


def test_the_gallery_shows_every_picture_once():
    shown = IMAGE.findall((DOCS / "gallery.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(f"pictures/{name}.png" for name in figures())
    assert all((DOCS / path).is_file() for path in shown)


@pytest.mark.parametrize("name", figures())
def test_a_picture_is_a_small_png_without_a_date(name):
    data = (DOCS / "pictures" / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) <= LARGEST
    assert b"tEXt" not in data and b"tIME" not in data


def test_one_picture_is_drawn_again_to_the_last_byte(tmp_path):
    """The cheapest one, twice: pictures hold no date and no unseeded draw."""
    for run in ("a", "b"):
        command = [sys.executable, "benchmarks/figures.py", "--only", "hodge-spectra", "--out", str(tmp_path / run)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    first, second = ((tmp_path / run / "hodge-spectra.png").read_bytes() for run in ("a", "b"))
    assert first == second
