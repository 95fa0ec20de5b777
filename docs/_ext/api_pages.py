"""One page of reference for each package, made when the documentation is built: ``api/scidiff.sample.md`` and so on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PAGE = "# {name}\n\n```{{eval-rst}}\n{blocks}```\n"
_MODULE = ".. automodule:: {name}\n\n"
_PACKAGE = ".. automodule:: {name}\n   :no-members:\n\n"
_INDEX = "# Reference\n\n{text}\n\n```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"
_TEXT = "One page for each package; every module opens with its mathematics, in the symbols of its code."


def packages() -> Iterator[tuple[str, list[str]]]:
    """Name of each package and of its modules, the package first."""
    for folder, prefix in ((ROOT / "scidiff", ""), (ROOT / "domains", "scidiff.")):
        for start in sorted(folder.rglob("__init__.py")):
            name = prefix + ".".join(start.parent.relative_to(ROOT).parts)
            if name in {"scidiff.domains"} and not prefix:
                continue
            files = sorted(path.stem for path in start.parent.glob("*.py") if not path.stem.startswith("__"))
            yield name, [name, *(f"{name}.{stem}" for stem in files)]


def write_pages(app: Any) -> None:
    """Write the pages; a page that says the same already is left alone, so that builds go on where they were."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = {}
    for name, modules in packages():
        blocks = _PACKAGE.format(name=name) + "".join(_MODULE.format(name=module) for module in modules[1:])
        pages[f"{name}.md"] = _PAGE.format(name=name, blocks=blocks)
    pages["index.md"] = _INDEX.format(text=_TEXT, pages="\n".join(sorted(Path(page).stem for page in pages)))
    for page, text in pages.items():
        path = folder / page
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()


def setup(app: Any) -> dict[str, Any]:
    """Entry point of Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
