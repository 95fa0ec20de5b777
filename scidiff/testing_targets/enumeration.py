"""Exact laws of discrete samplers by enumeration of all states: no sampling, no Monte-Carlo error.

The transition matrix of a step is built from the probabilities that the sampler itself draws from.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from scidiff.denoise import Enumerated, markov_chain
from scidiff.errors import NumericalError
from scidiff.process import DiscreteProcess, Kernel
from scidiff.random import Noise
from scidiff.sample import LooGibbs, RunState
from scidiff.spaces import Categorical

__all__ = ["INITIAL", "TRANSITION", "Chain", "SiteLaw", "bridge", "gibbs", "pearson", "plugged", "plugged_loo"]

INITIAL = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
TRANSITION = torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.75, 0.15], [0.3, 0.1, 0.6]], dtype=torch.float64)

SiteLaw = Callable[[DiscreteProcess, Tensor, Tensor, Tensor, Tensor], Tensor]


class Chain:
    """A Markov chain of three classes, its exact denoiser, and all states that noise can lead to.

    Parameters
    ----------
    kernel
        Noise of each site; three clean classes.
    length
        Number of sites.

    Attributes
    ----------
    law
        Law of the data, shape ``(3,) * length``.
    oracle
        Exact posteriors.
    process
        The noising process.
    states
        All states, shape ``(D^length, length)``.
    """

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


def pearson(x: Tensor, law: Tensor) -> float:
    """Pearson's statistic of samples against a law over all states; its mean is the number of possible states less 1.

    Parameters
    ----------
    x
        Samples, shape ``(count, length)``.
    law
        Law over all states, shape ``(D^length,)``.

    Raises
    ------
    NumericalError
        If a sample is in a state of probability zero.
    """
    states = round(len(law) ** (1 / x.shape[1]))
    index = (x * states ** torch.arange(x.shape[1] - 1, -1, -1)).sum(1)
    seen, expected = torch.bincount(index, minlength=len(law)).double(), law * len(x)
    lost = float(seen[expected == 0].sum())
    if lost > 0:
        raise NumericalError(f"{lost:.0f} of {len(x)} samples are in states of probability zero; expected none")
    return float(((seen - expected)[expected > 0] ** 2 / expected[expected > 0]).sum())


def gibbs(chain: Chain, t: float) -> Tensor:
    """Transition matrix of one update of `LooGibbs` at a random site, over all states."""
    x = chain.states
    times = torch.full(x.shape, t, dtype=torch.float64)
    law = LooGibbs().probs(chain.process, chain.oracle.posterior(x, times), x, times)
    rest = torch.nn.functional.one_hot(x, chain.kernel.states).double()
    single = torch.zeros(len(x), len(x), dtype=torch.float64)
    for site in range(chain.length):
        here = torch.arange(chain.length) == site
        single += chain.joint(torch.where(here[:, None], law, rest)) / chain.length
    return single


def bridge(process: DiscreteProcess, p: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Reverse law ``Q_{t|s}[x_s, x_t] (p Q_s)[x_s] / (p Q_t)[x_t]`` of a site whose clean class has law ``p``."""
    earlier, later = process.kernel.mix(p, s), process.kernel.mix(p, t)
    return process.kernel.column(x_t, t, s) * earlier / later.gather(-1, x_t.unsqueeze(-1))


def plugged(process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Fall into the plug-in trap [1]_: the bridge with the posterior, which counts the site twice.

    References
    ----------
    .. [1] S. Gourevitch et al., "Uniform diffusion models revisited", arXiv:2605.22765
    """
    return bridge(process, m.exp(), x_t, t, s)


def plugged_loo(process: DiscreteProcess, m: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Give the bridge what belongs to it, the leave-one-out posterior."""
    return bridge(process, process.leave_one_out(m, x_t, t).exp(), x_t, t, s)
