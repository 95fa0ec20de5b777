"""Is a file of fields what it claims to be? Residual, conserved quantities, boundary and distance, computed anew.

Nothing that the file says of itself is used but its fields, the name of its problem and the settings. What is checked,
each as the worst of all samples:

    residual                 at most 1e-10    largest |R| over the largest term
    constraint NAME          at most 1e-10    relative defect of a conserved quantity or of the boundary values
    independent              see below        relative distance from the solution of the same inputs by another method
    divergence, wall flux    at most 1e-12    of flows around obstacles, relative

The distance may be what the problem states (`stated_error`), grown with its order on a grid coarser than the standard.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import DataError

from .certificate import certify
from .contract import Problem, State
from .layout import mesh_of, remake

__all__ = ["Check", "Validation", "stated_error", "validate"]

_ROUND = 1e-10
_FLOW = 1e-12


@dataclass(frozen=True)
class Check:
    """One number of a file.

    Parameters
    ----------
    name
        What was computed.
    value
        The worst of all samples.
    bar
        The largest value that passes.
    worst
        Number of the worst sample.
    """

    name: str
    value: float
    bar: float
    worst: int

    @property
    def passed(self) -> bool:
        """Whether the value reaches the bar; NaN does not."""
        return self.value <= self.bar


@dataclass(frozen=True)
class Validation:
    """What was found in a file.

    Parameters
    ----------
    file
        Its name.
    problem
        Name of the problem.
    count
        Number of samples.
    checks
        The numbers.
    """

    file: str
    problem: str
    count: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passes."""
        return all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        rows = [
            {"name": c.name, "value": c.value, "bar": c.bar, "worst": c.worst, "passed": c.passed} for c in self.checks
        ]
        facts = {"file": self.file, "problem": self.problem, "count": self.count}
        return {**facts, "valid": self.passed, "checks": rows}

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from scidiff.io.html import report_card

        word = "the certificate holds" if self.passed else "the certificate does not hold"
        return report_card(f"validation: {word}", self.as_json())

    def table(self) -> str:
        """Lines for a terminal."""
        head = f"{self.file}: {self.count} x {self.problem}"
        wide = max(len(check.name) for check in self.checks)
        lines = []
        for c in self.checks:
            word = "holds" if c.passed else f"FAILS in sample {c.worst}"
            lines.append(f"  {c.name:{wide}s}  {c.value:9.2e}  <= {c.bar:.1e}  {word}")
        return "\n".join([head, *lines, "the certificate holds" if self.passed else "the certificate does not hold"])


def stated_error(problem: Problem) -> float:
    """Largest distance from the independent solution that the problem allows on its grid.

    The stated error belongs to the standard grid; on a coarser one it grows with the order of the scheme, at most 2,
    and twice it is allowed because draws differ.
    """
    if not math.isfinite(problem.order):
        return problem.truth_error
    kind = type(problem)
    if mesh_of(problem) is not None:
        ratio = (problem.cell / kind().cell) ** 0.5
    else:
        fine = kind()
        ratio = fine.shape[-1] / problem.shape[-1]
    return 2 * problem.truth_error * max(1.0, ratio) ** min(problem.order, 2.0)


def validate(path: str | Path, *, independent: bool = True) -> Validation:
    """Compute the certificate of a file anew.

    Parameters
    ----------
    path
        ``.nc``, ``.zarr``, ``.npz`` or ``.safetensors``, as ``scidiff pde solve`` and ``sample`` write them.
    independent
        Whether to solve again by the independent method, which takes longest.

    Raises
    ------
    DataError
        If the file cannot be read, or holds neither a state nor flows.
    FieldError
        If a field holds NaN or infinities; it says where.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"no file '{path}'; expected .nc, .zarr, .npz or .safetensors")
    arrays = _flows(path)
    if arrays is not None:
        return Validation(path.name, "flow around obstacles", len(arrays[0]), tuple(_flow_checks(*arrays)))
    problem, state = _state(path)
    return Validation(
        path.name, problem.name, len(next(iter(state.values()))), tuple(_checks(problem, state, independent))
    )


def _state(path: Path) -> tuple[Problem, State]:
    if path.suffix in (".nc", ".zarr"):
        from .datasets import open_dataset, read_state

        return read_state(open_dataset(path))
    if path.suffix == ".safetensors":
        return _from_safetensors(path)
    if path.suffix == ".npz":
        return _from_npz(path)
    raise DataError(f"'{path}' holds no fields that are known here; expected .nc, .zarr, .npz or .safetensors")


def _from_safetensors(path: Path) -> tuple[Problem, State]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise DataError(f"'{path}' cannot be read ({error})") from error
    if "problem" not in header:
        raise DataError(f"'{path}' does not name its problem; write it again with 'scidiff pde solve --out'")
    return remake(header["problem"], json.loads(header["settings"]), None), state


def _from_npz(path: Path) -> tuple[Problem, State]:
    """Pairs of medium and head, as the Darcy model writes them."""
    from .problems.darcy import Darcy

    arrays = _arrays(path)
    if not {"a", "u"} <= set(arrays):
        raise DataError(f"'{path}' holds {sorted(arrays)}; expected velocity and obstacles, or a and u")
    a, u = (torch.from_numpy(arrays[name].astype(np.float64)) for name in "au")
    return Darcy(a.shape[-1]), {"a": a, "f": torch.full_like(a, Darcy.source), "u": u}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read ({error})") from error


def _checks(problem: Problem, state: State, independent: bool) -> Iterator[Check]:
    found = certify(problem, state, independent=independent)
    yield _worst("residual", found.relative.numpy(), _ROUND)
    for name, value in found.constraints.items():
        yield _worst(f"constraint {name}", value.numpy(), _ROUND)
    if found.independent is not None:
        yield _worst("independent", found.independent.numpy(), stated_error(problem))


def _worst(name: str, values: np.ndarray, bar: float) -> Check:
    row = int(np.argmax(np.where(np.isfinite(values), values, np.inf)))
    return Check(name, float(values[row]), bar, row)


def _flows(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Velocities and obstacles, where a file holds flows."""
    if path.suffix == ".npz":
        arrays = _arrays(path)
        return (arrays["velocity"], arrays["obstacles"]) if {"velocity", "obstacles"} <= set(arrays) else None
    if path.suffix in (".nc", ".zarr"):
        from .datasets import open_dataset

        dataset = open_dataset(path)
        if {"velocity", "obstacles"} <= set(dataset):
            return dataset["velocity"].values, dataset["obstacles"].values.astype(bool)
    return None


def _flow_checks(velocity: np.ndarray, obstacles: np.ndarray) -> Iterator[Check]:
    from .errors import check_finite
    from .grids import MacGrid, divergence

    check_finite(torch.from_numpy(np.ascontiguousarray(velocity)), "velocity")
    rows = []
    for w, mask in zip(velocity, np.broadcast_to(obstacles, (len(velocity), *obstacles.shape[-2:])), strict=True):
        grid, speed = MacGrid(mask), max(float(abs(w).max()), 1e-300)
        worst = abs(divergence(w[0], w[1], grid.spacing)[grid.fluid]).max() * min(grid.spacing)
        rows.append((float(worst) / speed, float(abs(w[~grid.free]).max(initial=0.0)) / speed))
    for name, values in zip(("divergence", "wall flux"), np.array(rows).T, strict=True):
        yield _worst(name, values, _FLOW)
