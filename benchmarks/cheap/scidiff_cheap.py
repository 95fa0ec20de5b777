"""A domain whose samples cost nothing: campaigns are tested and timed with it. Put this folder on PYTHONPATH.

A sample is a function of (seed, index): two uniform numbers, a name, a family and 1024 bits, by the mixing function of
SplitMix64. Conditions make trouble on purpose: a sample fails, a worker is killed, a shard takes its time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.domain import CampaignAdapter, Candidates, Domain, deferred
from scidiff.errors import ConfigError, UnknownNameError

__all__ = ["ADAPTER", "DOMAIN", "doubled"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_WORDS = 16


def mixed(seed: int, index: np.ndarray, word: int) -> np.ndarray:
    """Mix seed, index and the number of a word to 64 bits that look random."""
    with np.errstate(over="ignore"):
        z = (np.uint64(seed) ^ (index.astype(np.uint64) * np.uint64(64) + np.uint64(word))) * _GOLDEN + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _FACTORS[0]
        z = (z ^ (z >> np.uint64(27))) * _FACTORS[1]
        return z ^ (z >> np.uint64(31))


def _uniform(seed: int, index: np.ndarray, word: int) -> np.ndarray:
    return (mixed(seed, index, word) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _sample(model: str, condition: Mapping[str, Any], indices: range, steps: int, seed: int) -> Candidates:
    """Make samples, or the trouble that the condition asks for."""
    time.sleep(float(condition.get("pause", 0.0)))
    if condition.get("kill", -1) in indices:
        os.kill(os.getpid(), signal.SIGKILL)
    if condition.get("kill_once") and not Path(condition["kill_once"]).exists():
        Path(condition["kill_once"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if condition.get("error", -1) in indices:
        raise ConfigError(f"index {condition['error']} is not wanted; ask for another one")
    index = np.array(indices)
    x, y = _uniform(seed, index, 0), _uniform(seed, index, 1)
    good = x >= condition.get("fail", 0.0)
    columns = {
        "x": np.where(good, x, np.nan),
        "y": np.where(good, y, np.nan),
        "name": [f"sample-{k // 2}" if fine else None for k, fine in zip(indices, good, strict=True)],
        "family": [f"f{int(1000 * value)}" if fine else None for value, fine in zip(y, good, strict=True)],
        "bits": [k for k in indices],
    }
    if condition.get("field"):
        fields = [np.full((2, 3), k, dtype=np.float32) for k in indices]
        columns["field"] = [field if fine else None for field, fine in zip(fields, good, strict=True)]
    reason = ["" if fine else "x is too small" for fine in good]
    return Candidates(["ok" if fine else "invalid" for fine in good], reason, columns)


def _features(columns: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """1024 bits of each sample."""
    index = np.asarray(columns["bits"])
    return np.stack([mixed(7, index, 2 + word) for word in range(_WORDS)], 1).view(np.uint8)


def doubled(row: Mapping[str, Any]) -> float:
    """Twice the number x, as a plug-in score."""
    return 2 * row["x"]


def _fingerprint(model: str) -> str:
    if model != "none":
        raise UnknownNameError("model", model, ["none"])
    return "cheap"


def _anything(model: str, value: Any) -> None:
    """Take every value."""


def _number(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ConfigError(f"{value!r} came; expected a number of at least 0")


def _product(columns: Mapping[str, Sequence[Any]], power: float = 1.0) -> list[float]:
    if power <= 0:
        raise ConfigError(f"power is {power}; expected a number above 0")
    return [(x * y) ** power for x, y in zip(columns["x"], columns["y"], strict=True)]


def _write_list(path: Path, rows: Iterator[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write one name a line, with the sum of the field where there is one."""
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            total = "" if row.get("field") is None else f" {float(row['field'].sum()):g}"
            file.write(f"{row['name']}{total}\n")


ADAPTER = CampaignAdapter(
    fingerprint=_fingerprint,
    load=lambda model, device: model,
    sample=_sample,
    conditions={
        "pause": _number,
        "fail": _number,
        "kill": _number,
        "error": _number,
        "kill_once": _anything,
        "field": _anything,
    },
    scores={
        "first": lambda columns: [float(x) for x in columns["x"]],
        "second": lambda columns: [float(y) for y in columns["y"]],
        "product": _product,
    },
    features=_features,
    key="name",
    group="family",
    writers={".list": _write_list},
)

DOMAIN = Domain(
    name="cheap",
    title="Samples that cost nothing",
    home=Path(__file__).parent,
    cli="scidiff_cheap:app",
    demo=deferred("scidiff_cheap:demo"),
    bench_rows=deferred("scidiff_cheap:rows"),
    campaign="scidiff_cheap:ADAPTER",
)
