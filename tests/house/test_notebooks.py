"""The notebooks are whole: they were run in order without an error, say nothing of a machine, and run again."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = {"add_your_own_domain", "campaign", "choose_a_sampler", "ct", "molecules", "pde", "proteins"}
LARGEST, LARGEST_OF_ALL = 1_000_000, 4_000_000
SECONDS = 60 * 5
"""A minute on one free core; five times that where others work on the machine too."""
OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|var|work|mnt|opt|usr)/|[A-Z]:\\\\|\bat 0x[0-9a-f]{6,}")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def written(output: nbformat.NotebookNode) -> str:
    """Text of an output without its pictures."""
    data = output.get("data", {})
    parts = [output.get("text", ""), *(str(data[kind]) for kind in data if kind.startswith("text/"))]
    return re.sub(r"data:image/[^\"]*", "", "\n".join(parts))


def test_every_lesson_is_there() -> None:
    assert {path.stem for path in NOTEBOOKS} == NAMES
    assert sum(path.stat().st_size for path in NOTEBOOKS) < LARGEST_OF_ALL


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_run_in_order_without_an_error(path: Path) -> None:
    book = read(path)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert sum(bool(cell.outputs) for cell in code) >= len(code) / 2
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_nothing_of_a_machine(path: Path) -> None:
    book = read(path)
    assert path.stat().st_size < LARGEST
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert not [cell.metadata for cell in book.cells if cell.metadata]
    texts = [cell.source for cell in book.cells]
    texts += [written(output) for cell in book.cells for output in cell.get("outputs", [])]
    assert not [found for text in texts for found in OF_A_MACHINE.findall(text)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_lesson(path: Path) -> None:
    """It opens with a title and a question, ends with limits or the way on, and has words between its cells."""
    book = read(path)
    first, last = book.cells[0], book.cells[-1]
    assert first.cell_type == last.cell_type == "markdown"
    assert first.source.startswith("# ") and "**Question.**" in first.source
    assert re.search(r"^## (What this does not tell you|Limits|Where to go on)", last.source, re.MULTILINE)
    assert "SCIDIFF_FAST" in "".join(cell.source for cell in book.cells)


def test_the_code_of_notebooks_is_clean() -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, str(FOLDER)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_depends_on_the_run_is_taken_out() -> None:
    """Text in parts, times and addresses: a second run then writes the same file."""
    found = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    assert found and found.loader
    execute = importlib.util.module_from_spec(found)
    found.loader.exec_module(execute)
    outputs = [
        nbformat.v4.new_output("stream", text="a\n"),
        nbformat.v4.new_output("stream", text="b\n"),
        nbformat.v4.new_output("execute_result", {"text/html": "x · seconds <b>3</b> y", "text/plain": "at 0x7f00"}),
    ]
    cell = nbformat.v4.new_code_cell("1", outputs=outputs, metadata={"execution": {"shell.execute_reply": "now"}})
    book = execute.tidy(nbformat.v4.new_notebook(cells=[cell]))
    assert book.cells[0].metadata == {}
    assert book.cells[0].outputs[0].text == "a\nb\n"
    assert book.cells[0].outputs[1].data == {"text/html": "x y"}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("SCIDIFF_FAST", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(read(path), timeout=SECONDS, kernel_name="python3", resources=resources).execute()
