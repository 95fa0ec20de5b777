"""From a specification to shards that are the same wherever and whenever they are made.

    hash  = SHA-256 of the content: specification, model, sources of the scores
    seed  = the first 63 bits of the hash
    row   = f(seed, index), index = condition * count + number within the condition

Shard ``k`` of ``C`` conditions holds rows ``[r s, r s + r)`` of condition ``k mod C`` with ``s = k div C`` and ``r``
rows a shard, so that every condition advances with the campaign and a shard has one condition. The hash leaves out what
changes no row: the name, diversity, budget and stop rules. These may change between two runs on one folder.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scidiff.campaign.scores import Scorer, check_parameters, find_scorer
from scidiff.campaign.specification import Specification, refuse
from scidiff.domain import CampaignAdapter
from scidiff.errors import ConfigError, ScidiffError, UnknownNameError
from scidiff.registry import load_domain

__all__ = ["FORMAT", "Plan", "Shard", "make_plan"]

FORMAT = 1
_FREE = {"name", "diversity", "budget", "stop"}
RESERVED = {
    "index",
    "condition",
    "status",
    "reason",
    "accepted",
    "failure",
    "features",
    "pick",
    "rank",
    "cluster",
    "id",
}


@dataclass(frozen=True)
class Shard:
    """Rows that are made together.

    Parameters
    ----------
    index
        Number of the shard.
    condition
        Number of its condition.
    rows
        Indices of its rows.
    """

    index: int
    condition: int
    rows: range


@dataclass(frozen=True, eq=False)
class Plan:
    """A specification whose names are resolved.

    Parameters
    ----------
    specification
        What is asked.
    source
        Folder of the specification, where its scores and commands are looked up.
    fingerprint
        What the domain says of the model.
    scorers
        The scores, in the order of the specification.
    files
        Hashes of the files that values of conditions name.
    """

    specification: Specification
    source: str
    fingerprint: str
    scorers: tuple[Scorer, ...]
    files: tuple[str, ...] = ()

    @cached_property
    def conditions(self) -> tuple[dict[str, Any], ...]:
        """The grid: every combination of the values, names in alphabetical order, the last one fastest."""
        named = sorted(self.specification.conditions.items())
        return tuple(dict(zip((n for n, _ in named), values, strict=True)) for values in _product(named))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that the content depends on."""
        unused = {"steer"} if self.specification.steer is None else set()
        content = {
            "format": FORMAT,
            "specification": self.specification.model_dump(mode="json", exclude=_FREE | unused),
            "model": self.fingerprint,
            "files": self.files,
            "scores": {scorer.name: scorer.fingerprint for scorer in self.scorers},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()

    @property
    def seed(self) -> int:
        """Seed of all draws."""
        return int(self.hash[:16], 16) >> 1

    @property
    def total(self) -> int:
        """Rows of the whole campaign."""
        return self.specification.count * len(self.conditions)

    @cached_property
    def shards(self) -> int:
        """Number of shards of the whole campaign."""
        return -(-self.specification.count // self.specification.shards.rows) * len(self.conditions)

    @cached_property
    def affordable(self) -> int:
        """Number of the first shards whose rows stay within the budget."""
        budget = self.specification.budget.rows
        if budget is None or budget >= self.total:
            return self.shards
        each, conditions = self.specification.shards.rows, len(self.conditions)
        count = min(budget // each, (self.specification.count // each) * conditions)
        left = budget - each * count
        while count < self.shards and len(self.shard(count).rows) <= left:
            left -= len(self.shard(count).rows)
            count += 1
        return count

    def shard(self, index: int) -> Shard:
        """Return the shard of a number."""
        part, condition = divmod(index, len(self.conditions))
        count, each = self.specification.count, self.specification.shards.rows
        first = condition * count
        return Shard(index, condition, range(first + part * each, first + min((part + 1) * each, count)))

    @cached_property
    def objective(self) -> Scorer:
        """The score towards which samples are steered."""
        steer = self.specification.steer
        if steer is None:
            raise ConfigError("the specification has no table 'steer'; add it")
        return next(scorer for scorer in self.scorers if scorer.name == steer.objective)

    @cached_property
    def adapter(self) -> CampaignAdapter:
        """What the domain does."""
        return load_domain(self.specification.domain).load_campaign()


def _product(named: list[tuple[str, list[Any]]]) -> itertools.product:
    return itertools.product(*(values for _, values in named))


def make_plan(
    specification: Specification, source: str | Path = ".", *, origin: str = "specification", text: str = ""
) -> Plan:
    """Resolve the names of a specification.

    Parameters
    ----------
    specification
        What is asked.
    source
        Folder in which modules of scores and relative paths of commands are looked up.
    origin, text
        Name and text of the file, for errors.

    Returns
    -------
    Plan
        The plan; nothing is sampled or written.

    Raises
    ------
    SpecificationError
        If a domain, model, parameter, value or score does not exist.
    """
    tell = _Teller(origin, text)
    with tell.about("domain"):
        adapter = load_domain(specification.domain).load_campaign()
    with tell.about("model"):
        fingerprint = adapter.fingerprint(specification.model)
    files = _check_conditions(specification, adapter, tell)
    scorers = _scorers(specification, adapter, Path(source), tell)
    _check_names(specification, tell)
    _check_steer(specification, adapter, tell)
    return Plan(specification, str(Path(source).resolve()), fingerprint, scorers, files)


class _Teller:
    """Turn an error of the package into one that names the field."""

    def __init__(self, origin: str, text: str) -> None:
        self.origin, self.text, self.path = origin, text, ()

    def about(self, *path: str | int) -> _Teller:
        """Set the field that the block looks at."""
        self.path = path
        return self

    def refuse(self, sentence: str) -> None:
        """Raise the error of the field."""
        refuse(sentence, self.path, self.origin, self.text)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ScidiffError | ImportError):
            try:
                self.refuse(str(error))
            except ScidiffError as better:
                raise better from error


def _check_conditions(specification: Specification, adapter: CampaignAdapter, tell: _Teller) -> tuple[str, ...]:
    """Every parameter is known to the domain, and every value is of use to it; return the hashes of files."""
    size, files = 1, []
    missing = sorted(set(adapter.required) - set(specification.conditions))
    if missing:
        tell.about("conditions", missing[0]).refuse("it is missing, and the domain needs it; add it")
    for name, values in sorted(specification.conditions.items()):
        with tell.about("conditions", name):
            if name not in adapter.conditions:
                raise UnknownNameError("parameter of a condition", name, adapter.conditions)
        for position, value in enumerate(values):
            with tell.about("conditions", name, position):
                files.append(adapter.conditions[name](specification.model, value))
        size *= len(values)
        if size > 1_000_000:
            tell.about("conditions", name).refuse(
                f"the grid has {size} conditions; expected at most a million: thin it"
            )
    return tuple(each for each in files if each is not None)


def _scorers(specification: Specification, adapter: CampaignAdapter, source: Path, tell: _Teller) -> tuple[Scorer, ...]:
    """Find every score; a name comes once and is not that of a column of every campaign."""
    found: list[Scorer] = []
    for position, score in enumerate(specification.scores):
        with tell.about("scores", position, "name"):
            if score.name in RESERVED or score.name.startswith("condition_"):
                tell.refuse(f"'{score.name}' is a column of every campaign; choose another name")
            if score.name in {each.name for each in found}:
                tell.refuse(f"'{score.name}' comes twice; choose another name")
        field = next((key for key in ("callable", "command", "of") if getattr(score, key)), "name")
        with tell.about("scores", position, field):
            found.append(find_scorer(score, adapter, source))
        with tell.about("scores", position, "parameters"):
            check_parameters(score, adapter)
    return tuple(found)


def _check_names(specification: Specification, tell: _Teller) -> None:
    """Filters and objectives speak of scores of the campaign."""
    known = {score.name for score in specification.scores}
    used = [(("filters", k, "score"), each.score) for k, each in enumerate(specification.filters)]
    for side in ("maximise", "minimise"):
        used += [(("objectives", side, k), name) for k, name in enumerate(getattr(specification.objectives, side))]
    for path, name in used:
        with tell.about(*path):
            if name not in known:
                raise UnknownNameError("score of the campaign", name, known)
    both = set(specification.objectives.maximise) & set(specification.objectives.minimise)
    if both:
        tell.about("objectives").refuse(f"'{min(both)}' is to be maximised and minimised; keep one")


def _check_steer(specification: Specification, adapter: CampaignAdapter, tell: _Teller) -> None:
    """The domain steers, towards a score of the campaign, and no group of particles lies in two shards."""
    steer = specification.steer
    if steer is None:
        return
    if adapter.steer is None:
        tell.about("steer").refuse(f"the domain '{specification.domain}' does not steer; remove the table")
    known = {score.name for score in specification.scores}
    with tell.about("steer", "objective"):
        if steer.objective not in known:
            raise UnknownNameError("score of the campaign", steer.objective, known)
    size, counts = steer.particles, ((("count",), specification.count), (("shards", "rows"), specification.shards.rows))
    for path, rows in counts:
        if rows % size:
            tell.about(*path).refuse(
                f"{rows} rows are no whole groups of {size} particles; expected a multiple: {-(-rows // size) * size}"
            )
