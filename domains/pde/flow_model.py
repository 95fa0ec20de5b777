"""The model of flows around obstacles: load it, sample from it.

    x_1 ~ c P F z,    x_s = x_t + (s - t) P v(x_t, t, s, obstacles),      t = 1 -> ... -> 0,      w = b + x_0

One network call for each jump, as many jumps as wished. Noise and prediction are projected for the obstacles of each
sample, so every sample is without divergence and without flux through walls up to round-off, whatever the network says
and whatever obstacles come; `FlowSamples.records` holds both numbers for each. The law of the samples is learned, hence
``biased``. A solver table may be used instead of the jumps: then the network is a denoiser on its diagonal ``s = t``.

What a network of finite size cannot draw is made up for by numbers fitted around validation obstacles, which are on the
card (`scidiff.domains.pde.flow_calibration`): among them a short time for which the equation carries the flows on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.flow_map import FlowMap
from scidiff.errors import CheckpointError, ConfigError, ShapeError
from scidiff.io.checkpoint import load_into, load_model, place
from scidiff.nets.unet import UNetConfig
from scidiff.process.base import Kind
from scidiff.process.schedule import Schedule
from scidiff.process.straight import prediction
from scidiff.random import Noise
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.grids import Grid, log_snr_grid, uniform_grid
from scidiff.sample.jump import Jump
from scidiff.sample.loop import run
from scidiff.sample.state import RunState

from .flow_calibration import FlowCalibration
from .flow_geometry import FlowGeometry
from .flow_network import LOW, SCHEDULE, FlowNetwork
from .flow_relaxation import relax_flows
from .flow_samples import FlowSamples, build_samples
from .flows import FlowLaw
from .grids import MacGrid
from .images import read_obstacles
from .leray import leray
from .obstacles import random_obstacles
from .solenoidal import FlowProcess, Profile, Solenoidal

__all__ = ["FlowModel", "load_flow"]

_DOMAIN = "pde/flow"

Obstacles = np.ndarray | MacGrid | str | Path | None
Solver = Callable[[Schedule, Tensor], Table]


def load_flow(path: str | Path, *, device: str = "cpu") -> FlowModel:
    """Load a model file of flows; see `scidiff.domains.pde.models.load` for names.

    Parameters
    ----------
    path
        The weights, with their card beside them.
    device
        Where the network runs; projections run on the CPU.

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
    network = FlowNetwork(UNetConfig.from_json(task["network"]))
    load_into(network, tensors, card)
    place(network, device)
    rows, columns = task["data"]["shape"]
    profile = Profile(tuple(task["profile"]))
    fitted = FlowCalibration.from_card(card.get("calibration", {}))
    return FlowModel(Path(path).stem, network.eval(), profile, float(task["scale"]), (rows, columns), card, fitted)


@dataclass(frozen=True)
class FlowModel:
    """A network with the law of its noise.

    Parameters
    ----------
    name
        Name of the model file.
    network
        Mean velocity of the flow map.
    profile
        Spectrum of the noise.
    scale
        Unit of velocity.
    shape
        Cells along x and y.
    card
        The model's card: data, training, metrics.
    calibration
        What was fitted around validation obstacles.
    """

    name: str
    network: FlowNetwork
    profile: Profile
    scale: float
    shape: tuple[int, int]
    card: Mapping[str, Any] = field(default_factory=dict)
    calibration: FlowCalibration = field(default_factory=FlowCalibration)

    @property
    def viscosity(self) -> float:
        """Viscosity of the flows that the model learned from; that of the default law without a card."""
        told = self.card.get("task", {}).get("data", {}).get("law", {})
        return float(told.get("viscosity", FlowLaw().viscosity))

    def process(self, geometries: list[FlowGeometry]) -> FlowProcess:
        """Noising law around the obstacles of each row of a batch."""
        return FlowProcess(Solenoidal(geometries), SCHEDULE, profile=self.profile)

    def flow(self, process: FlowProcess) -> FlowMap:
        """The flow map, with its network on the network's device and everything else on the CPU."""
        device = next(self.network.parameters()).device

        def velocity(x: Tensor, t: Tensor, s: Tensor, condition: Tensor) -> Tensor:
            return self.network(*(part.to(device) for part in (x, t, s, condition))).to(x)

        return FlowMap(velocity, process)

    def denoiser(self, process: FlowProcess) -> Denoiser:
        """The network as a denoiser of kind MEAN, from its velocity at ``s = t``."""
        flow = self.flow(process)

        def mean(x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
            return prediction(process, flow.velocity(x, t, t, condition), x, t, t)

        return Denoiser(mean, Kind.MEAN)

    def sample(
        self,
        count: int,
        *,
        obstacles: Obstacles = None,
        steps: int = 4,
        seed: int = 0,
        solver: Solver | None = None,
        relax: float | None = None,
        batch_size: int = 64,
        first: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> FlowSamples:
        """Draw flows; every one is incompressible and tangential to the obstacles.

        Parameters
        ----------
        count
            Number of flows.
        obstacles
            True in solid cells, shape ``(nx, ny)`` for all or ``(count, nx, ny)``; a grid; or an image file, in which
            dark is solid. By default each sample has random obstacles of its own.
        steps, seed
            Network calls for each flow, and the seed of the run.
        solver
            A function of schedule and grid that returns a table, e.g. `scidiff.sample.dpmpp_2m`, to use instead of the
            jumps of the flow map.
        relax
            Time for which the equation carries the flows on, in passages of the box; that of the card by default, 0
            for what the network says.
        batch_size
            Flows in one network call.
        first
            Index of the first.
        progress
            Called with the number of flows finished since the last call.

        Raises
        ------
        ConfigError
            If a number is out of range.
        ShapeError
            If the obstacles are not of the model's shape.
        """
        _whole_numbers(1, count=count, steps=steps, batch_size=batch_size)
        _whole_numbers(0, first=first)
        relax = self._relax(relax)
        noise = Noise.range(seed, count, first)
        geometries = self._geometries(obstacles, noise)
        begun, done = time.perf_counter(), []
        for start in range(0, count, batch_size):
            rows = np.arange(start, min(start + batch_size, count))
            done.append(self._draw([geometries[k] for k in rows], noise.take(rows), steps, solver))
            if progress is not None:
                progress(len(rows))
        drawn = [x for state in done for x in state.x.double().numpy()]
        flows = [geometry.base + self.scale * x for geometry, x in zip(geometries, drawn, strict=True)]
        flows = relax_flows(flows, geometries, self.viscosity, relax)
        facts = self._facts(steps, relax, solver) | {"seconds": round(time.perf_counter() - begun, 4)}
        calls = np.concatenate([state.calls.numpy() for state in done])
        return build_samples(flows, geometries, noise, calls, facts)

    def _facts(self, steps: int, relax: float, solver: Solver | None) -> dict[str, Any]:
        """Provenance of samples."""
        return {
            "model": self.name,
            "model_sha256": self.card.get("sha256"),
            "steps": steps,
            "noise_scale": self.calibration.noise(steps),
            "relax": relax,
            "solver": "flow map" if solver is None else getattr(solver, "__name__", str(solver)),
            "label": "biased",
        }

    def _relax(self, relax: float | None) -> float:
        relax = self.calibration.relax if relax is None else relax
        if not 0 <= relax < math.inf:
            raise ConfigError(f"relax is {relax}; expected a time >= 0, in passages of the box")
        return relax

    @torch.no_grad()
    def _draw(self, geometries: list[FlowGeometry], noise: Noise, steps: int, solver: Solver | None) -> RunState:
        process = self.process(geometries)
        condition = torch.stack([each.channels for each in geometries])
        if solver is None:
            grid = uniform_grid(steps)
            denoiser, rule, plan = self.flow(process).denoiser(grid), Jump(), Grid(grid)
        else:
            floor = float(SCHEDULE.sigma(LOW) / SCHEDULE.alpha(LOW))
            rule = TableRule(solver(SCHEDULE, log_snr_grid(SCHEDULE, steps, floor=floor)))
            denoiser, plan = self.denoiser(process), rule.plan
        state = RunState.start(process, noise, (2, *self.shape))
        state = plan.start(replace(state, x=self.calibration.noise(steps) * state.x))
        return run(denoiser, process, rule, plan, state=state, condition=condition)

    def _geometries(self, obstacles: Obstacles, noise: Noise) -> list[FlowGeometry]:
        if obstacles is None:
            masks = [random_obstacles(self.shape, noise.seed, int(k)) for k in noise.samples]
            return [FlowGeometry.around(mask) for mask in masks]
        if isinstance(obstacles, str | Path):
            obstacles = read_obstacles(obstacles, self.shape)
        mask = np.asarray(obstacles.obstacles if isinstance(obstacles, MacGrid) else obstacles)
        if mask.shape not in (self.shape, (len(noise), *self.shape)) or mask.dtype != bool:
            raise ShapeError(
                f"obstacles have shape {mask.shape} and dtype {mask.dtype}; expected booleans of shape {self.shape}, "
                f"or one such mask for each of {len(noise)} samples"
            )
        if mask.ndim == 2:
            return [FlowGeometry(leray(MacGrid(mask)))] * len(noise)
        return [FlowGeometry.around(each) for each in mask]


def _whole_numbers(least: int, **numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ConfigError(f"{name} is {value!r}; expected a whole number of at least {least}")
