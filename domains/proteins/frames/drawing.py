"""One batch of chains of one length: the flow of frames in the core's loop, then the fit that all formulations share.

Predicted frames say where N, CA and C are; their bonds and angles are those of a network. Torsions are measured on
these atoms, and `torsion.fit` finds the backbone of exact local geometry that fits torsions and CA.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from scidiff.random import Noise
from scidiff.sample.continuous.retracted import Retracted
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from scidiff.spaces.centred import centre

from ..torsion.condition import Condition
from ..torsion.drawing import Drawer
from ..torsion.process import UNIT
from ..torsions import measure
from .process import atoms_of, frame_process, quaternions_of

if TYPE_CHECKING:
    from .model import FrameModel

__all__ = ["FrameDrawer"]


@dataclass(frozen=True, eq=False)
class FrameDrawer(Drawer):
    """Draws batches of chains of one length; parameters as of `Drawer`."""

    model: FrameModel

    def _flow(self, noise: Noise, condition: Condition, length: int) -> RunState:
        """Run the flow of frames, and read torsions and CA off its end."""
        law = self.model.law
        process, mask = frame_process(law, self.temperature), condition["mask"]
        if self.start is None:
            first = 1.0
            state = RunState.start(process, noise, {"rotation": (length, 4), "ca": (length, 3)})
        else:
            first, xyz = self.level, self.start.xyz.double()
            x0 = {
                "rotation": quaternions_of(xyz, self.start.mask).repeat(len(noise), 1, 1),
                "ca": centre(self.start.ca.double() / UNIT).repeat(len(noise), 1, 1),
            }
            at = {"rotation": float(law.times(torch.tensor(first, dtype=torch.float64))), "ca": first}
            state = RunState.at(process.noise(x0, at, noise), at, noise)
        grid = uniform_grid(self.steps, start=first)
        rule = FactorRule({"rotation": law.rule, "ca": Retracted(2)})
        plan = Grid({"rotation": law.times(grid), "ca": grid})
        state = run(self.model.denoiser(), process, rule, plan, state=state, condition=condition)
        atoms = atoms_of(state.x["rotation"], state.x["ca"])
        return replace(state, x={"torsion": measure(atoms, mask).torsions[..., :2].unsqueeze(-1), "ca": state.x["ca"]})
