"""Write the results section of README.md from the measured reports in this folder.

Run ``scidiff bench SUITE --json benchmarks/SUITE.json`` first, then ``python benchmarks/readme.py``. Some rows of each
suite are shown, misses as well; all rows stand in the documentation.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

SHOWN = {
    "molecules": (
        "qm9 valid, 10 steps",
        "qm9 unique, 10 steps",
        "qm9 scaffold contained, 10 steps",
        "qm9 molecules per second, 10 steps",
        "universe samples inside the universe",
        "universe KL to uniform",
        "conformer bond lengths, 10 calls, W1",
        "conformer bond angles, 10 calls, W1",
    ),
    "pde": (
        "flow, 4 calls: worst relative divergence",
        "flow, 4 calls: energy k 4-7, deviation",
        "flow, 20 calls: energy k 4-7, deviation",
        "constraints/oracle/exact conditioning/20/covariance",
        "constraints/oracle/ECI, mix 1/20/covariance",
        "poisson inverse, exact posterior mean, mean over fields",
        "darcy inverse: 20 calls, one draw, 8 corrections",
        "darcy forward: 1 calls, one draw",
        "darcy forward: 1 calls, mean of 8",
    ),
    "proteins": (
        "samples without clash",
        "samples through all gates",
        "samples favoured_general",
        "samples outliers_general",
        "scaffolds: motif RMSD at most 0.2 Å, valid geometry, no clash",
    ),
    "ct": (
        "Siemens, 20 views of 180 degrees, noise 0.2 %: gain in PSNR over TV with the oracle weight",
        "Siemens, 40 views of 180 degrees, noise 0.2 %: gain in PSNR over TV with the oracle weight",
        "Siemens, 20 views of 180 degrees, noise 1 %: gain in PSNR over TV with the oracle weight",
        "Siemens, 40 views of 180 degrees, noise 1 %: gain in PSNR over TV with the oracle weight",
        "Siemens, 60 views of 90 degrees, noise 0.2 %: gain in PSNR over TV with the oracle weight",
        "Siemens, 20 views of 180 degrees, noise 0.2 %: coverage of 90 % intervals, distance from 0.90, no factor",
        "Siemens, 20 views of 180 degrees, noise 0.2 %: coverage of 90 % intervals, distance from 0.90, conformal",
        "Siemens, 20 views of 180 degrees, noise 0.2 %: PSNR of DPIR with momentum, 10 levels from TV",
        "Gaussian prior: coverage of 90 % intervals, distance from 0.90",
        "tooth, posterior: chi^2/n of held-out views",
        "512^2 pixels, 180 views: peak memory",
    ),
    "peers": (
        "as advised, 8 calls: error, diffusers / scidiff",
        "UniPC-3, 8 calls: error, diffusers / scidiff",
        "DPM-Solver++(2M), 20 calls, 64 samples: seconds, diffusers / scidiff",
        "exponential Adams 2, 20 calls, 64 samples: seconds, azula / scidiff",
        "ten training steps: seconds, torchcfm / scidiff",
        "coupling of 1024 pairs: seconds, torchcfm / scidiff",
        "hyperbolic, float64, radius 5, distance as drawn: error, geoopt / scidiff",
        "hyperbolic, exp: seconds, geoopt / scidiff",
        "CT, exact adjoint, forward and adjoint: seconds, deepinv / scidiff",
        "CT, forward and adjoint: seconds, astra / scidiff",
        "Laplacian encoding, 4 modes: seconds, torch_geometric / scidiff",
    ),
}
"""Names of the rows that are shown."""


def number(value: float) -> str:
    """Three significant digits, no exponent in the usual range."""
    return f"{value:.3g}"


def line(suite: str, row: dict) -> str:
    """One row of a report as a row of a Markdown table."""
    interval = f" [{number(row['interval'][0])}, {number(row['interval'][1])}]" if row["interval"] else ""
    unit = f" {row['unit']}" if row["unit"] else ""
    bar = "" if row["bar"] is None else f"{'≥' if row['above'] else '≤'} {number(row['bar'])}"
    if row["bar"] is not None and row["value"] is not None:
        met = row["value"] >= row["bar"] if row["above"] else row["value"] <= row["bar"]
        bar += "" if met else " **missed**"
    named = f" ({row['baseline_name']})" if row["baseline_name"] else ""
    baseline = "" if row["baseline"] is None else f"{number(row['baseline'])}{named}"
    return f"| {suite} | {row['name']} | {number(row['value'])}{interval}{unit} | {bar} | {baseline} |"


def section() -> str:
    """Render the whole section."""
    lines, told = [], []
    for suite, names in SHOWN.items():
        path = HERE / f"{suite}.json"
        report = json.loads(path.read_text(encoding="utf-8"))
        rows = {row["name"]: row for row in report["rows"]}
        missing = [name for name in names if name not in rows]
        if missing:
            raise SystemExit(f"{path} has no rows {missing}; choose among {sorted(rows)}")
        lines += [line(suite, rows[name]) for name in names]
        machine = report["hardware"]
        command = "python benchmarks/peers/run.py" if suite == "peers" else f"scidiff bench {suite}"
        told.append(f"`{command}` ({len(rows)} rows, seed {report['seeds'][0]})")
    facts = ", ".join(f"{key} {machine[key]}" for key in ("processor", "cores", "torch"))
    pages = "[benchmarks](docs/benchmarks.md), [peers](docs/peers.md)"
    head = (
        f"Measured by {', '.join(told)}; 95 % intervals; {facts}. Every row: {pages}. A ratio to a peer above 1 is in "
        "favour of scidiff."
    )
    table = "\n".join(lines)
    return f"{head}\n\n| science | quantity | value [interval] | bar | baseline |\n|---|---|---|---|---|\n{table}\n"


def main() -> None:
    """Replace what stands between the markers."""
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    README.write_text(pattern.sub(lambda _: f"{BEGIN}\n{section()}{END}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
