"""Tables of the documentation out of the files of the repository: reports of ``scidiff bench`` and cards of models.

Nothing is typed by hand: a number on a page is the one in ``benchmarks/NAME.json`` or in the card of a model when the
page is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def number(value: Any) -> str:
    """Four significant digits; nothing for None, and other things as they are."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float | int) and not isinstance(value, bool) else str(value)


def cell(text: Any) -> str:
    """Text of one cell of a Markdown table."""
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
    return escaped.replace("<", "&lt;").replace("$", "\\$").replace("\n", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(cell(value) for value in row) + " |" for row in rows)]) + "\n"


def report(name: str) -> dict[str, Any] | None:
    """Read ``benchmarks/NAME.json``; None where there is none."""
    path = ROOT / "benchmarks" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def with_interval(row: dict[str, Any]) -> str:
    """Value with its interval and unit."""
    interval = row.get("interval")
    ends = f" [{number(interval[0])}, {number(interval[1])}]" if interval else ""
    return f"{number(row['value'])}{ends}" + (f" {row['unit']}" if row.get("unit") else "")


def bar(row: dict[str, Any]) -> str:
    """What had to be reached, and whether it was."""
    if row.get("bar") is None:
        return ""
    missed = "" if row.get("passed") is not False else ", missed"
    return f"{'≥' if row.get('above') else '≤'} {number(row['bar'])}{missed}"


def baseline(row: dict[str, Any]) -> str:
    """Value of the baseline and its name."""
    if row.get("baseline") is None:
        return ""
    return f"{number(row['baseline'])} {row.get('baseline_name') or ''}".strip()


def measured(row: dict[str, Any]) -> str:
    """What was measured, where the row has a truth; else its value."""
    return number(row["measured"]) if "measured" in row else with_interval(row)


COLUMNS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "name": ("quantity", lambda row: row["name"]),
    "label": ("label", lambda row: row.get("label", "")),
    "measured": ("measured", measured),
    "truth": ("truth", lambda row: number(row.get("truth"))),
    "value": ("value [95 % interval]", with_interval),
    "bar": ("to reach", bar),
    "baseline": ("baseline", baseline),
    "calls": ("calls", lambda row: number(row.get("calls"))),
    "seconds": ("seconds", lambda row: number(row.get("seconds"))),
    "note": ("note", lambda row: row.get("note", "")),
}
DEFAULT = ("name", "label", "value", "bar", "baseline", "note")
TRUTHS = ("name", "label", "measured", "truth", "bar", "calls")


def chosen(rows: list[dict[str, Any]], patterns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows whose names match, in the order of the patterns; all without any pattern.

    A pattern that begins with a question mark may match nothing: its rows are in the full report, not in the fast one.

    Raises
    ------
    LookupError
        If a pattern matches no row: the row was renamed, and the page speaks of something that is not there.
    """
    if not patterns:
        return rows
    found: list[dict[str, Any]] = []
    for pattern in patterns:
        wanted = pattern.removeprefix("?")
        matching = [row for row in rows if fnmatchcase(row["name"], wanted) and row not in found]
        if not matching and wanted == pattern:
            raise LookupError(f"no row matches {pattern!r}")
        found += matching
    return found


def bench_rows(name: str, patterns: Sequence[str] = (), columns: Sequence[str] = ()) -> str:
    """Rows of a report as a Markdown table; one sentence where the report is not in the repository."""
    found = report(name)
    if found is None:
        return f"No report is in the repository: `scidiff bench {name} --json benchmarks/{name}.json` makes one.\n"
    rows = chosen(found["rows"], patterns)
    used = columns or (TRUTHS if all("measured" in row for row in rows) else DEFAULT)
    return table([COLUMNS[key][0] for key in used], [[COLUMNS[key][1](row) for key in used] for row in rows])


def bench_header(name: str) -> str:
    """One sentence on what a report was measured on."""
    found = report(name)
    if found is None:
        return bench_rows(name)
    machine = found.get("hardware", {})
    facts = [
        f"{key} {machine[key]}" for key in ("processor", "cores", "threads", "accelerator", "torch") if key in machine
    ]
    rows = found["rows"]
    judged = [row for row in rows if row.get("passed") is not None]
    passed = sum(bool(row["passed"]) for row in judged)
    date = str(machine.get("date", ""))[:10]
    return (
        f"Protocol {found.get('protocol', '')}, seed {found.get('seeds', ['?'])[0]}, {date}; {', '.join(facts)}. "
        f"{len(rows)} rows, {len(judged)} of them with a bar, which {passed} reach.\n"
    )


def model_cards(domain: str) -> str:
    """Bundled models of a domain: parameters, training, size, as their cards say."""
    rows = []
    for path in sorted((ROOT / "domains" / domain / "weights").glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        training, data = card.get("training", {}), card.get("task", {}).get("data", "")
        if isinstance(data, dict):
            data = data.get("name") or ", ".join(data.get("volumes", {}))
        size = path.with_suffix(".safetensors").stat().st_size / 1e6
        minutes = training.get("seconds", 0) / 60
        rows.append(
            (
                path.stem,
                f"{card.get('parameters', 0):,}",
                f"{size:.2g} MB",
                data,
                training.get("step", ""),
                f"{minutes:.0f}",
            )
        )
    return table(("model", "parameters", "file", "data", "steps", "minutes of training"), rows)
