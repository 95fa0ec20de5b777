"""All comparisons with peers, in one run.

    python benchmarks/peers/run.py --out benchmarks/peers.json           # all peers that are installed
    python benchmarks/peers/run.py --only geoopt --fast                  # one of them, few repeats
    python benchmarks/peers/run.py --only deepinv --into benchmarks/peers.json
    python benchmarks/peers/run.py --show benchmarks/peers.json          # the table of a report that is there

One thread. Every row is a number of the peer divided by that of scidiff, see `measure`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

PROTOCOL = "peers/1"
EQUAL = 1.01
PACKAGES = ("diffusers", "azula", "torchcfm", "geoopt", "deepinv", "astra-toolbox", "torch_geometric", "mpmath")
PARTS = {
    "diffusers": "samplers:diffusers_rows",
    "azula": "samplers:azula_rows",
    "torchcfm": "flows:rows",
    "geoopt": "manifolds:rows",
    "deepinv": "tomography:deepinv_rows",
    "astra": "tomography:astra_rows",
    "torch_geometric": "graphs:rows",
}


def peer_of(row: dict[str, Any]) -> str:
    """Name of the peer of a row."""
    return row["name"].rpartition(",")[2].partition("/")[0].strip() if row["unit"] == "ratio" else ""


def better(row: dict[str, Any]) -> str:
    """Say which side the interval favours; `equal` if both are within one per cent, `open` if it holds 1."""
    low, high = row["interval"] or (row["value"], row["value"])
    if row["unit"] != "ratio":
        return ""
    if 1 / EQUAL < low <= high < EQUAL:
        return "equal"
    return "scidiff" if low > 1 else peer_of(row) if high < 1 else "open"


def ratio(row: dict[str, Any]) -> str:
    """Write the value of a row with its interval."""
    interval = row["interval"]
    return f"{row['value']:.3g}" + (f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else "")


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of Markdown, one for each row, with the side that the interval favours."""
    yield "| row | peer / scidiff [95 %] | better | how |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| {plain(row['name'])} | {ratio(row)} | {better(row)} | {plain(row['note'])} |"


def page(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Short tables, one for each peer, as the documentation shows them."""
    for peer in dict.fromkeys(map(peer_of, rows)):
        yield from (
            "",
            f"### {peer or 'not installed'}",
            "",
            f"| what | {peer} / scidiff [95 %] | better |",
            "|---|---|---|",
        )
        for row in rows:
            if peer_of(row) == peer:
                yield f"| {plain(row['name'].removesuffix(f', {peer} / scidiff'))} | {ratio(row)} | {better(row)} |"


def plain(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "/")


def measure(parts: list[str], fast: bool, seed: int) -> Iterator[dict[str, Any]]:
    """Run the parts, and yield the report of all rows so far after each."""
    from measure import versions

    from scidiff import __version__
    from scidiff.bench.environment import environment
    from scidiff.bench.report import Report
    from scidiff.domain import resolve

    header = {
        "scidiff": __version__,
        "protocol": PROTOCOL,
        "fast": fast,
        "seeds": [seed],
        "hardware": environment(),
        "peers": versions(PACKAGES),
        "load": [round(os.getloadavg()[0], 2)],
        "data": {},
    }
    rows, begun = [], time.perf_counter()
    for part in parts:
        function: Callable[[bool, int], Iterator[Any]] = resolve(PARTS[part])
        for row in function(fast, seed):
            rows.append(row)
            print(f"{time.perf_counter() - begun:6.0f} s  {row.name}: {row.value:.3g}", file=sys.stderr, flush=True)
        header["load"].append(round(os.getloadavg()[0], 2))
        yield Report("peers", header, tuple(rows)).as_json()


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Replace the rows that two reports of one protocol share, and name both runs in the header."""
    if old["protocol"] != new["protocol"]:
        raise SystemExit(f"the report follows {old['protocol']}, this run {new['protocol']}; measure all peers again")
    found = {row["name"]: row for row in new["rows"]}
    kept = [found.pop(row["name"], row) for row in old["rows"]]
    again = {"parts": sorted(set(map(peer_of, new["rows"]))), "hardware": new["hardware"], "load": new["load"]}
    return {**old, "rows": [*kept, *found.values()], "again": [*old.get("again", []), again]}


def main() -> None:
    """Measure, write, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the report here, as JSON")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--fast", action="store_true", help="few repeats and seeds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, help="replace the rows of these peers in a report that is there")
    parser.add_argument("--show", type=Path, help="print the table of a report and measure nothing")
    parser.add_argument("--page", type=Path, help="print the short tables of a report and measure nothing")
    asked = parser.parse_args()
    for path, lines in ((asked.show, table), (asked.page, page)):
        if path is not None:
            print("\n".join(lines(json.loads(path.read_text(encoding="utf-8"))["rows"])))
            return
    import torch

    from scidiff.io.files import atomic_write

    torch.set_num_threads(1)
    old = None if asked.into is None else json.loads(asked.into.read_text(encoding="utf-8"))
    out, report = asked.into or asked.out, {"rows": []}
    for now in measure(asked.only, asked.fast, asked.seed):
        report = now if old is None else merged(old, now)
        if out is not None:
            with atomic_write(out) as file:
                json.dump(report, file, indent=1)
                file.write("\n")
    print("\n".join(table(report["rows"])))


if __name__ == "__main__":
    main()
