"""Rows of the benchmark: every method on the bundled flows of the heat and the Burgers family.

    families/<family>/<method>/<number>

Bars stand on the method of this package alone: constraint at most 1e-12, 50 ms of one core for a sample, errors of mean
and spread below those of every other method in the same run, and of the mean below the figure that PCFM published for
its own draws of the same settings. ``--fast`` runs that method and the free flow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from scidiff.domain import Row

from ..models import bundled, load
from .cases import CASES, Entry, family_methods
from .trial import FamilyRow, Trial

__all__ = ["family_rows"]

_PUBLISHED = {"heat": 0.241e-2, "burgers": 0.052e-2}
_MILLISECONDS = 50.0
_FAST = ("free flow",)


def family_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Run the methods on the families that are bundled, and yield one row for each number.

    Parameters
    ----------
    fast
        Whether to run few methods and few samples.
    seed
        Seed of the samples.
    """
    for name in CASES:
        if name not in bundled():
            continue
        model = load(name)
        entries = family_methods(model.case, model.flow.law)
        if fast:
            entries = {key: entry for key, entry in entries.items() if entry.ours or key in _FAST}
        trial = Trial(model.case.family, model.flow, count=128 if fast else 256, seed=seed)
        found = trial.table(entries)
        for key, entry in entries.items():
            yield from _rows(name, key, entry, found)


def _rows(family: str, name: str, entry: Entry, found: Mapping[str, FamilyRow]) -> Iterator[Row]:
    """Numbers of one method, with its bars if it is ours."""
    row, begin = found[name], f"families/{family}/{name}"
    note = f"{entry.method.citation or '-'}; {len(Trial.fixed)} x {row.count} samples"
    about = {"label": row.label if row.label == "biased" else "measured", "calls": row.calls, "above": False}
    if not math.isfinite(row.mmse):
        yield Row(f"{begin}/diverged", value=1.0, note=note, **about)
        return
    ours = {"bar": _PUBLISHED[family], "baseline": _PUBLISHED[family], "baseline_name": "PCFM, quoted"}
    told = f"{note}; exact draws {row.floor_mmse:.2g}"
    yield Row(
        f"{begin}/mmse", value=row.mmse, interval=row.mmse_interval, note=told, **(ours if entry.ours else {}), **about
    )
    told = f"{note}; exact draws {row.floor_smse:.2g}"
    yield Row(f"{begin}/smse", value=row.smse, interval=row.smse_interval, note=told, **about)
    bars = (1e-12, _MILLISECONDS) if entry.ours else (None, None)
    yield Row(f"{begin}/constraint", value=row.constraint, bar=bars[0], note=note, **about)
    yield Row(f"{begin}/time", value=row.milliseconds, bar=bars[1], unit="ms", note=note, **about)
    mine = ("metric of", "conditional flow")
    rivals = {
        key: other
        for key, other in found.items()
        if not any(part in key for part in mine) and math.isfinite(other.mmse)
    }
    if entry.ours and len(rivals) > 1:
        for number in ("mmse", "smse"):
            best = min(rivals, key=lambda key: getattr(rivals[key], number))
            ratio = getattr(row, number) / getattr(rivals[best], number)
            yield Row(f"{begin}/{number} over the best other", value=ratio, bar=1.0, note=f"best: {best}", **about)
