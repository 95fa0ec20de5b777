"""The joint model of Darcy flow: load it, sample pairs of medium and head, given any sensors of either or none.

    x_1 ~ noise,   x_s = rule(x_t, m),   m = alpha x - sigma v(x, t, channels of the sensors),   t = 1 -> ... -> 0

One network is the joint prior, the forward model (sensors of the medium) and the inverse one (sensors of the head). Its
law is learned, hence ``biased``; what it returns is exact in this: every medium has the two values and, where it was
read, the value that was read; every head solves the equation for its medium (`decode`). How far the heads are from
their sensors is on record for each sample; `refine` brings them nearer, and where only the medium was read it makes the
law exact in the limit (`refine_fields`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import CheckpointError, ConfigError
from scidiff.io.checkpoint import load_into, load_model, place
from scidiff.nets.unet import UNetConfig
from scidiff.process.base import Kind
from scidiff.process.schedule import Schedule
from scidiff.random import Noise
from scidiff.sample.continuous.exponential import dpmpp_2m
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.grids import uniform_grid
from scidiff.sample.loop import run

from .chart import Chart, PairProcess
from .decode import obey_signs, solve_media
from .network import PairNetwork
from .observations import Observations, read_observations
from .refine import refine_fields
from .samples import DarcySamples, build_samples

__all__ = ["DarcyModel", "load_darcy"]

_DOMAIN = "pde/darcy"

Solver = Callable[[Schedule, Tensor], Table]


def load_darcy(path: str | Path, *, device: str = "cpu") -> DarcyModel:
    """Load a model file of pairs; see `scidiff.domains.pde.models.load` for names.

    Parameters
    ----------
    path
        The weights, with their card beside them.
    device
        Where the network runs; kriging and the equation are solved on the CPU.

    Raises
    ------
    CheckpointError, IntegrityError
        If the file is damaged, or of something else.
    ConfigError
        If the device cannot be used.
    """
    tensors, card = load_model(path)
    task = card.get("task", {})
    if task.get("domain") != _DOMAIN:
        raise CheckpointError(f"{path} is a model of domain '{task.get('domain')}'; expected one of {_DOMAIN}")
    size = task["data"]["shape"][0]
    network = PairNetwork(UNetConfig.from_json(task["network"]), size)
    load_into(network, tensors, card)
    chart = Chart(network.mean.numpy().copy(), **task["chart"])
    place(network, device)
    noise = {name: tuple(values) for name, values in task["noise"].items()}
    return DarcyModel(Path(path).stem, network.eval(), chart, PairProcess(**noise), card)


@dataclass(frozen=True)
class DarcyModel:
    """A network with the coordinates it works in.

    Parameters
    ----------
    name
        Name of the model file.
    network
        Velocity of pairs.
    chart
        Coordinates of pairs.
    process
        Law of the noise.
    card
        The model's card: data, training, metrics.
    """

    name: str
    network: PairNetwork
    chart: Chart
    process: PairProcess = field(default_factory=PairProcess)
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along each axis."""
        return self.chart.shape

    @property
    def denoiser(self) -> Denoiser:
        """The network as a denoiser of kind V, which computes on its own device."""
        device = next(self.network.parameters()).device

        def velocity(x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
            row = t.flatten(1).amax(1)
            return self.network(x.to(device), row.to(device), condition.to(device)).to(x)

        return Denoiser(velocity, Kind.V)

    def observe(
        self,
        *,
        a: tuple[Any, Any] | None = None,
        u: tuple[Any, Any] | None = None,
    ) -> Observations:
        """Check sensors of coefficient and head: cells, shape ``(sensors, 2)``, and what was read there."""
        return Observations.of(self.shape, a=a, u=u)

    def sample(
        self,
        count: int,
        *,
        sensors: Observations | str | Path | None = None,
        steps: int = 10,
        seed: int = 0,
        solver: Solver = dpmpp_2m,
        refine: int = 0,
        batch_size: int = 32,
        first: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> DarcySamples:
        """Draw pairs given sensors; every head solves the equation for its medium.

        Parameters
        ----------
        count
            Number of pairs.
        sensors
            What is known, see `observe`; or a ``.csv`` or ``.npz`` file, see `read_observations`; by default nothing.
        steps, seed
            Network calls for each pair, and the seed of the run.
        solver
            A function of schedule and grid that returns a table.
        refine
            Corrections of each medium by what was read: Gauss-Newton steps towards the sensors of the head, or Gibbs
            sweeps where only the medium was read, see `refine_fields`.
        batch_size
            Pairs in one network call.
        first
            Index of the first sample.
        progress
            Called with the number of pairs finished since the last call.

        Raises
        ------
        ConfigError
            If a number is out of range.
        SensorError
            If a sensor contradicts the problem.
        """
        _whole_numbers(1, count=count, steps=steps, batch_size=batch_size)
        _whole_numbers(0, first=first, refine=refine)
        begun = time.perf_counter()
        seen = read_observations(sensors, self.shape) if isinstance(sensors, str | Path) else sensors or Observations()
        noise = Noise.range(seed, count, first)
        x, calls = self._batches(noise, seen, steps, solver, batch_size, progress)
        g, overruled = obey_signs(self.chart.latent(np.nan_to_num(x)), seen)
        g, corrected = refine_fields(g, seen, refine, noise)
        raw = self.chart.head(x)
        raw[[not bool(np.isfinite(pair).all()) for pair in x]] = np.nan
        facts = {"sensors": seen.as_json(), "steps": steps, "refine": refine, "label": "biased"}
        facts |= {"model": self.name, "model_sha256": self.card.get("sha256")}
        facts |= {"solver": getattr(solver, "__name__", str(solver))}
        made = build_samples(solve_media(g), raw, seen, noise, calls, {"overruled": overruled, **corrected}, facts)
        facts["seconds"] = round(time.perf_counter() - begun, 4)
        return made

    def _batches(
        self,
        noise: Noise,
        seen: Observations,
        steps: int,
        solver: Solver,
        batch_size: int,
        progress: Callable[[int], None] | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates and calls of all pairs, batch by batch."""
        channels, drawn = torch.from_numpy(seen.channels(self.chart)), []
        for start in range(0, len(noise), batch_size):
            part = noise.take(np.arange(start, min(start + batch_size, len(noise))))
            drawn.append(self.draw(part, channels.expand(len(part), -1, -1, -1), steps, solver))
            if progress is not None:
                progress(len(part))
        return np.concatenate([x for x, _ in drawn]), np.concatenate([calls for _, calls in drawn])

    def draw(
        self, noise: Noise, condition: Tensor, steps: int, solver: Solver = dpmpp_2m
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw coordinates of pairs, shape ``(batch, 2, n, n)``, given channels, and count calls."""
        rule = TableRule(solver(self.process.schedule, uniform_grid(steps)))
        with torch.no_grad():
            state = run(
                self.denoiser, self.process, rule, rule.plan, noise=noise, shape=(2, *self.shape), condition=condition
            )
        return state.x.double().numpy(), state.calls.numpy()


def _whole_numbers(least: int, **numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ConfigError(f"{name} is {value!r}; expected a whole number of at least {least}")
