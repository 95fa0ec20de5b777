"""Training of the models of this domain: recipes by name.

A recipe is a function ``(out, *, folder, steps, batch_size, learning_rate, seed, precision, threads, max_seconds)``
that trains a model in a folder, or goes on with a run that was stopped; what it is not given it chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from scidiff.domain import resolve
from scidiff.errors import UnknownNameError

__all__ = ["RECIPES", "recipe"]

RECIPES = MappingProxyType(
    {
        "frames": "scidiff.domains.proteins.frames.recipe:train",
        "sequence": "scidiff.domains.proteins.sequence.recipe:train",
        "torsions": "scidiff.domains.proteins.torsion.recipe:train",
    }
)
"""Recipes by name."""


def recipe(name: str) -> Callable[..., Any]:
    """Recipe of a name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return resolve(RECIPES[name])
