"""The README of a model on the hub, made of its JSON card: what it is, how to load it, where it came from.

Every number on the page stands on the card; the page adds none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["model_page"]

_SHOWN = ("format_version", "sha256", "parameters", "provenance")
_LONGEST = 400


def model_page(name: str, repository: str, card: Mapping[str, Any]) -> str:
    """Write the page.

    Parameters
    ----------
    name
        Name of the model file, without ending.
    repository
        ``owner/name``.
    card
        The card, as `scidiff.io.checkpoint.load_model` gives it.

    Returns
    -------
    str
        Markdown, with the header that the hub reads.
    """
    domain = str(card.get("task", {}).get("domain", ""))
    written = card.get("provenance", {})
    head = [
        "---",
        "library_name: scidiff",
        "tags:",
        "- diffusion",
        *([f"- {_plain(domain.partition('/')[0])}"] if domain else []),
    ]
    if isinstance(card.get("licence"), str):
        head.append(f"license: {json.dumps(card['licence'])}")
    head += ["---", "", f"# {_plain(name)}", ""]
    facts = [
        ("domain", domain or "not stated"),
        ("parameters", f"{card.get('parameters', 0):,}"),
        ("sha256 of the weights", f"`{card.get('sha256', '')}`"),
        ("written by", f"scidiff {written.get('scidiff', 'unknown')}, torch {written.get('torch', 'unknown')}"),
        ("date", written.get("date", "unknown")),
    ]
    lines = [*head, "| | |", "|---|---|", *(f"| {key} | {_plain(str(value))} |" for key, value in facts), ""]
    return "\n".join([*lines, *_use(name, repository, domain), *_rest(card)]) + "\n"


def _use(name: str, repository: str, domain: str) -> Iterator[str]:
    """Lines of code that load the model; a domain with several kinds of model has a ``load`` for each."""
    whole = domain.isidentifier()
    loader = f"from scidiff.domains import {domain}" if whole else "from scidiff.io.checkpoint import load_model"
    last = f"model = {domain}.load(str(path))" if whole else "weights, card = load_model(path)"
    yield from ("## Use", "", "```python", loader, "from scidiff.interchange import pull_model", "")
    yield f'path = pull_model("{repository}", "{name}", revision="COMMIT", folder="models")'
    yield from (last, "```", "", "The weights are compared with the sha256 of the card whenever they are loaded.", "")


def _rest(card: Mapping[str, Any]) -> Iterator[str]:
    """The other members of the card, short ones in full."""
    for key, value in card.items():
        if key in _SHOWN:
            continue
        text = json.dumps(value, indent=1, ensure_ascii=False)
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + "\n... the rest stands on the card"
        yield from (f"## {_plain(key)}", "", "```json", text.replace("```", "'''"), "```", "")


def _plain(text: str) -> str:
    """One line without the signs of tables and headers."""
    return " ".join(text.replace("|", "/").split()).lstrip("#-: ")
