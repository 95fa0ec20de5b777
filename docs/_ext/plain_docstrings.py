"""The docstrings of the package are plain text with formulas; this makes them safe for reStructuredText.

An indented paragraph outside of lists and of the sections of numpydoc is a formula or an example: it is shown as it
stands. In all other text the signs that reStructuredText would read (``*``, ``|``, a trailing ``_``) are escaped
outside of backticks, and a name in single backticks is shown as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

_KEPT = re.compile(r"(``(?:.|\n(?!\s*\n))+?``|`[^`]+`|^\s*[-*] )", re.MULTILINE)
_SIGN = re.compile(r"([*|\\]|_(?!\w)|`)")
_RULE = re.compile(r"^-{3,}$")
_ITEM = re.compile(r"^\s*([-*]|\d+\.)\s")
_SOURCE = re.compile(r"^\s*\.\. \[\w+\] ")


def escape(lines: list[str]) -> list[str]:
    r"""Escape the signs of reStructuredText outside of backticks; single backticks become double ones.

    Examples
    --------
    >>> escape(["|x|^2 of `x_t`"])
    ['\\|x\\|^2 of ``x_t``']
    """
    parts = _KEPT.split("\n".join(lines))
    for index, part in enumerate(parts):
        if index % 2 == 0:
            parts[index] = _SIGN.sub(r"\\\1", part)
        elif part.startswith("`") and not part.startswith("``"):
            parts[index] = f"`{part}`"
    return "".join(parts).split("\n")


def marked(lines: list[str]) -> Iterator[tuple[bool, str]]:
    """Say of each line whether it belongs to a literal block; the continued lines of a list do not."""
    literal = listed = False
    for line in lines:
        if line.strip():
            literal = line.startswith("    ") or (line.startswith("  ") and not listed)
            listed = not literal and (bool(_ITEM.match(line)) or (listed and line.startswith("  ")))
        yield literal, line


def prose(lines: list[str]) -> list[str]:
    """Plain text with literal blocks."""
    out: list[str] = []
    for literal, group in groupby(marked(lines), key=lambda pair: pair[0]):
        text = [line for _, line in group]
        said = next((line for line in reversed(out) if line.strip()), "").endswith("::")
        if literal and said:
            out += ["", *text, ""]
        elif literal:
            out += ["", "::", "", *text, ""]
        else:
            out += escape(text)
    return out


def sections(lines: list[str]) -> list[int]:
    """Where the sections of numpydoc begin, and the end."""
    marks = [i - 1 for i in range(1, len(lines)) if _RULE.match(lines[i].strip()) and lines[i - 1].strip()]
    return [*marks, len(lines)]


def references(lines: list[str]) -> list[str]:
    """Sources as a list: a number that no text refers to is not shown; sources without numbers stay a paragraph."""
    out, listed = [], False
    for line in lines:
        listed = listed or bool(_SOURCE.match(line))
        out.append(_SOURCE.sub("- ", line) if _SOURCE.match(line) else (" " * 2 * listed + line.strip()).rstrip())
    return out


def body(title: str, lines: list[str]) -> list[str]:
    """One section of numpydoc."""
    if title == "Examples":
        return lines
    return escape(references(lines) if title == "References" else lines)


def treat(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite one docstring before numpydoc reads it."""
    marks = sections(lines)
    out = prose(lines[: marks[0]])
    for start, end in pairwise(marks):
        title = lines[start].strip()
        head = [f".. rubric:: {title}", ""] if what == "module" else lines[start : start + 2]
        out += [*head, *body(title, lines[start + 2 : end])]
    lines[:] = out


def setup(app: Any) -> dict[str, Any]:
    """Entry point of Sphinx: before numpydoc, whose priority is 500."""
    app.connect("autodoc-process-docstring", treat, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
