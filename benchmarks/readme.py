"""Write the results section of README.md from the measured reports in this folder.

Run ``scidiff bench molecules --json benchmarks/molecules.json`` first, then ``python benchmarks/readme.py``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def number(value: float) -> str:
    """Four significant digits, no exponent in the usual range."""
    return f"{value:.4g}"


def line(row: dict) -> str:
    """One row of a report as a row of a Markdown table."""
    interval = f" [{number(row['interval'][0])}, {number(row['interval'][1])}]" if row["interval"] else ""
    unit = f" {row['unit']}" if row["unit"] else ""
    bar = "" if row["bar"] is None else f"{'≥' if row['above'] else '≤'} {number(row['bar'])}"
    baseline = "" if row["baseline"] is None else f"{number(row['baseline'])} ({row['baseline_name']})"
    value = f"{number(row['value'])}{interval}{unit}"
    return f"| {row['name']} | {value} | {bar} | {baseline} | {row['note']} |"


def section(report: dict) -> str:
    """Render the whole section."""
    machine = report["hardware"]
    facts = ", ".join(f"{key} {machine[key]}" for key in ("processor", "cores", "threads", "torch"))
    rows = "\n".join(line(row) for row in report["rows"])
    return (
        f"Measured by `scidiff bench molecules`, seed {report['seeds'][0]}, 95 % intervals; {facts}.\n\n"
        f"| quantity | value [interval] | bar | baseline | note |\n|---|---|---|---|---|\n{rows}\n"
    )


def main() -> None:
    """Replace what stands between the markers."""
    report = json.loads((HERE / "molecules.json").read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    README.write_text(pattern.sub(lambda _: f"{BEGIN}\n{section(report)}{END}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
