"""The one call that turns generated strings into a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from scidiff.errors import ConfigError, DataError, UnknownNameError
from scidiff.io.files import cache_folder, sha256_lines
from scidiff.io.provenance import package_version

from .basic import measure_novelty, measure_quality, measure_scaffolds, measure_uniqueness, measure_validity
from .context import Context
from .distribution import (
    measure_diversity,
    measure_filters,
    measure_fragments,
    measure_nearest,
    measure_pains,
    measure_properties,
    measure_scaffold_similarity,
    measure_wasserstein,
)
from .fcd import measure_fcd
from .filters import load_moses_rules
from .guacamol import measure_kl
from .molecule_set import MoleculeSet
from .parsing import check
from .report import PROTOCOL, Metric, Report

__all__ = ["METRICS", "Settings", "evaluate"]

_UNIQUE_AT = (1000, 10_000)


@dataclass(frozen=True)
class _Measure:
    """A function that computes a few metrics at once; `molecules` says that it needs a valid one at least."""

    names: tuple[str, ...]
    compute: Callable[[Context], dict[str, Metric]]
    molecules: bool = True


_PROPERTY_NAMES = ("logp", "sa", "qed", "weight")
_MEASURES = {
    "validity": _Measure(
        ("valid", "valid_returned", "valid_strict", "connected", "no_radicals"), measure_validity, molecules=False
    ),
    "uniqueness": _Measure(
        ("unique", *(f"unique@{size}" for size in _UNIQUE_AT), "vu"), measure_uniqueness, molecules=False
    ),
    "novelty": _Measure(("novel", "vun"), measure_novelty),
    "quality": _Measure(("quality",), measure_quality),
    "scaffolds": _Measure(("sc_nov", "sc_ret"), measure_scaffolds),
    "fcd": _Measure(("fcd", "fcd_extrapolated", "fcd_score"), measure_fcd),
    "nearest": _Measure(("snn",), measure_nearest),
    "fragments": _Measure(("frag",), measure_fragments),
    "scaffold_similarity": _Measure(("scaf",), measure_scaffold_similarity),
    "diversity": _Measure(("intdiv", "intdiv2"), measure_diversity),
    "filters": _Measure(("filters",), measure_filters),
    "pains": _Measure(("pains_free",), measure_pains),
    "properties": _Measure(_PROPERTY_NAMES, measure_properties),
    "wasserstein": _Measure(tuple(f"{name}_wasserstein" for name in _PROPERTY_NAMES), measure_wasserstein),
    "kl": _Measure(("kl_score",), measure_kl),
}
_NEEDS_TRAIN = frozenset({"novel", "vun", "sc_nov"})

METRICS: tuple[str, ...] = tuple(name for measure in _MEASURES.values() for name in measure.names)
"""Names of all metrics."""


@dataclass(frozen=True)
class Settings:
    """How an evaluation is run and labelled.

    Parameters
    ----------
    split
        Name of the reference set, for the report.
    attempts
        Number of attempts behind the strings, where the sampler dropped failures; None for one an entry.
    confidence
        Nominal coverage of the intervals.
    workers
        Processes for descriptors. More than one needs a script guarded by ``if __name__ == "__main__":``.
    threads
        Threads of torch for FCD; None leaves them as they are.
    cache
        Folder for statistics; None for ``$SCIDIFF_CACHE`` or ``~/.cache/scidiff``.
    """

    split: str = "reference"
    attempts: int | None = None
    confidence: float = 0.95
    workers: int = 1
    threads: int | None = None
    cache: str | Path | None = None


def evaluate(
    smiles: Sequence[str | None],
    *,
    reference: Sequence[str],
    train: Sequence[str] | None = None,
    scaffolds_reference: Sequence[str] | None = None,
    metrics: Iterable[str] | None = None,
    seed: int = 0,
    bootstrap: int = 200,
    fcd: bool = True,
    moses_rules: str | Path | None = None,
    settings: Settings | None = None,
) -> Report:
    """Evaluate generated molecules against a reference set, and the training set in the same way.

    Parameters
    ----------
    smiles
        One entry for each attempt or returned molecule: SMILES, or None or ``"None"`` for a failed attempt.
    reference
        SMILES of the set whose distribution is the target, e.g. the test set.
    train
        SMILES of the training set, for novelty and for the training row: as many as there were attempts.
    scaffolds_reference
        SMILES of the set whose scaffolds are to be retrieved; None for `reference`.
    metrics
        Names out of `METRICS`; None for all that the arguments allow.
    seed
        Seed of everything random.
    bootstrap
        Resamplings for an interval; 0 leaves those intervals out.
    fcd
        Whether to compute the Frechet ChemNet distances: the slow part, seconds per 1000 molecules.
    moses_rules
        The wheel of molsets 0.3.1 or a folder with its rule files, for ``filters``.
    settings
        Workers, threads, cache, labels; None for the defaults.

    Returns
    -------
    report
        The metrics with their intervals; no order of a list matters but the one that unique@k looks at.

    Raises
    ------
    ConfigError, UnknownNameError
        If a parameter is out of range, a metric unknown, or one is asked for whose input is missing.
    DataError, IntegrityError
        If there is nothing to compare, an entry is no string, or a rule file or cached file is damaged.
    """
    start = perf_counter()
    how = settings or Settings()
    wanted = _wanted(metrics, fcd=fcd, train=train is not None, rules=moses_rules is not None)
    listed = {"reference": reference, "train": train, "scaffolds": scaffolds_reference}
    sources = {name: _source(name, strings, how.workers) for name, strings in listed.items() if strings is not None}
    rules = None if moses_rules is None else load_moses_rules(moses_rules)
    context = _context(smiles, {name: pair[0] for name, pair in sources.items()}, how, seed, bootstrap, rules)
    report = _report(context, wanted, how.split, {name: pair[1] for name, pair in sources.items()})
    return replace(report, seconds={**report.seconds, "total": perf_counter() - start})


def _context(
    smiles: Sequence[str | None],
    sets: dict[str, MoleculeSet],
    how: Settings,
    seed: int,
    bootstrap: int,
    rules: tuple[str, ...] | None,
) -> Context:
    """Judge the strings and put everything in one place."""
    if len(smiles) == 0:
        raise DataError("smiles is empty; expected one entry for each attempt, None where it failed")
    if bootstrap < 0 or bootstrap == 1:
        raise ConfigError(f"bootstrap is {bootstrap}; expected 0 for no resampled intervals, or 2 or more")
    checked = check(smiles, attempts=how.attempts, workers=how.workers)
    return Context(
        checked=checked,
        generated=MoleculeSet(checked.canonical, how.workers),
        reference=sets["reference"],
        train=sets.get("train"),
        targets=sets.get("scaffolds", sets["reference"]),
        seed=seed,
        repeats=bootstrap,
        confidence=how.confidence,
        rules=rules,
        unique_at=_UNIQUE_AT,
        cache=cache_folder() if how.cache is None else Path(how.cache),
        threads=how.threads,
    )


def _report(context: Context, wanted: frozenset[str], split: str, sources: dict[str, dict[str, Any]]) -> Report:
    """Compute the rows of the generated molecules and of the training set."""
    rows, seconds = _measure(context, wanted)
    trained = None if context.train is None else _training_context(context, context.train)
    start = perf_counter()
    train_rows = None if trained is None else _measure(trained, wanted - _NEEDS_TRAIN)[0]
    return Report(
        protocol=PROTOCOL,
        split=split,
        attempts=context.checked.attempts,
        returned=context.checked.returned,
        valid=len(context.generated),
        seed=context.seed,
        confidence=context.confidence,
        rows=rows,
        train_rows=train_rows,
        train_count=0 if trained is None else trained.checked.attempts,
        sources=sources,
        seconds={**seconds, "training_set": perf_counter() - start},
        versions={name: package_version(name) for name in ("scidiff", "rdkit", "fcd_torch", "torch", "numpy", "scipy")},
    )


def _wanted(metrics: Iterable[str] | None, *, fcd: bool, train: bool, rules: bool) -> frozenset[str]:
    """Names to compute; refuse unknown names and names whose input is missing."""
    missing = {name: "train" for name in _NEEDS_TRAIN if not train}
    missing |= {name: "fcd=True" for name in _MEASURES["fcd"].names if not fcd}
    missing |= {"filters": "moses_rules"} if not rules else {}
    if metrics is None:
        return frozenset(METRICS) - missing.keys()
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in METRICS:
            raise UnknownNameError("metric", name, METRICS)
        if name in missing:
            raise ConfigError(
                f"metric '{name}' needs {missing[name]}, which was not given: pass it or leave the metric out"
            )
    return frozenset(names)


def _source(name: str, smiles: Sequence[str], workers: int) -> tuple[MoleculeSet, dict[str, Any]]:
    """Parse a set that others are compared with; return it with what is written down about it."""
    molecules, dropped = MoleculeSet.read(smiles, workers)
    if len(molecules) == 0:
        raise DataError(f"the {name} set has {len(smiles)} strings and no valid molecule; expected a list of SMILES")
    return molecules, {"count": len(molecules), "invalid": dropped, "sha256": sha256_lines(molecules.smiles)}


def _measure(context: Context, wanted: frozenset[str]) -> tuple[dict[str, Metric], dict[str, float]]:
    """Compute the wanted metrics and the time of each group of them."""
    rows: dict[str, Metric] = {}
    seconds: dict[str, float] = {}
    for title, measure in _MEASURES.items():
        names = [name for name in measure.names if name in wanted]
        if not names:
            continue
        start = perf_counter()
        if measure.molecules and len(context.generated) == 0:
            found = {name: Metric.undefined(0, "no valid molecule") for name in names}
        else:
            found = measure.compute(context)
        rows |= {name: found[name] for name in names if name in found}
        seconds[title] = perf_counter() - start
    return rows, seconds


def _training_context(context: Context, train: MoleculeSet) -> Context:
    """Put as many training molecules as there were attempts in the place of the generated ones."""
    drawn = train.draw(context.checked.attempts, context.seed)
    checked = check(drawn.smiles, workers=drawn.workers)
    return replace(context, checked=checked, generated=drawn, train=None)
