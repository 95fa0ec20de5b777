"""Heat and Burgers under constraints: free flow, ECI, PCFM and conditioning in the metric of the posterior, in one run.

Trains the flow of each family with the project's trainer where the folder holds none, draws by every method, and writes
``pde_constraints.json``:

    python benchmarks/pde_constraints.py --folder runs [--family heat] [--seconds 900] [--count 64] [--steps 20]

Times are those of the process on one core. Figures of the publication stand beside, as quoted; its data are other draws
of the same settings on a finer grid, so that only rows of one run can be compared.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from scidiff.domains.pde.constraints.cases import CASES, family_methods
from scidiff.domains.pde.constraints.trial import Trial, load_flow, reference_law, train_flow

from scidiff.bench.environment import environment

QUOTED = {
    "source": "arXiv:2506.04171, second hand, errors in units of 1e-2",
    "heat": {"PCFM": {"mmse": 0.241}, "ECI": {"mmse": 0.697}, "FFM": {"mmse": 4.56}},
    "burgers": {"PCFM": {"mmse": 0.052}, "ECI": {"mmse": 10.0}},
    "milliseconds": {"PCFM": [292, 1371], "ECI": [66, 781]},
}


def measure(name: str, folder: Path, seconds: float, count: int, steps: int) -> dict[str, object]:
    """Train, or load, the flow of a family, and judge every method on it."""
    case = CASES[name]
    model = folder / name / "model.safetensors"
    if model.exists():
        flow = load_flow(reference_law(case.family, case.modes), model)
    else:
        flow = train_flow(case.family, case.modes, folder / name, steps=case.steps, max_seconds=seconds)
    log = [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
    trial = Trial(case.family, flow, count=count)
    rows = {}
    for method, settings in family_methods(case, trial, steps).items():
        rows[method] = trial.judge(settings[0], settings[1], initial=settings[2]).as_dict()
        print(name, method, {key: float(f"{value:.4g}") for key, value in rows[method].items()}, flush=True)
    mmse, smse = trial.floor()
    return {
        "grid": [case.family.size, case.family.size],
        "modes": case.modes,
        "training_steps": max(line["step"] for line in log),
        "training_seconds": max(line.get("seconds", 0.0) for line in log),
        "fixed": list(trial.fixed),
        "count": count,
        "floor": {"mmse": mmse, "smse": smse},
        "rows": rows,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--family", choices=sorted(CASES), action="append")
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pde_constraints.json"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    report = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    report |= {"hardware": environment(), "quoted": QUOTED}
    for name in chosen.family or sorted(CASES):
        report[name] = measure(name, chosen.folder, chosen.seconds, chosen.count, chosen.steps)
        chosen.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
