"""Exact laws of discrete samplers by enumeration of all states: no sampling, no Monte-Carlo error.

The transition matrix of a step is built from the probabilities that the sampler itself draws from.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.denoise.enumerated import Enumerated, markov_chain
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import Kernel
from scidiff.random import Noise
from scidiff.sample.state import RunState
from scidiff.spaces import Categorical

INITIAL = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
TRANSITION = torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.75, 0.15], [0.3, 0.1, 0.6]], dtype=torch.float64)

SiteLaw = Callable[[DiscreteProcess, Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Scripted:
    """A source of uniforms whose values are written down, by stream."""

    values: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def uniform(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Return the written values."""
        return self.values[stream]


class Chain:
    """A Markov chain of three classes, its exact denoiser, and all states that noise can lead to."""

    def __init__(self, kernel: Kernel, length: int) -> None:
        self.kernel, self.length = kernel, length
        self.law = markov_chain(INITIAL, TRANSITION, length)
        self.oracle = Enumerated(self.law, kernel)
        self.process = DiscreteProcess(Categorical(kernel.states, (length,)), kernel)
        self.states = torch.tensor(list(itertools.product(range(kernel.states), repeat=length)))

    @property
    def target(self) -> Tensor:
        """Law of the data over all states."""
        return self.marginal(0.0)

    def marginal(self, t: float) -> Tensor:
        """Exact law of ``x_t`` over all states."""
        noisy = self.law
        matrix = self.kernel.matrix(torch.tensor(t, dtype=torch.float64))[: self.kernel.clean]
        for _ in range(self.length):
            noisy = torch.tensordot(noisy, matrix, dims=([0], [0]))
        return noisy.flatten()

    def tv(self, law: Tensor) -> float:
        """Total variation distance to the data."""
        return 0.5 * float((law - self.target).abs().sum())

    def joint(self, sites: Tensor) -> Tensor:
        """Law of all states from independent sites, ``(rows, d, D) -> (rows, D^d)``."""
        out = sites[:, 0]
        for site in range(1, self.length):
            out = (out.unsqueeze(-1) * sites[:, site].unsqueeze(-2)).flatten(1)
        return out

    def step(self, law: Tensor, rule: SiteLaw, t: float, s: float) -> Tensor:
        """Law after one step of a rule, all sites from ``t`` to ``s``."""
        rows = torch.nonzero(law > 0).squeeze(1)
        x = self.states[rows]
        times, nexts = torch.full(x.shape, t, dtype=torch.float64), torch.full(x.shape, s, dtype=torch.float64)
        m = self.oracle.posterior(x, times)
        return law[rows] @ self.joint(rule(self.process, m, x, times, nexts))

    def grid(self, rule: SiteLaw, steps: int, after: Callable[[Tensor, float], Tensor] | None = None) -> Tensor:
        """Law at ``t = 0`` of a run on a uniform grid, with a change of the law after every step but the last."""
        times = torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist()
        law = self.marginal(1.0)
        for t, s in itertools.pairwise(times):
            law = self.step(law, rule, t, s)
            if after is not None and s > 0:
                law = after(law, s)
        return law

    def run_state(self, law: Tensor) -> tuple[RunState, Tensor, Tensor]:
        """Reachable states of a mask process with the mask as time, their probabilities, and the exact prediction."""
        rows = torch.nonzero(law > 0).squeeze(1)
        x = self.states[rows]
        state = RunState.at(x, torch.where(x == self.kernel.clean, 0.7, 0.0), Noise.range(0, len(x)))
        return state, law[rows], self.oracle.posterior(x, state.t)
