"""Heat and Burgers under constraints: every method on one bundled flow of each family, in one run.

    python benchmarks/pde_constraints.py [--family heat] [--count 256] [--steps 20] [--heat MODEL] [--burgers MODEL]

writes ``pde_constraints.json``: errors of mean and standard deviation with intervals, violation, calls, time. Models
are those of ``scidiff pde train --data heat`` and ``--data burgers``. Times are those of the process on one core.
Figures of the publication stand beside, as quoted; its data are other draws of the same settings on a finer grid, so
that only rows of one run can be compared.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from scidiff.domains.pde.constraints.cases import CASES, family_methods
from scidiff.domains.pde.constraints.trial import Trial

from scidiff.bench.environment import environment
from scidiff.domains import pde

QUOTED = {
    "source": "arXiv:2506.04171, second hand, errors in units of 1e-2",
    "heat": {"PCFM": {"mmse": 0.241}, "ECI": {"mmse": 0.697}, "FFM": {"mmse": 4.56}},
    "burgers": {"PCFM": {"mmse": 0.052}, "ECI": {"mmse": 10.0}},
    "milliseconds": {"PCFM": [292, 1371], "ECI": [66, 781], "DiffusionPDE": [129, 211], "D-Flow": [2771, 8049]},
}


def measure(model: str, count: int, steps: int, only: list[str], rows: dict[str, Any]) -> dict[str, Any]:
    """Judge every method on the flow of a family, or some anew."""
    loaded = pde.load(model)
    trial = Trial(loaded.case.family, loaded.flow, count=count)
    for name, entry in family_methods(loaded.case, loaded.flow.law, steps).items():
        if only and name not in only:
            continue
        rows[name] = trial.judge(entry).as_dict()
        print(loaded.name, name, json.dumps(rows[name]), flush=True)
    size = loaded.case.family.size
    return {
        "grid": [size, size],
        "modes": loaded.case.modes,
        "model_sha256": loaded.card["sha256"],
        "training": {key: loaded.card["training"][key] for key in ("command", "step", "seconds")},
        "fixed": list(trial.fixed),
        "seed": trial.seed,
        "rows": rows,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=sorted(CASES), action="append")
    parser.add_argument("--heat", default="heat", help="model: bundled name or file")
    parser.add_argument("--burgers", default="burgers", help="model: bundled name or file")
    parser.add_argument("--method", action="append", default=[], help="this one anew; may come more than once")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pde_constraints.json"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"hardware": environment(), "quoted": QUOTED}
    if (chosen.family or chosen.method) and chosen.out.exists():
        report = json.loads(chosen.out.read_text()) | report
    kept = {name: report.get(name, {}).get("rows", {}) for name in CASES} if chosen.method else {}
    for name in chosen.family or sorted(CASES):
        report[name] = measure(getattr(chosen, name), chosen.count, chosen.steps, chosen.method, kept.get(name, {}))
        chosen.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
