"""Cards for notebooks: a title, facts, pictures and tables in one frame that looks alike in all sciences.

A card is a piece of HTML that needs nothing but itself: styles stand in the tags, pictures are data URIs, nothing runs
and nothing is fetched. Every text is escaped here, so that a name in a file cannot become markup.

A picture becomes ``<img src="data:...">``, also when it is SVG: identifiers in it then cannot clash with those of
another cell.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["card", "facts", "gallery", "image", "number", "report_card", "shown", "table"]

MOST_ROWS = 60
"""Rows of a table that are shown; a longer one says how many it has."""
_MOST_ITEMS = 8
_MOST_BYTES = 200_000
_FRAME = "display:inline-block;max-width:100%;border:1px solid #8884;border-radius:6px;padding:.6em .9em;margin:.2em 0"
_CELL = "text-align:left;vertical-align:top;padding:.15em .9em .15em 0"
_HEAD = f"{_CELL};border-bottom:1px solid #8888;font-weight:600"
_SOFT = "opacity:.75;font-size:90%"
_MADE_OF = {"value", "low", "high", "interval", "count"}


def number(value: Any) -> str:
    """Write a value for people, not escaped.

    Parameters
    ----------
    value
        A truth, a number (four significant digits; what is not finite by its name), None (not known), a text, or a
        sequence of these, of which the first eight are written.

    Returns
    -------
    str
        The text.
    """
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        more = f", … ({len(items)} in all)" if len(items) > _MOST_ITEMS else ""
        return (", ".join(number(item) for item in items[:_MOST_ITEMS]) + more) or "none"
    return str(value)


def image(content: bytes | str, text: str) -> str:
    """Make a picture part of a card.

    Parameters
    ----------
    content
        PNG file, or SVG markup.
    text
        What it shows, for those who cannot see it.

    Returns
    -------
    str
        HTML.
    """
    kind, raw = ("svg+xml", content.encode("utf-8")) if isinstance(content, str) else ("png", content)
    source = f"data:image/{kind};base64,{base64.b64encode(raw).decode('ascii')}"
    style = "display:block;max-width:100%;height:auto;background:#fff;margin:.4em 0"
    return f'<img src="{source}" alt="{html.escape(text)}" style="{style}">'


def gallery(pictures: Sequence[tuple[bytes | str, str]], whole: int, noun: str, *, width: int = 150) -> str:
    """Put small pictures side by side, each over its caption, as many as fit into 200 kB.

    Parameters
    ----------
    pictures
        PNG files or SVG markup, and a line of text for each.
    whole
        How many there are of what the first ones are drawn.
    noun
        What they are, in the plural.
    width
        Width of a picture, pixels.

    Returns
    -------
    str
        HTML, with a note of how many are shown where that is not all.
    """
    style = f"display:inline-block;width:{width}px;margin:.2em .4em .2em 0;vertical-align:top"
    caption = f"{_SOFT};overflow-wrap:anywhere;line-height:1.2"
    parts: list[str] = []
    for content, text in pictures:
        part = f'<div style="{style}">{image(content, text)}<div style="{caption}">{html.escape(text)}</div></div>'
        if parts and sum(map(len, parts)) + len(part) > _MOST_BYTES:
            break
        parts.append(part)
    return f"<div>{''.join(parts)}</div>" + shown(len(parts), whole, noun)


def shown(part: int, whole: int, noun: str) -> str:
    """Say how many of a set are shown; nothing where all are.

    Parameters
    ----------
    part, whole
        How many are shown, and how many there are.
    noun
        What they are, in the plural.
    """
    return "" if part >= whole else f'<div style="{_SOFT}">{part} of {whole} {html.escape(noun)} are shown</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, noun: str = "rows", most: int = MOST_ROWS) -> str:
    """Draw a table.

    Parameters
    ----------
    head
        Titles of the columns; none for a table without.
    rows
        Values, see `number`.
    noun
        What the rows are, for the note under a table that is cut.
    most
        Largest number of rows that are shown.

    Returns
    -------
    str
        HTML; empty without rows.
    """
    if not rows:
        return ""
    line = "".join(f'<th style="{_HEAD}">{html.escape(title)}</th>' for title in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(number(cell))}</td>' for cell in row) + "</tr>"
        for row in rows[:most]
    )
    top = f"<thead><tr>{line}</tr></thead>" if head else ""
    style = "border-collapse:collapse;margin:.4em 0;font-size:90%"
    return f'<table style="{style}">{top}<tbody>{body}</tbody></table>' + shown(min(most, len(rows)), len(rows), noun)


def facts(values: Mapping[str, Any]) -> str:
    """Write names and values in one line."""
    parts = (f"{html.escape(name)} <b>{html.escape(number(value))}</b>" for name, value in values.items())
    return f"<div>{' · '.join(parts)}</div>"


def card(title: str, *blocks: str) -> str:
    """Put blocks into a frame.

    Parameters
    ----------
    title
        What it is.
    *blocks
        HTML of the other functions of this module.

    Returns
    -------
    str
        HTML.
    """
    return f'<div style="{_FRAME}"><div><b>{html.escape(title)}</b></div>{"".join(blocks)}</div>'


def report_card(title: str, values: Mapping[str, Any], *blocks: str) -> str:
    """Draw the JSON object of a report.

    Parameters
    ----------
    title
        What was judged.
    values
        Plain values: numbers, texts, mappings of them, and lists of mappings, each of which becomes a table. A number
        and its interval come as ``x`` and ``x_interval``, or as a mapping with ``value`` and ``interval`` (or ``low``
        and ``high``); where a right number should lie comes as ``x_band``.
    *blocks
        Further blocks, above the numbers.

    Returns
    -------
    str
        HTML.
    """
    rows = list(_rows(values, ""))
    tables = [_records(value) for value in values.values() if _is_records(value)]
    noted = any(row[2] for row in rows)
    head = ["number", "value", *(["beside it"] if noted else [])]
    return card(title, *blocks, table(head, [row[: len(head)] for row in rows], noun="numbers"), *tables)


def _is_records(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _records(records: Sequence[Mapping[str, Any]]) -> str:
    """Table of mappings, a column for each name that has a value somewhere."""
    names = list(dict.fromkeys(name for item in records for name, value in item.items() if value not in (None, "")))
    return table(names, [["" if item.get(name) is None else item[name] for name in names] for item in records])


def _rows(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, str, str]]:
    """Name, value with interval, and what stands beside it, for each number of a nested mapping."""
    for name, value in values.items():
        title = f"{above}{name.replace('_', ' ')}"
        stem = name.removesuffix("_interval").removesuffix("_band")
        if _is_records(value) or (stem != name and stem in values):
            continue
        if isinstance(value, Mapping) and "value" in value:
            span = value.get("interval") or (value.get("low"), value.get("high"))
            rest = {key: item for key, item in value.items() if key not in _MADE_OF and item not in (None, "")}
            beside = ", ".join(f"{key.replace('_', ' ')} {number(item)}" for key, item in rest.items())
            yield title, _with_span(value["value"], span), beside
        elif isinstance(value, Mapping):
            yield from _rows(value, f"{title}: ")
        else:
            band = values.get(f"{name}_band")
            beside = "" if band is None else f"band {number(float(band[0]))} to {number(float(band[1]))}"
            yield title, _with_span(value, values.get(f"{name}_interval")), beside


def _with_span(value: Any, span: Any) -> str:
    if not isinstance(span, list | tuple) or len(span) != 2 or any(end is None or math.isnan(end) for end in span):
        return number(value)
    return f"{number(value)} [{number(float(span[0]))}, {number(float(span[1]))}]"
