"""Where in a TOML text a key or an element of an array stands, so that an error can name the line.

A text that `tomllib` has read is cut into tokens; a statement ends with a line break outside all brackets. Tables,
arrays of tables and dotted keys make the path of a key, and commas at depth one the elements of an array.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence

__all__ = ["line_of"]

_TOKEN = re.compile(
    r"\"\"\"(?:\\.|[^\\])*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|#[^\n]*|\n|[\[\]{},=]"
    r"|[^\s\[\]{},=\"'#]+",
    re.DOTALL,
)
_Token = tuple[str, int]
_Path = tuple[str | int, ...]


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Find the line of a value, or of the nearest table around it.

    Parameters
    ----------
    text
        A valid TOML text.
    path
        Keys and numbers of elements, e.g. ``("scores", 1, "name")``.

    Returns
    -------
    int or None
        Number of the line, from 1; None where the text says nothing of any part of the path.
    """
    lines = dict(_lines(text))
    wanted = tuple(path)
    return next((lines[wanted[:n]] for n in range(len(wanted), 0, -1) if wanted[:n] in lines), None)


def _lines(text: str) -> Iterator[tuple[_Path, int]]:
    """Yield the path and the line of everything that the text sets."""
    table: _Path = ()
    counts: dict[_Path, int] = {}
    for tokens in _statements(text):
        words, line = [word for word, _ in tokens], tokens[0][1]
        if words[0] == "[":
            depth = 2 if words[1] == "[" else 1
            table = _placed(_keys("".join(words[depth:-depth])), counts, depth == 2)
            yield table, line
            if depth == 2:
                yield table[:-1], line
            continue
        end = words.index("=")
        key = table + _keys("".join(words[:end]))
        for length in range(len(table) + 1, len(key) + 1):
            yield key[:length], line
        yield from _elements(key, tokens[end + 1 :])


def _placed(keys: _Path, counts: dict[_Path, int], repeated: bool) -> _Path:
    """Put the number of the present element behind every array of tables on the way."""
    path: _Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if repeated and position == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _keys(text: str) -> _Path:
    """Split a dotted key."""
    value, path = tomllib.loads(f"{text} = 0"), []
    while isinstance(value, dict):
        key, value = next(iter(value.items()))
        path.append(key)
    return tuple(path)


def _statements(text: str) -> Iterator[list[_Token]]:
    """Yield the tokens of one statement after the other, without comments."""
    depth, line, tokens = 0, 1, []
    for match in _TOKEN.finditer(text):
        word = match.group()
        if word == "\n" and depth == 0 and tokens:
            yield tokens
            tokens = []
        elif word != "\n" and not word.startswith("#"):
            depth += (word in "[{") - (word in "]}")
            tokens.append((word, line))
        line += word.count("\n")
    if tokens:
        yield tokens


def _elements(key: _Path, value: list[_Token]) -> Iterator[tuple[_Path, int]]:
    """Yield the lines of the elements of an array."""
    if value[0][0] != "[":
        return
    depth, number, fresh = 0, 0, False
    for word, line in value:
        if depth == 1 and fresh and word != "]":
            yield (*key, number), line
            fresh = False
        depth += (word in "[{") - (word in "]}")
        if depth == 1 and word in "[,":
            number += word == ","
            fresh = True
