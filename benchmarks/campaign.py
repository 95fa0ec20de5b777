"""What campaigns cost: memory of the coordinator, one worker against two, selection from a million rows, kills.

    python benchmarks/campaign.py memory select            # cheap rows, minutes
    python benchmarks/campaign.py scaling kills             # 20,000 molecules
    python benchmarks/campaign.py --fast memory select scaling kills

Each part prints what it finds and puts it into ``campaign.json`` beside this file (``--out`` for another place). Times
mean something only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE / "cheap"), os.environ.get("PYTHONPATH", "")])}
CHEAP = """domain = "cheap"
model = "none"
count = {count}
[[scores]]
name = "first"
[[scores]]
name = "second"
[[scores]]
name = "product"
[objectives]
maximise = ["first"]
minimise = ["second", "product"]
[shards]
rows = {rows}
"""
MOLECULES = """domain = "molecules"
model = "qm9"
count = {count}
[sampler]
steps = {steps}
[[scores]]
name = "qed"
[[scores]]
name = "sa"
[[filters]]
score = "sa"
most = 4.0
[objectives]
maximise = ["qed"]
minimise = ["sa"]
[shards]
rows = 250
"""


def begin(spec: Path, out: Path, workers: int) -> subprocess.Popen:
    """Start a campaign in a process of its own."""
    command = [sys.executable, "-m", "scidiff", "campaign", "run", str(spec), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--workers", str(workers)], env=ENVIRONMENT, cwd=HERE.parent, stdout=subprocess.DEVNULL
    )


def files(out: Path) -> int:
    """Count the shards that are done."""
    return len(list((out / "shards").glob("shard-*.parquet")))


def measure_memory(folder: Path, fast: bool) -> dict[str, Any]:
    """Largest resident memory of the coordinator, for more and more rows in shards of one size."""
    import psutil

    found = {}
    for count in (1_000, 10_000, 100_000) if fast else (1_000, 10_000, 100_000, 1_000_000):
        spec, out = folder / f"{count}.toml", folder / f"rows-{count}"
        spec.write_text(CHEAP.format(count=count, rows=1000))
        begun = time.perf_counter()
        process = begin(spec, out, 2)
        seen, most = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                most = max(most, seen.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
        found[str(count)] = {"mb": round(most / 2**20, 1), "seconds": round(seconds, 2), "exit": process.wait()}
        print(f"memory: {count} rows, coordinator at most {most / 2**20:.0f} MB, {seconds:.1f} s", flush=True)
    return found


SELECT = """
import json, sys, time
from scidiff import campaign
from scidiff.io.memory import peak_memory
begun = time.perf_counter()
picked = campaign.select(sys.argv[1], count=100, per_group=5, pool=int(sys.argv[2]))
middle, cpu = time.perf_counter(), time.process_time()
rows = campaign.export(sys.argv[1], sys.argv[3], condition="true")
end = time.perf_counter()
mb = peak_memory()
counts = {name: value for name, value in picked.facts.items() if isinstance(value, int)}
print(json.dumps({"counts": counts, "exported": rows, "mb": round(mb, 1), "select_seconds": round(middle - begun, 2),
                  "export_seconds": round(end - middle, 2), "select_cpu": round(cpu, 2),
                  "export_cpu": round(time.process_time() - cpu, 2)}))
"""


def measure_select(folder: Path, fast: bool) -> dict[str, Any]:
    """Pareto fronts of three objectives, MaxMin picks and the export of all rows, with few and with all in the pool."""
    count = 100_000 if fast else 1_000_000
    spec, out = folder / "select.toml", folder / f"rows-{count}"
    spec.write_text(CHEAP.format(count=count, rows=1000))
    if files(out) < count // 1000:
        begin(spec, out, 2).wait()
    found = {}
    for pool in (1_000, count):
        command = [sys.executable, "-c", SELECT, str(out), str(pool), str(folder / "all.csv")]
        done = subprocess.run(command, env=ENVIRONMENT, cwd=HERE.parent, capture_output=True, text=True, check=True)
        found[f"pool {pool}"] = json.loads(done.stdout)
        print(f"select: {count} rows, pool {pool}: {found[f'pool {pool}']}", flush=True)
    return found


def measure_scaling(folder: Path, fast: bool) -> dict[str, Any]:
    """Rows a second of one worker and of two, after the first shards: start-up is not counted."""
    spec, found = folder / "scaling.toml", {}
    spec.write_text(MOLECULES.format(count=2_000 if fast else 20_000, steps=8))
    for workers in (1, 2):
        out = folder / f"scaling-{workers}"
        shutil.rmtree(out, ignore_errors=True)
        process = begin(spec, out, workers)
        while files(out) < 2 and process.poll() is None:
            time.sleep(0.01)
        begun, first = time.perf_counter(), files(out)
        code = process.wait()
        # the end of the process, with the end of its workers, is not counted either
        last = max(path.stat().st_mtime for path in (out / "shards").iterdir())
        seconds = last - (time.time() - (time.perf_counter() - begun))
        rate = 250 * (files(out) - first) / seconds
        found[str(workers)] = {"rows_per_second": round(rate, 2), "seconds": round(seconds, 2), "exit": code}
        print(f"scaling: {workers} workers, {rate:.1f} rows/s", flush=True)
    found["ratio"] = round(found["2"]["rows_per_second"] / found["1"]["rows_per_second"], 3)
    print(f"scaling: ratio {found['ratio']}", flush=True)
    return found


def measure_kills(folder: Path, fast: bool) -> dict[str, Any]:
    """End coordinator and workers in turn at ten random moments, go on; compare with a run that nobody disturbed."""
    import pyarrow.parquet as pq

    from scidiff.campaign.state import digest

    count = 2_000 if fast else 20_000
    spec, out, calm = folder / "kills.toml", folder / "killed", folder / "scaling-2"
    spec.write_text(MOLECULES.format(count=count, steps=8))
    if files(calm) < count // 250:
        begin(spec, calm, 2).wait()
    draw, kills, process = random.Random(1), [], begin(spec, out, 2)
    for trial in range(10):
        wanted = files(out) + draw.randint(1, max(1, count // 250 // 12))
        while files(out) < wanted and process.poll() is None:
            time.sleep(0.05)
        time.sleep(draw.random())
        if process.poll() is not None:
            break
        kills.append("worker" if trial % 2 else "coordinator")
        if trial % 2:
            draw.choice(_workers(process)).kill()
        else:
            process.kill()
            process.wait()
            process = begin(spec, out, 2)
    code = process.wait()
    rows = [k for path in sorted((out / "shards").iterdir()) for k in pq.read_table(path)["index"].to_pylist()]
    same = digest(out) == digest(calm)
    lost, doubled = count - len(set(rows)), len(rows) - len(set(rows))
    print(f"kills: {len(kills)} kills, {lost} lost, {doubled} doubled, content {'the same' if same else 'DIFFERS'}")
    return {"rows": count, "kills": kills, "lost": lost, "doubled": doubled, "same": same, "exit": code}


def _workers(process: subprocess.Popen) -> list[Any]:
    """Worker processes of a coordinator."""
    import psutil

    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "memory": measure_memory,
    "select": measure_select,
    "scaling": measure_scaling,
    "kills": measure_kills,
}


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--fast", action="store_true", help="a tenth of the rows")
    parser.add_argument("--folder", type=Path, help="where campaigns lie; by default a temporary folder")
    parser.add_argument("--out", type=Path, default=HERE / "campaign.json")
    asked = parser.parse_args()
    sys.path.insert(0, str(HERE / "cheap"))
    from scidiff.bench.environment import environment
    from scidiff.io.files import atomic_write

    known = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for part in asked.parts:
            begun = os.getloadavg()[0]
            known[part] = {"fast": asked.fast, "load_before": round(begun, 2), **PARTS[part](folder, asked.fast)}
            known["hardware"] = environment()
            with atomic_write(asked.out) as file:
                json.dump(known, file, indent=2, sort_keys=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
