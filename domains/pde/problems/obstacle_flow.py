"""Incompressible flow around obstacles: one snapshot of an unsteady flow on a staggered grid.

    div w = 0 in the fluid,      w . n = 0 on the obstacles,      mean of w = (1, 0)

The truth is a simulation (`scidiff.domains.pde.flows`), of second order with smooth walls and less at the staircase of
a mask. A snapshot alone does not show its past, so the residual is that of continuity, in every fluid cell; wall flux
and mean flow are the constraints. The independent check runs the simulation with half the time step; it shows the error
in time, not that in space.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from scidiff.random import Noise, Source

from ..contract import Field, Problem, State
from ..flows import FlowLaw, start_flow
from ..grids import MacGrid, divergence
from ..obstacles import random_obstacles
from ..solvers.mac_flow import MacFlow
from ..units import ONE, Term, Unit

__all__ = ["ObstacleFlow"]

_SPEED = Unit(length=1, time=-1)


@dataclass(frozen=True)
class ObstacleFlow(Problem):
    """Snapshots at the first time of a law.

    Parameters
    ----------
    law
        Parameters of geometry and flow.
    """

    law: FlowLaw = field(default_factory=FlowLaw)

    name = "obstacle_flow"
    title = "Incompressible flow around obstacles"
    fields = (
        Field("mask", "solid cells", ONE, given=True),
        Field("start", "first velocity", _SPEED, given=True),
        Field("w", "velocity on faces", _SPEED),
    )
    terms = (Term("d_x u", {"w": 1}, space=1), Term("d_y v", {"w": 1}, space=1))
    order = 1.0
    truth_error = 2e-2
    boundary = "periodic box; w . n = 0 on solid cells"

    @property
    def shape(self) -> tuple[int, ...]:
        """Components and cells."""
        return (2, *self.law.shape)

    @property
    def spacing(self) -> float:
        """Width of a cell, for a box of length 1 along x."""
        return 1.0 / self.law.shape[0]

    @property
    def cell(self) -> float:
        """Area of a cell."""
        return self.spacing**2

    def draw(self, noise: Source) -> State:
        """Draw masks and first flows; needs counter-based noise, whose samples number the geometries."""
        if not isinstance(noise, Noise):
            raise TypeError(f"noise is a {type(noise).__name__}; expected scidiff.random.Noise, which numbers samples")
        masks, starts = [], []
        for number in noise.samples.tolist():
            mask = random_obstacles(self.law.shape, noise.seed, number, most=self.law.most)
            flow = MacFlow(MacGrid(mask), self.law.viscosity)
            masks.append(mask.astype(float))
            starts.append(start_flow(self.law, Noise(noise.seed, np.array([number])), flow)[0])
        return {"mask": torch.from_numpy(np.stack(masks)), "start": torch.from_numpy(np.stack(starts))}

    def _run(self, inputs: State, refine: int | None) -> State:
        out, time = [], self.law.times[0]
        for mask, start in zip(inputs["mask"].numpy(), inputs["start"].numpy(), strict=True):
            flow = MacFlow(MacGrid(mask > 0.5), self.law.viscosity)
            steps = None if refine is None else refine * int(np.ceil(time / (0.5 * flow.time_step(start[None]))))
            out.append(flow.run(start[None], time, steps)[0])
        return {**inputs, "w": torch.from_numpy(np.stack(out))}

    def solve(self, inputs: State) -> State:
        """Simulate."""
        return self._run(inputs, None)

    def reference(self, inputs: State) -> State:
        """Simulate with less than half the time step."""
        return self._run(inputs, 2)

    def residual(self, state: State) -> Tensor:
        """Divergence in fluid cells, 0 in solid ones."""
        w, h = state["w"], self.spacing
        return divergence(w[:, 0], w[:, 1], (h, h)) * (1 - state["mask"])

    def scale(self, state: State) -> Tensor:
        """Largest speed over the width of a cell."""
        return state["w"].flatten(1).abs().max(1).values / self.spacing

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Largest normal velocity on fixed faces, and the error of the mean flow, over the largest velocity."""
        w, fluid = state["w"], 1 - state["mask"]
        free = torch.stack([fluid * torch.roll(fluid, 1, -2), fluid * torch.roll(fluid, 1, -1)], 1)
        size = w.flatten(1).abs().max(1).values
        mean = (w.mean((-2, -1)) - torch.tensor([1.0, 0.0], dtype=w.dtype)).abs().max(1).values
        return {"wall": (w * (1 - free)).flatten(1).abs().max(1).values / size, "mean_flow": mean / size}
