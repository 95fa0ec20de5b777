"""Volumes of parallel-beam scans, slice by slice: one operator for all, memory of one slice, resumable.

A detector row of a parallel beam sees one slice and no other, so that a stack is a sequence of two-dimensional scans,
which may be read as they are asked for. Finished slices lie in a numpy file that is mapped while one is written, and
beside it a list of what is done: a run that was interrupted goes on with the slices that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import atomic_write

from ..grid import Grid
from ..reconstruction import PosteriorImages
from ..scan import Scan
from .run import find_prior, reconstruct

__all__ = ["reconstruct_volume"]


def reconstruct_volume(
    scans: Sequence[Scan],
    prior: Any = "ct",
    method: str = "posterior",
    *,
    out: str | Path,
    grid: Grid | None = None,
    rows: range | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Iterator[tuple[int, PosteriorImages]]:
    """Reconstruct a stack, one slice after the other.

    Parameters
    ----------
    scans
        One two-dimensional scan for each slice; anything with a length whose items are scans.
    prior, method, seed, **options
        As for `reconstruct`; the samples of row ``r`` are those of the seed with the index ``1000 r`` and on.
    out
        Folder: ``mean.npy`` and ``sd.npy``, float32, 1/mm, ``(rows, *grid)``, and ``done.json``.
    grid, rows
        Grid of a slice; rows to reconstruct, all by default.
    progress
        Called with the number of finished slices and of all.

    Yields
    ------
    row, result
        Every slice that was not done before.

    Raises
    ------
    ConfigError
        If there is no slice, or a row is none of them.
    DataError
        If the folder holds a run with other settings.
    """
    law, count = find_prior(prior), len(scans)
    wanted = _wanted(rows, count)
    grid = Grid.square(128, 2 * scans[0].geometry.field_of_view) if grid is None else grid
    folder = Path(out)
    about = {"method": method, "seed": seed, "shape": [count, *grid.shape], "voxel_mm": list(grid.lengths)}
    about |= {"prior": law.provenance(), "options": {name: repr(value) for name, value in sorted(options.items())}}
    done = _open(folder, about)
    files = {name: folder / f"{name}.npy" for name in ("mean", "sd")}
    for path in files.values():
        _made(path, (count, *grid.shape))
    for row in wanted:
        if row in done:
            continue
        result = reconstruct(scans[row], law, method, grid=grid, seed=seed, first=1000 * row, **options)
        for name, path in files.items():
            _write(path, row, getattr(result, name).numpy())
        done.add(row)
        _tell(folder, about, done)
        if progress is not None:
            progress(len(done & set(wanted)), len(wanted))
        yield row, result


def _wanted(rows: range | None, count: int) -> range:
    wanted = range(count) if rows is None else rows
    if not count or (len(wanted) and not 0 <= min(wanted) <= max(wanted) < count):
        raise ConfigError(f"{count} slices came, and rows {wanted}; expected at least one slice, and rows among them")
    return wanted


def _open(folder: Path, about: dict[str, Any]) -> set[int]:
    """Rows that are done; the settings must be those of the run that did them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "done.json"
    if not path.exists():
        return set()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete it to begin anew") from error
    if told.get("about") != json.loads(json.dumps(about)):
        raise DataError(f"{folder} holds a run with other settings, {told.get('about')}; choose another folder")
    return set(told["rows"])


def _made(path: Path, shape: tuple[int, ...]) -> None:
    """Make the file of a volume, or check that the one that is there has its shape."""
    if not path.exists():
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
        return
    found = np.load(path, mmap_mode="r", allow_pickle=False).shape
    if found != shape:
        raise DataError(f"{path} has shape {found}; expected {shape}: choose another folder")


def _write(path: Path, row: int, values: np.ndarray) -> None:
    """Write one slice; the map is closed again, so that no page of it stays in memory."""
    array = np.load(path, mmap_mode="r+", allow_pickle=False)
    array[row] = values
    array.flush()


def _tell(folder: Path, about: dict[str, Any], done: set[int]) -> None:
    with atomic_write(folder / "done.json") as file:
        json.dump({"about": about, "rows": sorted(done)}, file)
