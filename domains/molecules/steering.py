"""Steering: draw from the law of a model tilted towards an objective of finished molecules.

    p_r(x_0) ~ p(x_0) exp r(x_0),      r = strength * objective

where ``p`` is what the sampler draws unsteered, size, scaffold and projection included. Groups of particles share the
target (Feynman-Kac steering [1]_): moves are those of ``p``, and each particle is weighed by the ratio of twists

    h(x_t) = exp((1 - t) r(y)),      y a molecule drafted from the prediction at x_t,      h = exp r(x_0) at the end

of which good ones are copied and bad ones dropped. The draft has noise of its own, and the weights telescope whatever
it is, so that the law is right as the groups grow; a draft that is near the end makes it right early. In the last step
``y`` is the molecule itself.

References
----------
.. [1] R. Singhal et al., "A general framework for inference-time scaling and steering of diffusion models",
   arXiv:2501.06848
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, DataError
from scidiff.guidance import Particles
from scidiff.guidance.reward import evaluate_reward, mark_failed
from scidiff.guidance.tilt import BaseTilt
from scidiff.random import Noise
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.spaces import State

from .graphs import decode, pair_count, pair_index
from .projection import ValenceProjection
from .vocabulary import Bond, Vocabulary

__all__ = ["Steering", "steered_denoiser"]

Objective = Callable[[Sequence[Chem.Mol]], Sequence[float | None]]


@dataclass(frozen=True)
class Steering:
    """A tilt towards large values of an objective, by groups of particles.

    Parameters
    ----------
    objective
        Takes molecules, finished or drafted, and returns one number for each; None, or a number that is not finite,
        gives a molecule no weight.
    strength
        Factor of the objective, in one over its unit; below 0 small values are wanted.
    particles
        Molecules of a group, at least 2. The law is right as it grows.
    drafts_until
        Largest time at which molecules are drafted to judge the particles; at later times all are alike.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    objective: Objective
    strength: float
    particles: int = 16
    drafts_until: float = 0.7

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength) or self.particles < 2 or not 0 <= self.drafts_until <= 1:
            raise ConfigError(
                f"strength is {self.strength}, particles {self.particles}, drafts_until {self.drafts_until}; expected "
                "a finite number, at least 2, and a time from 0 to 1"
            )

    def group_size(self, noise: Noise) -> int:
        """Number of particles in a group.

        Parameters
        ----------
        noise
            That of the samples to draw, with consecutive indices.

        Raises
        ------
        ConfigError
            If the samples are not whole groups.
        """
        count, first = len(noise), int(noise.samples[0])
        if count % self.particles or first % self.particles:
            raise ConfigError(
                f"count is {count} and first {first}; expected multiples of the {self.particles} particles of a group"
            )
        return self.particles

    def transforms(self, vocabulary: Vocabulary, whole_until: float, given: int) -> tuple[BaseTilt, Particles]:
        """What comes after the projection of a run: the tilt, and the particles that use it.

        Parameters
        ----------
        vocabulary
            Tokens of the model.
        whole_until
            Largest time at which the projection of the run draws whole molecules.
        given
            Number of atoms of a scaffold.
        """
        draft = _Draft(ValenceProjection(vocabulary), whole_until, self.drafts_until)
        tilt = _DraftTilt(_Reward(self, vocabulary, given), draft, guide=False)
        return tilt, Particles(tilt, _OwnMoves(), self.particles)


def steered_denoiser(denoiser: Denoiser, given: int) -> Denoiser:
    """Take the mask of each row from its times, as rows of other sizes take its place: a real atom is free or given."""

    def function(x: State, t: State, condition: Any) -> State:
        mask = t["atoms"] > 0
        mask[:, :given] = True
        return denoiser(x, t, {"mask": mask})

    return Denoiser(function, denoiser.kind)


@dataclass(frozen=True, eq=False)
class _Reward:
    """``r`` of whole molecules. They are connected, so that the last atom with a bond tells their size."""

    steering: Steering
    vocabulary: Vocabulary
    given: int
    __name__ = "objective"

    def __call__(self, x: State) -> Tensor:
        atoms, bonds = x["atoms"].numpy(), x["bonds"].numpy()
        _, j = pair_index(atoms.shape[1])
        sizes = 1 + np.where(bonds != Bond.NONE, j, 0).max(1, initial=0)
        molecules = [self._decoded(*row) for row in zip(atoms, bonds, sizes, strict=True)]
        whole = [one for one in molecules if one is not None]
        told = iter(self.steering.objective(whole) if whole else ())
        values = [None if one is None else next(told) for one in molecules]
        r = torch.tensor([math.nan if value is None else value for value in values], dtype=torch.float64)
        return torch.where(r.isfinite(), self.steering.strength * r, math.nan)

    def _decoded(self, atoms: np.ndarray, bonds: np.ndarray, size: int) -> Chem.Mol | None:
        try:
            return decode(atoms[:size], bonds[: pair_count(int(size))], self.vocabulary, range(self.given))
        except DataError:
            return None


@dataclass(frozen=True)
class _Draft:
    """The twist ``(1 - t) r(y)``: of a draft, or of the molecule that the projection of the run has drawn."""

    projection: ValenceProjection
    whole_until: float
    drafts_until: float
    stochastic = True
    label = "consistent(0.5)"
    citation = "arXiv:2501.06848"

    def __call__(
        self, reward: _Reward, m: State, state: RunState, evaluation: Evaluation
    ) -> tuple[tuple[Tensor, Tensor], RunState]:
        """``log h`` of each particle, and True where its molecule has no value."""
        time = max(float(part.max()) for part in state.t.values() if part.numel())
        if time > max(self.drafts_until, self.whole_until):
            return (torch.zeros_like(state.log_w), torch.zeros(len(state), dtype=torch.bool)), state
        whole = time <= self.whole_until
        if not whole:
            apart = replace(state, noise=state.noise.scoped("draft"))
            m, _ = self.projection(m, apart, evaluation)
        y = {key: torch.where(free, m[key].argmax(-1), state.x[key]) for key, free in state.free.items()}
        values, bad = evaluate_reward(reward, y)
        return ((1.0 if whole else 1.0 - time) * values, bad), state


@dataclass(frozen=True, eq=False)
class _DraftTilt(BaseTilt):
    """Record the twist; the prediction stays."""

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        (log_h, bad), state = self.estimator(self.reward, m, state, evaluation)
        state = mark_failed(state, self.reward, bad)
        return m, state.record("tilt/log_h", torch.where(bad, -torch.inf, log_h))

    def close(self, process: object, state: RunState) -> RunState:
        return state


@dataclass(frozen=True)
class _OwnMoves:
    """Moves of ``p`` itself: ``log p / q = 0``."""

    def log_ratio(self, process: Any, state: RunState, m: State, raw: State) -> tuple[State, Tensor]:
        return m, torch.zeros_like(state.log_w)
