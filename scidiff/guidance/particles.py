"""Sequential Monte Carlo over the samples of a run: Feynman-Kac particles and the twisted diffusion sampler.

Particles of one group share a target ``p(x_0) exp r(x_0)``. With a twist ``h_i(x_i)``, an estimate of
``E[exp r(x_0) | x_i]`` made by `Tilt`, a move from ``x_i`` by the guided kernel ``q`` in place of the reverse kernel
``p`` multiplies the weight of a particle by

    h_(i+1)(x_(i+1)) / h_i(x_i)  *  p(x_(i+1) | x_i) / q(x_(i+1) | x_i),      h of the end = exp r(x_0)

Any twist > 0 gives a target that is right in the limit of many particles [1]_; a good one gives it early. Without
guidance (``guide=False`` of the tilt) ``q = p``, which is Feynman-Kac steering [2]_. How ``p / q`` of a move is found
is the business of `scidiff.guidance.moves`: for Gaussian kernels and for finite sets.

Where the effective sample size ``(sum w)^2 / sum w^2`` of a group falls below a share of its size, the group is
resampled (systematic), its weights go into the estimate of ``log Z = log E exp r``, and copies draw noise of their own
from then on. A Gaussian step without noise is not guided, and the weights of the end are applied.

References
----------
.. [1] L. Wu et al., "Practical and asymptotically exact conditional sampling in diffusion models", arXiv:2306.17775
.. [2] R. Singhal et al., "A general framework for inference-time scaling and steering of diffusion models",
   arXiv:2501.06848
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.guidance.moves import Moves, TableMoves
from scidiff.guidance.reward import evaluate_reward, mark_failed
from scidiff.guidance.tilt import BaseTilt
from scidiff.random import Noise
from scidiff.sample.continuous.table import TableRule
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import state_map

__all__ = ["Particles", "effective_size", "systematic"]


@dataclass(frozen=True, eq=False)
class Particles(Transform):
    """Weigh and resample; the last transform of a run, after the `Tilt` whose twist it uses.

    Rows ``0 .. size - 1`` are the first group, and so on; a batch holds whole groups. Records, each one number a row:
    ``particles/ancestor`` (row of the group at the start), ``particles/log_z`` (resampled part of the log-normaliser),
    ``particles/resampled`` (number of times). ``log_w`` holds the weights, those of the last step included.

    ``p`` is the kernel of the prediction that came to the tilt, so that transforms before it belong to the target.
    Those between the tilt and the particles steer, and are weighed, as the tilt does; a Gaussian step without noise
    goes without them. Correctors that make network calls are refused: their moves have no weight.

    Parameters
    ----------
    tilt
        The tilt of the same run.
    rule
        The rule of the same run, a table without memory with noise in all steps but the last; or the `Moves` of
        another kind of rule, such as `SiteMoves` for finite sets.
    size
        Particles in a group.
    threshold
        Share of `size` below which the effective size makes a group resample.
    """

    tilt: BaseTilt
    rule: TableRule | Moves
    size: int
    threshold: float = 0.5
    judges: ClassVar[bool] = True
    weighs: ClassVar[bool] = True
    label: ClassVar[str] = "consistent(0.5)"
    citation: ClassVar[str] = "arXiv:2306.17775"

    def __post_init__(self) -> None:
        if self.size < 2 or not 0 <= self.threshold <= 1:
            raise ConfigError(f"size is {self.size} and threshold {self.threshold}; expected size >= 2, 0 to 1")
        if not isinstance(self.moves, Moves):
            raise ConfigError(f"rule is a {type(self.rule).__name__}; expected a TableRule, or Moves such as SiteMoves")

    @property
    def moves(self) -> Moves:
        """How the moves of the rule are weighed."""
        return TableMoves(self.rule) if isinstance(self.rule, TableRule) else self.rule

    def __call__(self, m: Any, state: RunState, evaluation: Evaluation) -> tuple[Any, RunState]:
        """Weigh by what the move before and the present twist say, and resample where it is due."""
        if len(state) % self.size:
            raise ConfigError(f"{len(state)} rows came for groups of {self.size}; a batch holds whole groups")
        if "tilt/log_h" not in state.records:
            raise ConfigError(
                f"no twist was recorded: put the Tilt before the particles, with an estimator that knows log h, "
                f"which {type(self.tilt.estimator).__name__} does not for these data"
            )
        state = self._weigh(state, state.records["tilt/log_h"])
        raw = evaluation.before(self.tilt)
        m, raw, state = self._resample(m, raw, state)
        m, ratio = self.moves.log_ratio(evaluation.model.process, state, m, raw)
        return m, state.record("particles/log_ratio", ratio.to(state.log_w))

    def close(self, process: object, state: RunState) -> RunState:
        """Apply the last weights: the reward of the samples in the place of a twist."""
        values, bad = evaluate_reward(self.tilt.reward, state.x)
        state = mark_failed(state, self.tilt.reward, bad)
        return self._weigh(state, torch.where(bad, -torch.inf, values).to(state.log_w))

    def log_normaliser(self, state: RunState) -> Tensor:
        """Estimate of ``log E exp r(x_0)`` of each group, shape ``(groups,)``."""
        mean = torch.logsumexp(state.log_w.reshape(-1, self.size), 1) - math.log(self.size)
        return state.records["particles/log_z"].reshape(-1, self.size)[:, 0] + mean

    def ancestors(self, state: RunState) -> Tensor:
        """Number of particles of the start that have descendants, shape ``(groups,)``."""
        rows = state.records["particles/ancestor"].reshape(-1, self.size).sort(1).values
        return 1 + (rows[:, 1:] != rows[:, :-1]).sum(1)

    def pick(self, state: RunState) -> RunState:
        """One particle of each group, drawn by weight.

        The record ``failed/particles`` marks those of groups all of whose weights are 0.
        """
        w = torch.softmax(state.log_w.reshape(-1, self.size), 1)
        u = self._groups(state).uniform((), step=state.i, stream="pick")
        chosen = torch.searchsorted(w.cumsum(1), u.unsqueeze(1).to(w)).squeeze(1).clamp(max=self.size - 1)
        return self._marked(state).take(chosen + self.size * torch.arange(len(chosen)))

    def spread(self, state: RunState) -> RunState:
        """All particles of each group redrawn by weight (systematic): rows of equal weight, of which some are alike.

        The record ``particles/log_z`` becomes `log_normaliser`; ``failed/particles`` marks the groups all of whose
        weights are 0, which stay as they are.
        """
        log_w, log_z = state.log_w.reshape(-1, self.size), self.log_normaliser(state)
        chosen = systematic(log_w, self._groups(state).uniform((), step=state.i, stream="spread").to(log_w))
        index = (chosen + self.size * torch.arange(len(log_w)).unsqueeze(1)).flatten()
        even = replace(self._marked(state), log_w=torch.zeros_like(state.log_w))
        return even.record("particles/log_z", log_z.repeat_interleave(self.size)).take(index)

    def _marked(self, state: RunState) -> RunState:
        """Mark the groups without a weight."""
        dead = state.log_w.reshape(-1, self.size).amax(1) == -math.inf
        return state.record("failed/particles", dead.repeat_interleave(self.size))

    def _groups(self, state: RunState) -> Noise:
        """Noise of the groups: named by the first particle of the start of each."""
        names = state.records["particles/group"].reshape(-1, self.size)[:, 0]
        return Noise(state.noise.seed, names.numpy().view(np.uint64), f"/particles{state.noise.scope}")

    def _weigh(self, state: RunState, log_h: Tensor) -> RunState:
        """Telescope the twist; at the first step name the groups and begin the records."""
        if "particles/log_h" not in state.records:
            named = torch.from_numpy(state.noise.samples.view(np.int64).copy())
            state = state.record("particles/group", named.reshape(-1, self.size)[:, :1].expand(-1, self.size).flatten())
            rows = torch.arange(self.size).repeat(len(state) // self.size)
            state = state.record("particles/ancestor", rows).record("particles/resampled", torch.zeros_like(rows))
            state = state.record("particles/log_z", torch.zeros_like(state.log_w))
            gain = log_h
        else:
            before = state.records["particles/log_h"]
            gain = torch.where(before > -torch.inf, log_h - before + state.records["particles/log_ratio"], -torch.inf)
        return replace(state, log_w=state.log_w + gain.to(state.log_w)).record("particles/log_h", log_h)

    def _resample(self, m: Any, raw: Any, state: RunState) -> tuple[Any, Any, RunState]:
        log_w = state.log_w.reshape(-1, self.size)
        alive = log_w.amax(1) > -math.inf
        due = alive & (effective_size(log_w) < self.threshold * self.size)
        if not bool(due.any()):
            return m, raw, state
        u = self._groups(state).uniform((), step=state.i, stream="resample").to(log_w)
        kept = torch.arange(self.size).expand(len(due), -1)
        chosen = torch.where(due.unsqueeze(1), systematic(log_w, u), kept)
        index = (chosen + self.size * torch.arange(len(due)).unsqueeze(1)).flatten()
        each = due.repeat_interleave(self.size)
        mean = (torch.logsumexp(log_w, 1) - math.log(self.size)).repeat_interleave(self.size)
        state = state.record("particles/log_z", state.records["particles/log_z"] + torch.where(each, mean, 0.0))
        state = state.record("particles/resampled", state.records["particles/resampled"] + each)
        state = replace(state, log_w=torch.where(each, 0.0, state.log_w)).take(index)
        folded = state.noise.fold(state.i).samples
        names = np.where(each.numpy(), folded, state.noise.samples)
        state = replace(state, noise=replace(state.noise, samples=names))
        return *(state_map(lambda part: part[index], each) for each in (m, raw)), state


def effective_size(log_w: Tensor) -> Tensor:
    """``(sum w)^2 / sum w^2``, ``w = exp(log_w)``, along the last axis; 0 where all weights are 0.

    Examples
    --------
    >>> import torch
    >>> from scidiff.guidance import effective_size
    >>> effective_size(torch.tensor([0.0, 0.0, 0.0, 0.0])).item(), effective_size(torch.tensor([9.0, -99.0])).item()
    (4.0, 1.0)
    """
    total = 2 * torch.logsumexp(log_w, -1) - torch.logsumexp(2 * log_w, -1)
    return torch.where(log_w.amax(-1) > -math.inf, total.exp(), 0.0)


def systematic(log_w: Tensor, u: Tensor) -> Tensor:
    """Systematic resampling: each index comes ``floor`` or ``ceil`` of ``size w`` times.

    Parameters
    ----------
    log_w
        Log-weights, shape ``(groups, size)``.
    u
        One uniform draw for each group, shape ``(groups,)``.

    Returns
    -------
    Tensor
        Indices, sorted, shape ``(groups, size)``.
    """
    size = log_w.shape[1]
    w = torch.softmax(torch.where(log_w.amax(1, keepdim=True) > -math.inf, log_w, 0.0), 1)
    points = (torch.arange(size).to(w) + u.unsqueeze(1)) / size
    return torch.searchsorted(w.cumsum(1), points, right=True).clamp(max=size - 1)
