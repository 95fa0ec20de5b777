"""The card of a set of samples in a notebook: what made them, how many are good, their pictures and their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scidiff.io.html import card, facts, table

if TYPE_CHECKING:
    from scidiff.sample.samples import Samples

__all__ = ["samples_card"]

_SAID = ("model", "method", "label", "steps", "guidance", "temperature", "scaffold", "sensors", "noise")


def samples_card(samples: Samples, title: str, *blocks: str) -> str:
    """Draw samples of any science.

    Parameters
    ----------
    samples
        The samples.
    title
        What they are, e.g. ``"molecules"``; their number is put before it.
    *blocks
        Pictures, as HTML of `scidiff.io.html`.

    Returns
    -------
    str
        HTML: provenance, status, `blocks`, and least, mean and largest value of every record over all samples.
    """
    status = Counter(one.value for one in samples.status)
    said = {name: samples.provenance[name] for name in _SAID if _plain(samples.provenance.get(name))}
    calls = np.unique(samples.calls)
    line: dict[str, Any] = {**said, "seed": samples.seed}
    if len(calls):
        line["calls each"] = int(calls[0]) if len(calls) == 1 else f"{calls[0]:.0f} to {calls[-1]:.0f}"
    line |= _seconds(samples.provenance)
    rows = [(name.replace("_", " "), *_summary(np.asarray(values))) for name, values in samples.records.items()]
    good = status.pop("ok", 0)
    verdict: dict[str, Any] = {"ok": f"{good} of {len(samples)}", **{name: count for name, count in status.items()}}
    numbers = table(["record", "least", "mean", "largest"], [row for row in rows if len(row) == 4], noun="records")
    return card(f"{len(samples)} {title}", facts(verdict), facts(line), *blocks, numbers)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _seconds(provenance: Mapping[str, Any]) -> dict[str, float]:
    value = provenance.get("seconds")
    value = value.get("total") if isinstance(value, Mapping) else value
    return {"seconds": float(value)} if isinstance(value, int | float) else {}


def _summary(values: np.ndarray) -> tuple[float, ...]:
    """Least, mean and largest finite value; nothing where there is none or where they are no numbers."""
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        return ()
    finite = values[np.isfinite(values)].astype(np.float64)
    return (float(finite.min()), float(finite.mean()), float(finite.max())) if len(finite) else ()
