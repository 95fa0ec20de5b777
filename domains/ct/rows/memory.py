"""A row on memory: a slice of 512^2 pixels from 180 views, in a process of its own, whose peak is its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from scidiff.domain import Row
from scidiff.errors import NumericalError

__all__ = ["memory_rows"]

_PROGRAM = """
import json, time, torch
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.methods import reconstruct
from scidiff.domains.ct.methods.run import peak_memory
from scidiff.domains.ct.phantoms import water_disc
from scidiff.domains.ct.simulation import simulate
torch.set_num_threads(1)
scan = simulate(water_disc(180.0), Parallel(even_angles(180), 768, 500 / 512), 1e5, {seed})
begun = time.perf_counter()
found = reconstruct(scan, "gaussian", grid=Grid.square(512, 500.0), count=2, steps=2, seed={seed})
print(json.dumps([peak_memory(), time.perf_counter() - begun, float(found.chi2.mean())]))
"""


def memory_rows(seed: int) -> Iterator[Row]:
    """Measure the peak of resident memory."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM.format(seed=seed)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NumericalError(f"the process ended with {done.returncode}: {done.stderr[-300:]}; expected a result")
    peak, seconds, chi2 = json.loads(done.stdout.splitlines()[-1])
    note = f"whole process; system matrix and its transpose in memory, 2 samples, chi^2/n {chi2:.3f}"
    yield Row(
        "512^2 pixels, 180 views: peak memory", "measured", peak / 1024, unit="GiB", bar=4.0, above=False,
        seconds=seconds, note=note,
    )  # fmt: skip
