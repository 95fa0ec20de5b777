"""What a campaign is asked to do: a TOML file, or the same as a mapping.

    name = "drug-like"            domain = "molecules"      model = "qm9"
    count = 2000                  samples of each condition
    [sampler]                     steps, seed, device
    [conditions]                  parameter = [value, ...]: the grid is their product
    [[scores]]                    numbers that every good sample gets
    [[filters]]                   score, least, most: a sample that passes all of them is accepted
    [objectives]                  maximise, minimise: names of scores
    [steer]                       objective, strength, particles: a tilt while samples are drawn
    [diversity]                   what `select` picks
    [budget] [stop]               when the run ends
    [shards]                      rows of a file, threads of a worker

Unknown keys are refused; an error names the field, and the line where it was read from a file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from scidiff.campaign.toml_lines import line_of
from scidiff.errors import ConfigError, DataError, UnknownNameError

__all__ = ["Score", "Specification", "SpecificationError", "parse", "read", "refuse"]

_LARGEST_FILE = 4_000_000
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
Target = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
Whole = Annotated[int, Field(ge=1, le=10**12)]
Positive = Annotated[float, Field(gt=0)]


class SpecificationError(ConfigError):
    """A field of a specification cannot be used."""


class _Part(BaseModel):
    """A table: unknown keys, conversions between types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Sampler(_Part):
    """How samples are drawn.

    Parameters
    ----------
    steps
        Network calls, or iterations, of each sample.
    seed
        Seed of the campaign; the seed of the draws comes from the hash of everything, this number included.
    device
        Where networks run.
    """

    steps: Annotated[int, Field(ge=1, le=100_000)] = 20
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: Text = "cpu"


class Score(_Part):
    """A number that every good sample gets: of the domain or a plug-in by its name, or of one's own.

    Parameters
    ----------
    name
        Name of the column.
    of
        Name of the domain's or the plug-in's score, where it differs from that of the column.
    callable
        ``"module:function"``; it takes one row as a mapping and returns a number.
    command
        A program and its arguments; it reads one line for each row and writes one line for each.
    input
        Column that the command reads; without it, it reads each row as one JSON object a line.
    parameters
        Named arguments of the score or the callable.
    timeout
        Seconds that the command may take for a batch.
    batch
        Rows in one call of the command.
    """

    name: Name
    of: Name | None = None
    callable: Target | None = None
    command: Annotated[list[Text], Field(min_length=1)] | None = None
    input: Name | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    timeout: Positive = 60.0
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = 256

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(part is not None for part in (self.of, self.callable, self.command)) > 1:
            raise ValueError("gives more than one of 'of', 'callable' and 'command'; keep one of them")
        if self.input is not None and self.command is None:
            raise ValueError("has 'input' without 'command'; only commands read lines")
        if self.command is not None and self.parameters:
            raise ValueError("has 'parameters' for a command; write them into the arguments of 'command'")
        return self


class Filter(_Part):
    """A range that a score has to lie in, both ends included; a row without the score is not accepted."""

    score: Name
    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("has neither 'least' nor 'most'; give one at least")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"has least {self.least} above most {self.most}; exchange them")
        return self


class Objectives(_Part):
    """Scores of which more, or less, is better."""

    maximise: list[Name] = Field(default_factory=list)
    minimise: list[Name] = Field(default_factory=list)


class Steer(_Part):
    """A tilt of what is drawn, ``p(x) exp(strength * objective(x))``, where the domain can do that.

    Parameters
    ----------
    objective
        Name of a score of the campaign.
    strength
        Factor of it; below 0 small values are wanted.
    particles
        Samples of a group, of which good ones are copied and bad ones dropped while they are drawn. It divides
        `count` and the rows of a shard, so that a group lies in one shard.
    """

    objective: Name
    strength: float
    particles: Annotated[int, Field(ge=2, le=4096)] = 16


class Diversity(_Part):
    """What `select` picks, see `scidiff.campaign.selection`."""

    count: Whole | None = None
    unique: bool = True
    per_group: Whole | None = None
    pool: Whole | None = None
    radius: Positive | None = None


class Budget(_Part):
    """Where a run ends, resumable with a larger budget: rows (whole shards that fit), seconds of one run."""

    rows: Whole | None = None
    seconds: Positive | None = None


class Stop(_Part):
    """When a campaign is over: so many accepted rows, too few valid ones, or too many quarantined shards."""

    accepted: Whole | None = None
    least_valid: Annotated[float, Field(gt=0, le=1)] | None = None
    quarantined: Whole = 10


class Shards(_Part):
    """Rows of a file, and torch threads of a worker; both belong to the content, to its last bit."""

    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    threads: Annotated[int, Field(ge=1, le=1024)] = 1


class Specification(_Part):
    """A campaign.

    Parameters
    ----------
    name
        What it is called; no part of the content.
    domain, model
        Registered domain, and the name or the file of its model.
    count
        Samples of each condition.
    sampler
        How samples are drawn.
    conditions
        Values of each parameter of the domain; the grid is the product of the lists.
    scores
        Numbers that every good sample gets.
    filters
        Bounds of scores; who is within all of them is accepted.
    objectives
        Scores to maximise and to minimise.
    steer
        Objective by which samples are steered while they are drawn; none by default.
    diversity
        What `select` picks.
    budget
        Bounds of one run.
    stop
        Rules that end the campaign.
    shards
        Rows of a file, and threads of a worker.
    """

    name: Text = "campaign"
    domain: Name
    model: Text
    count: Whole
    sampler: Sampler = Sampler()
    conditions: dict[Name, Annotated[list[Any], Field(min_length=1, max_length=1_000_000)]] = Field(
        default_factory=dict
    )
    scores: list[Score] = Field(default_factory=list)
    filters: list[Filter] = Field(default_factory=list)
    objectives: Objectives = Objectives()
    steer: Steer | None = None
    diversity: Diversity = Diversity()
    budget: Budget = Budget()
    stop: Stop = Stop()
    shards: Shards = Shards()

    @field_validator("conditions", mode="before")
    @classmethod
    def _single_values(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: each if isinstance(each, list) else [each] for key, each in value.items()}


def parse(content: Mapping[str, Any]) -> Specification:
    """Read a specification from a mapping.

    Parameters
    ----------
    content
        Tables and values as in the file.

    Returns
    -------
    Specification
        The specification; names are looked up when a run is planned.

    Raises
    ------
    SpecificationError
        If a field cannot be used.

    Examples
    --------
    >>> from scidiff import campaign
    >>> found = campaign.parse({"domain": "molecules", "model": "qm9", "count": 10, "conditions": {"temperature": 0.8}})
    >>> found.count, found.conditions
    (10, {'temperature': [0.8]})
    """
    return _parse(dict(content), "specification", "")


def read(path: str | Path) -> Specification:
    """Read a specification from a TOML file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Specification
        The specification; names are looked up when a run is planned.

    Raises
    ------
    SpecificationError
        If the text is no TOML, or a field cannot be used.
    DataError
        If the file cannot be read.
    """
    text = read_text(path)
    return _parse(_toml(text, path), str(path), text)


def read_text(path: str | Path) -> str:
    """Read a TOML file of reasonable size as text."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected a TOML file") from error
    if len(content) > _LARGEST_FILE:
        raise DataError(f"{path} has more than {_LARGEST_FILE} bytes; expected a TOML file with a specification")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SpecificationError(f"{path}, line {line}: the text is not UTF-8; save the file as UTF-8") from error


def _toml(text: str, path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecificationError(f"{path}: no TOML: {error}; correct that place") from error


def _parse(content: dict[str, Any], origin: str, text: str) -> Specification:
    return validate(Specification, content, origin, text)


def validate(model: type[Any], content: dict[str, Any], origin: str, text: str) -> Any:
    """Check a mapping against a model of pydantic; raise `SpecificationError` with the first error."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first, *more = error.errors(include_url=False)
        path = [part for part in first["loc"] if part != "[key]"]
        refuse(_sentence(model, first, path), path, origin, text, len(more))


def read_model(model: type[Any], path: str | Path) -> Any:
    """Read a TOML file of another model, e.g. that of a cluster."""
    text = read_text(path)
    return validate(model, _toml(text, path), str(path), text)


def refuse(
    sentence: str, path: Sequence[str | int], origin: str = "specification", text: str = "", more: int = 0
) -> Any:
    """Raise the error of a field.

    Parameters
    ----------
    sentence
        What came, what was expected, what to do.
    path
        Keys and numbers of elements on the way to the field.
    origin
        Name of the file.
    text
        Its text, to find the line.
    more
        Number of further errors.

    Raises
    ------
    SpecificationError
        Always.
    """
    line = line_of(text, path) if text else None
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    where = origin if line is None else f"{origin}, line {line}"
    rest = f" (and {more} more)" if more else ""
    raise SpecificationError(f"{where}: {field or 'the file'}: {sentence}{rest}")


def _sentence(model: type[BaseModel], error: Any, path: Sequence[str | int]) -> str:
    """Say what is wrong with a field in words of this package."""
    if error["type"] == "extra_forbidden":
        known = _fields(model, path[:-1])
        return f"{UnknownNameError('key', str(path[-1]), known)} Correct or remove it"
    if error["type"] == "missing":
        return "it is missing; add it"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":
        return message
    if error["loc"] and error["loc"][-1] == "[key]":
        return f"the name is {error['input']!r:.60}; expected lower-case letters, digits and _"
    return f"{error['input']!r:.60} came; {message[0].lower()}{message[1:]}; correct the value"


def _fields(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Names of the fields of the table at a path."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            inner = _model_of(model.model_fields[part].annotation)
            model = inner or model
    return list(model.model_fields)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Find the model in an annotation such as ``list[Score]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_of(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
