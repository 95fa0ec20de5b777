"""Links: the relative ones of all pages and notebooks resolve, anchors included; the others are well-formed addresses.

An anchor is the slug of a heading as GitHub and myst make it. Whether an address answers is not asked: that needs a
network.
"""

from __future__ import annotations

import json
import re
import subprocess
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
INLINE = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINED = re.compile(r"^\[[^\]]+\]:\s*<?(\S+?)>?\s*$", re.MULTILINE)
TAG = re.compile(r"<(?:a|img)\b[^>]*?(?:href|src)=\"([^\"]+)\"")
BARE = re.compile(r"\bhttps?://[^\s)>\"'`\]]+")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
HOST = re.compile(r"^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$")
LOCAL = {"localhost", "127.0.0.1"}


def pages() -> list[Path]:
    """Markdown and notebooks of the repository; what is generated and ignored is left out."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.ipynb"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    found = [ROOT / name for name in done.stdout.splitlines()] if done.returncode == 0 else []
    found = found or [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.ipynb")]
    return sorted(path for path in found if path.is_file())


def text_of(path: Path) -> str:
    """Text of a page; of a notebook that of its Markdown cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return text


def slug(heading: str) -> str:
    """Anchor of a heading: lower case, no punctuation, hyphens for spaces.

    The words of a link stay, its address goes.
    """
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    kept = (c for c in heading.strip().lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    """Anchors of a page; a heading that comes again gets a number."""
    seen: dict[str, int] = {}
    names = set()
    for heading in HEADING.findall(FENCE.sub("", text_of(path))):
        name = slug(heading)
        names.add(name if name not in seen else f"{name}-{seen[name]}")
        seen[name] = seen.get(name, 0) + 1
    return names


def links(text: str) -> list[str]:
    """Targets of all links in prose; code is no prose."""
    prose = CODE.sub("", FENCE.sub("", text))
    return [target for pattern in (INLINE, DEFINED, TAG) for target in pattern.findall(prose)]


def broken(path: Path, target: str) -> str:
    """What is wrong with a relative link; empty where nothing is."""
    name, _, anchor = target.partition("#")
    place = (path.parent / unquote(name)).resolve() if name else path
    if not place.exists():
        return f"{target}: no such file"
    if not place.is_relative_to(ROOT):
        return f"{target}: leaves the repository"
    if anchor and place.suffix in {".md", ".ipynb"} and unquote(anchor) not in anchors(place):
        return f"{target}: no such heading; there are {sorted(anchors(place))}"
    return ""


def malformed(address: str) -> str:
    """What is wrong with an address; empty where nothing is."""
    parts = urlsplit(address)
    if parts.hostname in LOCAL:
        return ""
    if parts.scheme not in {"https", "mailto"}:
        return f"{address}: expected https"
    if parts.scheme == "https" and not HOST.match(parts.hostname or ""):
        return f"{address}: {parts.hostname!r} is no host"
    if re.search(r"[\s<>{}|\\^]", address):
        return f"{address}: a sign that an address may not hold"
    return ""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_relative_links_resolve(path):
    relative = [target for target in links(text_of(path)) if not re.match(r"[a-z][a-z0-9+.-]*:", target)]
    assert not [fault for target in relative if (fault := broken(path, target))]


@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_addresses_are_well_formed(path):
    text = text_of(path)
    addresses = {target for target in links(text) if re.match(r"[a-z][a-z0-9+.-]*:", target)}
    addresses |= {address.rstrip(".,;:") for address in BARE.findall(FENCE.sub("", text))}
    assert not [fault for address in sorted(addresses) if (fault := malformed(address))]


def test_the_readme_and_every_page_are_looked_at():
    names = {name_of(path) for path in pages()}
    assert {"README.md", "CONTRIBUTING.md", "docs/index.md", "docs/sampling.md"} <= names
    assert sum(len(links(text_of(path))) for path in pages()) > 40


def test_a_broken_link_is_found(tmp_path):
    page = ROOT / "README.md"
    assert broken(page, "docs/no_such_page.md") and broken(page, "docs/sampling.md#no-such-heading")
    assert not broken(page, "docs/sampling.md#grids") and not broken(page, "#licence")
    assert malformed("http://example.org") and malformed("https://nohost") and not malformed("https://arxiv.org/abs/1")
    assert links("see [a](b.md#c) and `[no](code.md)`\n```\n[no](fence.md)\n```\n") == ["b.md#c"]
    assert slug("Few calls: `deis`, and 2 more") == "few-calls-deis-and-2-more"
