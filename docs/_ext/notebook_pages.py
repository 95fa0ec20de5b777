"""The notebooks as pages: each is copied to ``notebooks/`` beside the pages when the documentation is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "notebooks"


def copy_notebooks(app: Any) -> None:
    """Copy what has changed, and remove what is no longer there; the stored outputs are shown, nothing is run."""
    folder = Path(app.srcdir) / "notebooks"
    folder.mkdir(exist_ok=True)
    found = {path.name: path.read_bytes() for path in SOURCE.glob("*.ipynb")}
    for name, content in found.items():
        target = folder / name
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)
    for path in folder.glob("*.ipynb"):
        if path.name not in found:
            path.unlink()


def setup(app: Any) -> dict[str, Any]:
    """Entry point of Sphinx."""
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
