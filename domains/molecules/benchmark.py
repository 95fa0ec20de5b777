"""The benchmark of the domain: ``scidiff bench molecules``.

Rows in five groups: what every sample of the QM9 model satisfies; speed against steps; the exact comparison of the
universe model with its known target; bond lengths and angles of the conformer model; and, where the data are at hand,
the Frechet ChemNet distance to held-out QM9 and the golden file of the metrics. ``--fast`` draws fewer samples and
leaves the distance out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scidiff.domain import Row
from scidiff.errors import DataError
from scidiff.io.files import data_folder

from .conformers import load as load_conformers
from .conformers.evaluation import study_rows
from .coverage import count_keys, coverage
from .data import load as load_data
from .metrics import Settings, evaluate, golden_check
from .metrics.intervals import bootstrap_mean, wilson
from .model import MoleculeModel, load
from .scaffold import contains, parse_query
from .universe import universe, universe_split
from .validation import Validation, validate

__all__ = ["QUERIES", "rows"]

QUERIES = ("C1CC1*", "c1cc[nH]c1", "C#C*.O=C*", "OCC(*)*", "C1CO1")
_STEPS = (5, 10, 20, 50)


@dataclass(frozen=True)
class _Size:
    """How many samples each group takes."""

    samples: int
    each_query: int
    speed: int
    universe: int
    shapes: int
    fcd: int


_FAST = _Size(samples=200, each_query=20, speed=128, universe=4_000, shapes=40, fcd=0)
_FULL = _Size(samples=1_000, each_query=100, speed=1_024, universe=50_000, shapes=1_000, fcd=10_000)


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure and yield the rows one by one."""
    size = _FAST if fast else _FULL
    model = load("qm9")
    yield from _validity(model, size, seed)
    yield from _scaffolds(model, size, seed)
    yield from _speed(model, size, seed)
    yield from _universe(size, seed)
    yield from study_rows(load_conformers(), size.shapes, 4 if fast else 8, _STEPS[1:2] if fast else _STEPS, seed)
    yield from _golden()
    if size.fcd:
        yield from _distance(model, size, seed)


def _share(name: str, hits: int, count: int, bar: float, calls: int, seconds: float, note: str = "") -> Row:
    return Row(name, "measured", hits / count, tuple(wilson(hits, count)), bar, calls=calls, seconds=seconds, note=note)


def _validity(model: MoleculeModel, size: _Size, seed: int) -> Iterator[Row]:
    """Validity, uniqueness, cost and reproducibility."""
    first: list[str | None] = []
    for steps in (20, 10):
        samples = model.sample(size.samples, steps=steps, seed=seed)
        seconds = samples.provenance["seconds"]["total"]
        found: Validation = validate(samples)
        good = found.reasons.count("ok")
        note = f"n = {len(found)}, seed {seed}; connected, sanitizable, no radicals; per attempt, nothing is rejected"
        yield _share(f"qm9 valid, {steps} steps", good, len(found), 1.0, steps, seconds, note)
        distinct = len({c for c, r in zip(found.canonical, found.reasons, strict=True) if r == "ok"})
        yield _share(f"qm9 unique, {steps} steps", distinct, good, 0.95, steps, seconds, f"n = {good}")
        cost = samples.records["cost_last"]
        interval = tuple(bootstrap_mean(cost, seed=seed))
        name = f"qm9 log-probability removed at the last step, {steps} steps"
        yield Row(name, "measured", float(cost.mean()), interval, unit="nats", calls=steps, note=f"n = {len(cost)}")
        first = first or samples.smiles
    again = model.sample(size.samples, steps=20, seed=seed).smiles
    equal = sum(a == b for a, b in zip(first, again, strict=True))
    yield _share("qm9 lines equal when run again", equal, len(first), 1.0, 20, 0.0)
    other = model.sample(size.samples, steps=20, seed=seed, batch_size=97).smiles
    equal = sum(a == b for a, b in zip(first, other, strict=True))
    yield _share("qm9 lines equal with batches of 97", equal, len(first), 0.99, 20, 0.0)


def _scaffolds(model: MoleculeModel, size: _Size, seed: int) -> Iterator[Row]:
    """Substructure match and validity of extensions and linkers."""
    begun, found, matched = time.perf_counter(), [], 0
    for query in QUERIES:
        samples = model.sample(size.each_query, steps=10, seed=seed, scaffold=query)
        pattern = parse_query(query)
        matched += sum(molecule is not None and contains(molecule, pattern) for molecule in samples.items)
        found += validate(samples).reasons
    seconds = time.perf_counter() - begun
    note = f"{len(QUERIES)} queries, {size.each_query} each: {' '.join(QUERIES)}; free size"
    yield _share("qm9 scaffold contained, 10 steps", matched, len(found), 1.0, 10, seconds, note)
    yield _share("qm9 scaffold valid, 10 steps", found.count("ok"), len(found), 1.0, 10, seconds, note)


def _speed(model: MoleculeModel, size: _Size, seed: int) -> Iterator[Row]:
    """Molecules per second against steps, and where the time goes."""
    model.sample(size.speed, steps=1, seed=seed)
    for steps in _STEPS:
        spent = model.sample(size.speed, steps=steps, seed=seed).provenance["seconds"]
        rate, network = size.speed / spent["total"], size.speed / spent["network"]
        note = f"n = {size.speed}; the network alone would make {network:.1f} a second"
        name = f"qm9 molecules per second, {steps} steps"
        yield Row(name, "measured", rate, unit="1/s", calls=steps, seconds=spent["total"], note=note)
    share = {part: spent[part] / spent["total"] for part in ("network", "projection")}
    loop = 1.0 - share["network"] - share["projection"]
    note = f"projection {share['projection']:.1%}, network {share['network']:.1%} of the time at {steps} steps"
    yield Row("qm9 share of the loop without projection", "measured", loop, bar=0.10, above=False, note=note)
    both = 1.0 - share["network"]
    yield Row("qm9 share of loop and projection", "measured", both, bar=0.10, above=False, note=note)


def _universe(size: _Size, seed: int) -> Iterator[Row]:
    """Divergences of the universe model from its target, the uniform law on all molecules."""
    keys = universe(progress=False)
    known = set(universe_split(keys)[0])
    begun = time.perf_counter()
    samples = load("universe").sample(size.universe, steps=20, seed=seed, batch_size=1024)
    seconds = time.perf_counter() - begun
    counts, outside = count_keys([smiles or "" for smiles in samples.smiles], keys)
    report = coverage(counts, np.array([key in known for key in keys]), seed=seed)
    n = f"n = {size.universe}, K = {len(keys)}, trained on {len(known)}"
    yield _share("universe samples inside the universe", size.universe - outside, size.universe, 1.0, 20, seconds, n)
    memory = "a sampler that repeats the training set"
    kl, tv, unseen = report.kl, report.tv, report.unseen_mass
    floor = f"{n}; plug-in {report.kl_plug_in.value:.4f}, of a perfect sampler {report.kl_plug_in.floor:.4f}"
    yield Row(
        "universe KL to uniform", "measured", kl.value, (kl.low, kl.high), unit="nats", calls=20, note=floor,
        baseline=math.log(len(keys) / len(known)), baseline_name=memory,
    )  # fmt: skip
    floor = f"{n}; plug-in {report.tv_plug_in.value:.4f}, of a perfect sampler {report.tv_plug_in.floor:.4f}"
    yield Row(
        "universe TV to uniform, lower bound", "measured", tv.value, (tv.low, tv.high), calls=20, note=floor,
        baseline=1 - len(known) / len(keys), baseline_name=memory,
    )  # fmt: skip
    yield Row(
        "universe mass on unseen molecules", "measured", unseen.value, (unseen.low, unseen.high), calls=20,
        note=f"{n}; the uniform law has {report.unseen_target:.4f}", baseline=0.0, baseline_name=memory,
    )  # fmt: skip


def _golden() -> Iterator[Row]:
    """Published samples whose figures the metrics have to reproduce; needs SCIDIFF_DATA."""
    folder = data_folder()
    path = None if folder is None else folder / "golden" / "digress_qm9_noh.txt"
    if path is None or not path.exists():
        return
    found = golden_check(path)
    note = "10,000 published DiGress samples; pinned: 99.2 % valid, 96.9 % unique of the valid"
    for name, value, pin in (("valid", found.valid_percent, 99.2), ("unique", found.unique_percent, 96.9)):
        off = abs(round(value, 1) - pin)
        yield Row(f"golden {name}, distance from the pinned value", "exact", off, bar=0.0, above=False, note=note)


def _distance(model: MoleculeModel, size: _Size, seed: int) -> Iterator[Row]:
    """Frechet ChemNet distance to held-out QM9, beside as many training molecules."""
    try:
        train, test = load_data("qm9", "train"), load_data("qm9", "test")
    except DataError:
        return
    begun = time.perf_counter()
    samples = model.sample(size.fcd, steps=20, seed=seed)
    wanted = ("fcd", "fcd_extrapolated", "novel")
    settings = Settings(split="qm9/test")
    report = evaluate(samples.smiles, reference=test, train=train, metrics=wanted, seed=seed, settings=settings)
    seconds = time.perf_counter() - begun
    for name, bar in (("fcd", 0.6), ("fcd_extrapolated", None), ("novel", None)):
        found = report[name]
        if found.value is None:
            continue
        interval = None if found.low is None or found.high is None else (found.low, found.high)
        same = (report.train_rows or {}).get(name)
        yield Row(
            f"qm9 {name}, 20 steps", "measured", found.value, interval, bar, above=False,
            baseline=None if same is None else same.value, baseline_name="as many training molecules", calls=20,
            seconds=seconds,
            note=f"n = {size.fcd} against {len(test)} held-out molecules; {found.note}",
        )  # fmt: skip
