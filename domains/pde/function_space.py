"""Sampling a Gaussian field on any domain, grid or mesh, free or from sensors, through the one loop of the package.

Fields are images ``F z`` of white numbers z, and data ``y = B z + e`` with ``e`` of variance ``noise^2``. The diffusion
runs in z, so its noise is the law of the fields themselves, trace class on every mesh. With ``B = U D V^T`` the
posterior of z has, along the columns of V, the means and variances

    mu_j = d_j (U^T y)_j / (d_j^2 + noise^2),      lambda_j = noise^2 / (d_j^2 + noise^2),

and those of the prior, 0 and 1, elsewhere. On straight paths ``x_t = (1 - t) z + t eps`` the variance along j is
``v_t = (1 - t)^2 lambda_j + t^2``, and the flow of the process carries a state from t to s by

    x_s = (1 - s) mu + (v_s / v_t)^(1/2) (x_t - (1 - t) mu):

a flow map in closed form. Sampling with it is exact at any number of steps, also at one. What is exact for the
constraint of the domain stays exact for every sample, because F solves the equation: on a mesh no triangle has an
outflow and no wall is crossed, on a grid the discrete equation holds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.flow_map import FlowMap
from scidiff.errors import ConfigError, ShapeError
from scidiff.io.files import atomic_write
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import LinearFlowSchedule
from scidiff.random import Noise
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.jump import Jump
from scidiff.sample.loop import run
from scidiff.sample.samples import Samples, Status
from scidiff.sample.state import RunState
from scidiff.spaces.euclidean import Euclidean

from .certificate import Certificate, certify
from .contract import Problem, State
from .errors import ConstraintError, check_finite
from .mesh_sensors import MeshSensors

__all__ = ["FieldLaw", "FieldSamples", "WhitePosterior", "field_law", "sample"]

_BOUND = 1e-10
_DEPENDENT = 1e-14


@dataclass(frozen=True, eq=False)
class FieldLaw:
    """A linear-Gaussian problem in white numbers.

    Parameters
    ----------
    problem
        The problem.
    size
        Number of white numbers.
    state
        ``F``: from ``(batch, size)`` to all fields.
    rows
        ``B`` for sensors, shape ``(data, size)``.
    read
        Data of a state at sensors, shape ``(batch, data)``.
    """

    problem: Problem
    size: int
    state: Callable[[np.ndarray], State]
    rows: Callable[[Any], np.ndarray]
    read: Callable[[State, Any], np.ndarray]


def field_law(problem: Problem) -> FieldLaw:
    """The white form of a problem on a grid or on a mesh.

    Raises
    ------
    ConfigError
        If its fields are not Gaussian in closed form.
    """
    from .problems.mesh_flow import MeshFlow
    from .problems.poisson import Poisson

    if isinstance(problem, Poisson):
        return _grid_law(problem)
    if isinstance(problem, MeshFlow):
        return _mesh_law(problem)
    raise ConfigError(
        f"the fields of problem '{problem.name}' are not Gaussian in closed form; take poisson, helmholtz or "
        "mesh_flow, or load a model"
    )


def _grid_law(problem: Any) -> FieldLaw:
    def state(z: np.ndarray) -> State:
        f = problem.gaussian.root(z.reshape(-1, *problem.shape))
        return {"f": torch.from_numpy(f), "u": torch.from_numpy(problem.solve_array(f))}

    return FieldLaw(
        problem,
        int(np.prod(problem.shape)),
        state,
        lambda sensors: problem.gaussian.observe_solution(sensors).rows.reshape(len(sensors), -1),
        lambda fields, sensors: fields["u"].numpy()[:, sensors.index[:, 0], sensors.index[:, 1]],
    )


def _mesh_law(problem: Any) -> FieldLaw:
    vertices = len(problem.mesh.vertices)

    def state(z: np.ndarray) -> State:
        omega, gamma = problem.vorticity(z[:, :vertices]), problem.swirl * z[:, vertices:]
        inputs = {"omega": torch.from_numpy(omega), "gamma": torch.from_numpy(np.ascontiguousarray(gamma))}
        return problem.solve(inputs)

    def pick(sensors: MeshSensors) -> np.ndarray:
        return np.concatenate([sensors.triangle, sensors.triangle + len(problem.mesh.triangles)])

    def rows(sensors: MeshSensors) -> np.ndarray:
        reduced = (problem.gradient[pick(sensors)] @ problem.spread).toarray()
        back = problem.factor.solve(reduced.T)
        weights = problem.mass[:, None] * (problem.spread @ back)
        root = 2 * problem.kappa * np.sqrt(np.pi) * problem.vorticity_factor.solve(weights)
        white = np.sqrt(problem.mass)[:, None] * root
        return np.concatenate([white, problem.swirl * back[len(back) - problem.holes :]]).T

    def read(fields: State, sensors: MeshSensors) -> np.ndarray:
        return problem.velocity(fields["w"].numpy()).reshape(len(fields["w"]), -1)[:, pick(sensors)]

    return FieldLaw(problem, vertices + problem.holes, state, rows, read)


@dataclass(frozen=True, eq=False)
class WhitePosterior:
    """Posterior of white numbers.

    Parameters
    ----------
    directions
        Columns V, orthonormal, shape ``(size, data)``; no columns for the prior.
    mean
        ``mu`` along them, shape ``(batch, data)`` or ``(1, data)``.
    variance
        ``lambda`` along them, shape ``(data,)``.
    """

    directions: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, rows: np.ndarray, data: np.ndarray, noise: float) -> WhitePosterior:
        """Condition on data ``(batch, m)`` with rows ``(m, size)``.

        Raises
        ------
        ConstraintError
            If rows depend on each other and their data contradict each other.
        """
        values, left = np.linalg.eigh(rows @ rows.T)
        kept = values > _DEPENDENT * values[-1]
        lost = abs(data @ left[:, ~kept])
        if noise == 0 and lost.size and lost.max() > 1e-6 * abs(data).max():
            row = int(abs(left[:, ~kept][:, np.unravel_index(lost.argmax(), lost.shape)[1]]).argmax())
            raise ConstraintError(
                f"datum {row} contradicts others (rank {int(kept.sum())} of {len(values)}); drop dependent sensors or "
                "give the noise of the data",
                row,
            )
        strength, left = np.sqrt(values[kept]), left[:, kept]
        total = values[kept] + noise**2
        parts = (rows.T @ left) / strength, strength * (data @ left) / total, noise**2 / total
        return cls(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))

    def flow(self, process: GaussianProcess) -> FlowMap:
        """The flow map of straight paths, exact."""

        def velocity(x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
            # all white numbers of a sample share one time
            t, s = (each.reshape(len(each) if each.ndim else 1, -1)[:, :1] for each in (t, s))
            along = x @ self.directions
            inner = self._velocity(along, t, s, self.mean, self.variance)
            rest = x - along @ self.directions.T
            one = torch.ones(1, dtype=x.dtype)
            return inner @ self.directions.T + self._velocity(rest, t, s, 0 * one, one)

        return FlowMap(velocity, process)

    @staticmethod
    def _velocity(x: Tensor, t: Tensor, s: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """``(x_s - x_t) / (s - t)``, and the velocity of the flow where ``s = t``."""
        spread = lambda time: (1 - time) ** 2 * variance + time**2  # noqa: E731
        off, now = x - (1 - t) * mean, spread(t).clamp_min(1e-300)
        gap = torch.where(s == t, 1.0, s - t)
        far = ((1 - s) * mean + (spread(s) / now).sqrt() * off - x) / gap
        near = -mean + (t - (1 - t) * variance) / now * off
        return torch.where(s == t, near, far)


@dataclass(frozen=True)
class FieldSamples(Samples):
    """Samples of the fields of a problem; ``items`` hold the solution, ``state`` all fields."""

    problem: Any = None
    state: State = field(default_factory=dict)

    def certificate(self, *, independent: bool = True) -> Certificate:
        """Certificate of all samples."""
        return certify(self.problem, self.state, independent=independent)

    def take(self, rows: Sequence[int] | np.ndarray) -> FieldSamples:
        """Samples of the chosen rows."""
        chosen = super().take(rows)
        index = np.arange(len(self))[np.asarray(rows, dtype=None if len(rows) else np.int64)]
        return replace(chosen, state={name: value[torch.from_numpy(index)] for name, value in self.state.items()})

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .display import fields_card

        return fields_card(self)

    def save(self, path: str | Path) -> Path:
        """Write labelled fields (.nc, .zarr), a mesh with its fields (.vtu), or a picture of the first sample (.png).

        Raises
        ------
        ConfigError
            If the ending is another one.
        """
        from .datasets import save_dataset, save_mesh, to_dataset
        from .plot import picture

        path = Path(path)
        if path.suffix in (".nc", ".zarr"):
            facts = {"provenance": json.dumps(dict(self.provenance), sort_keys=True)}
            found = self.certificate(independent=False)
            return save_dataset(to_dataset(self.problem, self.state, found, seed=self.seed, attributes=facts), path)
        if path.suffix == ".vtu":
            return save_mesh(self.problem, self.state, path)
        if path.suffix != ".png":
            raise ConfigError(f"the file is '{path}'; expected a name that ends in .nc, .zarr, .vtu or .png")
        with atomic_write(path, "wb") as file:
            file.write(picture(self.problem, self.state))
        return path


def sample(
    problem: Problem,
    count: int,
    *,
    sensors: Any = None,
    data: np.ndarray | None = None,
    noise: float = 0.0,
    steps: int = 4,
    seed: int = 0,
    first: int = 0,
) -> FieldSamples:
    """Draw fields of a problem on its grid or mesh, from its law or from the posterior given sensors.

    Parameters
    ----------
    problem
        A problem whose fields are Gaussian: ``poisson``, ``helmholtz``, ``mesh_flow``.
    count
        Number of samples.
    sensors
        `Sensors` of the solution on a grid, `MeshSensors` of the velocity on a mesh; none for the law itself.
    data
        What they measured, shape ``(data,)`` for all samples or ``(count, data)``.
    noise
        Standard deviation of the data.
    steps
        Jumps of the flow map; the samples are exact at any number.
    seed, first
        Seed of the run, and index of the first sample.

    Returns
    -------
    FieldSamples
        Samples with their certificate as records; `FieldSamples.state` holds all fields.

    Raises
    ------
    ConfigError, ShapeError, FieldError
        If the law is not Gaussian, a number is out of range, or data and sensors do not belong together or hold NaN.
    ConstraintError
        If data contradict each other.
    """
    if count < 1 or steps < 1 or noise < 0:
        raise ConfigError(f"count = {count}, steps = {steps}, noise = {noise}; expected at least 1, 1 and 0")
    begun, law = time.perf_counter(), field_law(problem)
    given, posterior = _condition(law, count, sensors, data, noise)
    end = _run(posterior, law.size, Noise.range(seed, count, first), steps)
    state = law.state(end.x.numpy())
    records, status = _judge(problem, state)
    if given is not None:
        gap = abs(law.read(state, sensors) - given).max(1)
        records["data"] = gap / max(float(abs(given).max()), 1e-300)
    facts = {"model": f"exact law of {problem.name}", "label": "exact", "steps": steps, "noise": noise}
    facts |= {"sensors": 0 if sensors is None else len(sensors), "seconds": round(time.perf_counter() - begun, 4)}
    items = list(state[problem.solved[0]].numpy())
    index = np.arange(first, first + count, dtype=np.uint64)
    return FieldSamples(items, status, index, seed, end.calls.numpy(), records, facts, problem, state)


def _run(posterior: WhitePosterior, size: int, noise: Noise, steps: int) -> RunState:
    """White numbers of the posterior, by jumps of its flow map."""
    process, grid = GaussianProcess(Euclidean((size,)), LinearFlowSchedule()), uniform_grid(steps)
    start = Grid(grid).start(RunState.start(process, noise, (size,)))
    return run(posterior.flow(process).denoiser(grid), process, Jump(), Grid(grid), state=start)


def _judge(problem: Problem, state: State) -> tuple[dict[str, np.ndarray], list[Status]]:
    """Certificate of each sample by name, and what it makes of the sample."""
    found = certify(problem, state, independent=False)
    records = {"relative": found.relative.numpy()}
    records |= {f"constraint_{name}": value.numpy() for name, value in found.constraints.items()}
    worst = np.max(np.stack(list(records.values())), 0)
    return records, [Status.OK if value <= _BOUND else Status.INVALID for value in worst]


def _condition(
    law: FieldLaw, count: int, sensors: Any, data: np.ndarray | None, noise: float
) -> tuple[np.ndarray | None, WhitePosterior]:
    """Data of every sample, and the posterior of the white numbers."""
    if (sensors is None) != (data is None):
        raise ConfigError("sensors and data belong together; give both for a posterior, or neither for the law itself")
    if sensors is None or data is None:
        empty = torch.zeros(law.size, 0, dtype=torch.float64)
        return None, WhitePosterior(empty, empty[:1], empty[0])
    values, rows = np.atleast_2d(np.asarray(data, dtype=np.float64)), law.rows(sensors)
    check_finite(values, "data")
    if values.ndim != 2 or values.shape[1] != len(rows) or len(values) not in (1, count):
        raise ShapeError(f"data have shape {np.shape(data)}; expected ({len(rows)},) or ({count}, {len(rows)})")
    return values, WhitePosterior.of(rows, values, noise)
