"""Draws for scaffolds: the flow of the model around a motif, plain or as twisted particles, with what it predicted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.random import Noise
from scidiff.sample.continuous.retracted import Retracted
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from scidiff.spaces.centred import centre

from ..chains import Chains
from ..torsion.condition import Condition
from ..torsion.drawing import Drawer
from ..torsion.fit import chains_of
from ..torsion.found_plan import found_plan
from ..torsion.process import UNIT, chain_process, polymer
from ..torsion.task import fixed_torsions
from .particulars import Particulars
from .twisted import LoggedParticles, MotifPotential, MotifTwist, PathMoves, PolymerPath, TwistSettings

__all__ = ["ScaffoldDrawer", "polymer_root"]


def polymer_root(length: int) -> Tensor:
    """Square root of the covariance of the centred prior of CA, float64, shape ``(length, length)``."""
    unit = torch.eye(length, dtype=torch.float64)
    return centre(polymer(unit.unsqueeze(0)))[0]


@dataclass(frozen=True, eq=False)
class ScaffoldDrawer(Drawer):
    """A `Drawer` that tells the predicted CA, and may weigh its samples as particles.

    Parameters
    ----------
    twist
        Settings of twisted sampling; None draws without particles.
    """

    twist: TwistSettings | None = None

    def drawn(self, noise: Noise, length: int) -> tuple[Chains, Tensor, Particulars | None]:
        """Draw one chain for each stream of noise, without a plan.

        Returns
        -------
        chains, predicted, particulars
            The fitted chains; the CA that the network predicted, Å; what the particles did.
        """
        condition = self._condition([None] * len(noise), length)
        state, particulars = self._flow(noise, condition, length), None
        if self.twist is not None and self.motif is not None:
            particulars = Particulars.of(state)
            if self.twist.threshold > 0:
                state = state.take(particulars.resampled_rows(state.log_w, state.noise))
        torsion, ca = state.x["torsion"].squeeze(-1), state.x["ca"] * UNIT
        plans = [found_plan(ca[k], torsion[k]) for k in range(len(noise))]
        return chains_of(self._fitted(torsion, ca, plans)[1]), ca, particulars

    def _flow(self, noise: Noise, condition: Condition, length: int) -> RunState:
        """Run the flow, with particles where they are asked for."""
        if self.twist is None or self.motif is None:
            return super()._flow(noise, condition, length)
        root, grid = polymer_root(length), uniform_grid(self.steps)
        path, plan = PolymerPath.of(root, self.twist.eta), Grid({"torsion": grid, "ca": grid})
        target = self.motif.xyz[:, 1].double() / UNIT
        twist = MotifTwist(MotifPotential(self.motif.group, target, self.twist.sd / UNIT), path)
        particles = LoggedParticles(twist, PathMoves(path, plan), len(noise), self.twist.threshold)
        given = fixed_torsions(condition["group"]).unsqueeze(-1)
        free = {"torsion": ~given, "ca": torch.ones(len(noise), length, 3, dtype=torch.bool)}
        clean = {
            "torsion": condition["motif_torsions"].double().unsqueeze(-1),
            "ca": torch.zeros(len(noise), length, 3, dtype=torch.float64),
        }
        process, shape = chain_process(self.temperature), {"torsion": (length, 2, 1), "ca": (length, 3)}
        state = plan.start(RunState.start(process, noise, shape, free=free, clean=clean))
        rule = FactorRule({"torsion": Retracted(2), "ca": path})
        parts = (self.model.denoiser(), process, rule, plan)
        return run(*parts, state=state, condition=condition, transforms=(twist, particles))
