"""One batch of chains of one length: the flow in the core's loop, then the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
from ..relaxation import Variables
from ..secondary import assign
from ..superpose import rmsd
from ..torsions import ideal, measure
from .condition import Condition, blank
from .fit import Fit, chains_of, close, kept, project, stiffness_of, tidied
from .found_plan import found_plan
from .motif import Motif
from .pairing import bridges
from .plans import Plan, plan_of
from .process import UNIT, chain_process
from .task import fixed_torsions

if TYPE_CHECKING:
    from .model import BackboneModel

__all__ = ["Drawer", "Drawn"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One sample: the projected chain, the closed one, its plan, and how far the chain is from the predicted CA, Å."""

    raw: Chains
    chain: Chains
    plan: Plan
    gap: float


@dataclass(frozen=True, eq=False)
class Drawer:
    """Draws batches of chains of one length.

    Parameters
    ----------
    model, steps, motif, start, level, temperature, relax, fit
        See `model.TorsionModel.sample`.
    """

    model: BackboneModel
    steps: int
    motif: Motif | None
    start: Chains | None
    level: float
    temperature: float
    relax: bool
    fit: Fit

    def __call__(self, noise: Noise, plans: Sequence[Plan | None], length: int) -> list[Drawn]:
        """Draw one chain for each stream of noise."""
        plans = [self._started() if plan is None and self.start is not None else plan for plan in plans]
        condition = self._condition(plans, length)
        state = self._flow(noise, condition, length)
        torsion, ca = state.x["torsion"].squeeze(-1), state.x["ca"] * UNIT
        known = [found_plan(ca[k], torsion[k]) if plan is None else plan for k, plan in enumerate(plans)]
        raw, closed = self._fitted(torsion, ca, known)
        one, two = chains_of(raw), chains_of(closed)
        gaps = rmsd(two.ca, ca, two.mask).tolist()
        return [Drawn(one.take([k]), two.take([k]), known[k], gaps[k]) for k in range(len(known))]

    def _condition(self, plans: Sequence[Plan | None], length: int) -> Condition:
        condition = blank(torch.ones(len(plans), length, dtype=torch.bool))
        for k, plan in enumerate(plans):
            if plan is not None:
                condition["states"][k], condition["pairing"][k] = plan.tensors()
        if self.motif is not None:
            condition["group"][:] = self.motif.group
            condition["motif_torsions"][:] = self.motif.internal.torsions[0, :, :2]
            condition["motif_xyz"][:] = torch.where(self.motif.group[:, None, None] > 0, self.motif.xyz, 0.0)
        return condition

    def _flow(self, noise: Noise, condition: Condition, length: int) -> RunState:
        """Run the flow."""
        process, batch = chain_process(self.temperature), len(noise)
        given = fixed_torsions(condition["group"]).unsqueeze(-1)
        free = {"torsion": ~given, "ca": torch.ones(batch, length, 3, dtype=torch.bool)}
        shape = {"torsion": (length, 2, 1), "ca": (length, 3)}
        motif = condition["motif_torsions"].double().unsqueeze(-1)
        if self.start is None:
            clean = {"torsion": motif, "ca": torch.zeros(batch, length, 3, dtype=torch.float64)}
            state = RunState.start(process, noise, shape, free=free, clean=clean)
            first = 1.0
        else:
            angles = measure(self.start.xyz.double(), self.start.mask).torsions[..., :2].unsqueeze(-1)
            x0 = {
                "torsion": angles.repeat(batch, 1, 1, 1),
                "ca": centre(self.start.ca.double() / UNIT).repeat(batch, 1, 1),
            }
            noisy = dict(process.noise(x0, self.level, noise))
            noisy["torsion"] = torch.where(given, motif, noisy["torsion"])
            state, first = RunState.at(noisy, self.level, noise, free=free), self.level
        grid = uniform_grid(self.steps, start=first)
        rule = FactorRule({"torsion": Retracted(2), "ca": Retracted(2)})
        plan = Grid({"torsion": grid, "ca": grid})
        state = plan.start(state) if self.start is None else state
        return run(self.model.denoiser(), process, rule, plan, state=state, condition=condition)

    def _fitted(self, torsion: Tensor, ca: Tensor, plans: Sequence[Plan]) -> tuple[Variables, Variables]:
        """Projected and closed chains."""
        batch, length = torsion.shape[:2]
        mask = torch.ones(batch, length, dtype=torch.bool)
        flat = torch.cat((torsion, torch.full_like(torsion[..., :1], torch.pi)), dim=-1)
        begin, free = tidied(Variables.of(ideal(flat, mask)), plans), None
        if self.motif is not None:
            begin, free = _with_motif(begin, self.motif)
        stiff = stiffness_of(plans, length, self.fit.angle)
        raw = project(begin, ca, stiff, self.fit.rounds, free)
        return raw, close(raw, begin, plans, self.fit, free) if self.relax else raw

    def _started(self) -> Plan:
        """Plan of the chain that is varied."""
        chain = self.start
        return plan_of(assign(chain)[0], bridges(chain)[0]) if chain is not None else Plan("")


def _with_motif(begin: Variables, motif: Motif) -> tuple[Variables, Tensor]:
    """Put the motif's internal coordinates in, and tell which variables stay free."""
    given = Variables.of(motif.internal)
    inside = motif.group > 0
    joined = torch.cat((inside[:-1] & (motif.group[1:] == motif.group[:-1]), inside[:0].new_zeros(1)))
    turns = fixed_torsions(motif.group[None])[0]
    fixed = torch.stack((turns[:, 0], turns[:, 1], joined, inside, joined, joined), dim=-1)
    batch = len(begin.mask)
    free = ~fixed.expand(batch, -1, -1)
    spread = {name: getattr(given, name).expand_as(getattr(begin, name)) for name in ("phi_psi", "u", "v")}
    begin = kept(begin, replace(begin, **spread), free)
    of_bonds = torch.stack((inside, inside, joined), dim=-1)
    state = torch.where(joined, given.state, begin.state)
    return replace(begin, bonds=torch.where(of_bonds, given.bonds, begin.bonds), state=state), free
