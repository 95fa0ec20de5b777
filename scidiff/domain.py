"""The contract between the core and one science, and the few values that cross it.

A domain package exposes one attribute, ``DOMAIN``, a `Domain`. Everything in it that costs time to import is named by
an import string ``"module:attribute"`` and loaded when it is used, so that reading ``DOMAIN`` is cheap::

    DOMAIN = Domain(
        name="crystals",
        title="Inorganic crystals",
        home=Path(__file__).parent,
        cli="scidiff_crystals.cli:app",
        datasets="scidiff_crystals.data:DATASETS",
        demo=deferred("scidiff_crystals.demo:demo"),
        bench_rows=deferred("scidiff_crystals.benchmark:rows"),
    )
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from scidiff.errors import ConfigError

__all__ = [
    "CampaignAdapter",
    "Candidates",
    "DataSet",
    "DemoSection",
    "Domain",
    "Picture",
    "Row",
    "deferred",
    "lazy",
    "resolve",
]

_LABEL = re.compile(r"exact|biased|measured|quoted|consistent\(\d+(\.\d+)?\)")


def resolve(target: str) -> Any:
    """Import the object that ``"module:attribute"`` names.

    Parameters
    ----------
    target
        Import string.

    Returns
    -------
    Any
        The object.

    Raises
    ------
    ImportError
        If the module cannot be imported or lacks the attribute.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"'{target}' cannot be loaded: {error}; expected 'module:attribute'") from error


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package whose names load when they are first used.

    Parameters
    ----------
    package
        ``__name__`` of the package.
    homes
        Submodule of each public name.

    Returns
    -------
    Callable
        Finds a name, and keeps it in the package.
    """

    def find(name: str) -> Any:
        module = sys.modules[package]
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'; it has {', '.join(module.__all__)}")
        value = getattr(import_module(f".{homes[name]}", package), name)
        setattr(module, name, value)
        return value

    return find


def deferred(target: str) -> Callable[..., Any]:
    """Make a function that imports the function ``"module:attribute"`` when it is first called.

    Parameters
    ----------
    target
        Import string of the function.

    Returns
    -------
    Callable
        Takes and returns what the named function does.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return resolve(target)(*args, **kwargs)

    return call


@dataclass(frozen=True)
class Row:
    """One number of a benchmark, with what is needed to judge it.

    Parameters
    ----------
    name
        Name of the quantity, unique in its suite.
    label
        What the number or its method is: ``exact``, ``consistent(order)``, ``biased``, ``measured`` in this run, or
        ``quoted`` from a publication that `note` names.
    value
        The number, finite.
    interval
        Its 95 % interval ``(low, high)``, where there is one.
    bar
        What `value` has to reach to pass.
    above
        Whether the bar is a least value (True) or a largest one (False).
    baseline
        The same quantity for the classical method.
    baseline_name
        The name of that method.
    unit
        Unit of the number; empty for a pure one.
    calls
        Network calls for one sample.
    seconds
        Wall-clock time of the measurement.
    note
        One line: the count, the source of a quoted number.

    Raises
    ------
    ConfigError
        If the label is not one of those above, a number is not finite, or a quoted row lacks its source.
    """

    name: str
    label: str
    value: float
    interval: tuple[float, float] | None = None
    bar: float | None = None
    above: bool = True
    baseline: float | None = None
    baseline_name: str = ""
    unit: str = ""
    calls: float | None = None
    seconds: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.label):
            raise ConfigError(
                f"row '{self.name}' has label '{self.label}'; "
                "expected exact, consistent(order), biased, measured or quoted"
            )
        if self.label == "quoted" and not self.note:
            raise ConfigError(f"row '{self.name}' is quoted without a source; name the publication in 'note'")
        for number in (self.value, *(self.interval or ()), self.bar, self.baseline):
            if number is not None and not math.isfinite(number):
                raise ConfigError(f"row '{self.name}' holds {number}; expected a finite number; leave the row out")

    @property
    def passed(self) -> bool | None:
        """Whether the value reaches its bar; None without a bar."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.above else self.value <= self.bar

    def as_json(self) -> dict[str, Any]:
        """Return the row as a JSON object."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class Picture:
    """A picture of a demonstration.

    Parameters
    ----------
    caption
        What is to be seen, in one or two sentences.
    content
        SVG markup, or the bytes of a PNG file.
    """

    caption: str
    content: str | bytes


@dataclass(frozen=True)
class DemoSection:
    """What a domain shows of itself on the page of ``scidiff demo``.

    Parameters
    ----------
    title
        Heading.
    lead
        Plain text: what was made, with which model, and what holds for every sample.
    rows
        The numbers, with their intervals.
    pictures
        The pictures, in order.
    commands
        Commands that make the same things again.
    calls
        Network calls for one sample.
    seconds
        Wall-clock time of the section.
    """

    title: str
    lead: str
    rows: tuple[Row, ...]
    pictures: tuple[Picture, ...] = ()
    commands: tuple[str, ...] = ()
    calls: float | None = None
    seconds: float | None = None


class DataSet(Protocol):
    """A data set that a domain can bring onto this machine: one line about it, its entries, origin and terms."""

    title: str
    size: int
    source: str
    licence: str

    def get(self, folder: Path | None, progress: bool) -> Path:
        """Fetch or build the set in ``folder`` (by default where the domain keeps it), check it, return its path."""
        ...


@dataclass(frozen=True)
class Candidates:
    """Samples that a campaign asked for, as columns of equal length.

    Parameters
    ----------
    status
        ``"ok"`` for a good sample, else the name of what it is, as of `scidiff.sample.samples.Status`.
    reason
        One line for each sample; empty for a good one.
    columns
        Values by name: texts, numbers, truths, or one NumPy array for each sample; None where there is no value. A
        name is in lower case and the same for every call of one campaign, and so is the type of its values.
    """

    status: Sequence[str]
    reason: Sequence[str]
    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.status)


def _no_features(columns: Mapping[str, Sequence[Any]]) -> Any:
    """Nothing: samples of a domain without features are not compared."""
    return None


@dataclass(frozen=True)
class CampaignAdapter:
    """What a domain does in a campaign; the attribute that `Domain.campaign` names.

    Every function is deterministic: what it returns depends on its arguments alone, and the sample of an index on the
    seed, the index, the condition and the number of steps.

    Parameters
    ----------
    fingerprint
        ``fingerprint(model)`` is the SHA-256 of the model, or a text that names what is used in its place; it raises
        `UnknownNameError` for a model that does not exist.
    load
        ``load(model, device)`` makes what `sample` needs; it is called once in each worker.
    sample
        ``sample(loaded, condition, indices, steps, seed)`` makes the samples of a range of indices.
    conditions
        Parameters of a condition by name, each with ``check(model, value)``, which raises a `ScidiffError` for a value
        of no use, and returns the SHA-256 of a file that the value names, else None.
    required
        Names that no condition may leave out.
    scores
        Functions by name: ``score(columns, **parameters)`` takes the columns of good samples and returns one number, or
        None, for each. It is called once without rows, so that it can refuse parameters.
    features
        ``features(columns)`` gives each good sample a row by which two are compared: packed bits (uint8, Tanimoto
        similarity) or numbers (float32, Euclidean distance); None where the domain has no such thing.
    key
        Column in which two samples that are the same agree; empty where there is none.
    group
        Column of families, e.g. scaffolds; empty where there is none.
    writers
        Functions by file ending: ``write(path, rows, provenance)`` takes rows, each a mapping from column to value, one
        after the other.
    steer
        As `sample`, with ``(score, strength, particles)`` behind its arguments: draws ``p(x) exp(strength * score(x))``
        by groups of consecutive indices; `score` takes columns of samples, finished or not. None where it cannot.
    """

    fingerprint: Callable[[str], str]
    load: Callable[[str, str], Any]
    sample: Callable[[Any, Mapping[str, Any], range, int, int], Candidates]
    conditions: Mapping[str, Callable[[str, Any], str | None]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    scores: Mapping[str, Callable[..., Sequence[float | None]]] = field(default_factory=dict)
    features: Callable[[Mapping[str, Sequence[Any]]], Any] = _no_features
    key: str = ""
    group: str = ""
    writers: Mapping[str, Callable[[Path, Iterator[Mapping[str, Any]], Mapping[str, Any]], None]] = field(
        default_factory=dict
    )
    steer: Callable[..., Candidates] | None = None


@dataclass(frozen=True)
class Domain:
    """One science.

    Parameters
    ----------
    name
        Name in the registry, in import paths and on the command line.
    title
        Name for people.
    home
        Folder of the package; bundled models lie in its ``weights``, bundled data in its ``data``.
    cli
        Import string of the typer application with the domain's commands.
    demo
        ``demo(folder, seed, fast)`` makes the section of the demonstration; files go into ``folder``.
    bench_rows
        ``bench_rows(fast, seed)`` yields the rows of the benchmark as they are measured.
    datasets
        Import string of the mapping from name to `DataSet`; empty where there is none.
    protocol
        Version of the benchmark protocol; it changes whenever numbers stop being comparable.
    campaign
        Import string of the `CampaignAdapter`; empty where the domain takes no part in campaigns.
    """

    name: str
    title: str
    home: Path
    cli: str
    demo: Callable[[Path, int, bool], DemoSection]
    bench_rows: Callable[[bool, int], Iterator[Row]]
    datasets: str = ""
    protocol: str = "1"
    campaign: str = ""

    @property
    def models(self) -> tuple[Path, ...]:
        """Weights files of the bundled models, by name."""
        return tuple(sorted((self.home / "weights").glob("*.safetensors")))

    @property
    def bundled(self) -> tuple[Path, ...]:
        """All files of models and data that come with the domain."""
        found = [path for folder in ("weights", "data") for path in (self.home / folder).glob("*") if path.is_file()]
        return tuple(sorted(path for path in found if path.suffix != ".py"))

    def load_cli(self) -> Any:
        """Import the typer application."""
        return resolve(self.cli)

    def load_datasets(self) -> Mapping[str, DataSet]:
        """Import the mapping of data sets."""
        return resolve(self.datasets) if self.datasets else {}

    def load_campaign(self) -> CampaignAdapter:
        """Import the adapter of campaigns.

        Raises
        ------
        ConfigError
            If the domain takes no part in campaigns.
        """
        if not self.campaign:
            raise ConfigError(f"domain '{self.name}' declares no campaign adapter; choose another domain")
        return resolve(self.campaign)
