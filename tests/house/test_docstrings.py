"""Every public name has a docstring that numpydoc's linter accepts, for the codes that mean something here.

A name is public if a module lists it in ``__all__``; it stands at a door if a package does. Methods and properties of a
public class count, private ones and what a class inherits do not.

Codes that are left out, and why:

* ES01, SA01, EX01: an extended summary, a section *See also* and examples are written where they say something; the
  pages of the documentation carry the examples, and run.
* PR04: the type stands in the annotation, which a checker holds; the documentation shows it from there. A second copy
  would go stale. PR06 is about the words of such copies.
* RT01, YD01: the summary line says what comes back ("Distance of ..."), the annotation its type; a section is written
  where shapes, units or several values need it. RT02 to RT05 hold for those that there are.
* SS05, an infinitive to begin with: a summary may also be a noun ("Weights of ..."), which the linter cannot tell
  from a verb in the third person. `third_person` can.
* PR01, all parameters documented: `undocumented` says where it is asked.
* PR03, the order of the signature: parameters that are described together stand where the first of them does, which the
  linter does not know. `disordered` does.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpydoc", reason="the extra docs is not installed")
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import ERROR_MSGS, validate

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "_ext"))
from api_pages import packages

LEFT_OUT = frozenset({"ES01", "SA01", "EX01", "PR01", "PR03", "PR04", "PR06", "RT01", "YD01", "SS05"})
CHECKED = frozenset(ERROR_MSGS) - LEFT_OUT
_DETERMINERS = frozenset({"a", "an", "the", "its", "all", "every", "each", "whether", "how", "what", "this", "one"})
_REFERS = re.compile(r"(parameters|Parameters|arguments)[^.]*? (as|are|above)\b|as (there|above)")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Public:
    """A public name: its full name, the object, and whether a package shows it."""

    name: str
    value: Any
    door: bool


def listed(module: Any) -> Iterator[Any]:
    """Functions and classes of ``__all__`` that are written in this package."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("scidiff"):
            yield value


def members(value: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class defines itself."""
    for name, member in vars(value).items():
        kinds = (property, classmethod, staticmethod)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, kinds)):
            yield name, member


def public() -> list[Public]:
    """Every public name once, in alphabetical order; doors first, so that a name is known by its door."""
    found: dict[str, Public] = {}
    tree = list(packages())
    for door, names in ((True, [name for name, _ in tree]), (False, [name for _, inner in tree for name in inner[1:]])):
        for module in names:
            for value in listed(importlib.import_module(module)):
                name = f"{value.__module__}.{value.__qualname__}"
                found.setdefault(name, Public(name, value, door))
                for part, member in members(value) if inspect.isclass(value) else ():
                    found.setdefault(f"{name}.{part}", Public(f"{name}.{part}", member, False))
    return [found[name] for name in sorted(found)]


def third_person(text: str) -> bool:
    """Whether a summary begins with a verb in the third person: a word in s with an object behind it."""
    first, second = [*text.split(), "", ""][:2]
    return bool(re.fullmatch(r"[A-Z][a-z]+s", first)) and second in _DETERMINERS


def documented(value: Any) -> set[str]:
    """Names in the section *Parameters*; of a class also those of its bases."""
    sources = value.__mro__[:-1] if inspect.isclass(value) else (value,)
    names: set[str] = set()
    for source in sources:
        if inspect.getdoc(source) and (source is value or source.__module__.startswith("scidiff")):
            for parameter in get_doc_object(source)["Parameters"]:
                names |= {name.strip().lstrip("*") for name in parameter.name.split(",")}
    return names


def parameters(value: Any) -> list[str]:
    """Names that a caller may pass; none of a protocol, of an enumeration and of an exception."""
    if inspect.isclass(value) and (
        issubclass(value, enum.Enum | BaseException) or getattr(value, "_is_protocol", False)
    ):
        return []
    try:
        names = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return []
    return [name for name in names if name not in {"self", "cls"} and not name.startswith("_")]


def undocumented(item: Public) -> list[str]:
    """Parameters of which the reader learns nothing.

    A section *Parameters* is complete, for any public name. At a door a docstring without one names every parameter in
    its text, or says whose parameters they are.
    """
    value = getattr(item.value, "__func__", item.value)
    text = inspect.getdoc(value) or ""
    if isinstance(value, property) or not text:
        return []
    missing = [name for name in parameters(value) if name not in documented(value)]
    if "Parameters\n---" in text:
        return missing
    words = set(_WORD.findall(text))
    return [name for name in missing if name not in words] if item.door and not _REFERS.search(text) else []


def disordered(value: Any) -> list[str]:
    """First names of the entries of the section *Parameters*, if they are not in the order of the signature."""
    value = getattr(value, "__func__", value)
    order = parameters(value)
    firsts = [entry.name.split(",")[0].strip().lstrip("*") for entry in get_doc_object(value)["Parameters"]]
    places = [order.index(name) for name in firsts if name in order]
    return [] if places == sorted(places) else firsts


def faults(item: Public) -> list[str]:
    """What the linter and the rules above find."""
    found = [f"{code} {says}" for code, says in validate(item.name)["errors"] if code in CHECKED]
    text = inspect.getdoc(item.value) or ""
    if third_person(text):
        found.append(f"SS05 begins with a verb in the third person: {text.split()[0]}")
    if "Parameters\n---" in text and (wrong := disordered(item.value)):
        found.append(f"PR03 the order of the signature is another: {', '.join(wrong)}")
    missing = undocumented(item)
    return [*found, *([f"PR01 not documented: {', '.join(missing)}"] if missing else [])]


@pytest.fixture(scope="module")
def names() -> list[Public]:
    """All public names; this imports every module."""
    return public()


def test_every_public_name_has_a_docstring_that_the_linter_accepts(names):
    found = [f"{item.name}: {fault}" for item in names for fault in faults(item)]
    assert not found, "\n".join(found)


def test_the_codes_that_are_left_out_are_codes_and_few():
    assert LEFT_OUT < set(ERROR_MSGS)
    assert {"GL01", "GL02", "GL03", "GL08", "SS03", "PR02", "PR07", "PR10", "RT03", "RT05"} <= CHECKED


def test_many_names_are_looked_at(names):
    """The tree of modules is walked: a name of the core, one of a domain, and a method are among thousands."""
    assert {"scidiff.random.Noise", "scidiff.random.Noise.take"} <= {item.name for item in names}
    assert "scidiff.domains.molecules.model.load" in {item.name for item in names if item.door}
    assert len(names) > 3000


class Incomplete:
    """A class whose docstring forgets a parameter.

    Parameters
    ----------
    known
        Is said.
    """

    def __init__(self, known: int, forgotten: int) -> None:
        self.sum = known + forgotten


def turned(first: int, second: int) -> int:
    """Subtract.

    Parameters
    ----------
    second
        What is taken away.
    first
        From what.
    """
    return first - second


def said(x: int, y: int) -> int:
    """Add ``y`` to something."""
    return x + y


def test_the_rules_see_what_is_missing():
    assert undocumented(Public("Incomplete", Incomplete, False)) == ["forgotten"]
    assert undocumented(Public("said", said, True)) == ["x"]
    assert undocumented(Public("said", said, False)) == []
    assert disordered(turned) == ["second", "first"] and not disordered(Incomplete)
    assert third_person("Returns the mean.") and not third_person("Weights of the mean.")
