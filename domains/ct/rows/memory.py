"""Rows on memory: a slice of 512^2 pixels from 180 views, and a volume of 256^3 whose slices stream.

Every number is the peak of resident memory of a process of its own. The volume is a ball of water in a parallel beam,
256 slices of 256^2 pixels from 60 views, whose scans are made one by one as they are asked for. A first process stops
after a few slices, a second one goes on from there: that its peak is not above that of the first says that memory does
not grow with the number of slices.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

from scidiff.domain import Row

from .apart import apart

__all__ = ["memory_rows"]

_SLICE = """
import json, time, torch
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.methods import reconstruct
from scidiff.domains.ct.phantoms import water_disc
from scidiff.domains.ct.simulation import simulate
from scidiff.io.memory import peak_memory
torch.set_num_threads(1)
scan = simulate(water_disc(180.0), Parallel(even_angles(180), 768, 500 / 512), 1e5, {seed})
begun = time.perf_counter()
found = reconstruct(scan, "gaussian", grid=Grid.square(512, 500.0), count=2, steps=2, seed={seed})
print(json.dumps([peak_memory(), time.perf_counter() - begun, float(found.chi2.mean())]))
"""

_VOLUME = """
import json, time, torch
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.methods import reconstruct_volume
from scidiff.domains.ct.phantoms import water_disc
from scidiff.domains.ct.simulation import simulate
from scidiff.io.memory import peak_memory
torch.set_num_threads(1)
class Ball:
    def __len__(self):
        return 256
    def __getitem__(self, row):
        radius = (100.0**2 - (0.7 * (row - 127.5)) ** 2) ** 0.5
        return simulate(water_disc(radius), Parallel(even_angles(60), 384, 256 / 256), 1e5, {seed}, sample=row)
begun, chi2 = time.perf_counter(), []
stack = reconstruct_volume(Ball(), "gaussian", out={out!r}, grid=Grid.square(256, 256.0), rows=range({stop}),
                           count=2, steps=2, seed={seed})
for row, found in stack:
    chi2.append(float(found.chi2.mean()))
print(json.dumps([peak_memory(), time.perf_counter() - begun, sum(chi2) / len(chi2), len(chi2)]))
"""

_FIRST, _STOP = 3, 12


def memory_rows(seed: int, stop: int = _STOP) -> Iterator[Row]:
    """Measure the peak of resident memory.

    Parameters
    ----------
    seed
        Seed of every draw.
    stop
        Number of slices of the volume that are reconstructed, of 256.
    """
    peak, seconds, chi2 = apart(_SLICE.format(seed=seed))
    note = f"whole process; system matrix and its transpose in memory, 2 samples, chi^2/n {chi2:.3f}"
    yield Row(
        "512^2 pixels, 180 views: peak memory", "measured", peak / 1024, unit="GiB", bar=4.0, above=False,
        seconds=seconds, note=note,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        first, _, _, few = apart(_VOLUME.format(seed=seed, out=out, stop=_FIRST))
        peak, seconds, chi2, more = apart(_VOLUME.format(seed=seed, out=out, stop=stop))
    note = (
        f"a process that makes {few:.0f} slices of 256, {first:.0f} MB, and one that goes on with {more:.0f}, "
        f"{peak:.0f} MB; {seconds / more:.1f} s a slice, chi^2/n of a sample {chi2:.3f}"
    )
    yield Row(
        "256^3 voxels, 60 views: peak memory of many slices over that of few", "measured", peak / first, bar=1.05,
        above=False, baseline=first, baseline_name="MB after few slices", seconds=seconds, note=note,
    )  # fmt: skip
