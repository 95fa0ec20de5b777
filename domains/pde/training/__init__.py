"""Training of the bundled models of partial differential equations: recipes by name.

A recipe is a function ``(folder, *, steps, batch_size, learning_rate, seed, precision, threads, devices, max_seconds,
progress)`` that trains a model in a folder, or goes on with a run that was stopped; what it is not given it chooses.
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
        "burgers": "scidiff.domains.pde.training.family_recipe:train_burgers",
        "darcy": "scidiff.domains.pde.training.darcy_recipe:train_darcy",
        "flow": "scidiff.domains.pde.training.flow_recipe:train_flow",
        "flow-tune": "scidiff.domains.pde.training.flow_tune_recipe:tune_flow",
        "heat": "scidiff.domains.pde.training.family_recipe:train_heat",
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
