"""New plans from those of training chains: a fold's elements, with other helices and loops.

A plan is drawn in four steps: take a training plan of about the wanted length; change the length of each helix and
each loop at random; add and remove residues there until the wanted length is reached; if nothing more can be removed,
cut residues off an end. Strands and their register, and loops of at most `_TIGHT` residues between two strands of a
hairpin, keep their length, because which residues face each other there is what makes a turn.

The law of plans is thus a smoothed bootstrap of the training chains: element orders and strand topologies come from
them, lengths are new. How near samples are to training chains in three dimensions is measured (`nearest_tm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError

from ..secondary import COIL, STRAND
from .plans import Plan, plan_of, read_plan

__all__ = ["PlanSource", "resized"]

_TIGHT = 5
_SHORT_HELIX = 5
_SHORT_LOOP = 2
_SPREAD = 0.25
_NEAR = (0.8, 1.3)


@dataclass
class _Segment:
    """A run of one state; `size` may change unless it is locked."""

    state: str
    start: int
    old: int
    size: int
    least: int
    locked: bool


@dataclass(frozen=True)
class PlanSource:
    """Plans that new ones are made from.

    Parameters
    ----------
    plans
        Plans of training chains.
    """

    plans: tuple[Plan, ...]

    @classmethod
    def read(cls, lines: Sequence[str]) -> PlanSource:
        """Read the plans of a model card."""
        return cls(tuple(read_plan(line) for line in lines))

    def draw(self, length: int, seed: int, index: int) -> Plan:
        """Draw a plan.

        Parameters
        ----------
        length
            Number of residues.
        seed, index
            Name the plan, whatever others are drawn beside it.

        Raises
        ------
        ConfigError
            If there are no plans.
        """
        if not self.plans:
            raise ConfigError("the model has no plans; pass secondary=..., or secondary='' to draw without a plan")
        random = np.random.default_rng([seed, index, length])
        sizes = np.array([len(plan) for plan in self.plans])
        near = np.flatnonzero((sizes >= _NEAR[0] * length) & (sizes <= _NEAR[1] * length))
        if not len(near):
            near = np.flatnonzero(np.abs(sizes - length) == np.abs(sizes - length).min())
        return resized(self.plans[int(random.choice(near))], length, random)


def _segments(plan: Plan) -> list[_Segment]:
    found: list[_Segment] = []
    states = plan.states
    start = 0
    for k in range(1, len(states) + 1):
        if k < len(states) and states[k] == states[start]:
            continue
        state, size = states[start], k - start
        end = start == 0 or k == len(states)
        hairpin = state == "-" and not end and states[start - 1] == "E" and states[k] == "E"
        least = _SHORT_HELIX if state == "H" else 0 if end else _SHORT_LOOP
        locked = state == "E" or (hairpin and size <= _TIGHT)
        found.append(_Segment(state, start, size, size, min(least, size), locked))
        start = k
    return found


def resized(plan: Plan, length: int, random: np.random.Generator) -> Plan:
    """Change the helices and loops of a plan at random, and bring it to a length.

    Parameters
    ----------
    plan
        The plan.
    length
        Wanted number of residues.
    random
        Source of the changes.

    Returns
    -------
    Plan
        A plan of that length.
    """
    segments = _segments(plan)
    for part in segments:
        if not part.locked:
            part.size = max(part.least, part.size + round(random.normal() * (1 + _SPREAD * part.size)))
    while (extra := sum(part.size for part in segments) - length) != 0:
        room = [part for part in segments if not part.locked and (extra < 0 or part.size > part.least)]
        if not room:
            break
        weights = np.array([part.old + 1.0 for part in room])
        chosen = room[int(random.choice(len(room), p=weights / weights.sum()))]
        chosen.size += -1 if extra > 0 else 1
    states, pairing = _rebuilt(plan, segments)
    return _cut(states, pairing, length, random)


def _rebuilt(plan: Plan, segments: list[_Segment]) -> tuple[Tensor, Tensor]:
    """Tensors of the changed plan."""
    old_states, old_pairing = plan.tensors()
    source: list[int] = []
    for part in segments:
        kept = [part.start + min(k, part.old - 1) for k in range(part.size)]
        source.extend(kept)
    index = torch.tensor(source, dtype=torch.int64)
    pairing = old_pairing[index][:, index]
    return old_states[index], pairing


def _cut(states: Tensor, pairing: Tensor, length: int, random: np.random.Generator) -> Plan:
    """Cut the ends off, or lengthen them with coil, and forget strands without partners."""
    extra = len(states) - length
    if extra < 0:
        states = torch.nn.functional.pad(states, (0, -extra), value=COIL)
        pairing = torch.nn.functional.pad(pairing, (0, -extra, 0, -extra))
    first = int(random.integers(extra + 1)) if extra > 0 else 0
    states, pairing = states[first : first + length].clone(), pairing[first : first + length, first : first + length]
    states[(states == STRAND) & ~pairing.any(1)] = COIL
    return plan_of(states, pairing)
