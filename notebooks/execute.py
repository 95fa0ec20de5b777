"""Run the notebooks and keep their outputs: ``python notebooks/execute.py [NAME ...] [--check]``.

Each notebook runs in a fresh kernel in this folder, on one thread. What depends on the run and not on the content is
taken out: times, and the plain text of what also has a card. Without names all notebooks run; with ``--check``
nothing is written. ``SCIDIFF_FAST=1`` draws fewer samples.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SECONDS = re.compile(r" · seconds <b>[^<]*</b>")


def run(path: Path) -> nbformat.NotebookNode:
    """Execute a notebook in a fresh kernel; an error ends the run with the traceback of the cell."""
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    return tidy(book)


def tidy(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave only what the content decides."""
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in book.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}
            if "text/html" in output.get("data", {}):
                output.data.pop("text/plain", None)
                output.data["text/html"] = SECONDS.sub("", output.data["text/html"])
    return book


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Printed text in one piece: how it comes in parts depends on the clock."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if kept and output.output_type == kept[-1].output_type == "stream" and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def main() -> None:
    """Run the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description="Run the notebooks and keep their outputs.")
    parser.add_argument("names", nargs="*", help="names without their ending; all by default")
    parser.add_argument("--check", action="store_true", help="run only, and write nothing")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for path in [HERE / f"{name}.ipynb" for name in options.names] or sorted(HERE.glob("*.ipynb")):
        begun = time.perf_counter()
        book = run(path)
        if not options.check:
            nbformat.write(book, path)
        size = len(nbformat.writes(book)) / 1e6
        print(f"{path.stem}: {time.perf_counter() - begun:.0f} s, {size:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
