"""How the fields of a problem lie in space and time: names of axes, coordinates, and what is needed to make it again.

The first axis of every field is ``sample``. Then come, for a solution in time, ``time``; for a vector on a grid
``component``; then ``x`` and ``y`` on grids, ``vertex`` or ``node`` on meshes, and an axis of its own for a list of
parameters. A problem is written as its name and those settings that differ from the default ones; the mesh of a problem
is written as points and triangles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from scidiff.errors import ConfigError, DataError
from scidiff.mesh import SimplicialComplex

from .contract import Problem
from .evolution import Evolution

__all__ = ["axes", "coordinates", "mesh_of", "remake", "settings_of"]


def mesh_of(problem: Problem) -> SimplicialComplex | None:
    """Mesh of a problem, if it has one."""
    mesh = getattr(problem, "mesh", None)
    return mesh if isinstance(mesh, SimplicialComplex) else None


def _space(count: int) -> tuple[str, ...]:
    return {0: (), 1: ("x",), 2: ("x", "y"), 3: ("component", "x", "y")}[count]


def axes(problem: Problem, name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the axes of a field, ``sample`` first.

    Parameters
    ----------
    problem
        The problem.
    name
        Name of the field.
    shape
        Shape of the batch of it.
    """
    event: tuple[int, ...] = tuple(shape[1:])
    mesh = mesh_of(problem)
    if len(event) == 0:
        return ("sample",)
    if mesh is not None:
        known = {len(mesh.vertices): "vertex", problem.shape[0]: "node", len(mesh.edges): "edge"}
        if shape[-1] in known and len(event) < 3:
            return ("sample", *(("component",) if len(event) == 2 else ()), known[shape[-1]])
    timed = isinstance(problem, Evolution)
    if timed and event == problem.shape:
        return ("sample", "time", *_space(len(event) - 1))
    grid = problem.shape[1:] if timed else problem.shape
    for skip in range(len(grid)):
        if event == grid[skip:] or (skip == 0 and event == grid):
            return ("sample", *_space(len(grid))[skip:])
    return ("sample", *(f"{name}_{k}" if k else f"{name}_entry" for k in range(len(event))))


def coordinates(problem: Problem) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
    """Coordinates by name: their axes, values, and attributes ``units`` and ``long_name``."""
    out: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {}
    if isinstance(problem, Evolution):
        out["time"] = (("time",), problem.times.numpy(), {"units": "s", "long_name": "time", "axis": "T"})
    mesh = mesh_of(problem)
    if mesh is not None:
        for axis, values in zip("xy", mesh.vertices.T[:2], strict=True):
            out[f"vertex_{axis}"] = (("vertex",), values, {"units": "m", "long_name": f"{axis} of the vertex"})
        places = _node_places(problem)
        for axis, values in zip("xy", places if places is not None else (), strict=False):
            out[f"node_{axis}"] = (("node",), values, {"units": "m", "long_name": f"{axis} of the node"})
        return out
    grid = problem.shape[1:] if isinstance(problem, Evolution) else problem.shape
    for axis, size in zip(reversed(_space(len(grid))), reversed(grid), strict=True):
        if axis != "component":
            out[axis] = ((axis,), _points(problem, size), {"units": "m", "long_name": axis, "axis": axis.upper()})
    return out


def _node_places(problem: Problem) -> np.ndarray | None:
    elements: Any = getattr(problem, "elements", None)
    for part in ("basis", "velocity"):
        places = getattr(getattr(elements, part, None), "doflocs", None)
        if places is not None and places.shape[1] == problem.shape[0]:
            return places
    return None


def _points(problem: Problem, size: int) -> np.ndarray:
    """Points along an axis: those of the problem, or the middles of cells of the unit interval."""
    x = getattr(problem, "x", None)
    return np.asarray(x) if x is not None and len(x) == size else (np.arange(size) + 0.5) / size


def _plain(value: Any) -> Any:
    """A JSON value of a setting; None where it has none."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple) and all(isinstance(each, bool | int | float) for each in value):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: getattr(value, each.name) for each in fields(value)}
        return parts if all(isinstance(each, bool | int | float | str | tuple) for each in parts.values()) else None
    return None


def settings_of(problem: Problem) -> dict[str, Any]:
    """Settings with a plain value; laws and meshes are left out."""
    found = {each.name: _plain(getattr(problem, each.name)) for each in fields(problem)}  # type: ignore[arg-type]
    return {name: value for name, value in found.items() if value is not None}


def remake(name: str, settings: Mapping[str, Any], mesh: SimplicialComplex | None) -> Problem:
    """Make a problem from what was written of it.

    Raises
    ------
    DataError
        If the name or a setting is not known here.
    """
    from .flows import FlowLaw
    from .problems import problem

    given = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    try:
        if isinstance(given.get("law"), dict):
            law = {key: tuple(value) if isinstance(value, list) else value for key, value in given["law"].items()}
            given["law"] = FlowLaw(**law)
        return problem(name, **given, **({} if mesh is None else {"mesh": mesh}))
    except (ConfigError, TypeError) as error:
        raise DataError(f"problem '{name}' with settings {dict(settings)} cannot be made here: {error}") from error
