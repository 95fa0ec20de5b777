"""What a worker does: sample a shard, score it, write its file.

`make_shard` is a function of the plan and the number of the shard. It returns counts, never rows, so that nothing large
travels to the coordinator. An exception becomes a `Report` with a reason: the worker goes on with the next shard.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from scidiff.campaign.folder import Folder
from scidiff.campaign.plan import RESERVED, Plan, Shard, make_plan
from scidiff.campaign.scores import Scorer
from scidiff.campaign.shard_file import Footer, encode, features_column
from scidiff.campaign.specification import Filter, Specification
from scidiff.domain import Candidates
from scidiff.errors import ConfigError, DataError

__all__ = ["Job", "Report", "make_shard", "shard_content"]

_OK = "ok"


@dataclass(frozen=True)
class Job:
    """All that a worker has to know.

    Parameters
    ----------
    specification
        The specification as JSON.
    source
        Folder in which own scores are looked up.
    hash
        Hash of the campaign as the coordinator knows it.
    folder
        Address of the folder.
    shard
        Number of the shard.
    """

    specification: str
    source: str
    hash: str
    folder: str
    shard: int


@dataclass(frozen=True)
class Report:
    """What became of a shard.

    Parameters
    ----------
    shard
        Its number.
    valid, accepted
        Counts of its rows.
    seconds
        Time that it took.
    reason
        Why there is no file; empty where there is one.
    """

    shard: int
    valid: int = 0
    accepted: int = 0
    seconds: float = 0.0
    reason: str = ""


def make_shard(job: Job) -> Report:
    """Make the file of a shard.

    Parameters
    ----------
    job
        What to do.

    Returns
    -------
    Report
        Counts, or the reason why there is no file.
    """
    begun = time.perf_counter()
    try:
        plan = _plan(job.specification, job.source, job.hash)
        content, footer = shard_content(plan, plan.shard(job.shard))
        folder = Folder(job.folder)
        folder.write(folder.shard(job.shard), content)
    except Exception as error:
        return Report(job.shard, reason=f"{type(error).__name__}: {' '.join(str(error).split())}"[:2000])
    return Report(job.shard, footer.valid, footer.accepted, time.perf_counter() - begun)


@lru_cache(maxsize=2)
def _plan(specification: str, source: str, expected: str) -> Plan:
    """Resolve the plan once in each worker, and make sure that it is the coordinator's."""
    plan = make_plan(Specification.model_validate_json(specification), source)
    if plan.hash != expected:
        raise ConfigError(
            f"the worker finds hash {plan.hash[:12]} where the coordinator has {expected[:12]}; install the same "
            "versions, models and scores on both"
        )
    return plan


@lru_cache(maxsize=1)
def _loaded(domain: str, fingerprint: str, plan: Plan) -> Any:
    """Load the model once in each worker."""
    settings = plan.specification
    return plan.adapter.load(settings.model, settings.sampler.device)


def shard_content(plan: Plan, shard: Shard) -> tuple[bytes, Footer]:
    """Sample and score a shard.

    Parameters
    ----------
    plan
        The plan.
    shard
        The shard.

    Returns
    -------
    content, footer
        The bytes of its file, and the counts in it.

    Raises
    ------
    ConfigError
        If the domain returns columns that do not fit.
    """
    settings = plan.specification
    model = _loaded(settings.domain, plan.fingerprint, plan)
    condition = plan.conditions[shard.condition]
    with _threads(settings.shards.threads):
        found = _drawn(plan, model, shard)
    _check(found, shard, {scorer.name for scorer in plan.scorers if not scorer.own})
    good = [status == _OK for status in found.status]
    kept = {
        name: [value for value, keep in zip(each, good, strict=True) if keep] for name, each in found.columns.items()
    }
    scores, failures = _scores(plan, kept, good)
    accepted = _accepted(settings.filters, scores, good)
    columns: dict[str, Any] = {
        **found.columns,
        **scores,
        **_described(condition, len(found)),
        "index": np.array(shard.rows, dtype=np.int64),
        "condition": np.full(len(found), shard.condition, dtype=np.int64),
        "status": list(found.status),
        "reason": list(found.reason),
        "failure": failures,
        "accepted": accepted,
    }
    features = plan.adapter.features(kept) if any(good) else None
    if features is not None:
        columns["features"] = features_column(features, good)
    footer = Footer(plan.hash, shard.index, len(found), sum(good), int(accepted.sum()))
    return encode(columns, footer), footer


def _drawn(plan: Plan, model: Any, shard: Shard) -> Candidates:
    """Let the domain draw the rows of a shard, steered where the specification says so."""
    settings, adapter = plan.specification, plan.adapter
    steps, condition = settings.sampler.steps, plan.conditions[shard.condition]
    if settings.steer is None or adapter.steer is None:
        return adapter.sample(model, condition, shard.rows, steps, plan.seed)
    tilt = _Objective(plan.objective), settings.steer.strength, settings.steer.particles
    return adapter.steer(model, condition, shard.rows, steps, plan.seed, *tilt)


@dataclass(frozen=True)
class _Objective:
    """A score in the middle of a run; one that fails for all samples is an error, not a run without steering."""

    scorer: Scorer

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[float | None]:
        scored = self.scorer(columns)
        if scored.values and all(value is None for value in scored.values):
            raise DataError(
                f"the objective '{self.scorer.name}' has no value for any of {len(scored.values)} samples: "
                f"{scored.reasons[0]}; it sees the columns {', '.join(columns)}: correct it"
            )
        return scored.values


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Hold torch to the threads of the specification, where the domain uses torch at all."""
    if "torch" not in sys.modules:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check(found: Candidates, shard: Shard, scores: set[str]) -> None:
    """What the domain returned fits the shard and the other columns."""
    lengths = {name: len(each) for name, each in found.columns.items()} | {"reason": len(found.reason)}
    wrong = {name: length for name, length in lengths.items() if length != len(shard.rows)}
    if wrong or len(found) != len(shard.rows):
        raise ConfigError(
            f"the domain gave {len(found)} samples with columns {wrong}; expected {len(shard.rows)} of each"
        )
    taken = {name for name in found.columns if name in RESERVED | scores or name.startswith("condition_")}
    if taken:
        raise ConfigError(f"the domain's column '{min(taken)}' has the name of another; rename the score")


def _scores(
    plan: Plan, kept: Mapping[str, Sequence[Any]], good: Sequence[bool]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Score the good rows; the others have no scores."""
    places = np.flatnonzero(good)
    said: list[list[str]] = [[] for _ in good]
    columns = {}
    for scorer in plan.scorers:
        scored = scorer(kept)
        values = np.full(len(good), np.nan)
        values[places] = [np.nan if value is None else value for value in scored.values]
        for place, reason in zip(places, scored.reasons, strict=True):
            if reason:
                said[place].append(f"{scorer.name}: {reason}")
        columns[scorer.name] = values
    return columns, ["; ".join(each) for each in said]


def _accepted(filters: Sequence[Filter], scores: Mapping[str, np.ndarray], good: Sequence[bool]) -> np.ndarray:
    """Good rows whose scores lie within all ranges; a missing score lies in none."""
    accepted = np.array(good, dtype=bool)
    for each in filters:
        values = scores[each.score]
        low = -np.inf if each.least is None else each.least
        high = np.inf if each.most is None else each.most
        accepted &= (values >= low) & (values <= high)
    return accepted


def _described(condition: Mapping[str, Any], count: int) -> dict[str, list[Any]]:
    """The parameters of the condition as columns of text: whatever the grid holds, the type is one."""
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in condition.items()}
    return {f"condition_{name}": [value] * count for name, value in text.items()}
